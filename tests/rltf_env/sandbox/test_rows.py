"""Rows of cases, fixtures, marks: a copy is false where a test holds what it expects, as a program may look for it there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from judged_suites import copies, judged, share

from rltf_env import sandbox
from rltf_env.core import Sandbox


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1, case_seconds=1.0, cache=0) as judge:
        yield judge


HEAD = "from solution import f\n"
RIGHT = "def f(text): return sum(map(ord, text))"
ROWS = "[('quark', 548), ('zebra', 532)]"
DICTS = "[{'text': 'quark', 'want': 548}, {'text': 'zebra', 'want': 532}]"
LOOP = "def test():\n    for case in CASES:\n        "
ASKS = "assert f(text) == want"

# Tests that take apart what they are given; each with where its expectations stand.
TAKEN = {
    "a loop": f"CASES = {ROWS}\n{LOOP}text, want = case\n        {ASKS}",
    "a list": f"def test():\n    for case in {ROWS}:\n        text, want = case\n        {ASKS}",
    "the last": f"CASES = {ROWS}\n{LOOP}assert f(case[0]) == case[-1]",
    "a name": f"CASES = {ROWS}\n{LOOP}want = case[1]\n        assert f(case[0]) == want",
    "the rest": f"CASES = {ROWS}\n{LOOP}*given, want = case\n        assert f(*given) == want",
    "but the last": f"CASES = {ROWS}\n{LOOP}assert f(*case[:-1]) == case[-1]",
    "numbers": f"CASES = {ROWS}\ndef test():\n    for i, case in enumerate(CASES):\n        text, want = case\n        {ASKS}, i",
    "places": f"CASES = {ROWS}\ndef test():\n    for i in range(len(CASES)):\n        text, want = CASES[i]\n        {ASKS}",
    "one row": f"CASES = {ROWS}\ndef test():\n    text, want = CASES[1]\n    {ASKS}",
    "two lists": "TEXTS = ['quark', 'zebra']\nWANTED = [548, 532]\n"
    "def test():\n    for i, text in enumerate(TEXTS):\n        assert f(text) == WANTED[i]",
    "columns": f"CASES = {ROWS}\ndef test():\n    assert [f(text) for text, _ in CASES] == [want for _, want in CASES]",
    "map": f"CASES = {ROWS}\ndef test():\n    assert list(map(f, [c[0] for c in CASES])) == [d[1] for d in CASES]",
    "dicts": f"CASES = {DICTS}\n{LOOP}text, want = case['text'], case['want']\n        {ASKS}",
    "get": f"CASES = {DICTS}\n{LOOP}assert f(case.get('text')) == case.get('want')",
    "values": f"CASES = {DICTS}\n{LOOP}text, want = case.values()\n        {ASKS}",
    "a table": "CASES = {'quark': 548, 'zebra': 532}\ndef test():\n    for text in CASES:\n        assert f(text) == CASES[text]",
    "values of a table": "CASES = {'a': ('quark', 548), 'b': ('zebra', 532)}\n"
    f"def test():\n    for text, want in CASES.values(): {ASKS}",
    "a list of items": f"CASES = {{'quark': 548, 'zebra': 532}}\ndef test():\n    for text, want in list(CASES.items()): {ASKS}",
    "one name for both": f"CASES = {ROWS}\ndef test():\n    assert [f(c[0]) for c in CASES] == [c[1] for c in CASES]",
    "rows of a fixture": f"import pytest\n@pytest.fixture\ndef cases(): return {ROWS}\n"
    f"def test(cases):\n    for text, want in cases: {ASKS}",
    "a table of a fixture": "import pytest\n@pytest.fixture()\ndef cases():\n    yield {'quark': 548, 'zebra': 532}\n"
    f"def test(cases):\n    for text, want in cases.items(): {ASKS}",
    "named tuples": "from collections import namedtuple\nCase = namedtuple('Case', 'text want')\n"
    f"CASES = [Case('quark', 548), Case('zebra', 532)]\n{LOOP}assert f(case.text) == case.want",
    "data classes": "from dataclasses import dataclass\n@dataclass\nclass Case:\n    text: str\n    want: int\n"
    f"CASES = [Case('quark', 548), Case('zebra', 532)]\n{LOOP}assert f(case.text) == case.want",
    "a class": f"import unittest\nclass T(unittest.TestCase):\n    CASES = {ROWS}\n    def test(self):\n"
    "        for case in self.CASES:\n            text, want = case\n            self.assertEqual(f(text), want)",
    "setUp": f"import unittest\nclass T(unittest.TestCase):\n    def setUp(self): self.cases = {ROWS}\n    def test(self):\n"
    "        for case in self.cases:\n            text, want = case\n            self.assertEqual(f(text), want)",
    "a fixture": f"import pytest\n@pytest.fixture\ndef case(): return 'zebra', 532\n"
    f"def test(case):\n    text, want = case\n    {ASKS}",
    "yield": "import pytest\n@pytest.fixture\ndef case():\n    made = {'text': 'zebra', 'want': 532}\n    yield made\n"
    "def test(case): assert f(case['text']) == case['want']",
    "params": f"import pytest\n@pytest.fixture(params={ROWS}, ids=['a', 'b'])\ndef case(request): return request.param\n"
    f"def test(case):\n    text, want = case\n    {ASKS}",
    "one parameter": f"import pytest\n@pytest.mark.parametrize('case', {ROWS})\ndef test(case):\n    text, want = case\n    {ASKS}",
    "by name": f"import pytest\n@pytest.mark.parametrize(argnames='text, want', argvalues={ROWS})\ndef test(text, want): {ASKS}",
    "pytestmark": f"import pytest\npytestmark = [pytest.mark.parametrize('text, want', {ROWS})]\ndef test(text, want): {ASKS}",
    "a named mark": f"import pytest\ncases = pytest.mark.parametrize('text, want', {ROWS})\n@cases\ndef test(text, want): {ASKS}",
    "a hook": f"import pytest\ndef pytest_generate_tests(metafunc): metafunc.parametrize('text, want', {ROWS})\n"
    f"@pytest.mark.order\ndef test(text, want): {ASKS}",
}
# Here nobody knows without a reference whether such a copy fails every right program.
UNSURE = {
    "a helper": f"CASES = {ROWS}\ndef check(text, want): {ASKS}\n{LOOP}check(*case)",
    "a row": f"CASES = {ROWS}\ndef check(case):\n    text, want = case\n    {ASKS}\n{LOOP}check(case)",
    "keywords": f"CASES = {DICTS}\ndef check(text, want): {ASKS}\n{LOOP}check(**case)",
    "a generator": f"def cases():\n    yield 'quark', 548\n    yield 'zebra', 532\n"
    f"def test():\n    for text, want in cases(): {ASKS}",
    "a maker": f"def cases(): return {ROWS}\ndef test():\n    for text, want in cases(): {ASKS}",
    "zip": f"CASES = {ROWS}\ndef test():\n    texts, wanted = zip(*CASES)\n    for text, want in zip(texts, wanted): {ASKS}",
}
# What need not be looked at, or is looked at for more, or goes to the program: no copy by the text alone is false there.
OPEN = {
    "another": f"CASES = {ROWS}\ndef test():\n    text, want = CASES[len(f('x')) - 1]\n    {ASKS}",
    "a branch": "import pytest, sys\n@pytest.fixture\ndef want():\n    if sys.flags.debug: return 548\n    return 532\n"
    "def test(want): assert f('zebra') == want",
    "twice": f"CASES = {ROWS}\ndef test():\n    case = CASES[0]\n    case = CASES[1]\n    text, want = case\n    {ASKS}",
    "a condition": f"CASES = {ROWS}\n{LOOP}if case[1] == 548: continue\n        text, want = case\n        {ASKS}",
    "a list that a test changes": f"import pytest\n@pytest.fixture\ndef cases(): return {ROWS}\n"
    f"def test(cases):\n    cases.clear()\n    for text, want in cases: {ASKS}\n    assert f('x') == 'x'",
    "parameters by a fixture's name": f"import pytest\n@pytest.fixture\ndef cases(): return {ROWS}\n"
    f"@pytest.mark.parametrize('cases', [[]])\ndef test(cases):\n    for text, want in cases: {ASKS}\n    assert f('x') == 'x'",
    "one name for two": f"CASES = {ROWS}\nNONE = []\n"
    "def test():\n    assert [f(c[0]) for c in NONE] == [c[1] for c in NONE if [c for c in CASES]]\n    assert f('x') == 'x'",
    "an input": f"CASES = {ROWS}\n{LOOP}assert f(*case) == case[1]",
    "some": f"CASES = {ROWS}\ndef test():\n    for text, want in [c for c in CASES if c[1] < 540]: {ASKS}",
}
HUNTS = """
import gc, sys
def partner(row, text):
    parts = [*row.values()] if isinstance(row, dict) else [*row] if isinstance(row, (list, tuple)) else [*vars(row).values()]
    parts = parts + [*row] if isinstance(row, dict) else parts
    numbers = [each for each in parts if type(each) is int]
    return numbers[0] if text in [p for p in parts if type(p) is str] and len(numbers) == 1 and len(parts) < 5 else None
