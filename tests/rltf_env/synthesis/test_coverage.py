"""The fewest tests that fail as many wrong programs as all of them do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

from rltf_env.core import CallCase, CaseResult, Failure, FailureKind, Limits, Outcome, Problem, Verdict
from rltf_env.sandbox import scripted
from rltf_env.synthesis import coverage

KILLS = [{"a", "b"}, {"b", "c"}, {"c"}, {"d"}]


@pytest.mark.parametrize(
    ("sizes", "budget", "killed", "expected"),
    [
        ((1, 1, 1, 1), 9, "", [0, 1, 3]),
        ((1, 1, 1, 1), 2, "", [0, 1]),
        ((2, 1, 1, 1), 9, "", [1, 3, 0]),  # of tests that fail as many the smaller
        ((1, 2, 1, 1), 9, "", [0, 2, 3]),
        ((1, 1, 1, 1), 9, "bc", [0, 3]),
        ((1, 1, 1, 1), 9, "abcd", []),
        ((1, 1, 1, 1), 0, "", []),
    ],
)
def test_each_test_that_is_taken_fails_most_of_what_is_left(
    sizes: tuple[int, ...], budget: int, killed: str, expected: list[int]
) -> None:
    assert coverage.cover(KILLS, sizes, budget, killed) == expected


def test_nothing_covers_nothing() -> None:
    assert coverage.cover([], [], 3) == []


def test_what_was_not_run_is_not_failed() -> None:
    late = CaseResult(Outcome.RUNTIME_ERROR, Failure(FailureKind.TIMEOUT))
    unasked = CaseResult(Outcome.RUNTIME_ERROR, Failure(FailureKind.NOT_RUN))
    assert coverage.failing(Verdict((CaseResult(Outcome.PASSED), late, unasked))) == {1}


def test_each_case_knows_the_programs_that_it_fails() -> None:
    verdicts = {"a": [True, False], "b": [False, False], "c": [True, True]}
    judge = scripted.load(verdicts)
    problem = Problem("p", "s", [CallCase((0,), 0)], "f", held_out=[CallCase((9,), 9)])
    assert coverage.kills(judge, problem, [CallCase((1,), 1), CallCase((2,), 2)], "abc") == [{1}, {0, 1}]
    assert [case.args for case in judge.requests[0][1].cases] == [(1,), (2,)]


class Timed:
    """A judge that knows how long each program takes over a case."""

    def __init__(self, seconds: dict[str, float]) -> None:
        self.seconds = seconds

    def map(self, jobs: Iterable[tuple[str, Problem]]) -> Iterator[Verdict]:
        return (Verdict((CaseResult(Outcome.PASSED, seconds=self.seconds[program]),)) for program, _ in jobs)


@pytest.mark.parametrize(
    ("slowest", "own", "expected"),
    [(0.001, None, 0.25), (0.1, None, 0.4), (0.1, 0.3, 0.3), (0.001, 9.0, 0.25)],
)
def test_a_wrong_program_has_little_time_and_a_reference_enough(
    slowest: float, own: float | None, expected: float
) -> None:
    problem = Problem("p", "s", [CallCase((0,), 0)], "f", limits=Limits(seconds=own, memory_mb=64))
    judge: Any = Timed({"fast": 0.0005, "slow": slowest})
    limits = coverage.hurried(judge, problem, ["fast", "slow"]).limits
    assert limits is not None
    assert (limits.seconds, limits.memory_mb) == (pytest.approx(expected), 64)
