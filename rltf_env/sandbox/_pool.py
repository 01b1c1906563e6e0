"""The judge's end in the caller's process: a queue, futures, and workers (`_worker.py`), each a process of its own.

One thread looks after each worker: starts it (a fresh interpreter, never a fork of the caller), sends it jobs ahead of need,
reads verdicts, and if it dies starts another and judges again what it held. A worker without work takes over what waits
behind another's slow program. A job that has to be judged with nothing beside it waits until all workers are idle.
"""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
import weakref
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

from rltf_env.core import CaseResult, Failure, Kind, Outcome, Problem, Verdict
from rltf_env.errors import InvalidProblem, SandboxError, UsageError
from rltf_env.sandbox import _folders, _wire, isolation
from rltf_env.sandbox._frames import read_frame, write_frame
from rltf_env.sandbox._options import Options

AHEAD = 16  # jobs that a worker may hold
PIPE = 48 << 10  # bytes of jobs that may wait in its pipe: less than a pipe holds, so that sending never blocks
KNOWN = 256  # problems that a worker remembers
SLOW = 0.05  # seconds after which what waits behind a program may be taken over
TRIES = 3
STUCK = -getattr(signal, "SIGPROF", 0)  # how a worker ends when the comparison of a program's values does not
PATIENCE = 30.0  # seconds beyond all limits of a program after which its worker is given up
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "HOME": "/tmp",
    "LANG": "C.UTF-8",
    "PYTHONHASHSEED": "0",
    "LD_BIND_NOW": "1",  # else every program resolves symbols anew
    "PYTHONIOENCODING": "utf-8:strict",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NUMEXPR_NUM_THREADS": "1",
}
INHERITED = ("SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "LD_LIBRARY_PATH")  # without these Python may not start
_Key = tuple[int, str]


class Job:
    """A program to be judged, and everybody who waits for the verdict."""

    __slots__ = ("alone", "futures", "key", "number", "problem", "size", "source", "started", "tries")

    def __init__(self, source: str, problem: Problem) -> None:
        self.source, self.problem = source, problem
        self.key: _Key = (id(problem), source)
        self.futures: list[Future[Verdict]] = []
        self.tries, self.alone, self.started = 0, False, False
        self.number = self.size = 0  # given when it is sent


class PoolSandbox:
    """A `core.Sandbox` that judges in worker processes. Safe to use from threads; close it, or use it with `with`.

    A program that is submitted while the same one is being judged on the same problem is judged once, and a verdict is
    remembered (option `cache`).
    """

    def __init__(self, backend: str, options: Options) -> None:
        self.backend, self.options = backend, options
        self.changed = threading.Condition()
        self.jobs: deque[Job] = deque()
        self.open: dict[_Key, Job] = {}  # being judged, or waiting for it
        self.cache: OrderedDict[_Key, tuple[Problem, Verdict]] = OrderedDict()
        self.busy = 0  # jobs that workers hold
        self.solo = False  # one of them has to be alone
        self.closed = False
        self._pid = os.getpid()
        self.numbers = itertools.count(1)
        self._told: OrderedDict[int, tuple[Problem, str | None]] = OrderedDict()
        self._workers: list[_Worker] = []
        self._workers.extend(_Worker(self, self._workers) for _ in range(options.workers))
        self._finalizer = weakref.finalize(self, _end, self.changed, self._workers)
        for worker in self._workers:
            worker.thread.start()
        if options.require != "none":
            self.level()

    # -------------------------------------------------------------------------------------------------- public

    def run(self, source: str, problem: Problem) -> Verdict:
        """The verdict on `source`. Raises SandboxError if the judge itself failed, again and again."""
        return self.submit(source, problem).result()

    def submit(self, source: str, problem: Problem) -> Future[Verdict]:
        """Has `source` judged in the background; waits while too many programs are pending."""
        _wire.check_job(source, problem)
        future: Future[Verdict] = Future()
        with self.changed:
            self._check_open()
            key = (id(problem), source)
            if key in self.cache:
                self.cache.move_to_end(key)
                future.set_running_or_notify_cancel()
                future.set_result(self.cache[key][1])
                return future
            while len(self.jobs) >= self.options.pending:
                self.changed.wait()
                self._check_open()
            job = self.open.get(key)
            if job is None or not self.options.cache:
                job = Job(source, problem)
                self.open[key] = job
                self.jobs.append(job)
                self.changed.notify_all()
            job.futures.append(future)
            if job.started:
                future.set_running_or_notify_cancel()
        return future

    def map(self, jobs: Iterable[tuple[str, Problem]]) -> Iterator[Verdict]:
        """Verdicts in the order of `jobs`, which may be endless: a bounded number is taken ahead of need."""
        window: deque[Future[Verdict]] = deque()
        most = max(min(self.options.pending, 128 * self.options.workers), 1)
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

    def level(self) -> str:
        """Backend, isolation level and layers, as `Verdict.judge` has them. Starts the judge if it has not started yet."""
        for worker in self._workers:
            worker.ready.wait()
        failed = next((worker.broken for worker in self._workers if worker.broken), None)
        if failed:
            self.close()
            raise failed
        return self._workers[0].judge

    def close(self) -> None:
        """Ends the workers; what was not judged yet is cancelled. May be called again."""
        with self.changed:
            self.closed = True
            jobs = list(self.jobs)
            self.jobs.clear()
            self.open.clear()
            self.changed.notify_all()
        for job in jobs:
            for future in job.futures:
                if not future.cancel():
                    _settle(future, SandboxError("The sandbox was closed before this program was judged."))
        if os.getpid() == self._pid:
            self._finalizer()

    def __enter__(self) -> PoolSandbox:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def _check_open(self) -> None:
        if self.closed:
            raise UsageError("Expected an open sandbox, got one that was closed. Load another.")
        if os.getpid() != self._pid:
            raise UsageError(
                "Expected the process that loaded this sandbox, got a fork of it. Load one in each process."
            )

    # ---------------------------------------------------------------------------------------------- for workers

    def told(self, problem: Problem) -> str | None:
        """A problem as JSON text, which is made once. None if it is too long to be sent ahead of need, or cannot be made."""
        key = id(problem)
        if key not in self._told:
            try:
                text = json.dumps(_wire.problem(problem))
            except Exception:  # whoever sends it hears of it
                text = ""
            self._told[key] = problem, text if 0 < len(text) < PIPE else None
            while len(self._told) > KNOWN:
                self._told.popitem(last=False)
        self._told.move_to_end(key)
        return self._told[key][1]

    def finish(self, job: Job, result: Verdict | Exception) -> None:
        with self.changed:
            if self.open.get(job.key) is job:
                del self.open[job.key]
            if isinstance(result, Verdict) and self.options.cache and not self.closed:
                self.cache[job.key] = (job.problem, result)
                while len(self.cache) > self.options.cache:
                    self.cache.popitem(last=False)
            futures = list(job.futures)
        for future in futures:
            _settle(future, result)


def _settle(future: Future[Verdict], result: Verdict | Exception) -> None:
    if future.cancelled() or future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)


