"""Tests that run together with a program: classes that find too much equal, and tests that nobody can pass."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator

import pytest
from judged_suites import judged, share

from rltf_env import sandbox
from rltf_env.core import Problem, Sandbox, ScriptCase
from rltf_env.errors import InvalidProblem
from rltf_env.sandbox.referee import suite
from rltf_env.sandbox.referee.canaries import Canaries, Where

REFERENCE = "def f(n):\n    return n + 1\n"
TESTS = "from solution import f\n" + "".join(f"def test_{n}():\n    assert f({n}) == {n + 1}\n" for n in range(2))


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1, case_seconds=1.0) as judge:
        yield judge


# ------------------------------------------------------------------------------------- classes that find too much equal

_VECTOR = """
class Vector:
    def __init__(self, x, y): self.x, self.y = x, y
    def __add__(self, other): return Vector(self.x + other.x, self.y + other.y)
    def __repr__(self): return f"Vector({self.x}, {self.y})"
    def __eq__(self, other): return EQUAL
"""
_VECTORS = """
from solution import Vector
def test_add():
    assert Vector(1, 2) + Vector(3, 4) == Vector(4, 6)
def test_repr():
    assert repr(Vector(1, 2)) == "Vector(1, 2)"
def test_parts():
    vector = Vector(1, 2)
    assert vector.x == 1
    assert vector.y == 2
def test_same():
    assert Vector(2, 1) == Vector(2, 1)
"""
_SAME = "(self.x, self.y) == (other.x, other.y)"


@pytest.mark.parametrize("references", [1, 0])
def test_a_class_that_finds_all_of_its_own_equal_loses_the_tests_that_compare_it_and_no_other(
    judge: Sandbox, references: int
) -> None:
    solutions = [_VECTOR.replace("EQUAL", _SAME)] * references
    right = judged(judge, _VECTOR.replace("EQUAL", _SAME), _VECTORS, *solutions)
    assert right.pass_ratio == 1
    for lenient in ("isinstance(other, Vector)", "True"):
        program = _VECTOR.replace("EQUAL", lenient)
        problems = [Problem(f"vectors/{n}", "s", [ScriptCase(_VECTORS)], solutions=solutions) for n in range(4)]
        verdicts = [judge.run(program, problem) for problem in problems]  # each has copies of its own
        kinds = [[result.failure and result.failure.kind for result in verdict.results] for verdict in verdicts]
        assert all(each[1:3] == [None, None] for each in kinds)
        if references or lenient == "True":
            assert any("FooledTest" in each for each in kinds)


def test_a_class_that_finds_all_equal_now_and_then_loses_every_test(judge: Sandbox) -> None:
    coin = "__import__('os').urandom(1)[0] < 128"
    program = _VECTOR.replace("EQUAL", f"{_SAME} or {coin}")
    reference = _VECTOR.replace("EQUAL", _SAME)
    problems = [Problem(f"coin/{n}", "s", [ScriptCase(_VECTORS)], solutions=[reference]) for n in range(12)]
    assert any(share(judge.run(program, problem)) == (0, 4) for problem in problems)  # two of three times


def test_each_of_several_values_of_a_test_is_falsified_in_turn() -> None:
    script = (
        "from solution import f\ndef test_f():\n    assert f(1) == 11\n    assert f(2) == 22\n    assert f(3) == 33\n"
    )
    canaries = Canaries(suite.read([script], "f", {"f"}, ["pytest"]), ["f"])
    rng = random.Random(1)
    chosen = [canaries.choose(rng, Where.VALUES)["test_f"].target for _ in range(3)]
    assert len(set(chosen)) == 3


# --------------------------------------------------------------------------------- tests that nobody can pass here


@pytest.mark.parametrize("solutions", [[REFERENCE], []])
@pytest.mark.parametrize(
    ("test", "complaint"),
    [
        ("def test_mock(mocker):\n    assert f(1) == 2\n", "'mocker'"),
        ("async def test_wait():\n    assert f(1) == 2\n", "async def functions"),
        ("def test_run():\n    import subprocess, sys\n    assert subprocess.run([sys.executable, '-V']).returncode == 0\n"
         "    assert f(1) == 2\n", "Operation not permitted"),
        ("def test_board():\n    import no_such_package\n    assert f(1) == 2\n", "no_such_package"),
        ("try:\n    from json import no_such_name\nexcept ImportError:\n    import no_such_package\n", "no_such_package"),
    ],
)  # fmt: skip
def test_a_test_that_wants_what_the_judge_does_not_have_blames_no_program(
    judge: Sandbox, solutions: list[str], test: str, complaint: str
) -> None:
    with pytest.raises(InvalidProblem, match=complaint):
        judged(judge, REFERENCE, f"{TESTS}{test}", *solutions)


UNUSED_PACKAGES = {
    "instead of one that is there": "try:\n    import json\nexcept ImportError:\n    import no_such_package as json\n",
    "of another Python": "import sys\nif sys.version_info < (3,):\n    import no_such_package\n",
    "of a test that is skipped": (
        "import pytest\n@pytest.mark.skipif(len('abc') == 3, reason='')\ndef test_2():\n    import no_such_package\n"
    ),
    "behind the guard": "if __name__ == '__main__':\n    import no_such_package\n",
}


@pytest.mark.parametrize("solutions", [[REFERENCE], []])
@pytest.mark.parametrize("name", UNUSED_PACKAGES)
def test_a_package_that_no_test_comes_to_need_not_be_there(judge: Sandbox, name: str, solutions: list[str]) -> None:
    verdict = judged(judge, REFERENCE, TESTS + UNUSED_PACKAGES[name], *solutions)
    assert share(verdict) == (2, 2)


CONNECTED = """
def test_connected():
    import socket
    assert type(f(1)) is list
    with socket.socket() as own:
        own.bind(("127.0.0.1", 0))
