"""What a test lacks beside a stand-in is a fault of its own only if no program could give it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from judged_suites import judged

from rltf_env import sandbox
from rltf_env.core import Problem, Sandbox, ScriptCase, Verdict
from rltf_env.errors import InvalidProblem
from rltf_env.sandbox.referee import scopes
from rltf_env.sandbox.referee.dependence import may_depend
from rltf_env.sandbox.referee.suite import read

RAISES = "def f(x):\n    if x < 0: raise ValueError('negative')\n    return x\n"
SAME = "def f(x): return x\n"


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1, case_seconds=1.0, wall_seconds=3.0, cache=0) as judge:
        yield judge


def _judged(judge: Sandbox, program: str, script: str) -> Verdict:
    return judge.run(program, Problem("lacking", "l", [ScriptCase(f"from solution import f\n{script}\n")]))


@pytest.mark.parametrize(
    ("script", "kind", "message", "expected"),
    [("try:\n    f(1)\nexcept ValueError as e:\n    text = str(e)\nassert text", "NameError", "name 'text' is not defined", True),
     ("try:\n    f(1)\nexcept ValueError as e:\n    pass\nassert e", "NameError", "name 'e' is not defined", False),
     ("assert f(1) == maths.pi", "NameError", "name 'maths' is not defined", False),
     ("def test():\n    for x in f(1):\n        y = x\n    assert y", "UnboundLocalError", "local variable 'y'", True),
     ("assert f(1)\n\n1 / (f(1) - 1)", "ZeroDivisionError", "", True),
     ("assert f(1)\n\n1 / 0", "ZeroDivisionError", "", False)],
)  # fmt: skip
def test_a_name_or_a_divisor_may_depend_on_the_program(script: str, kind: str, message: str, expected: bool) -> None:
    suite = read([script], "f", {"f"}, [])
    row = {"raised": {"kind": kind, "message": message}, "at": 3, "in": "test"}
    assert may_depend(row, suite) is expected


SCRIPTS = {
    "a name that is bound where the program raises": (
        "try:\n    f(-1)\nexcept ValueError as e:\n    text = str(e)\nassert 'neg' in text",
        RAISES, SAME,
    ),
    "a divisor made of answers": ("assert 8 / (int(f(5)) - int(f(1))) == 2", SAME, "def f(x): return 2 * x"),
    "any error": ("def test():\n    try:\n        f(-1)\n    except:\n        pass\n    else:\n        assert False", RAISES, SAME),
    "a flag": ("raised = False\ntry:\n    f(-1)\nexcept BaseException:\n    raised = True\nassert raised", RAISES, SAME),
}  # fmt: skip


@pytest.mark.parametrize("name", SCRIPTS)
def test_such_a_test_judges_programs_without_a_reference(judge: Sandbox, name: str) -> None:
    script, right, wrong = SCRIPTS[name]
    assert _judged(judge, right, script).failure is None
    assert _judged(judge, wrong, script).failure is not None


def test_a_name_that_nothing_binds_is_the_test_s_own_fault(judge: Sandbox) -> None:
    with pytest.raises(InvalidProblem, match="fails whatever the program is"):
        _judged(judge, RAISES, "try:\n    f(-1)\nexcept ValueError as e:\n    pass\nassert 'neg' in str(e)")


def test_what_a_handler_binds_is_no_name_of_the_program(judge: Sandbox) -> None:
    script = "try:\n    f(-1)\nexcept ValueError as e:\n    text = str(e)\nassert text == 'negative'"
    assert scopes.of_module(script) == (frozenset({"ValueError", "f", "str"}), frozenset({"e", "text"}))
    failure = _judged(judge, SAME, script).failure
    assert failure is not None
    assert (failure.kind, failure.message) == (
        "WrongAnswer",
        "NameError: name 'text' is not defined (line 6 of the test)",
    )


def test_a_name_that_a_statement_looks_up_and_then_binds_is_looked_up_first() -> None:
    assert "f" in scopes.of_module("f = cached(\n    f)")[0]
    assert "f" in scopes.of_module("class A:\n    f = f")[0]


HEAD = "import os, sys, unittest, pytest\nfrom solution import f\n"
ENDING = {
    "in a test": "def test_one(): assert f(2) == 4\ndef test_two():\n    assert f(3) == 9\n    os._exit(0)",
    "at the end of a script": "assert f(2) == 4\nos._exit(0)",
    "a failure": "assert f(2) == 4\nsys.exit(1)",
    "in a fixture": "@pytest.fixture\ndef two(): sys.exit(0)\ndef test_two(two): assert f(2) == 4",
    "in setUp": "class T(unittest.TestCase):\n    def setUp(self): raise SystemExit\n    def test(self): self.assertEqual(f(2), 4)",
}
# They end as the program has it, though beside a stand-in they would be over.
NOT_ENDING = {
    "by a name": "bad = 0\nif f(2) != 4: bad += 1\nsys.exit(bad)",
    "in a branch": "def test():\n    if f(2) != 4: os._exit(1)\n    assert f(3) == 9",
    "after another": "if not f(2) != 4: sys.exit(0)\nsys.exit(1)",
    "after a return": "def test():\n    if not f(2) != 4: return\n    os._exit(1)",
    "in a helper": "def stop(): os._exit(1)\ndef test():\n    if f(2) != 4: stop()",
    "expected": "def test():\n    with pytest.raises(SystemExit): sys.exit(1)\n    assert f(2) == 4",
}
SQUARE = "def f(x): return x * x"


@pytest.mark.parametrize("solutions", [[SQUARE], []], ids=["reference", "none"])
@pytest.mark.parametrize("name", ENDING)
def test_a_test_that_ends_itself_is_nobody_else_s_fault(judge: Sandbox, name: str, solutions: list[str]) -> None:
    with pytest.raises(InvalidProblem, match="whatever the program is"):
        judged(judge, SQUARE, HEAD + ENDING[name], *solutions)


@pytest.mark.parametrize("solutions", [[SQUARE], ["def f(x): return 0"], []], ids=["reference", "a wrong one", "none"])
@pytest.mark.parametrize("name", NOT_ENDING)
def test_one_that_ends_as_the_program_has_it_judges(judge: Sandbox, name: str, solutions: list[str]) -> None:
    assert judged(judge, SQUARE, HEAD + NOT_ENDING[name], *solutions).pass_ratio == 1
