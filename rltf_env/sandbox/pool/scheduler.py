"""Who judges which program next: the queue, what each worker holds, and who waits for a verdict.

No process and no pipe is touched here, so all of it can be tested without any. Workers come for jobs in threads of their own;
one condition, `Scheduler.changed`, guards everything in this file. A worker without work takes over what waits behind
another's slow program. A worker whose program may be late for what runs beside it gets calm: the others pause, one such
worker after the other.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
import warnings
from collections import OrderedDict, deque
from collections.abc import Callable
from concurrent.futures import Future

from rltf_env.core import Problem, Verdict
from rltf_env.errors import SandboxError, UsageError
from rltf_env.joining import full_text
from rltf_env.sandbox.pool import wire

AHEAD = 16  # jobs that a worker may hold
AHEAD_BYTES = 48 << 10  # bytes of jobs that it may hold besides the one that it judges
REMEMBERED = 256  # problems that a worker remembers
SLOW = 0.05  # seconds after which what waits behind a program may be taken over
_IDLE = 60.0  # seconds between looks where nothing is to be expected: whatever changes wakes who waits
Key = tuple[int, str]


class Job:
    """A program to be judged, and everybody who waits for the verdict."""

    __slots__ = ("futures", "joined", "key", "number", "problem", "size", "source", "started", "tries")

    def __init__(self, source: str, problem: Problem) -> None:
        self.source, self.problem = source, problem
        self.joined = full_text(problem.prefix, source)  # what the worker is sent
        self.key: Key = (id(problem), source)
        self.futures: list[Future[Verdict]] = []
        self.tries, self.started = 0, False  # tries: processes that judged it and failed
        self.number = self.size = 0  # set when it is sent

    def claim(self) -> bool:
        """True if anybody still wants the verdict. From then on its futures cannot be cancelled."""
        if not self.started:
            self.futures = [future for future in self.futures if future.set_running_or_notify_cancel()]
            self.started = bool(self.futures)
        return self.started


class Seat:
    """What the scheduler knows of one worker.

    Args:
        cancel: called, under the lock, with the numbers of jobs that the worker need not judge any more.
    """

    def __init__(self, cancel: Callable[[list[int]], None]) -> None:
        self.cancel = cancel
        self.jobs: OrderedDict[int, Job] = OrderedDict()  # by number, oldest first
        self.since = 0.0  # when the worker began with the oldest
        self.problems: OrderedDict[int, Problem] = OrderedDict()  # the problems that it has been sent
        self.forget: list[int] = []  # those that it may drop
        self.running = self.broken = False

    def learn(self, problem: Problem) -> bool:
        """Marks a problem as known to the worker. False if it was known already."""
        key, new = id(problem), id(problem) not in self.problems
        self.problems[key] = problem
        self.problems.move_to_end(key)
        while len(self.problems) > REMEMBERED:
            self.forget.append(self.problems.popitem(last=False)[0])
        return new


class Scheduler:
    """The jobs of all workers.

    Args:
        pending: jobs that may wait; beyond that `submit` blocks.
        cache: verdicts that are remembered.
    """

    def __init__(self, pending: int, cache: int) -> None:
        self.changed = threading.Condition()
        self.jobs: deque[Job] = deque()
        self.open: dict[Key, Job] = {}  # being judged, or waiting for it
        self.seats: list[Seat] = []
        self.closed = False
        self._missing: Exception | None = None  # why a worker could not be started, until that is said
        self._calm: deque[Seat] = deque()  # workers that have calm (the first, once all others are quiet) or want it
        self._pending, self._most = pending, cache
        self._cache: OrderedDict[Key, tuple[Problem, Verdict]] = OrderedDict()
        self._numbers = itertools.count(1)
        self._encoded: OrderedDict[int, tuple[Problem, str | None]] = OrderedDict()

    # ---------------------------------------------------------------------------------------------- for callers

    def submit(self, source: str, problem: Problem, check: Callable[[], None]) -> Future[Verdict]:
        """A future of the verdict; waits while too many jobs are pending. `check` raises if that has become senseless."""
        future: Future[Verdict] = Future()
        with self.changed:
            check()
            key = (id(problem), source)
            if key in self._cache:
                self._cache.move_to_end(key)
                future.set_running_or_notify_cancel()
                future.set_result(self._cache[key][1])
                return future
            while len(self.jobs) >= self._pending:
                self.changed.wait(_IDLE)
                check()
            job = self.open.get(key)
            if job is None or not self._most:
                job = Job(source, problem)
                self.open[key] = job
                self.jobs.append(job)
                self.changed.notify_all()
            job.futures.append(future)
            if job.started:
                future.set_running_or_notify_cancel()
        return future

    def close(self) -> None:
        """Drops what waits; its futures are cancelled, or get SandboxError if they cannot be."""
        with self.changed:
            self.closed = True
            jobs = list(self.jobs)
            self.jobs.clear()
            self.open.clear()
            self.changed.notify_all()
        for job in jobs:
            for future in job.futures:
                if not future.cancel():
                    _settle(future, closed())

    # ---------------------------------------------------------------------------------------------- for workers

    def next_for(self, seat: Seat) -> Job | None:
        """The job to send now. None if it is time to read, or to end: then the scheduler is closed."""
        with self.changed:
            while not self.closed:
                job = self._pick_job(seat) if self.jobs and not self._calm else None
                if job is not None and self._may_take(seat, job):
                    self.jobs.remove(job)
                    if not job.claim():
                        self.open.pop(job.key, None)
                        continue
                    return self._hand_out(seat, job)
                if seat.jobs:
                    return None
                patience = self._take_over()
                if patience > 0:
                    self.changed.wait(patience)
        return None

    def _hand_out(self, seat: Seat, job: Job) -> Job:
        job.number = next(self._numbers)
        if not seat.jobs:
            seat.since = time.monotonic()
        seat.jobs[job.number] = job
        self.changed.notify_all()
        return job

    def _pick_job(self, seat: Seat) -> Job:
        """The first job; rather than one whose problem only others know, one close behind it: preparing a problem takes time."""
        first = self.jobs[0]
        ahead = itertools.islice(self.jobs, AHEAD)
        return next((job for job in ahead if not self._others_know(seat, job)), first)

    def _others_know(self, seat: Seat, job: Job) -> bool:
        key = id(job.problem)
        return key not in seat.problems and any(key in other.problems for other in self.seats)

    def _may_take(self, seat: Seat, job: Job) -> bool:
        """True if this worker should have the job now: there is room, and no other that has nothing to do."""
        if not seat.jobs:
            return True
        idle = sum(not other.jobs and not other.broken for other in self.seats)
        return len(self.jobs) > idle and self._room(seat, job)

    def _room(self, seat: Seat, job: Job) -> bool:
        if len(seat.jobs) >= AHEAD:
            return False
        size = sum(other.size for other in seat.jobs.values()) + 6 * len(job.source) + 200
        if id(job.problem) not in seat.problems:
            text = self.encoded_problem(job.problem)
            size += AHEAD_BYTES if text is None else len(text)
        return size < AHEAD_BYTES

    def _take_over(self) -> float:
        """Puts back into the queue what waits behind a slow program.

        Returns:
            0 if jobs were put back; else the seconds after which that may be possible.
        """
        behind = [other for other in self.seats if len(other.jobs) > 1]
        if self.jobs or self._calm or not behind:
            return _IDLE
        slowest = min(behind, key=lambda other: other.since)
        patience = slowest.since + SLOW - time.monotonic()
        if patience > 0 or not slowest.running:
            return patience if patience > 0 else SLOW
        self._reclaim(slowest)
        return 0.0

    def _reclaim(self, seat: Seat) -> None:
        """Puts back into the queue what a worker holds and has not begun with."""
        numbers = list(seat.jobs)[1:]
        if numbers:
            self.jobs.extendleft(seat.jobs.pop(number) for number in reversed(numbers))
            seat.cancel(numbers)
            self.changed.notify_all()

    def wait_for_calm(self, seat: Seat, number: int) -> None:
        """Returns when no other worker judges anything, which lasts until this one has answered its job.

        At once if the job is not this worker's any more: its answer is not wanted.
        """
        with self.changed:
            if number not in seat.jobs:
                return
            self._calm.append(seat)
            self.changed.notify_all()  # who wanted it before may have waited for this worker alone
            for other in self.seats:
                if other is not seat:
                    self._reclaim(other)
            while not self.closed and not self._has_calm(seat):
                self.changed.wait(_IDLE)
            seat.since = time.monotonic()

    def _has_calm(self, seat: Seat) -> bool:
        quiet = all(not other.jobs or other in self._calm for other in self.seats if other is not seat)
        return quiet and self._calm[0] is seat

    def judged(self, seat: Seat, number: int) -> Job | None:
        """The job that a worker has answered. None if another took it over in the meantime."""
        with self.changed:
            job = seat.jobs.pop(number, None)
            seat.since = time.monotonic()
            self._release(seat)
        return job

    def drop(self, seat: Seat, job: Job) -> None:
        """Takes back a job that could not be sent."""
        with self.changed:
            del seat.jobs[job.number]
            self._release(seat)

    def take_back(self, seat: Seat) -> list[Job]:
        """The jobs that a worker held and will not judge; oldest first."""
        with self.changed:
            jobs, seat.jobs = list(seat.jobs.values()), OrderedDict()
            self._release(seat)
        return jobs

    def _release(self, seat: Seat) -> None:
        """A worker has done with a job, so it needs no calm any more."""
        if seat in self._calm:
            self._calm.remove(seat)
        self.changed.notify_all()

    def requeue(self, job: Job) -> None:
        """Has a job judged again, before all others."""
        with self.changed:
            if not self.closed:
                self.jobs.appendleft(job)
                self.changed.notify_all()
                return
        self.finish(job, closed())

    def finish(self, job: Job, result: Verdict | Exception) -> None:
        """Gives everybody who waits for a job its verdict, or what went wrong."""
        with self.changed:
            if self.open.get(job.key) is job:
                del self.open[job.key]
            if isinstance(result, Verdict) and self._most and not self.closed:
                self._cache[job.key] = (job.problem, result)
                while len(self._cache) > self._most:
                    self._cache.popitem(last=False)
            futures = list(job.futures)
        for future in futures:
            _settle(future, result)

    def give_up(self, seat: Seat, error: Exception) -> None:
        """A worker cannot be started: the others judge on. With the last of them, all jobs are refused; it returns at the end."""
        with self.changed:
            seat.broken, self._missing = True, error
            left = sum(not other.broken for other in self.seats)
            self.changed.notify_all()
        if left:
            self.report_missing()
        else:
            self.refuse(error)

    def report_missing(self) -> None:
        """Warns of workers that could not be started, as soon as there is one that judges."""
        with self.changed:
            if self._missing is None or not any(seat.running for seat in self.seats):
                return
            left = sum(not seat.broken for seat in self.seats)
            text, self._missing = f"{self._missing} {left} of {len(self.seats)} workers are left.", None
        warnings.warn(text, RuntimeWarning, stacklevel=2)

    def rest(self, seconds: float) -> None:
        """Returns after so many seconds, or when the scheduler is closed."""
        with self.changed:
            self.changed.wait_for(lambda: self.closed, seconds)

    def refuse(self, error: Exception) -> None:
        """Answers every job with an error, now and from now on, until the scheduler is closed: no worker can be started."""
        with self.changed:
            while not self.closed:
                jobs = list(self.jobs)
                self.jobs.clear()
                self.changed.notify_all()  # there is room for who waits to submit
                for job in jobs:
                    job.claim()
                    self.finish(job, SandboxError(str(error)))  # its own: whoever raises it adds a traceback
                self.changed.wait(_IDLE)

    def encoded_problem(self, problem: Problem) -> str | None:
        """A problem as JSON text, which is made once. None if it is too long to be sent ahead of need, or cannot be made."""
        with self.changed:
            key = id(problem)
            if key not in self._encoded:
                try:
                    text = json.dumps(wire.encoded_problem(problem))
                except Exception:  # whoever sends it makes it again, and reports why it cannot be made
                    text = ""
                self._encoded[key] = problem, text if 0 < len(text) < AHEAD_BYTES else None
                while len(self._encoded) > REMEMBERED:
                    self._encoded.popitem(last=False)
            self._encoded.move_to_end(key)
            return self._encoded[key][1]


def closed() -> SandboxError:
    """What those get whose program was not judged before the end."""
    return SandboxError("The sandbox was closed before this program was judged.")


def check_open(is_closed: bool, same_process: bool) -> None:
    """Raises UsageError where nothing can be judged any more."""
    if is_closed:
        raise UsageError("Expected an open sandbox, got one that was closed. Load another.")
    if not same_process:
        raise UsageError("Expected the process that loaded this sandbox, got a fork of it. Load one in each process.")


def _settle(future: Future[Verdict], result: Verdict | Exception) -> None:
    if future.cancelled() or future.done():
        return
    if isinstance(result, Exception):
        future.set_exception(result)
    else:
        future.set_result(result)