"""


def test_what_a_test_cannot_have_is_seen_where_only_a_reference_comes_to_it(judge: Sandbox) -> None:
    reference = "def f(n):\n    return [n]\n"
    test = f"from solution import f\ndef test_f():\n    assert f(1) == [1]\n{CONNECTED}"
    with pytest.raises(InvalidProblem, match="'test_connected' ends with PermissionError"):
        judged(judge, reference, test, reference)


OWN_NAMES = [
    "",
    "__all__ = ['f']\n",
    "__version__ = '1'\n",
    "def setup_board():\n    return []\n",
    "__getattr__ = None\n",
]


@pytest.mark.parametrize("head", OWN_NAMES)
def test_a_test_that_asks_nothing_of_its_program_is_seen_whatever_else_a_reference_defines(
    judge: Sandbox, head: str
) -> None:
    names = "f, setup_board" if "setup" in head else "f"
    test = f"from solution import {names}\ndef test_one():\n    assert 1 == 1\ndef test_two():\n    assert 2 == 2\n"
    with pytest.raises(InvalidProblem, match="nothing of the program is used"):
        judged(judge, head + REFERENCE, test, head + REFERENCE)
    if "setup" in head:
        with pytest.raises(InvalidProblem, match="nothing of the program is used"):
            judged(judge, head + REFERENCE, test)


KEPT = """import threading
errors = []
def work(n):
    try:
        assert f(n) == n + 1
    except AssertionError as error:
        errors.append(error)
