"""What a test lacks beside a stand-in is a fault of its own only if no program could give it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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
