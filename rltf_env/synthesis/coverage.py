"""Which tests fail which wrong programs, and the fewest tests that fail as many as all of them do."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence, Set
from dataclasses import replace

from rltf_env.core import Case, FailureKind, Limits, Outcome, Problem, Sandbox, Verdict

# Times what a reference takes over a case, and seconds, that a wrong program has at the least.
PATIENCE, SHORTEST = 4.0, 0.25
Kills = Sequence[Set[Hashable]]  # for each test the programs that it fails


def failing(verdict: Verdict) -> frozenset[int]:
    """The numbers of the cases that a program does not pass. What was not run says nothing."""
    return frozenset(
        number
        for number, result in enumerate(verdict.results)
        if result.outcome is not Outcome.PASSED and not (result.failure and result.failure.kind == FailureKind.NOT_RUN)
    )


def hurried(judge: Sandbox, problem: Problem, references: Sequence[str]) -> Problem:
    """The problem with less time for a case: enough for its references, and little for mutants, many of which never end."""
    verdicts = judge.map((reference, problem) for reference in references)
    slowest = max((result.seconds for verdict in verdicts for result in verdict.results), default=0.0)
    limits, seconds = problem.limits or Limits(), max(SHORTEST, PATIENCE * slowest)
    return replace(problem, limits=replace(limits, seconds=min(seconds, limits.seconds or seconds)))


def kills(judge: Sandbox, problem: Problem, cases: Sequence[Case], programs: Iterable[str]) -> list[set[int]]:
    """For each of the cases, the numbers of the programs that it fails."""
    tested = replace(problem, cases=tuple(cases), examples=(), held_out=())
    numbers: list[set[int]] = [set() for _ in cases]
    for number, verdict in enumerate(judge.map((program, tested) for program in programs)):
        for case in failing(verdict):
            numbers[case].add(number)
    return numbers


def cover(kills: Kills, sizes: Sequence[int], budget: int, killed: Iterable[Hashable] = ()) -> list[int]:
    """The numbers of at most `budget` tests, greedily: each next one fails most programs that none before fails.

    Of tests that fail as many the smaller is taken, then the first. One that fails nothing new is not taken.

    Args:
        kills: (N,), the programs that each test fails.
        sizes: (N,), how long each test is.
        budget: tests, at the most.
        killed: programs that are failed anyway.
    """
    done, chosen = set(killed), []
    while len(chosen) < budget:
        gain, _, number = max(((len(kills[i] - done), -sizes[i], -i) for i in range(len(kills))), default=(0, 0, 0))
        if not gain:
            break
        chosen.append(-number)
        done |= kills[-number]
    return chosen