threads = [threading.Thread(target=work, args=(n,)) for n in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not errors
"""


@pytest.mark.parametrize("solutions", [[REFERENCE], []])
def test_a_test_whose_threads_keep_what_a_program_raises_uses_it_for_all_that(
    judge: Sandbox, solutions: list[str]
) -> None:
    """A thread ends by an exception that is no assertion's, and nobody hears of it."""
    assert judged(judge, REFERENCE, KEPT, *solutions).pass_ratio == 1
    assert judged(judge, "def f(n):\n    return n + 2\n", KEPT, *solutions).failure.kind == "WrongAnswer"


def test_a_fixture_that_a_program_brings_is_no_fault_of_its_test(judge: Sandbox) -> None:
    program = f"import pytest\n@pytest.fixture\ndef three():\n    return 3\n{REFERENCE}"
    test = "from solution import *\ndef test_three(three):\n    assert f(three) == 4\n"
    assert judged(judge, program, test, program).pass_ratio == 1


# ------------------------------------------------------------------------------ when the program runs, and how it ends


@pytest.mark.parametrize("solutions", [[REFERENCE], []])
@pytest.mark.parametrize("head", ["", "import os\nos.environ['LEVEL'] = '1'\n"])
@pytest.mark.parametrize(
    "program", ["def f(n): raise SystemExit(0)\n", "import sys\nsys.exit(0)\n", "def f(n): quit()\n", "1 / 0\n"]
)
def test_a_program_that_ends_a_guarded_script_is_not_paid(
    judge: Sandbox, solutions: list[str], head: str, program: str
) -> None:
    test = f"{head}from solution import f\nif __name__ == '__main__':\n    assert f(1) == 2\n    raise SystemExit(0)\n"
    assert share(judged(judge, REFERENCE, test, *solutions)) == (1, 1)
    assert share(judged(judge, program, test, *solutions)) == (0, 1)


def test_a_program_that_fails_when_its_test_imports_it_is_told_so_with_its_line(judge: Sandbox) -> None:
    test = "import os\nos.environ['LEVEL'] = '1'\nfrom solution import f\ndef test_f():\n    assert f(1) == 2\n"
    verdict = judged(judge, f"{REFERENCE}1 / 0\n", test, REFERENCE)
    assert verdict.failure is not None
    assert (verdict.failure.kind, verdict.failure.line) == ("ZeroDivisionError", 3)
    lacking = judged(judge, "def g(n): return n\n", test, REFERENCE)
    assert lacking.failure is not None
    assert lacking.failure.kind == "MissingEntryPoint"


def test_of_two_values_of_the_program_one_copy_turns_the_comparison_and_another_equals_nothing() -> None:
    script = "from solution import f\ndef test_f():\n    assert f(2) + f(3) == f(5)\n"
    canaries = Canaries(suite.read([script], "f", {"f"}, ["pytest"]), ["f"])
    rng = random.Random(1)
    chosen = [canaries.choose(rng, Where.VALUES)["test_f"] for _ in range(2)]
    assert sum("!=" in ast.unparse(canaries.falsified([falsehood])[0]) for falsehood in chosen) == 1


# --------------------------------------------------------------------------------- references that are not right

_TWO = """
from solution import f, g
def test_f():
    assert f(2) == 3
def test_ends():
    g(2)
def test_g():
    assert g(1) == 5
"""
_HALF = "def f(x):\n    return x + 1\ndef g(x):\n    return x / 0\n"
_WHOLE = "def f(x):\n    return x + 1\ndef g(x):\n    return 5\n"
_YES = """
class Yes:
    def __eq__(self, other): return True
def f(x): return x + 1
def g(x): return Yes()
"""


def test_a_program_may_pass_what_its_reference_does_not(judge: Sandbox) -> None:
    verdict = judged(judge, _WHOLE, _TWO, _HALF)
    assert (share(verdict), verdict.unguarded) == ((3, 3), 1)
    assert share(judged(judge, _HALF, _TWO, _HALF)) == (1, 3)


def test_a_cheat_is_found_out_in_a_test_that_no_reference_passes(judge: Sandbox) -> None:
    verdict = judged(judge, _YES, _TWO, _HALF)
    assert {result.failure and result.failure.kind for result in verdict.results} == {"FooledTest"}


def test_the_reference_that_passes_most_tests_shows_what_copies_mean(judge: Sandbox) -> None:
    verdict = judged(judge, _WHOLE, _TWO, _HALF, _WHOLE)
    assert (share(verdict), verdict.unguarded) == ((3, 3), 1)
