"""A program on its way to a judge elsewhere, until its verdict is here. `Dispatcher` has the queue of them."""

from __future__ import annotations

from concurrent.futures import Future

from rltf_env.core import Problem, Verdict
from rltf_env.sandbox.protocol import Result


class Job:
    """A program and who waits for its verdict."""

    __slots__ = ("alone", "digest", "future", "problem", "source", "tries")

    def __init__(self, source: str, problem: Problem, digest: str) -> None:
        self.source, self.problem, self.digest = source, problem, digest
        self.future: Future[Verdict] = Future()
        self.tries = 0  # connections that were lost over it, and failures of a judge
        self.alone = False  # it goes in a request of its own


def settle(job: Job, result: Result) -> None:
    """Gives who waits for a job its verdict, or what went wrong, unless somebody has done so before."""
    if job.future.done() or (not job.future.running() and not job.future.set_running_or_notify_cancel()):
        return
    if isinstance(result, Exception):
        job.future.set_exception(result)
    else:
        job.future.set_result(result)
