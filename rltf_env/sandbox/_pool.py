"""The judge's end in the caller's process: workers, a queue, and futures.

One thread looks after each worker: starts it (a fresh interpreter, never a fork of the caller), sends it jobs ahead of
need, reads verdicts, and if it dies starts another and judges what it held again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rltf_env.core import Problem, Verdict
from rltf_env.errors import SandboxError, UsageError
from rltf_env.sandbox import _wire
from rltf_env.sandbox._options import Options
from rltf_env.sandbox.harness import read_frame, write_frame

AHEAD = 8  # jobs that a worker may hold
PIPE = 48 << 10  # bytes of jobs that may wait in its pipe: less than a pipe holds, so that sending never blocks
KNOWN = 64  # problems that a worker remembers
TRIES = 3
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}


class Job:
    """A program to be judged."""

    __slots__ = ("future", "problem", "source", "tries")

    def __init__(self, source: str, problem: Problem) -> None:
        self.source, self.problem = source, problem
        self.future: Future[Verdict] = Future()
        self.tries = 0


class PoolSandbox:
    """A `core.Sandbox` that judges in worker processes. Safe to use from threads; close it, or use it with `with`."""

    def __init__(self, backend: str, options: Options) -> None:
        self.backend, self.options = backend, options
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._pid = os.getpid()
        self._workers = [_Worker(self) for _ in range(options.workers)]
        self._finalizer = weakref.finalize(self, _end, self._workers)

    # -------------------------------------------------------------------------------------------------- public

    def run(self, source: str, problem: Problem) -> Verdict:
        """The verdict on `source`. Raises SandboxError if the judge itself failed, again and again."""
        return self.submit(source, problem).result()

    def submit(self, source: str, problem: Problem) -> Future[Verdict]:
        """Has `source` judged in the background; waits while too many programs are pending."""
        _wire.check_job(source, problem)
        self._check_open()
        job = Job(source, problem)
        with self._changed:
            while len(self._jobs) >= self.options.pending and not self._closed:
                self._changed.wait(1)
            self._check_open()
            self._jobs.append(job)
            self._changed.notify_all()
        return job.future

    def map(self, jobs: Iterable[tuple[str, Problem]]) -> Iterator[Verdict]:
        """Verdicts in the order of `jobs`, which may be endless: a bounded number is taken ahead of need."""
        window: deque[Future[Verdict]] = deque()
        most = min(self.options.pending, 32 * self.options.workers)
        try:
            for source, problem in jobs:
                window.append(self.submit(source, problem))
                if len(window) >= most:
                    yield window.popleft().result()
            while window:
                yield window.popleft().result()
        finally:
            for future in window:
                future.cancel()

    def close(self) -> None:
        """Ends the workers; what was not judged yet is cancelled. May be called again."""
        with self._changed:
            self._closed = True
            jobs = list(self._jobs)
            self._jobs.clear()
            self._changed.notify_all()
        for job in jobs:
            job.future.cancel()
        self._finalizer()

    def __enter__(self) -> PoolSandbox:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self._closed:
            raise UsageError("Expected an open sandbox, got one that was closed. Load another.")
        if os.getpid() != self._pid:
            raise UsageError(
                "Expected the process that loaded this sandbox, got a fork of it. Load one in each process."
            )


def _end(workers: list[_Worker]) -> None:
    for worker in workers:
        worker.end()


class _Worker:
    """One worker process and the thread that looks after it."""

    def __init__(self, pool: PoolSandbox) -> None:
        self.pool_ref = weakref.ref(pool)
        self.options, self.backend = pool.options, pool.backend
        self.jobs, self.changed = pool._jobs, pool._changed
        self.held: deque[tuple[Job, int]] = deque()
        self.known: OrderedDict[int, Problem] = OrderedDict()
        self.forget: list[int] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.judge = ""
        self.ending = False
        self.thread = threading.Thread(target=self._loop, name="rltf-judge", daemon=True)
        self.thread.start()

    def end(self) -> None:
        with self.changed:
            self.ending = True
            self.changed.notify_all()
        process = self.process
        if process is not None:
            process.kill()
        if threading.current_thread() is not self.thread:
            self.thread.join(10)

    # ------------------------------------------------------------------------------------------------- thread

    def _loop(self) -> None:
        try:
            while not self.ending:
                try:
                    self._turn()
                except (EOFError, OSError, SandboxError) as error:
                    self._lost(error)
        finally:
            self._stop()
            for job, _ in self.held:
                job.future.cancel() or _fail(
                    job, SandboxError("The sandbox was closed before this program was judged.")
                )

    def _turn(self) -> None:
        while (job := self._next()) is not None:
            self._send(job)
        if self.ending or not self.held:
            return
        assert self.process is not None and self.process.stdout is not None
        reply = json.loads(self._read())
        job, _ = self.held.popleft()
        if "error" in reply:
            job.tries = TRIES
            self._again(job, f"{reply['error']}\n{reply['trace']}")
            return
        job.future.set_result(_wire.verdict(reply, self.judge))

    def _next(self) -> Job | None:
        """The job to send now, or None if it is time to read (or to end)."""
        with self.changed:
            while not self.jobs and not self.held and not self.ending:
                self.changed.wait()
            if self.ending or not self.jobs or not self._room(self.jobs[0]):
                return None
            job = self.jobs.popleft()
            self.changed.notify_all()
        if job.tries == 0 and not job.future.set_running_or_notify_cancel():
            return self._next()
        return job

    def _room(self, job: Job) -> bool:
        if not self.held:
            return True
        size = sum(size for _, size in self.held)
        known = id(job.problem) in self.known
        return known and len(self.held) < AHEAD and size + 4 * len(job.source) + 200 < PIPE

    def _send(self, job: Job) -> None:
        if self.process is None:
            self._start()
        assert self.process is not None and self.process.stdin is not None
        message: dict[str, Any] = {"source": job.source, "key": id(job.problem), "forget": self.forget}
        if id(job.problem) not in self.known:
            try:
                message["problem"] = _wire.problem(job.problem)
            except Exception as error:
                _fail(job, error)
                return
            self.known[id(job.problem)] = job.problem
            while len(self.known) > KNOWN:
                message["forget"] = [self.known.popitem(last=False)[0]]
        self.known.move_to_end(id(job.problem))
        payload = json.dumps(message).encode()
        self.held.append((job, len(payload)))
        write_frame(self.process.stdin.fileno(), payload)

    def _read(self) -> bytes:
        assert self.process is not None and self.process.stdout is not None
        return read_frame(self.process.stdout.fileno())

    def _start(self) -> None:
        script = Path(__file__).with_name("_worker.py")
        options = json.dumps({**asdict(self.options), "backend": self.backend})
        command = [sys.executable, "-s", "-S", "-P", "-B", "-X", "utf8", str(script), options]
        self.known.clear()
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, env=ENVIRONMENT, start_new_session=True
        )
        self.judge = f"{self.backend}:{json.loads(self._read())['level']}"

    def _lost(self, error: Exception) -> None:
        """The worker died: what it held is judged again, by its successor or another's."""
        self._stop()
        held, self.held = list(self.held), deque()
        if self.ending:
            self.held.extend(held)
            return
        for index, (job, _) in reversed(list(enumerate(held))):
            job.tries += index == 0
            self._again(job, f"a worker was lost: {error!r}")

    def _again(self, job: Job, why: str) -> None:
        if job.tries >= TRIES:
            _fail(job, SandboxError(f"The judge failed on a program for {job.problem.id!r}: {why}"))
            return
        job.tries = max(job.tries, 1)
        with self.changed:
            self.jobs.appendleft(job)
            self.changed.notify_all()

    def _stop(self) -> None:
        process, self.process = self.process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream:
                    stream.close()


def _fail(job: Job, error: Exception) -> None:
    if not job.future.done():
        job.future.set_exception(error)
