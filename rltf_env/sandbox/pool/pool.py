"""The judge's end in the caller's process: `PoolSandbox`, with a thread and a process for each worker.

`Scheduler` decides which worker judges which program; a `Worker` looks after one process of the referee. The process is a
fresh interpreter, never a fork of the caller.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import closing

from rltf_env.core import Problem, Verdict
from rltf_env.core.seams import in_order
from rltf_env.sandbox.board import Board
from rltf_env.sandbox.pool import wire
from rltf_env.sandbox.pool.channel import POSIX
from rltf_env.sandbox.pool.options import Options
from rltf_env.sandbox.pool.scheduler import Scheduler, check_open
from rltf_env.sandbox.pool.worker import Worker


class PoolSandbox:
    """A `core.Sandbox` that judges in worker processes. Safe to use from threads; close it, or use it with `with`.

    A program that is submitted while the same one is being judged on the same problem is judged once, and a verdict is
    remembered (option `cache`).
    """

    def __init__(self, backend: str, options: Options) -> None:
        self.backend, self.options = backend, options
        self.scheduler = Scheduler(options.pending, options.cache)
        self._pid = os.getpid()
        board = Board(options.workers) if POSIX else None
        self.workers = [Worker(self.scheduler, backend, options, board, i) for i in range(options.workers)]
        self._finalizer = weakref.finalize(self, _end, self._pid, self.scheduler, self.workers, board)
        for worker in self.workers:
            worker.thread.start()
        if options.require != "none":
            self.level()

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return self.scheduler.closed

    def run(self, source: str, problem: Problem) -> Verdict:
        """The verdict on `source`. Raises SandboxError if the judge itself failed, again and again."""
        return self.submit(source, problem).result()

    def submit(self, source: str, problem: Problem) -> Future[Verdict]:
        """Has `source` judged in the background; waits while too many programs are pending."""
        wire.check_job(source, problem)
        self._check_open()  # before any lock: a fork may have got one that nobody in it will give back
        return self.scheduler.submit(source, problem, self._check_open)

    def map(self, jobs: Iterable[tuple[str, Problem]]) -> Iterator[Verdict]:
        """Verdicts in the order of `jobs`, which may be endless: a bounded number is taken ahead of need."""
        most = max(min(self.options.pending, 128 * self.options.workers), 1)
        with closing(in_order((self.submit(*job) for job in jobs), most)) as futures:
            for future in futures:
                yield future.result()

    def level(self) -> str:
        """Backend, isolation level and layers, as `Verdict.judged_by` has them. Starts the judge if it has not started yet."""
        check_open(False, os.getpid() == self._pid)  # a fork would wait for threads that it does not have
        for worker in self.workers:
            worker.ready.wait()
        running = [worker for worker in self.workers if not worker.broken]
        if not running and (error := self.workers[0].broken):
            self.close()
            raise error
        return running[0].judge

    def close(self) -> None:
        """Ends the workers; what was not judged yet is cancelled. May be called again."""
        if os.getpid() == self._pid:  # else there is nothing to end, and maybe a lock that is held for ever
            self.scheduler.close()
            self._finalizer()

    def __enter__(self) -> PoolSandbox:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _check_open(self) -> None:
        check_open(self.closed, os.getpid() == self._pid)


def _end(process: int, scheduler: Scheduler, workers: list[Worker], board: Board | None) -> None:
    """Ends the workers of a sandbox that was closed, or forgotten. A fork of their process has none to end."""
    if os.getpid() != process:
        return
    scheduler.close()
    for worker in workers:
        worker.end()
    for worker in workers:
        if worker.thread.is_alive() and threading.current_thread() is not worker.thread:
            worker.thread.join(10)
    if board is not None and not any(worker.thread.is_alive() for worker in workers):  # else it is needed yet
        board.close()
