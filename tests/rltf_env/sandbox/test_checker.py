"""Checkers: their own faults are the problem's, and never a program's."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from rltf_env import sandbox
from rltf_env.core import CallCase, Outcome, Problem, Sandbox, StdinCase
from rltf_env.errors import InvalidProblem
from rltf_env.sandbox.referee import deadline
from rltf_env.sandbox.referee.checker import Checker
from rltf_env.sandbox.referee.deadline import Leave
from rltf_env.sandbox.referee.failures import PASSED, WRONG_ANSWER, BadProblem

HEAD = "def check(given, expected, got):\n    "


def asked(source: str, expected: object = 4, answer: object = 4) -> int:
    checker = Checker(source)
    checker.renew(1.0)
    return checker.ask((), expected, answer)[0]


FAULTY = {
    "no Python": HEAD + "return return",
    "no function": "x = 1",
    "no function of that name": "check = 5",
    "too few arguments": "def check(expected, got):\n    return got == expected",
    "too many arguments": "def check(given, expected, got, more):\n    return True",
    "says nothing": HEAD + "assert got == expected",
    "prints it": HEAD + "print(got == expected)",
    "a number": HEAD + "return int(got == expected)",
    "a generator": HEAD + "yield got == expected",
    "a coroutine": "async " + HEAD + "return got == expected",
    "a class": "class check:\n    def __init__(self, *args): pass",
    "lacks a name": HEAD + "return gto == expected",
    "lacks a module": HEAD + "import no_such_module\n    return True",
    "lacks a module from the start": "import no_such_module\n" + HEAD + "return True",
    "ends the process": "import sys\n" + HEAD + "if got: sys.exit(0)\n    return False",
    "ends it from the start": "raise SystemExit(0)\n" + HEAD + "return True",
    "interrupts": HEAD + "if got: raise KeyboardInterrupt\n    return True",
}


@pytest.mark.parametrize("source", FAULTY.values(), ids=FAULTY)
def test_what_is_wrong_with_a_checker_itself_is_the_problems_fault(source: str) -> None:
    with pytest.raises(BadProblem, match="its checker"):
        asked(source)


def test_a_checker_that_never_comes_to_its_function_is_the_problems_fault() -> None:
    before = signal.signal(signal.SIGVTALRM, deadline._on_alarm)
    try:
        with pytest.raises(BadProblem, match="takes too long"):
            Checker("while True: pass\n" + HEAD + "return True").renew(0.02)
    finally:
        signal.signal(signal.SIGVTALRM, before)


def test_a_checker_that_may_run_an_answer_is_told_where() -> None:
    with pytest.raises(BadProblem, match=r"hands what a program answered to os.system \(line 3\), which may run it"):
        asked("import os\n" + HEAD + "return os.system(got) == 0")


@pytest.mark.parametrize(
    "body", ["return got == expected", "if got == expected: return True", "return got and got == 4"]
)
def test_true_is_right_and_whatever_says_no_is_wrong(body: str) -> None:
    assert asked(HEAD + body) == PASSED
    assert asked(HEAD + body, answer=[]) == WRONG_ANSWER


def test_a_checker_that_an_answer_takes_by_surprise_does_not_find_it_right() -> None:
    assert asked(HEAD + "return got[0] == 4") == WRONG_ANSWER
    assert asked(HEAD + "if got: x = 1\n    return x == 1", answer=0) == WRONG_ANSWER


def test_who_ends_the_judge_is_not_held_up_by_a_checker() -> None:
    checker = Checker("check = print")
    checker._check = lambda *args: (_ for _ in ()).throw(Leave(0))
    with pytest.raises(Leave):
        checker.ask((), 4, 4)


OF_ITS_OWN = {
    "a data class": "from dataclasses import dataclass\n@dataclass\nclass Row:\n    x: 'int'\n"
    + HEAD + "return Row(got) == Row(expected)",
    "annotations": HEAD.replace("got)", "got: int)") + "return check.__annotations__ == {'got': int} and got == expected",
    "itself": "import sys\nEPS = 1\n" + HEAD + "return sys.modules[__name__].EPS == 1 and got == expected",
    "a command": HEAD + "return got == expected\nif __name__ == '__main__':\n    print(check(*map(open, 'abc')))\n",
}  # fmt: skip


@pytest.mark.parametrize("source", OF_ITS_OWN.values(), ids=OF_ITS_OWN)
def test_a_checker_is_a_module_like_others(source: str) -> None:
    assert asked(source) == PASSED
    assert asked(source, answer=5) == WRONG_ANSWER


# ------------------------------------------------------------------------------------------------ with references


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load("forkserver", workers=1, case_seconds=1.0, check_seconds=0.2, output_bytes=1 << 16) as opened:
        yield opened


def problem(body: str, *solutions: str, head: str = HEAD) -> Problem:
    return Problem("x", "", [CallCase((2,), 4)], "f", solutions=solutions, meta={"checker": head + body})


@pytest.mark.parametrize("body", ["while not got.parsed: pass\n    return True", "while got: pass\n    return True"])
def test_a_checker_that_fails_for_every_reference_is_the_problems_fault(judge: Sandbox, body: str) -> None:
    for program in ("f = lambda x: 5", "f = lambda x: 2 * x"):
        with pytest.raises(InvalidProblem, match=r"its checker fails for every reference: .*(AttributeError|too long)"):
            judge.run(program, problem(body, "f = lambda x: 2 * x"))


def test_who_is_to_blame_for_a_checker_that_no_deadline_holds_up(judge: Sandbox) -> None:
    """A single call into C: the process that compares is lost, each time."""
    always, large = ("return sum(range(10 ** 12)) > 0", "return sum(range(10 ** 12 if got == 5 else 5)) > 9")
    with pytest.raises(InvalidProblem, match="its checker fails for every reference: took too long to compare"):
        judge.run("f = lambda x: 2 * x", problem(always, "f = lambda x: 2 * x"))
    verdict = judge.run("f = lambda x: 5", problem(large, "def f(x): return 5", "f = lambda x: 2 * x"))
    assert [(r.failure.kind, r.failure.detail) for r in verdict.results if r.failure] == [("Timeout", "check")]


def test_a_checker_that_fails_for_a_program_alone_does_not_find_it_right(judge: Sandbox) -> None:
    some = problem("while got[0] != 4: pass\n    return True", "def f(x): return 1 / 0", "f = lambda x: [4]")
    kinds = ["WrongAnswer", "Timeout", None]
    for program, kind in zip(["f = abs", "f = lambda x: [5]", "f = lambda x: (4,)"], kinds, strict=True):
        failure = judge.run(program, some).failure
        assert (failure and failure.kind) == kind


@pytest.mark.parametrize("log", ["print(got, file=sys.stderr)", "logging.warning('%s', got)"])
def test_a_checker_may_log_what_it_gets(log: str, capfd: pytest.CaptureFixture[str]) -> None:
    logs = problem(f"{log}\n    return got == expected", head="import logging, sys\n" + HEAD)
    with sandbox.load(workers=1) as judge:
        assert judge.run("f = lambda x: 2 * x", logs).outcome is Outcome.PASSED
        assert judge.run("f = lambda x: 3 * x", logs).outcome is Outcome.WRONG_ANSWER
    assert capfd.readouterr().err == ""


def test_a_checker_whose_threads_cannot_be_started_blames_no_program() -> None:
    head = "import threading\nthread = threading.Thread(target=int)\n" + HEAD
    with pytest.raises(BadProblem, match="its checker uses threads"):
        asked(head + "thread.start()\n    thread.start()\n    return got == expected")
    assert asked(HEAD + "if got != expected: raise RuntimeError('threads')\n    return True", answer=5) == WRONG_ANSWER


def test_a_checker_has_no_arguments_and_may_begin_with_a_mark(judge: Sandbox) -> None:
    head = "\ufeffimport argparse\n" + HEAD
    parses = problem("argparse.ArgumentParser().parse_args()\n    return got == expected", head=head)
    assert judge.run("f = lambda x: 2 * x", parses).outcome is Outcome.PASSED


# ------------------------------------------------------------------------------------------- more than may be given


@pytest.mark.parametrize("size", [1 << 15, 1 << 17])
def test_an_answer_that_no_program_has_room_for_is_the_problems_fault(judge: Sandbox, size: int) -> None:
    right = f"print('x' * {size})"
    for wanted, ends in ((Problem("x", "", [StdinCase("", "x" * size + "\n")]), right),
                         (Problem("x", "", [CallCase((), "x" * size)], "f"), f"f = lambda: 'x' * {size}")):  # fmt: skip
        if size < 1 << 16:
            assert judge.run(ends, wanted).outcome is Outcome.PASSED
            continue
        with pytest.raises(InvalidProblem, match=r"case 0 expects an answer of 13107\d bytes, .* may give 65536"):
            judge.run(ends, wanted)
