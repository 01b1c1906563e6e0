"""Are the problems sound? Every reference solution goes through the judge; what comes back is findings, and a quarantine list.

Problems --references--> Sandbox --> findings --quarantine--> the list that `datasets.load(quarantine=)` honours
Problems ----stubs-----> Sandbox --> problems that pay a program which does nothing

A problem without a reference is judged with an empty program, which shows faults of its tests.
"""

from __future__ import annotations

import ast
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple, TypeVar

from rltf_env.core import Outcome, Problem, Sandbox, StdinCase, Verdict
from rltf_env.core.seams import in_order
from rltf_env.core.verdicts import nothing_ran
from rltf_env.datasets._digest import digest
from rltf_env.datasets._files import parse_python
from rltf_env.datasets._quarantine import Entry
from rltf_env.errors import DataError, InvalidProblem, SandboxError, UsageError

AHEAD = 256  # programs that the judge is given at a time
T = TypeVar("T")


class Finding(NamedTuple):
    """What became of reference number `solution` on the `cases`, the `examples` or the `held_out` cases of a problem.

    Where no program can be judged on them there is a `fault` in place of a verdict, and perhaps no solution either.
    """

    problem: Problem
    what: str
    solution: int | None
    verdict: Verdict | None
    fault: str = ""

    @property
    def passed(self) -> bool:
        """True if the reference passes every case."""
        return self.verdict is not None and self.verdict.outcome is Outcome.PASSED

    @property
    def words(self) -> str:
        """Outcome, kind of failure and line, such as `RUNTIME_ERROR NameError, line 3`, or the fault."""
        if self.verdict is None:
            return self.fault
        failure = self.verdict.failure
        if failure is None:
            return self.verdict.outcome.name
        where = f", line {failure.line}" if failure.line else ""
        beside = f" on the {self.what.replace('_', '-')}" if self.what != "cases" else ""
        return f"{self.verdict.outcome.name} {failure.kind}{where}{beside}"


def findings(problems: Iterable[Problem], sandbox: Sandbox) -> Iterator[Finding]:
    """The verdict on every reference of every problem, in order; a problem without a reference gives faults alone.

    Raises:
        SandboxError: the judge has failed, on any problem. One whose own test ends the judge's process is a finding.
        UsageError: the sandbox runs no programs.
    """
    if not getattr(sandbox, "runs_programs", True):
        raise UsageError(nothing_ran("a check of references"))
    with closing(_verdicts(_jobs(problems), sandbox)) as verdicts:
        for about, verdict in verdicts:
            yield from _found(*about, verdict, sandbox)


def _verdicts(jobs: Iterable[tuple[T, str, Problem]], sandbox: Sandbox) -> Generator[tuple[T, Future[Verdict]]]:
    """What each job is about, with the verdict on its program, in order."""
    pending: deque[T] = deque()  # handed to the judge, not answered yet

    def futures() -> Iterator[Future[Verdict]]:
        for about, source, problem in jobs:
            pending.append(about)
            yield sandbox.submit(source, problem)

    with closing(in_order(futures(), AHEAD)) as verdicts:
        for verdict in verdicts:
            yield pending.popleft(), verdict


def _found(
    problem: Problem, what: str, number: int | None, verdict: Future[Verdict], sandbox: Sandbox
) -> Iterator[Finding]:
    """What a reference shows; of an empty program, only that it could not be judged."""
    try:
        finding = Finding(problem, what, number, verdict.result())
    except (InvalidProblem, SandboxError) as error:
        if isinstance(error, SandboxError) and not _judges(sandbox):
            raise
        yield Finding(problem, what, number, None, str(error))
        return
    if number is not None:
        yield finding


def _judges(sandbox: Sandbox) -> bool:
    """Whether a judge that gave no verdict has one on an empty program: if so, the fault is that problem's."""
    try:
        sandbox.run("", Problem("empty", "Print nothing.", (StdinCase("", ""),)))
    except SandboxError:
        return False
    return True


def _jobs(problems: Iterable[Problem]) -> Iterator[tuple[tuple[Problem, str, int | None], str, Problem]]:
    """Problem, name of its cases and number of the reference; the program, and the problem as it is judged."""
    for problem in problems:
        for number, solution in enumerate(problem.solutions) if problem.solutions else [(None, "")]:
            for what, version in _versions(problem):
                yield (problem, what, number), solution, version


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
        return len(self.problem.solutions) - len({finding.solution for finding in self.failed} - {None})

    @property
    def broken(self) -> bool:
        """No reference passes: nothing shows that the problem can be solved as it is judged."""
        return bool(self.findings) and self.solved_by == 0

    @property
    def entry(self) -> Entry:
        """Its place in a quarantine list."""
        return Entry(self.problem.id, digest([self.problem]), self.failed[0].words)


def examine(problems: Iterable[Problem], sandbox: Sandbox) -> Iterator[Examined]:
    """The problems that have a reference or a fault, each with all its findings, in order."""
    for _, some in groupby(findings(problems, sandbox), key=lambda finding: finding.problem.id):
        group = tuple(some)
        yield Examined(group[0].problem, group)


def stubbed(problems: Iterable[Problem], sandbox: Sandbox) -> Iterator[tuple[Problem, bool]]:
    """Each problem that has a `stub`, in order, and whether that passes its cases. Raises SandboxError: the judge has failed."""
    jobs = ((problem, program, problem) for problem in problems if (program := stub(problem)) is not None)
    with closing(_verdicts(jobs, sandbox)) as verdicts:
        for problem, verdict in verdicts:
            try:
                passed = verdict.result().outcome is Outcome.PASSED
            except InvalidProblem:  # on this program alone: the reference had a verdict
                passed = False
            yield problem, passed


def stub(problem: Problem) -> str | None:
    """A program that does nothing: the first reference without what its functions do; where programs are run, an empty one.

    Returns:
        its text; None without a reference that has functions.
    """
    if any(isinstance(case, StdinCase) for case in problem.cases):
        return ""
    if not problem.solutions:
        return None
    try:
        tree = parse_python(problem.solutions[0], "a reference solution")
    except DataError:
        return None
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for function in functions:
        function.body = [ast.Pass()]
    return ast.unparse(ast.fix_missing_locations(tree)) + "\n" if functions else None
