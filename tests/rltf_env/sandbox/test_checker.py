"""Checkers: their own faults are the problem's, and never a program's."""

from __future__ import annotations

import signal

import pytest

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
