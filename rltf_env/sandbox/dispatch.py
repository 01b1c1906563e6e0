"""The programs of one client on their way to hosts and back: whose turn it is, what was lost, what is tried again.

A job is in one place: the queue, one request, or settled. A request that fails puts what it did not
answer back at the head of the queue. A job over which a connection was lost travels alone from
then on, and at its last try it has a host for itself, so that a program which ends hosts takes no
other with it.
"""

from __future__ import annotations

import random
import threading
import time
import warnings
from collections import OrderedDict, deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import Any

from rltf_env.core import Problem, Verdict
from rltf_env.errors import InvalidProblem, SandboxError, UsageError
from rltf_env.sandbox import protocol
from rltf_env.sandbox.hosts import Connection, Host, Later, Lost, Refused, TooLong, Unknown
from rltf_env.sandbox.jobs import Job, settle
from rltf_env.sandbox.protocol import Result, Returned

_LOOK = 60.0  # seconds for which a thread sleeps at most while hosts rest
KNOWN = 1024  # problems whose digest is remembered
SAME = ("rltf", "python", "judge", "options")  # of hosts that judge for one client


class Dispatcher:
    """The queue of a client, the threads that carry it, and the hosts they carry it to.

    Hosts may join and leave (`add`, `remove`); `noun` is what messages call one.

    It knows no sandbox: one that is forgotten closes it. One lock guards all.
    """

    def __init__(
        self,
        hosts: Sequence[Host],
        *,
        batch: int,
        ahead: int,
        connections: int,
        pending: int,
        tries: int,
        patience: float,
        wait: float,
        noun: str = "service",
    ) -> None:
        self.hosts = list(hosts)
        self.batch, self.ahead, self.pending, self.tries = min(batch, ahead), ahead, pending, tries
        self.patience, self.wait, self.connections, self.noun = patience, wait, connections, noun
        self.lock = threading.RLock()
        self.work = threading.Condition(self.lock)  # for the threads that carry
        self.room = threading.Condition(self.lock)  # for whoever submits
        self.queue: deque[Job] = deque()
        self.known: dict[str, Any] = {}  # what the hosts say of themselves
        self.closed = False
        self.broken: Exception | None = None
        self.reason = "no answer"  # why nobody can be asked, if nobody can
        self._open: set[Connection] = set()
        self._threads = self._idle = 0
        self._down: float | None = None  # since when no host has answered
        self._rng = random.Random()
        self._digests: OrderedDict[int, tuple[Problem, str]] = OrderedDict()

    # ------------------------------------------------------------------------------------------------------ for callers

    def connect(self) -> None:
        """Asks the hosts who they are, until one has answered.

        Raises:
            UsageError: a wrong token, or hosts that differ.
            SandboxError: none has answered for `wait` seconds.
        """
        begin, pause = time.monotonic(), 0.05
        while True:
            for host in list(self.hosts):
                connection = host.connect(self.patience)
                try:
                    self.meet(host, connection.about())
                except (Lost, Later) as error:
                    self.reason = str(error)
                finally:
                    connection.abort()
            if self.known:
                return
            if time.monotonic() - begin + pause > self.wait:
                raise SandboxError(f"Expected a {self.noun} within {self.wait:g} s, got none: {self.reason}")
            time.sleep(pause)
            pause = min(2 * pause, 0.5)

    def meet(self, host: Host, about: dict[str, Any]) -> None:
        """Takes a host, if it judges as the others do. Raises UsageError."""
        facts = {name: about.get(name) for name in SAME}
        if None in facts.values():
            raise UsageError(f"Expected a {self.noun} of rltf at {host.shown}, got another.")
        with self.lock:
            self.known = self.known or facts
            for name, value in facts.items():
                if self.known[name] != value:
                    raise UsageError(
                        f"Expected {self.noun}s that judge alike, got {name} {value!r} at {host.shown} and "
                        f"{self.known[name]!r} elsewhere."
                    )
            host.about = about

    def welcome(self, host: Host, about: dict[str, Any]) -> None:
        """Takes a host that is ready now: it is handed programs at once. Raises UsageError, as `meet`."""
        with self.lock:
            self.meet(host, about)
            host.rest, self._down = 0.0, None
            host.released = host.returned = 0
            self._wake()
            self.work.notify_all()

    @property
    def window(self) -> int:
        """Programs that `map` takes ahead of need."""
        with self.lock:
            return min(self.pending, 2 * max(sum(host.ahead or self.ahead for host in self.hosts), 1))

    def add(self, host: Host) -> None:
        """A host that has joined."""
        with self.lock:
            self.hosts.append(host)
            self.work.notify_all()

    def remove(self, host: Host) -> None:
        """A host that is gone for good; what it held comes back by its connections."""
        with self.lock:
            self.hosts = [each for each in self.hosts if each is not host]

    def balance(self) -> None:
        """Has the fullest host give back half of what waits there, if another has nothing to do."""
        with self.lock:
            hosts = [host for host in self.hosts if host.about is not None and host.rest <= time.monotonic()]
            if self.queue or any(host.released > host.returned for host in hosts):
                return
            if all(host.outstanding >= host.workers for host in hosts):
                return
            fullest = max(hosts, key=lambda each: each.outstanding - each.workers)
            spare = fullest.outstanding - fullest.workers
        if spare > 0:
            coming = fullest.release(-(-spare // 2))
            with self.lock:
                fullest.released += coming

    def unreachable(self, reason: str) -> None:
        """Nobody can be asked now: what has waited for `wait` seconds of that is given up, with all that waits."""
        with self.lock:
            self.reason = reason
            if self.queue:
                self._check_down(reason)
            else:
                self._down = None

    def submit(self, source: str, problem: Problem) -> Future[Verdict]:
        """A future of the verdict; waits while too many jobs are pending."""
        try:
            job = Job(source, problem, self._digest(problem))
        except Exception as error:  # as a judge of this process does, into the future
            failed: Future[Verdict] = Future()
            failed.set_exception(error)
            return failed
        with self.lock:
            while len(self.queue) >= self.pending and not self.closed:
                self.room.wait()
            if self.closed:
                raise UsageError("Expected an open sandbox, got one that was closed. Load another.")
            if self.broken:
                job.future.set_exception(self.broken)
                return job.future
            self.queue.append(job)
            self._wake()
        return job.future

    def close(self) -> None:
        """Ends the threads; what waits is cancelled, what a host holds gets SandboxError."""
        with self.lock:
            self.closed = True
            jobs, connections = list(self.queue), list(self._open)
            self.queue.clear()
            self.work.notify_all()
            self.room.notify_all()
        for job in jobs:
            if not job.future.cancel():
                settle(job, SandboxError("The sandbox was closed before this program was judged."))
        for connection in connections:
            connection.abort()

    def join(self, seconds: float) -> bool:
        """Waits for the threads after `close`; True if they have ended."""
        with self.lock:
            return self.room.wait_for(lambda: not self._threads, seconds)

    def _digest(self, problem: Problem) -> str:
        with self.lock:
            kept = self._digests.get(id(problem))
            if kept is not None:
                self._digests.move_to_end(id(problem))
                return kept[1]
        key = protocol.digest(problem)
        with self.lock:
            self._digests[id(problem)] = problem, key
            while len(self._digests) > KNOWN:
                self._digests.popitem(last=False)
        return key

    # -------------------------------------------------------------------------------------------------------- one connection

    def _work(self) -> None:
        """A thread: takes jobs, carries them to a service, settles them."""
        connections: dict[Host, Connection] = {}
        try:
            while (taken := self._take()) is not None:
                host, jobs = taken
                if host not in connections:
                    connections[host] = host.connect(self.patience)
                    with self.lock:
                        self._open.add(connections[host])
                self._carry(host, connections[host], jobs)
        finally:
            for connection in connections.values():
                connection.abort()
            with self.lock:
                self._open.difference_update(connections.values())
                self._threads -= 1
                self.room.notify_all()

    def _wake(self) -> None:
        """Has a thread come for what can be handed over. Called under the lock."""
        now = time.monotonic()
        if not self.queue or not any(host.rest > now or self._count(host) for host in self.hosts):
            return
        if self._idle:
            self.work.notify()
        elif self._threads < self.connections and not self.closed:
            self._threads += 1
            threading.Thread(target=self._work, name="rltf-judge", daemon=True).start()

    def _take(self) -> tuple[Host, list[Job]] | None:
        """Jobs and the service for them; None if it is time to end."""
        with self.lock:
            while not self.closed:
                self._drop_cancelled()
                now = time.monotonic()
                awake = [host for host in self.hosts if host.rest <= now and not host.reserved]
                host = min(awake, key=lambda each: each.outstanding, default=None)
                jobs = self._claim(self._count(host)) if self.queue and host is not None else []
                if host is not None and jobs:
                    host.outstanding += len(jobs)
                    host.reserved = self._last_try(jobs[0])
                    self.room.notify_all()
                    self._wake()
                    return host, jobs
                self._idle += 1
                resting = [each.rest - now for each in self.hosts if each.rest > now]
                self.work.wait(min(max(min(resting), 0.001), _LOOK) if self.queue and resting else None)
                self._idle -= 1
        return None

    def _drop_cancelled(self) -> None:
        while self.queue and self.queue[0].future.cancelled():
            self.queue.popleft()

    def _count(self, host: Host) -> int:
        """How many jobs to hand over now: full batches while there is much to do, and never a trickle."""
        if host.reserved:
            return 0
        if self.queue[0].alone:  # it may be what ends a host: alone, so that no other suffers for it
            return 1 if not host.outstanding or not self._last_try(self.queue[0]) else 0
        waiting = min(self.batch, len(self.queue))
        return waiting if (host.ahead or self.ahead) - host.outstanding >= waiting else 0

    def _last_try(self, job: Job) -> bool:
        """True if the job is given up with the next host that is lost over it: then it has a host for itself."""
        return 0 < job.tries == self.tries - 1

    def _less(self, host: Host, count: int) -> None:
        """The host holds so many jobs less. Called under the lock."""
        host.outstanding -= count
        host.reserved = host.reserved and host.outstanding > 0

    def _claim(self, count: int) -> list[Job]:
        jobs: list[Job] = []
        while self.queue and len(jobs) < count and (not jobs or not self.queue[0].alone):
            job = self.queue.popleft()
            if job.future.running() or job.future.set_running_or_notify_cancel():
                jobs.append(job)
        return jobs

    def _carry(self, host: Host, connection: Connection, jobs: list[Job]) -> None:
        """Hands jobs to a service and settles those that it answers; what it does not goes back into the queue."""
        left = dict(enumerate(jobs))
        try:
            if host.about is None:
                self.meet(host, connection.about())
            self._exchange(host, connection, jobs, left)
            self._well(host)
        except Later as later:
            self._put_back(host, left.values(), tried=False)
            self._pause(host, later.seconds)
        except Lost as lost:
            self._put_back(host, left.values(), tried=lost.handed)
            self._fail(host, lost)
        except Refused as refused:
            self._sort_out(host, list(left.values()), str(refused))
        except TooLong:
            self._halve(host, list(left.values()))
        except UsageError as error:  # of the client's own making, or a service that is another by now
            self._refuse(host, left.values(), error)
        except Exception as error:  # nobody may wait for ever for what went wrong here
            self._return(host, left.values(), SandboxError(f"The client of {host.shown} failed: {error!r}"))

    def _exchange(self, host: Host, connection: Connection, jobs: list[Job], left: dict[int, Job]) -> None:
        """One request, or two if the service does not know all problems."""
        pairs = [(job.digest, job.source) for job in jobs]
        rows: list[dict[str, Any]] = []
        for _ in range(2):
            try:
                for number, result in connection.judge(protocol.request(pairs, rows)):
                    self._answer(host, left.pop(number, None), result)
                if left:
                    raise Lost(f"{host.shown} ended its reply too early", handed=True)
                return
            except Unknown as unknown:
                wanted = {job.digest: job.problem for job in jobs if job.digest in unknown.digests}
                rows = [protocol.encode_problem(problem) for problem in wanted.values()]
        raise Lost(f"{host.shown} does not know the problems that it was sent", handed=True)

    # ------------------------------------------------------------------------------------------------- what came of it

    def _answer(self, host: Host, job: Job | None, result: Result) -> None:
        """Settles a job, unless the service's judge failed on it: then it is tried again."""
        if job is None:
            return
        with self.lock:
            self._less(host, 1)
            host.failures, self._down = 0, None
            host.returned += isinstance(result, Returned)
            if isinstance(result, Returned) and not self.closed:
                self.queue.appendleft(job)
                job = None
            elif isinstance(result, SandboxError) and job.tries + 1 < self.tries and not self.closed:
                job.tries += 1
                job.alone = True
                self.queue.append(job)
                job = None
            self._wake()
        if job is not None:
            settle(job, result)

    def _well(self, host: Host) -> None:
        with self.lock:
            host.failures, self._down = 0, None

    def _put_back(self, host: Host, jobs: Iterable[Job], *, tried: bool) -> None:
        """Has jobs handed out again, before all others; given up are those over which too many connections were lost."""
        jobs, lost = list(jobs), []
        with self.lock:
            self._less(host, len(jobs))
            for job in reversed(jobs):
                job.tries += tried
                job.alone |= tried
                if job.tries >= self.tries or self.closed:
                    lost.append(job)
                else:
                    self.queue.appendleft(job)
            self._wake()
        for job in lost:
            reason = "closed" if self.closed else f"lost {job.tries} times"
            settle(
                job, SandboxError(f"The connection to a {self.noun} was {reason} before {job.problem.id!r} was judged.")
            )

    def _return(self, host: Host, jobs: Iterable[Job], error: Exception) -> None:
        """Answers jobs with an error."""
        jobs = list(jobs)
        with self.lock:
            self._less(host, len(jobs))
            self._wake()
        for job in jobs:
            settle(job, error)

    def _pause(self, host: Host, seconds: float) -> None:
        """The service is full: it is left alone for as long as it wants."""
        with self.lock:
            host.rest = time.monotonic() + seconds * (0.75 + self._rng.random() / 2)
            self._check_down(f"{host.shown} has no room")

    def _fail(self, host: Host, error: Lost) -> None:
        with self.lock:
            host.failed(self._rng.random())
            self._check_down(str(error))

    def _check_down(self, reason: str) -> None:
        """Gives up all that waits if no service has taken anything for too long. Called under the lock."""
        now = time.monotonic()
        self._down = now if self._down is None else self._down
        if now - self._down < self.wait or self.closed:
            return
        jobs = list(self.queue)
        self.queue.clear()
        self._down = None
        for job in jobs:
            settle(job, SandboxError(f"No {self.noun} judged anything for {self.wait:g} s: {reason}"))
        self.room.notify_all()

    def _sort_out(self, host: Host, jobs: list[Job], reason: str) -> None:
        """One of these is a problem that the service takes for none: it is found by asking one by one."""
        if len(jobs) == 1:
            self._return(host, jobs, InvalidProblem(f"{jobs[0].problem.id!r} was refused by {host.shown}: {reason}"))
            return
        for job in jobs:
            job.alone = True
        self._put_back(host, jobs, tried=False)

    def _halve(self, host: Host, jobs: list[Job]) -> None:
        """The request was too long: smaller ones, or, for a single job, none."""
        if len(jobs) == 1:
            text = f"Expected a program and problem that {host.shown} takes, got one that is too long ({jobs[0].problem.id!r}). "
            self._return(host, jobs, UsageError(f"{text}Start the service with a larger --body-mb."))
            return
        with self.lock:
            self.batch = min(self.batch, max(len(jobs) // 2, 1))
        self._put_back(host, jobs, tried=False)

    def _refuse(self, host: Host, jobs: Iterable[Job], error: UsageError) -> None:
        """A service that will not do is left; with the last of them everybody gets to know why."""
        jobs = list(jobs)
        with self.lock:
            self.hosts = [each for each in self.hosts if each is not host]
            last = not self.hosts
            if last:
                self.broken = SandboxError(f"No {self.noun} is left: {error}")
                jobs += self.queue
                host.outstanding += len(self.queue)
                self.queue.clear()
        if last:
            self._return(host, jobs, SandboxError(f"No {self.noun} is left: {error}"))
        else:
            self._put_back(host, jobs, tried=False)
            warnings.warn(f"{host.shown} judges no more for this client: {error}", RuntimeWarning, stacklevel=2)
