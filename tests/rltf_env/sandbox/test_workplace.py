"""What a test leaves, and what it brings: its files are gone before the next one, its imports are there for the program."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rltf_env import sandbox
from rltf_env.core import CallCase, Outcome, Problem, Sandbox, ScriptCase, Verdict

PROGRAMS = ["def f(x): return x", "def f(x): return +x"]
WRITES = """
import os
assert not os.listdir(), "somebody was here before"
with open("answers.txt", "w") as file:
    file.write("1")
os.mkdir("folder")
assert f(1) == 1
"""
CHECKER = """
def check(given, expected, got):
    import os
    seen = os.listdir()
    os.mkdir("folder")
    return not seen and got == expected
"""


@pytest.fixture(scope="module", params=["forkserver", "subprocess"])
def judge(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    with sandbox.load(request.param, workers=1, cache=0, case_seconds=1.0, trace=True) as opened:
        yield opened


def _judged(judge: Sandbox, program: str, test: str, *solutions: str) -> Verdict:
    return judge.run(program, Problem("script", "s", [ScriptCase(test)], "f", solutions=solutions))


# --------------------------------------------------------------------------------------------------------------- files


def test_what_a_test_writes_lies_neither_before_the_next_program_nor_among_the_callers_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with sandbox.load(workers=1, cache=0) as judge:
        verdicts = [_judged(judge, program, WRITES, PROGRAMS[0]) for program in PROGRAMS * 2]
    assert [(verdict.outcome, verdict.way) for verdict in verdicts] == [(Outcome.PASSED, "apart")] * 4
    assert not list(tmp_path.iterdir())


def test_what_a_checker_writes_does_not_lie_before_the_next_program(judge: Sandbox) -> None:
    problem = Problem("checked", "s", [CallCase((1,), 1)], "f", meta={"checker": CHECKER})
    assert [judge.run(program, problem).outcome for program in PROGRAMS] == [Outcome.PASSED] * 2


@pytest.mark.parametrize(
    "ends",
    ["shutil.rmtree(os.getcwd())", "os.rename(os.getcwd(), os.path.join(os.path.dirname(os.getcwd()), str(os.getpid())))",
     "os.chmod('.', 0)",
     "there = os.getcwd(); os.rmdir(there); open(there, 'w').close()",
     "there = os.getcwd(); os.rmdir(there); os.symlink('/', there)"],
    ids=["removed", "moved", "locked", "a file", "a link"],
)  # fmt: skip
def test_the_next_program_has_a_folder_whatever_a_test_did_to_its_own(judge: Sandbox, ends: str) -> None:
    test = f"import os, shutil\nassert f(1) == 1\n{ends}\n"
    assert [_judged(judge, program, test, PROGRAMS[0]).outcome for program in PROGRAMS] == [Outcome.PASSED] * 2
    checker = f"import os, shutil\ndef check(given, expected, got):\n    {ends}\n    return got == expected\n"
    problem = Problem("checked", "s", [CallCase((1,), 1)], "f", meta={"checker": checker})
    assert [judge.run(program, problem).outcome for program in PROGRAMS] == [Outcome.PASSED] * 2
    assert _judged(judge, PROGRAMS[0], WRITES, PROGRAMS[0]).outcome is Outcome.PASSED


# ------------------------------------------------------------------------------------------------------------- imports

IMPORTS = {
    "a module": ("import math\ndef check(g):\n    assert g(9) == 3\ncheck(f)", "math.isqrt(x)"),
    "a name": ("'''Roots.'''\nfrom math import isqrt as root\nassert f(9) == 3", "root(x)"),
    "all names": ("LIMIT = 9\nfrom math import *\nassert f(9) == 3 and f(LIMIT) == 3", "isqrt(x)"),
}


@pytest.mark.parametrize("name", IMPORTS)
def test_a_program_has_what_its_test_imports_as_in_one_file(judge: Sandbox, name: str) -> None:
    test, answer = IMPORTS[name]
    lazy = f"def f(x):\n    return {answer}"
    for solutions in ([], [lazy], ["import math\ndef f(x): return math.isqrt(x)"]):
        verdict = _judged(judge, lazy, test, *solutions)
        assert (verdict.outcome, verdict.way, verdict.executed) == (Outcome.PASSED, "apart", {1, 2})
        assert _judged(judge, f"{lazy} + 1", test, *solutions).outcome is Outcome.WRONG_ANSWER


@pytest.mark.parametrize(
    ("test", "program"),
    [
        ("assert f(9) == 3\nimport math", "def f(x): return math.isqrt(x)"),
        ("def check():\n    import math\n    assert f(9) == 3\ncheck()", "def f(x): return math.isqrt(x)"),
        ("import math\nassert f(9) == 3", "root = math.isqrt\ndef f(x): return root(x)"),
    ],
    ids=["too late", "for itself", "too early"],
)
def test_a_program_has_nothing_that_its_test_imports_elsewhere(judge: Sandbox, test: str, program: str) -> None:
    failure = _judged(judge, program, test, "import math\ndef f(x): return math.isqrt(x)").failure
    assert failure is not None
    assert failure.kind == "NameError"
