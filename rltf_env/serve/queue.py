"""The judge as the routes use it: who may come in, whose program is next, what has been counted.

Everything here belongs to the event loop. The judge gets a bounded number of programs at a time,
so `submit` never blocks the loop and a client that hangs up takes what waits with it. While the
judge has plenty to do the loop looks for verdicts now and then: to be woken for each costs as much
as all else that it does for a program.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from bisect import bisect_left
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from typing import Any

from rltf_env import sandbox
from rltf_env.core import CallCase, Problem, Sandbox, Verdict
from rltf_env.errors import InvalidProblem, SandboxError
from rltf_env.sandbox.pool.pool import PoolSandbox
from rltf_env.sandbox.protocol import PASSING, Result
from rltf_env.serve.replies import Busy
from rltf_env.serve.settings import Settings

AHEAD = 64  # programs that the judge holds for each of its workers
PLENTY = 8  # programs for each worker from which on the loop looks for verdicts rather than being woken
BUNCH = 16  # verdicts that such a look should find: the time between two looks follows
SHORTEST, LONGEST = 0.001, 0.05  # seconds between two looks
FRESH = 1.0  # seconds for which a verdict proves that the judge is alive
PAUSE = 0.02  # seconds until a judge that was clogged is looked at again
PROBE = 10.0  # seconds that a proof may take
BOUNDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
_PROBE = Problem("probe", "", (CallCase((1,), 2),), "f")


@dataclass(eq=False)
class Ticket:
    """A program that waits for its verdict.

    Args:
        printed: keep all that the program prints (`JudgeQueue.verdict`).
        settle: called once, in the event loop, with the verdict or what went wrong.
    """

    program: str
    problem: Problem
    settle: Callable[[Result], None]
    printed: bool = False
    since: float = 0.0
    future: Future[Verdict] | None = None
    over: bool = False  # settled, or not wanted any more


class JudgeQueue:
    """One judge for all requests."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.judge: Sandbox | None = None
        self.level, self.most, self.plenty = "", AHEAD, PLENTY
        self.inside, self.handed = 0, 0  # programs of all requests; those that the judge holds
        self.tickets: deque[Ticket] = deque()
        self.waiters: deque[tuple[int, asyncio.Future[None]]] = deque()
        self.open_tickets: dict[Ticket, None] = {}  # neither settled nor cancelled
        self.draining = self.ended = False  # nobody is let in; nobody is waited for
        self.answered = time.monotonic()  # when the judge last gave a verdict
        self.counts: Counter[str] = Counter()  # verdicts by outcome, and failures of the judge
        self.seconds = 0.0  # from a program's arrival to its verdict, all together
        self.times = [0] * (len(BOUNDS) + 1)
        self._printing: Sandbox | None = None
        self._opening: asyncio.Task[Sandbox | None] | None = None  # of that one
        self._own: list[Sandbox] = []
        self._later = False  # whether `_feed` is to be called again
        self._finished: deque[tuple[Ticket, Future[Verdict]]] = deque()  # filled by the judge's threads
        self._awake = False  # whether `_look` is to be called, so that nobody need ask for it
        self._next_look: asyncio.TimerHandle | None = None
        self._between = SHORTEST  # seconds until the next look
        self.bunched = False  # whether verdicts come in bunches: who sends them need wait for no others
        self._proof: asyncio.Task[bool] | None = None
        self._numbers = itertools.count()

    # ------------------------------------------------------------------------------------------------- open and close

    async def open(self) -> None:
        """Starts the judge. Raises SandboxError if it does not start."""
        self.loop = asyncio.get_running_loop()
        self.judge = await asyncio.to_thread(self._opened, {})
        if isinstance(self.judge, PoolSandbox):
            self.most = max(min(AHEAD * len(self.judge.workers), self.judge.options.pending // 4), 1)
            self.plenty = PLENTY * len(self.judge.workers)
            self.level = await asyncio.to_thread(self.judge.level)

    @property
    def options(self) -> dict[str, Any]:
        """The judge's options that a verdict depends on, or that were given."""
        if not isinstance(self.judge, PoolSandbox):
            return dict(self.settings.options)
        return {name: value for name, value in asdict(self.judge.options).items() if name not in PASSING}

    def _opened(self, more: dict[str, int]) -> Sandbox:
        """A judge as the settings name it; it is closed with the queue."""
        if not isinstance(self.settings.sandbox, str):
            return self.settings.sandbox
        opened = sandbox.load(self.settings.sandbox, **{**self.settings.options, **more})
        self._own.append(opened)
        return opened

    async def close(self) -> None:
        """Ends the judge; whoever waits is told."""
        self.give_up()
        if self._opening is not None:
            await asyncio.wait([self._opening])
        for opened in self._own:
            await asyncio.to_thread(opened.close)

    def give_up(self) -> int:
        """Lets nobody wait any longer: requests get an error for what has no verdict yet. Returns how many programs that is."""
        self.draining = self.ended = True
        without = list(self.open_tickets)
        for ticket in without:
            self._settle(ticket, _ended())
        self.tickets.clear()
        return len(without)

    # -------------------------------------------------------------------------------------------------------- entrance

    async def enter(self, count: int, patience: float = 0.0) -> None:
        """Lets `count` programs in; `leave` must follow.

        Args:
            patience: seconds to wait for room, in the order of arrival. 0: now or not at all.

        Raises:
            Busy: there was no room.
        """
        if self.draining:
            raise Busy("The service is about to end.", draining=True)
        if not self.waiters and self.inside + count <= self.settings.queue:
            self.inside += count
            return
        if patience <= 0 or len(self.waiters) >= self.settings.waiting:
            raise Busy(f"{self.inside} programs are inside, and there is room for {self.settings.queue}.")
        place = count, self.loop.create_future()
        self.waiters.append(place)
        try:
            async with asyncio.timeout(patience):
                await place[1]
        except BaseException as error:
            if place[1].done() and not place[1].cancelled():  # let in at the very moment of giving up
                self.leave(count)
            elif place in self.waiters:
                self.waiters.remove(place)
                self._let_in()  # who stood behind may need less room
            if isinstance(error, TimeoutError):
                raise Busy("There was no room in time.") from None
            raise

    def leave(self, count: int) -> None:
        """Gives the room of `count` programs back."""
        self.inside -= count
        self._let_in()

    def _let_in(self) -> None:
        while self.waiters and self.inside + self.waiters[0][0] <= self.settings.queue:
            count, place = self.waiters.popleft()
            if place.cancelled():
                continue
            self.inside += count
            place.set_result(None)

    # --------------------------------------------------------------------------------------------------------- judging

    def ask(self, ticket: Ticket, *, first: bool = False) -> Ticket:
        """Has a program judged; `first`: before all that wait."""
        ticket.since = time.monotonic()
        self.open_tickets[ticket] = None
        if self.ended:
            self._settle(ticket, _ended())
            return ticket
        (self.tickets.appendleft if first else self.tickets.append)(ticket)
        self._feed()
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Nobody wants this verdict any more. What has begun is judged to its end."""
        ticket.over, ticket.program = True, ""
        self.open_tickets.pop(ticket, None)
        if ticket.future is not None:
            ticket.future.cancel()

    async def admitted(self, program: str, problem: Problem, patience: float, *, printed: bool = False) -> Verdict:
        """Lets one program in, and gives its verdict, within `patience` seconds in all.

        Raises:
            TimeoutError: it took longer.
            SandboxError, InvalidProblem, Busy: as `verdict` and `enter` raise them.
        """
        async with asyncio.timeout(patience):
            await self.enter(1, patience)
            try:
                return await self.verdict(program, problem, printed=printed)
            finally:
                self.leave(1)

    async def verdict(self, program: str, problem: Problem, *, printed: bool = False) -> Verdict:
        """The verdict on one program, which has been let in.

        Raises:
            SandboxError, InvalidProblem: the judge gave none.
        """
        if printed:
            await self._open_printing()
        place: asyncio.Future[Result] = self.loop.create_future()

        def settle(result: Result) -> None:
            if not place.done():
                place.set_result(result)

        ticket = self.ask(Ticket(program, problem, settle, printed))
        try:
            result = await place
        finally:
            self.cancel(ticket)
        if isinstance(result, Exception):
            raise result
        return result

    async def _open_printing(self) -> None:
        """A second judge, which keeps all that a program prints: for clients that compare for themselves.

        It is opened once: who asked first may leave before that is done.
        """
        if self._printing is not None:
            return
        if self._opening is None or self._opening.done():  # it failed before
            self._opening = asyncio.ensure_future(self._printing_judge())
            self._opening.add_done_callback(lambda task: task.cancelled() or task.exception())  # all may have left
        self._printing = await asyncio.shield(self._opening)

    async def _printing_judge(self) -> Sandbox | None:
        if not isinstance(self.settings.sandbox, str) or not isinstance(self.judge, PoolSandbox):
            return self.judge
        kept = int(self.settings.options.get("output_bytes", 16 << 20))
        return await asyncio.to_thread(self._opened, {"kept_output": kept, "cache": 0})

    def _feed(self) -> None:
        """Hands over what the judge has room for. It is never handed more than lets `submit` return at once."""
        while self.tickets and self.handed < self.most:
            if self._clogged():
                if not self._later:
                    self._later = True
                    self.loop.call_later(PAUSE, self._feed_again)
                return
            ticket = self.tickets.popleft()
            judge = self._printing if ticket.printed else self.judge
            if ticket.over:
                continue
            try:
                if judge is None:
                    raise SandboxError("The judge is not open.")
                ticket.future = judge.submit(ticket.program, ticket.problem)
            except InvalidProblem as error:
                self._settle(ticket, error)
                continue
            except Exception as error:  # closed, for one: nothing that a client could have asked otherwise
                self._settle(ticket, SandboxError(f"The judge took no program: {error}"))
                continue
            self.handed += 1
            ticket.future.add_done_callback(lambda future, ticket=ticket: self._done(ticket, future))

    def _clogged(self) -> bool:
        """True while the judge has many programs before it that nobody wants any more: it drops them as it comes to them."""
        pools = (each for each in (self.judge, self._printing) if isinstance(each, PoolSandbox))
        return any(len(pool.scheduler.jobs) >= 2 * self.most for pool in pools)

    def _feed_again(self) -> None:
        self._later = False
        self._feed()

    def _done(self, ticket: Ticket, future: Future[Verdict]) -> None:
        """Called in any thread: wakes the loop, unless it looks by itself."""
        self._finished.append((ticket, future))
        if self._awake:
            return
        self._awake = True
        try:
            self.loop.call_soon_threadsafe(self._look)
        except RuntimeError:  # the loop has ended, and everybody with it
            return

    def _look(self) -> None:
        """Takes what the judge has finished. It comes again by itself while there is plenty to do."""
        before = self.handed
        while self._finished:
            self._take(*self._finished.popleft())
        taken = before - self.handed
        self._feed()
        if self.handed >= self.plenty:
            self._look_later(taken, before)
            return
        self._awake = self.bunched = False
        if self._finished:  # since the last look, by a thread that thought the loop awake
            self._look()

    def _look_later(self, taken: int, before: int) -> None:
        """Has `_look` called again: sooner where it has found much, or most of what the judge had, which must not run dry."""
        self.bunched = True
        if self._next_look is None:
            factor = 0.5 if taken > min(2 * BUNCH, before // 2) else 2.0 if taken < BUNCH // 2 else 1.0
            self._between = min(max(factor * self._between, SHORTEST), LONGEST)
            self._next_look = self.loop.call_later(self._between, self._look_again)

    def _look_again(self) -> None:
        self._next_look = None
        self._look()

    def _take(self, ticket: Ticket, future: Future[Verdict]) -> None:
        self.handed -= 1
        if future.cancelled():
            self._settle(ticket, SandboxError("The judge dropped this program."))
            return
        error = future.exception()
        if error is None or isinstance(error, InvalidProblem):
            self.answered = time.monotonic()
        self._settle(ticket, future.result() if error is None else _as_exception(error))

    def _settle(self, ticket: Ticket, result: Result) -> None:
        if ticket.over:
            return
        ticket.over = True
        self.open_tickets.pop(ticket, None)
        self._count(result, time.monotonic() - ticket.since)
        ticket.settle(result)

    def _count(self, result: Result, seconds: float) -> None:
        self.counts[type(result).__name__ if isinstance(result, Exception) else result.outcome.name] += 1
        self.seconds += seconds
        self.times[bisect_left(BOUNDS, seconds)] += 1

    # ---------------------------------------------------------------------------------------------------------- health

    @property
    def oldest(self) -> float:
        """Seconds that the next program has waited to be handed to the judge."""
        waiting = next((ticket for ticket in self.tickets if not ticket.over), None)
        return 0.0 if waiting is None else time.monotonic() - waiting.since

    async def healthy(self) -> bool:
        """True if the judge gave a verdict just now, or gives one when it is asked for. Many who ask cost one program."""
        if self.draining or time.monotonic() - self.answered < FRESH:
            return not self.draining
        if self._proof is None or self._proof.done():
            self._proof = asyncio.ensure_future(self._prove())
        return await asyncio.shield(self._proof)

    async def _prove(self) -> bool:
        begin = time.monotonic()
        program = f"def f(x):\n    return x + 1  # {next(self._numbers)}"
        ticket = self.ask(Ticket(program, _PROBE, lambda result: None), first=True)
        while self.answered < begin and time.monotonic() - begin < PROBE:  # any verdict will do
            await asyncio.sleep(0.01)
        self.cancel(ticket)
        return self.answered >= begin


def _ended() -> SandboxError:
    return SandboxError("The service ended before this program was judged.")


def _as_exception(error: BaseException) -> Exception:
    """What a judge raised, as a result."""
    return error if isinstance(error, Exception) else SandboxError(repr(error))
