"""Whose fault is it that a checker ends its process? A single call into C is held up by no deadline, so the process is lost.

The references of the problem are judged, one by one, until the checker comes to an end for one of them: then the program is to
blame. Within a process the referee asks the same (`referee.checker.compare`).
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future

from rltf_env.core import CaseResult, FailureKind, Problem, Verdict
from rltf_env.sandbox.pool import wire
from rltf_env.sandbox.pool.scheduler import Job, Scheduler, closed


class Reference(Job):
    """A reference that is asked about a checker. No program's verdict is taken from it, though the text may be the same."""

    __slots__ = ()

    def __init__(self, source: str, problem: Problem) -> None:
        super().__init__(source, problem)
        self.key = (-id(problem), source)
        self.futures.append(Future())


def finish_stuck(scheduler: Scheduler, job: Job, verdict: Verdict) -> None:
    """Gives a job this verdict, or InvalidProblem if the checker comes to no end for any reference either."""
    references = job.problem.solutions[: wire.REFERENCES]
    if isinstance(job, Reference) or not references or job.problem.meta.get("checker") is None:
        scheduler.finish(job, verdict)
    else:
        _ask(scheduler, job, verdict, references)


def _ask(scheduler: Scheduler, job: Job, verdict: Verdict, references: Sequence[str]) -> None:
    if not references:
        why = "its checker fails for every reference: took too long to compare"
        scheduler.finish(job, wire.unjudgeable(job.problem, why))
        return
    first = Reference(references[0], job.problem)
    first.futures[0].add_done_callback(lambda done: _on_end(done, scheduler, job, verdict, references[1:]))
    scheduler.requeue(first)


def _on_end(done: Future[Verdict], scheduler: Scheduler, job: Job, verdict: Verdict, rest: Sequence[str]) -> None:
    error = closed() if done.cancelled() else done.exception()
    if isinstance(error, Exception):
        scheduler.finish(job, error)
    elif any(map(_is_stuck, done.result().results)):
        _ask(scheduler, job, verdict, rest)
    else:
        scheduler.finish(job, verdict)


def _is_stuck(result: CaseResult) -> bool:
    failure = result.failure
    return failure is not None and (failure.kind, failure.detail) == (FailureKind.TIMEOUT, "check")