def _end(changed: threading.Condition, workers: list[_Worker]) -> None:
    with changed:
        for worker in workers:
            worker.ending = True
        changed.notify_all()
    for worker in workers:
        worker.end()
    for worker in workers:
        if worker.thread.is_alive() and threading.current_thread() is not worker.thread:
            worker.thread.join(10)


class _Worker:
    """One worker process, and the thread that looks after it."""

    def __init__(self, pool: PoolSandbox, everyone: list[_Worker]) -> None:
        self.everyone = everyone
        self._pool = weakref.ref(pool)  # a sandbox that is forgotten without being closed ends all the same
        self.options, self.backend, self.changed = pool.options, pool.backend, pool.changed
        self.held: OrderedDict[int, Job] = OrderedDict()  # by number, oldest first
        self.since = 0.0  # when it began with the oldest
        self.known: OrderedDict[int, Problem] = OrderedDict()
        self.forget: list[int] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.judge = self.folder = ""
        self.ending = False
        self.broken: Exception | None = None
        self.ready = threading.Event()
        self.sending = threading.Lock()
        self.thread = threading.Thread(target=self._loop, name="rltf-judge", daemon=True)

    def end(self) -> None:
        process = self.process
        if process is not None:
            process.terminate()

    # ------------------------------------------------------------------------------------------------- thread

    def _loop(self) -> None:
        try:
            failures = 0
            while not self.ending:
                try:
                    if self.process is None:
                        self._start()
                    self._turn()
                    failures = 0
                except Exception as error:  # whatever it was, whoever waits is served
                    failures += not self.judge
                    if failures >= TRIES and not self.broken:
                        self.broken = SandboxError(f"The judge could not be started: {error}")
                    self._lost(error)
                    if self.broken:
                        self.ready.set()
                        self._refuse(self.broken)
                        return
        finally:
            self.ready.set()
            self._stop()
            for job in self.held.values():
                self._finish(job, SandboxError("The sandbox was closed before this program was judged."))

    def _turn(self) -> None:
        while (job := self._next()) is not None:
            self._send(job)
        if self.ending or not self.held:
            return
        reply = json.loads(self._read())
        if "lost" in reply:
            raise SandboxError(reply["lost"])
        with self.changed:
            job = self.held.pop(reply["number"], None)
            self.since = time.monotonic()
        if job is None:  # taken over by another in the meantime
            return
        self._release()
        if "again" in reply:
            job.alone = True
            self._requeue(job)
        elif "invalid" in reply:
            self._finish(job, InvalidProblem(f"{job.problem.id!r} cannot be judged: {reply['invalid']}."))
        elif "error" in reply:
            self._finish(
                job, SandboxError(f"The judge failed on {job.problem.id!r}: {reply['error']}\n{reply['trace']}")
            )
        else:
            self._finish(job, self._verdict(job, reply))
        if "last" in reply:  # the program has spoilt the worker: no other has to do with that
            self._hand_back()

    def _verdict(self, job: Job, reply: dict[str, Any]) -> Verdict | SandboxError:
        try:
            return _wire.verdict(reply, self.judge)
        except Exception as error:
            return SandboxError(f"The judge gave no verdict on {job.problem.id!r}: {error}")

    def _next(self) -> Job | None:
        """The job to send now, or None if it is time to read (or to end)."""
        with self.changed:
            while True:
                pool = self._pool()
                if self.ending or pool is None:
                    self.ending = True
                    return None
                job = self._choice(pool) if pool.jobs and not pool.solo else None
                if job is not None and self._may_take(pool, job):
                    pool.jobs.remove(job)
                    if not self._claim(job):
                        pool.open.pop(job.key, None)
                        continue
                    pool.busy += 1
                    pool.solo = job.alone
                    job.number = next(pool.numbers)
                    if not self.held:
                        self.since = time.monotonic()
                    self.held[job.number] = job
                    self.changed.notify_all()
                    return job
                if self.held:
                    return None
                waiting = self._take_over(pool)
                if waiting is None:
                    continue
                del pool, job
                self.changed.wait(SLOW if waiting else None)

    def _choice(self, pool: PoolSandbox) -> Job:
        """The first job; rather than one whose problem only others know, one close behind it: to prepare a problem takes time."""
        first = pool.jobs[0]
        if first.alone or not self._others_know(first):
            return first
        for job in itertools.islice(pool.jobs, 1, AHEAD):
            if job.alone:
                break
            if not self._others_know(job):
                return job
        return first

    def _others_know(self, job: Job) -> bool:
        key = id(job.problem)
        return key not in self.known and any(key in other.known for other in self.everyone)

    def _may_take(self, pool: PoolSandbox, job: Job) -> bool:
        """True if this worker should have the job now: there is room, and no other that has nothing to do."""
        if job.alone:
            return pool.busy == 0
        if not self.held:
            return True
        idle = sum(not other.held and not other.broken for other in self.everyone)
        return len(pool.jobs) > idle and self._room(pool, job)

    def _take_over(self, pool: PoolSandbox) -> bool | None:
        """Puts back into the queue what waits behind a slow program. None: done; True: it may come to that."""
        behind = [other for other in self.everyone if len(other.held) > 1]
        if pool.jobs or not behind:
            return bool(behind)
        other = min(behind, key=lambda other: other.since)
        if time.monotonic() - other.since < SLOW or other.process is None:
            return True
        numbers = list(other.held)[1:]
        jobs = [other.held.pop(number) for number in numbers]
        pool.busy -= len(jobs)
        pool.jobs.extendleft(reversed(jobs))
        try:
            with other.sending:
                write_frame(_stream(other.process, "stdin"), json.dumps({"cancel": numbers}).encode())
        except OSError:  # it died: its own thread sees to that
            pass
        self.changed.notify_all()
        return None

    def _claim(self, job: Job) -> bool:
        """True if anybody still wants the verdict."""
        if job.started:
            return True
        job.futures = [future for future in job.futures if future.set_running_or_notify_cancel()]
        job.started = bool(job.futures)
        return job.started

    def _release(self, count: int = 1) -> None:
        with self.changed:
            pool = self._pool()
            if pool is not None:
                pool.busy -= count
                pool.solo = False
                self.changed.notify_all()

    def _requeue(self, job: Job) -> None:
        with self.changed:
            pool = self._pool()
            if pool is not None and not pool.closed:
                pool.jobs.appendleft(job)
                self.changed.notify_all()
                return
        self._finish(job, SandboxError("The sandbox was closed before this program was judged."))

    def _finish(self, job: Job, result: Verdict | Exception) -> None:
        pool = self._pool()
        if pool is not None:
            pool.finish(job, result)
            return
        for future in job.futures:
            _settle(future, result)

    def _room(self, pool: PoolSandbox, job: Job) -> bool:
        if len(self.held) >= AHEAD:
            return False
        size = sum(held.size for held in self.held.values()) + 6 * len(job.source) + 200
        if id(job.problem) not in self.known:
            text = pool.told(job.problem)
            size += PIPE if text is None else len(text)
        return size < PIPE

    def _send(self, job: Job) -> None:
        key, problem = id(job.problem), ""
        if key not in self.known:
            try:
                problem = f', "problem": {self._text(job.problem)}'
            except Exception as error:
                with self.changed:
                    del self.held[job.number]
                self._release()
                self._finish(job, error)
                return
            self.known[key] = job.problem
            while len(self.known) > KNOWN:
                self.forget.append(self.known.popitem(last=False)[0])
        self.known.move_to_end(key)
        message = {"number": job.number, "source": job.source, "key": key, "alone": job.alone, "forget": self.forget}
        payload = json.dumps(message)[:-1] + problem + "}"
        self.forget = []
        job.size = len(payload)
        with self.sending:  # another worker's thread may be taking jobs back
            write_frame(_stream(self.process, "stdin"), payload.encode())

    def _text(self, problem: Problem) -> str:
        with self.changed:
            pool = self._pool()
            text = None if pool is None else pool.told(problem)
        return json.dumps(_wire.problem(problem)) if text is None else text

    def _read(self) -> bytes:
        fd = _stream(self.process, "stdout")
        if os.name == "posix":
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            if not poll.poll(1000 * self._longest()):
                raise SandboxError("a worker did not answer in time")
        return read_frame(fd)

    def _longest(self) -> float:
        o = self.options
        program, wall = o.program_seconds or 0.0, o.wall_seconds or 0.0
        return 5 * (3 * program + wall + 2 * o.case_seconds + 10) + o.check_seconds + PATIENCE

    def _start(self) -> None:
        script = Path(__file__).with_name("_worker.py")
        self.folder = os.path.join(tempfile.gettempdir(), f"rltf-{os.getpid()}-{os.urandom(6).hex()}")
        options = json.dumps({**self.options.for_worker(), "backend": self.backend, "folder": self.folder})
        command = [sys.executable, "-s", "-S", "-P", "-B", "-X", "utf8", str(script), options]
        environment = {**ENVIRONMENT, **{name: os.environ[name] for name in INHERITED if name in os.environ}}
        self.known.clear()
        self.judge = ""
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env=environment,
            start_new_session=os.name == "posix",
        )
        hello = json.loads(self._read())
        if "error" in hello:
            raise SandboxError(hello["error"])
        judge, levels = f"{self.backend}/{hello['level']}:{'+'.join(hello['layers'])}", isolation.LEVELS
        if levels.index(hello["level"]) < levels.index(self.options.require):
            self.broken = SandboxError(
                f"Expected isolation of level {self.options.require!r} or better, got {judge!r}. "
                "`python -m rltf_env.doctor` says what is missing and how to get it."
            )
            raise self.broken
        self.judge = judge
        self.ready.set()

    def _lost(self, error: Exception) -> None:
        """The worker died: what it held is judged again, by its successor or another's."""
        status = self._stop()
        held = self._take_back()
        if held and status == STUCK:
            job = held.pop(0)
            self._finish(job, _stuck(job, self.judge))
        for index, job in reversed(list(enumerate(held))):
            job.tries += index == 0
            if job.tries >= TRIES:
                self._finish(job, SandboxError(f"The judge failed {job.tries} times on {job.problem.id!r}: {error!r}"))
            else:
                self._requeue(job)

    def _hand_back(self) -> None:
        """The worker judges no more: what it held is for others, or its successor."""
        for job in reversed(self._take_back()):
            self._requeue(job)
        self._stop()

    def _take_back(self) -> list[Job]:
        """The jobs that a worker held, which it will not judge."""
        with self.changed:
            held, self.held = list(self.held.values()), OrderedDict()
        self._release(len(held))
        if self.ending:
            for job in held:
                self._finish(job, SandboxError("The sandbox was closed before this program was judged."))
            return []
        return held

    def _refuse(self, error: Exception) -> None:
        """No worker can be started: whoever waits is told, now and from now on."""
        with self.changed:
            while not self.ending:
                pool = self._pool()
                if pool is None:
                    return
                jobs = list(pool.jobs)
                pool.jobs.clear()
                for job in jobs:
                    self._claim(job)
                    pool.finish(job, error)
                del pool
                self.changed.wait()

    def _stop(self) -> int | None:
        process, self.process = self.process, None
        if process is None:
            return None
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        _folders.remove(self.folder)  # it is gone, unless the worker was killed
        return process.returncode


def _stuck(job: Job, judge: str) -> Verdict:
    """The verdict on a program whose values could not be compared in any time."""
    failure = Failure(Kind.TIMEOUT, "took too long to compare", None, "check")
    return Verdict((CaseResult(Outcome.RUNTIME_ERROR, failure),) * len(job.problem.cases), None, judge)


def _stream(process: subprocess.Popen[bytes] | None, name: str) -> int:
    stream = getattr(process, name)
    assert stream is not None, "the worker runs"
    return stream.fileno()
