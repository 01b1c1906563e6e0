"""Are the problems sound? Every reference solution goes through the judge; what comes back is findings, and a quarantine list.

Problems --references--> Sandbox --> findings --quarantine--> the list that `datasets.load(quarantine=)` honours
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

from rltf_env.core import Outcome, Problem, Sandbox, Verdict
from rltf_env.core.verdicts import nothing_ran
from rltf_env.datasets._digest import digest
from rltf_env.datasets._quarantine import Entry
from rltf_env.errors import InvalidProblem, UsageError

AHEAD = 1024  # references that the judge has at a time


class Finding(NamedTuple):
    """What became of reference number `solution` on the `cases`, the `examples` or the `held_out` cases of a problem.

    Of a problem that cannot be judged there is no verdict, but the error that says why.
    """

    problem: Problem
    what: str
    solution: int
    verdict: Verdict | InvalidProblem

    @property
    def passed(self) -> bool:
        """True if the reference passes every case."""
        return isinstance(self.verdict, Verdict) and self.verdict.outcome is Outcome.PASSED

    @property
    def words(self) -> str:
        """Outcome, kind of failure and line, such as `RUNTIME_ERROR NameError, line 3`."""
        if isinstance(self.verdict, InvalidProblem):
            return f"InvalidProblem: {self.verdict}"
        failure = self.verdict.failure
        if failure is None:
            return self.verdict.outcome.name
        where = f", line {failure.line}" if failure.line else ""
        beside = f" on the {self.what.replace('_', '-')}" if self.what != "cases" else ""
        return f"{self.verdict.outcome.name} {failure.kind}{where}{beside}"


def findings(problems: Iterable[Problem], sandbox: Sandbox) -> Iterator[Finding]:
    """The verdict on every reference of every problem, in order; problems without a reference give none.

    A problem that cannot be judged is a finding, too, and does not keep the rest from being judged.

    Raises:
        UsageError: the sandbox runs no programs.
    """
    if not getattr(sandbox, "runs_programs", True):
        raise UsageError(nothing_ran("a check of references"))
    pending: deque[tuple[Problem, str, int, Future[Verdict]]] = deque()  # handed to the judge, not answered yet
    try:
        for problem, number, what, version in _jobs(problems):
            pending.append((problem, what, number, _submitted(sandbox, problem.solutions[number], version)))
            if len(pending) >= AHEAD:
                yield _finding(*pending.popleft())
        while pending:
            yield _finding(*pending.popleft())
    finally:
        for *_, future in pending:
            future.cancel()


def _jobs(problems: Iterable[Problem]) -> Iterator[tuple[Problem, int, str, Problem]]:
    """Every reference of every problem, by its number, with what it is judged on."""
    for problem in problems:
        for number in range(len(problem.solutions)):
            for what, version in _versions(problem):
                yield problem, number, what, version


def _submitted(sandbox: Sandbox, solution: str, problem: Problem) -> Future[Verdict]:
    try:
        return sandbox.submit(solution, problem)
    except InvalidProblem as error:
        refused: Future[Verdict] = Future()
        refused.set_exception(error)
        return refused


def _finding(problem: Problem, what: str, number: int, future: Future[Verdict]) -> Finding:
    try:
        return Finding(problem, what, number, future.result())
    except InvalidProblem as error:
        return Finding(problem, what, number, error)


def _versions(problem: Problem) -> Iterator[tuple[str, Problem]]:
    """The problem on its cases, on its public examples if they are others, and on its held-out cases."""
    yield "cases", problem
    if problem.examples and tuple(problem.examples) != tuple(problem.cases):
        yield "examples", replace(problem, cases=problem.examples)
    if problem.held_out:
        yield "held_out", replace(problem, cases=problem.held_out)


@dataclass(frozen=True)
class Examined:
    """A problem with the findings on all of its references."""

    problem: Problem
    findings: Sequence[Finding]

    @property
    def failed(self) -> tuple[Finding, ...]:
        """The findings that are not as they should be."""
        return tuple(finding for finding in self.findings if not finding.passed)

    @property
    def solved_by(self) -> int:
        """How many references pass everything."""
        return len(self.problem.solutions) - len({finding.solution for finding in self.failed})

    @property
    def broken(self) -> bool:
        """No reference passes: nothing shows that the problem can be solved as it is judged."""
        return bool(self.findings) and self.solved_by == 0

    @property
    def entry(self) -> Entry:
        """Its place in a quarantine list."""
        return Entry(self.problem.id, digest([self.problem]), self.failed[0].words)


def examine(problems: Iterable[Problem], sandbox: Sandbox) -> Iterator[Examined]:
    """The problems that have a reference, each with all its findings, in order."""
    for _, some in groupby(findings(problems, sandbox), key=lambda finding: finding.problem.id):
        group = tuple(some)
        yield Examined(group[0].problem, group)
