"""Examples that `doctest` reads in a test's text are expectations: copies of the test have false ones."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator

import pytest
from judged_suites import judged, share

from rltf_env import sandbox
from rltf_env.core import Sandbox
from rltf_env.sandbox.referee import examples

RIGHT = "def f(x):\n    if x < 0:\n        raise ValueError('below zero')\n    return x * x"
WRONG = "def f(x):\n    return x + 2"
PATCHED = "import doctest\ndoctest.OutputChecker.check_output = lambda *args: True\ndef f(x):\n    return 0"
READER = """
import sys
class Wanted:
    def __repr__(self):
        frame = sys._getframe(1)
        while "example" not in frame.f_locals:
            frame = frame.f_back
        return frame.f_locals["example"].want.strip()
def f(x): return Wanted()
"""
EXAMPLES = ">>> f(2)\n4\n>>> f(3)\n9\n"
RUN = "test = doctest.DocTestParser().get_doctest(EXAMPLES, globals(), 'name', None, 0)"
QUIET = "doctest.DocTestRunner(verbose=False).run(test, out=lambda text: None)"
TESTS = {
    "a text": f"EXAMPLES = '''{EXAMPLES}'''\ndef test_f():\n    {RUN}\n    assert {QUIET}.failed == 0",
    "a text of a test's": f"def test_f():\n    EXAMPLES = '''{EXAMPLES}'''\n    {RUN.replace('globals()', '{**globals()}')}\n"
    f"    assert {QUIET}.failed == 0",
    "the docstring of a script": f"'''{EXAMPLES}'''\nif __name__ == '__main__':\n    assert doctest.testmod().failed == 0",
}


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1, cache=0) as judge:
        yield judge


@pytest.mark.parametrize("name", TESTS)
def test_who_replaces_or_reads_what_compares_examples_is_found_out(judge: Sandbox, name: str) -> None:
    head, _, rest = TESTS[name].rpartition("'''\n") if name.startswith("the") else ("", "", TESTS[name])
    test = f"{head}{chr(39) * 3 if head else ''}\nimport doctest\nfrom solution import f\n{rest}"
    assert share(judged(judge, RIGHT, test, RIGHT)) == (1, 1)
    assert share(judged(judge, WRONG, test, RIGHT)) == (0, 1)
    for program in (PATCHED, READER):
        failure = judged(judge, program, test, RIGHT).failure
        assert failure is not None
        assert failure.kind == "FooledTest"


TEXT = """A text.

    >>> f(2)
    4
    >>> for x in (1, 2):
    ...     print(f(x))
    1
    4

    4 is no example.
    >>> y = f(3)
    >>> f(-1)
    Traceback (most recent call last):
        ...
    ValueError: below zero
"""


def test_what_an_example_prints_last_is_what_becomes_false() -> None:
    changed = set()
    for seed in range(40):
        tree = ast.parse(f"import doctest\nTEXT = {TEXT!r}")
        (node,) = examples.texts([tree])
        examples.other_example(node, random.Random(seed))
        lines = str(node.value).splitlines()
        (number,) = [i for i, pair in enumerate(zip(lines, TEXT.splitlines(), strict=True)) if pair[0] != pair[1]]
        changed.add(number)
    assert changed == {3, 7, 14}


def test_a_docstring_is_no_expectation_where_nobody_uses_doctest() -> None:
    assert examples.texts([ast.parse(f"def helper():\n    {EXAMPLES!r}")]) == []
