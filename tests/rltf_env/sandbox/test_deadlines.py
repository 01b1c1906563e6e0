"""What a suite of tests may take: each test has the limits of a case, all of them have those of a program."""

from __future__ import annotations

import time

import pytest

from rltf_env import sandbox
from rltf_env.core import Problem, ScriptCase, Verdict
from rltf_env.sandbox.cage.deadlines import Deadline, TimeUp
from rltf_env.sandbox.values import TEST

BACKENDS = pytest.mark.parametrize("backend", ["forkserver", pytest.param("subprocess", marks=pytest.mark.slow)])
REFERENCE = "def f(n):\n    return n\n"
BUSY = "import time\ndef f(n):\n    end = time.process_time() + {}\n    while time.process_time() < end: pass\n    return n\n"


def suite(tests: int) -> Problem:
    lines = "".join(f"    def test_{n}(self):\n        self.assertEqual(f({n}), {n})\n" for n in range(2, tests + 2))
    test = f"import unittest\nfrom solution import f\nclass T(unittest.TestCase):\n{lines}"
    return Problem("suite", "s", [ScriptCase(test)], "f", solutions=[REFERENCE])


def judged(program: str, tests: int, backend: str = "forkserver", **limits: float) -> tuple[Verdict, float]:
    with sandbox.load(backend, workers=1, cache=0, **limits) as judge:
        problem = suite(tests)
        assert judge.run(REFERENCE, problem).failure is None
        start = time.monotonic()
        verdict = judge.run(program, problem)
        return verdict, sum(result.seconds for result in verdict.results) or time.monotonic() - start


def test_the_time_that_copies_take_is_not_taken_off_the_program() -> None:
    verdict, _ = judged(BUSY.format(0.05), 2, case_seconds=0.15, program_seconds=0.2)
    assert verdict.failure is None


@BACKENDS
def test_a_program_that_never_finishes_loading_costs_the_time_of_one_case(backend: str) -> None:
    verdict, seconds = judged("while True: pass\n", 30, backend, case_seconds=0.2, wall_seconds=2.0)
    assert verdict.failure is not None
    assert (verdict.failure.kind, verdict.failure.detail) == ("Timeout", "cpu")
    assert seconds < 0.2 * 5


@BACKENDS
def test_many_endless_tests_together_have_no_more_time_than_a_program(backend: str) -> None:
    program = "def f(n):\n    while n > 2: pass\n    return n\n"
    verdict, seconds = judged(program, 12, backend, case_seconds=0.1, wall_seconds=2.0, program_seconds=0.2)
    assert [result.failure is None for result in verdict.results].count(True) == 1
    assert seconds < 0.1 * 10


@BACKENDS
@pytest.mark.parametrize(
    "body",
    ["sum(range(10 ** 13))", "while True:\n        try: sum(range(10 ** 6))\n        except BaseException: pass"],
)
def test_a_call_that_does_not_come_back_does_not_use_up_the_time_of_all_tests(backend: str, body: str) -> None:
    limits = {"case_seconds": 0.2, "wall_seconds": 2.0, "program_seconds": 60.0}
    verdict, seconds = judged(f"def f(n):\n    {body}\n    return n\n", 30, backend, **limits)
    assert verdict.failure is not None
    assert (verdict.failure.kind, verdict.failure.detail) == ("Timeout", "cpu")
    assert seconds < 0.2 * 20


def ending(at: int, answer: str = "n") -> str:
    """A program that is ended in one test as by the signal for a call that does not come back."""
    end = f"if n == {at}: os.kill(os.getpid(), signal.SIGVTALRM)"
    lies = "class Yes:\n    def __eq__(self, other): return True\n"
    return f"import os, signal\n{lies}def f(n):\n    {end}\n    return {answer}\n"


@pytest.mark.parametrize(
    "head", ["", "import pytest\n@pytest.fixture\ndef one(): return 1\n"], ids=["unittest", "pytest"]
)
def test_a_call_that_does_not_come_back_costs_its_own_test_and_those_after_it(head: str) -> None:
    test = suite(4).cases[0].script + head + "def test_z(one): pass\n" * bool(head)  # type: ignore[union-attr]
    problem = Problem("suite", "s", [ScriptCase(test)], "f", solutions=[REFERENCE])
    with sandbox.load(workers=1, cache=0) as judge:
        late, first, lies = (judge.run(program, problem) for program in (ending(4), ending(2), ending(4, "Yes()")))
    assert [result.failure is None for result in late.results][:4] == [True, True, False, False]
    assert {result.failure.kind for result in late.results if result.failure} == {"Timeout"}
    assert not any(result.failure is None for result in first.results)
    assert {result.failure and result.failure.kind for result in lies.results} == {"FooledTest"}


def burn(seconds: float = 60.0, filename: str = TEST) -> None:
    """Takes CPU time in code of that file, a test's unless told otherwise."""
    text = "end = time.process_time() + seconds\nwhile time.process_time() < end: pass\n"
    exec(compile(text, filename, "exec"), {"time": time, "seconds": seconds})


def test_a_stretch_that_begins_too_late_gets_a_last_moment() -> None:
    deadline = Deadline(seconds=0.1, wall=5.0, most=0.1)
    with pytest.raises(TimeUp), deadline:
        burn()
    begin = time.process_time()
    with pytest.raises(TimeUp), deadline:
        burn()
    assert time.process_time() - begin < 0.09


def test_stretches_that_are_idle_have_an_end_together_too() -> None:
    deadline = Deadline(seconds=1.0, wall=0.1, most=1.0)
    begin = time.monotonic()
    for _ in range(2):
        with pytest.raises(TimeUp, match="wall"), deadline:
            exec(compile("time.sleep(9)", TEST, "exec"))
    assert time.monotonic() - begin < 5


def test_a_runner_that_is_late_to_note_the_end_of_a_test_is_not_interrupted() -> None:
    """What is raised in its own code leaves no results: of a test that sets many objects free, or was late by little."""
    deadline = Deadline(seconds=0.05, wall=5.0, most=5.0)
    with deadline:
        with pytest.raises(TimeUp):
            burn()
        burn(0.3, __file__)
    assert deadline.over == "cpu"
    with deadline:
        burn(0.1, __file__)
    assert deadline.over == "cpu"
