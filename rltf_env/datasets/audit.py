"""Are the problems sound? Every reference solution goes through the judge; what comes back is findings, and a quarantine list.

Problems --references--> Sandbox --> findings --quarantine--> the list that `datasets.load(quarantine=)` honours
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

from rltf_env.core import Outcome, Problem, Sandbox, Verdict
from rltf_env.core.verdicts import nothing_ran
from rltf_env.datasets._digest import digest
from rltf_env.datasets._quarantine import Entry
from rltf_env.errors import UsageError


class Finding(NamedTuple):
    """What became of reference number `solution` on the `cases`, the `examples` or the `held_out` cases of a problem."""

    problem: Problem
    what: str
    solution: int
    verdict: Verdict

    @property
    def passed(self) -> bool:
        """True if the reference passes every case."""
        return self.verdict.outcome is Outcome.PASSED

    @property
    def words(self) -> str:
        """Outcome, kind of failure and line, such as `RUNTIME_ERROR NameError, line 3`."""
        failure = self.verdict.failure
        if failure is None:
            return self.verdict.outcome.name
        where = f", line {failure.line}" if failure.line else ""
        beside = f" on the {self.what.replace('_', '-')}" if self.what != "cases" else ""
        return f"{self.verdict.outcome.name} {failure.kind}{where}{beside}"


def findings(problems: Iterable[Problem], sandbox: Sandbox) -> Iterator[Finding]:
    """The verdict on every reference of every problem, in order; problems without a reference give none.

    Raises:
        UsageError: the sandbox runs no programs.
    """
    if not getattr(sandbox, "runs_programs", True):
        raise UsageError(nothing_ran("a check of references"))
    pending: deque[tuple[Problem, str, int]] = deque()  # handed to the judge, not answered yet

    def jobs() -> Iterator[tuple[str, Problem]]:
        for problem in problems:
            for number, solution in enumerate(problem.solutions):
                for what, version in _versions(problem):
                    pending.append((problem, what, number))
                    yield solution, version

    for verdict in sandbox.map(jobs()):
        yield Finding(*pending.popleft(), verdict)


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