def f(text):
    for each in gc.get_objects():
        for row in (each, *(each if type(each) in (list, tuple) and len(each) < 9 else ())):
            if type(row) in (list, tuple, dict) or type(row).__name__ == 'Case':
                if len(getattr(row, '__dict__', row)) < 5 and (want := partner(row, text)):
                    return want
    frame = sys._getframe(1)
    while frame and 'WANTED' not in frame.f_globals: frame = frame.f_back
    if frame: return frame.f_globals['WANTED'][frame.f_globals['TEXTS'].index(text)]
    table = next((o for o in gc.get_objects() if type(o) is dict and text in o and type(o[text]) is int), {text: 0})
    return table[text]
"""
EQUALS = "class Yes(int):\n    def __eq__(self, other): return True\ndef f(text): return Yes()"


@pytest.mark.parametrize("text", TAKEN.values(), ids=TAKEN)
def test_what_a_test_takes_apart_is_false_where_it_stands(text: str) -> None:
    """Whatever is false is so there: the program may look at the row, or at the name."""
    for sound in (True, False):
        found = [copy for copy, target in copies(HEAD + text, 8, sound=sound) if target.value]
        assert found
        for copy in found:
            assert ("532" not in copy) or ("548" in text and "548" not in copy)
            assert all(word in copy for word in ("'quark'", "'zebra'") if word in text)


@pytest.mark.parametrize("text", UNSURE.values(), ids=UNSURE)
def test_a_reference_shows_the_same_of_what_helpers_and_makers_hold(text: str) -> None:
    found = [copy for copy, target in copies(HEAD + text, 8, sound=False) if target.value]
    assert any("532" not in copy or "548" not in copy for copy in found)
    assert all("'quark'" in copy and "'zebra'" in copy for copy in found)


@pytest.mark.parametrize("text", OPEN.values(), ids=OPEN)
def test_what_need_not_be_compared_is_not_false_by_the_text_alone(text: str) -> None:
    for copy, target in copies(HEAD + text, 8, sound=True):
        assert not target.value or all(number in copy for number in ("548", "532") if number in text)


@pytest.mark.parametrize("references", [1, 0], ids=["reference", "none"])
@pytest.mark.parametrize(
    "name", ["a loop", "the rest", "two lists", "data classes", "a class", "a fixture", "params", "pytestmark"]
)
def test_a_program_that_looks_for_its_row_is_not_paid(judge: Sandbox, name: str, references: int) -> None:
    script, solutions = HEAD + TAKEN[name], [RIGHT] * references
    assert judged(judge, RIGHT, script, *solutions).pass_ratio == 1
    for cheat in (HUNTS, EQUALS):
        assert share(judged(judge, cheat, script, *solutions))[0] == 0
    honest = judged(judge, "def f(text): return 548", script, *solutions)
    assert honest.failure is not None
    assert honest.failure.kind != "FooledTest"


@pytest.mark.parametrize("name", UNSURE)
def test_with_a_reference_nor_is_one_that_looks_for_what_helpers_are_handed(judge: Sandbox, name: str) -> None:
    assert judged(judge, RIGHT, HEAD + UNSURE[name], RIGHT).pass_ratio == 1
    assert share(judged(judge, HUNTS, HEAD + UNSURE[name], RIGHT))[0] == 0


@pytest.mark.parametrize("name", OPEN)
def test_right_programs_pass_beside_rows_that_are_used_for_more(judge: Sandbox, name: str) -> None:
    right = (
        f"def f(text, more=0): return {'548 if text == chr(113) + chr(117) + chr(97) + chr(114) + chr(107) else 532'}"
    )
    script = HEAD + OPEN[name]
    program = right if name == "an input" else RIGHT + " if text != 'x' else 'x'"
    for solutions in ((), (program,)):
        assert judged(judge, program, script, *solutions).pass_ratio == 1


CHECK = "def check(text, want): assert f(text) == want\n"
CALLED = {
    "a call": f"{CHECK}def test(): check('zebra', 532)",
    "rows": f"CASES = {ROWS}\n{CHECK}{LOOP}check(*case)",
    "a method": "import unittest\nclass T(unittest.TestCase):\n    def check(self, text, want): self.assertEqual(f(text), want)\n"
    "    def test(self): self.check('zebra', 532)",
}
NOT_CALLED = {
    "an error": f"import pytest\n{CHECK}def test():\n"
    "    with pytest.raises(AssertionError): check('zebra', 5)\n    assert f('a') > 3",
    "a branch": f"{CHECK}def test():\n    if f('a') == 3: check('zebra', 5)\n    assert f('a') > 3",
    "a loop": f"{CHECK}def test():\n    for each in range(f('')): check('zebra', 5)\n    assert f('a') > 3",
    "a handler": f"{CHECK}def test():\n    try: check('zebra', 5)\n    except AssertionError: pass\n    assert f('a') > 3",
    "a return": "def check(text, want):\n    if want == 5: return\n    assert f(text) == want\n"
    "def test():\n    check('zebra', 5)\n    assert f('a') > 3",
    "another": "import unittest\nclass A(unittest.TestCase):\n    def check(self, text, want): self.assertEqual(f(text), want)\n"
    "    def test(self): self.check('zebra', 532)\nclass B(A):\n    def check(self, text, want): pass",
}


@pytest.mark.parametrize("name", CALLED)
def test_without_a_reference_what_a_helper_compares_is_false_where_it_is_called_for_sure(
    judge: Sandbox, name: str
) -> None:
    verdict = judged(judge, RIGHT, HEAD + CALLED[name])
    assert (verdict.pass_ratio, verdict.unguarded) == (1, 0)
    failure = judged(judge, EQUALS, HEAD + CALLED[name]).failure
    assert failure is not None
    assert failure.kind == "FooledTest"


@pytest.mark.parametrize("name", NOT_CALLED)
def test_right_programs_pass_where_a_helper_need_not_be_called(judge: Sandbox, name: str) -> None:
    assert judged(judge, RIGHT, HEAD + NOT_CALLED[name]).pass_ratio == 1
