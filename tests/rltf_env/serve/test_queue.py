"""Who may come in: room is counted to the last program, waited for in order, and given back whatever happens."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="needs FastAPI: pip install 'rltf[serve]'")

from rltf_env import sandbox
from rltf_env.core import CaseResult, Outcome, Problem, Verdict
from rltf_env.errors import InvalidProblem, SandboxError
from rltf_env.sandbox import scripted
from rltf_env.serve import queue as queue_module
from rltf_env.serve.queue import JudgeQueue, Ticket
from rltf_env.serve.replies import Busy
from rltf_env.serve.settings import Settings

PASSED = Verdict((CaseResult(Outcome.PASSED),))


def with_queue(work: Callable[[JudgeQueue], Awaitable[None]], **settings: Any) -> None:
    async def main() -> None:
        queue = JudgeQueue(Settings(**{"sandbox": scripted.load(default=True), **settings}))
        await queue.open()
        try:
            await asyncio.wait_for(work(queue), 20)
        finally:
            await queue.close()

    asyncio.run(main())


def test_room_is_given_in_the_order_of_arrival() -> None:
    async def work(queue: JudgeQueue) -> None:
        await queue.enter(3)
        order: list[int] = []

        async def come(count: int) -> None:
            await queue.enter(count, patience=10)
            order.append(count)

        tasks = [asyncio.ensure_future(come(count)) for count in (2, 1)]
        await asyncio.sleep(0)
        queue.leave(1)  # room for the second, whose turn it is not
        await asyncio.sleep(0)
        assert order == []
        queue.leave(2)
        await asyncio.gather(*tasks)
        assert order == [2, 1]
        assert queue.inside == 3

    with_queue(work, queue=3)


def test_who_gives_up_leaves_no_trace_and_makes_way() -> None:
    async def work(queue: JudgeQueue) -> None:
        await queue.enter(2)
        late = asyncio.ensure_future(queue.enter(2, patience=0.05))
        await asyncio.sleep(0)
        small = asyncio.ensure_future(queue.enter(1, patience=10))
        await asyncio.sleep(0)
        queue.leave(1)
        with pytest.raises(Busy):
            await late
        await small
        assert (queue.inside, len(queue.waiters)) == (2, 0)

    with_queue(work, queue=2)


def test_who_is_let_in_as_it_gives_up_gives_its_room_back() -> None:
    async def work(queue: JudgeQueue) -> None:
        await queue.enter(1)
        waiting = asyncio.ensure_future(queue.enter(1, patience=10))
        await asyncio.sleep(0)
        queue.leave(1)  # it is let in, and has not noticed
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert queue.inside == 0

    with_queue(work, queue=1)


def test_who_gives_up_as_room_comes_takes_none() -> None:
    async def work(queue: JudgeQueue) -> None:
        await queue.enter(1)
        waiting = asyncio.ensure_future(queue.enter(1, patience=10))
        await asyncio.sleep(0)
        waiting.cancel()
        queue.leave(1)
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert queue.inside == 0

    with_queue(work, queue=1)


def test_a_service_that_is_to_end_lets_nobody_in() -> None:
    async def work(queue: JudgeQueue) -> None:
        queue.draining = True
        with pytest.raises(Busy) as refused:
            await queue.enter(1, patience=10)
        assert refused.value.reply().status_code == 503

    with_queue(work)


def test_the_judge_holds_a_bounded_number_of_programs(held: Any, problem: Problem) -> None:
    async def work(queue: JudgeQueue) -> None:
        results: list[Any] = []
        tickets = [queue.ask(Ticket(str(n), problem, results.append)) for n in range(500)]
        assert len(held.futures) == queue.most < 500
        for ticket in tickets[queue.most :]:
            queue.cancel(ticket)
        held.release()
        while len(results) < queue.most:
            await asyncio.sleep(0.001)
        assert queue.handed == 0
        assert not held.futures  # what was cancelled in time never reached the judge

    with_queue(work, sandbox=held)


def test_programs_that_nobody_wants_never_make_the_service_wait(problem: Problem) -> None:
    """A judge that is handed more than it may hold has its caller wait: here that would stop every other client."""
    judge = sandbox.load(workers=1, pending=8, case_seconds=0.3)
    most = 0
    submit = judge.submit

    def watched(source: str, problem: Problem) -> Any:
        nonlocal most
        most = max(most, len(judge.scheduler.jobs))
        return submit(source, problem)

    judge.submit = watched

    async def work(queue: JudgeQueue) -> None:
        queue.ask(Ticket("while True: pass", problem, lambda result: None))
        for number in range(100):
            queue.cancel(queue.ask(Ticket(f"x = {number}", problem, lambda result: None)))
            await asyncio.sleep(0)
        verdict = await queue.verdict("def add(a, b): return a + b", problem)
        assert verdict.pass_ratio == 1.0

    with judge:
        with_queue(work, sandbox=judge)
    assert most < 8


def test_a_loop_with_plenty_to_do_is_not_woken_for_each_verdict(held: Any, problem: Problem) -> None:
    async def work(queue: JudgeQueue) -> None:
        results: list[Any] = []
        for n in range(queue.most):
            queue.ask(Ticket(str(n), problem, results.append))
        wake, woken = queue.loop.call_soon_threadsafe, []

        def counted(call: Any, *args: Any, **context: Any) -> Any:
            woken.extend([1] * (call == queue._look))
            return wake(call, *args, **context)

        queue.loop.call_soon_threadsafe = counted  # type: ignore[method-assign]
        finished = held.futures[queue.plenty :]
        for future in finished:
            future.set_running_or_notify_cancel()
            await asyncio.to_thread(future.set_result, PASSED)
        while len(results) < len(finished):
            await asyncio.sleep(0.001)
        assert len(woken) == 1

    with_queue(work, sandbox=held)


@pytest.mark.parametrize(
    ("taken", "before", "factor"),
    [(40, 128, 0.5), (16, 128, 1.0), (2, 128, 2.0), (12, 16, 0.5), (2, 3, 0.5)],
)
def test_looks_come_sooner_where_much_is_found_or_the_judge_may_run_dry(taken: int, before: int, factor: float) -> None:
    async def work(queue: JudgeQueue) -> None:
        queue._between = 0.01
        queue._look_later(taken, before)
        assert queue._between == pytest.approx(factor * 0.01)
        queue._next_look.cancel()  # type: ignore[union-attr]

    with_queue(work)


def test_a_verdict_that_comes_as_the_loop_goes_to_sleep_is_taken(held: Any, problem: Problem) -> None:
    async def work(queue: JudgeQueue) -> None:
        results: list[Any] = []
        for n in range(2):
            queue.ask(Ticket(str(n), problem, results.append))
        first, second = held.futures
        feed = queue._feed

        def slow_feed() -> None:  # the loop has taken what there was, and not said yet that it sleeps
            feed()
            if not second.done():
                second.set_running_or_notify_cancel()
                finish(second)

        def finish(future: Future[Verdict]) -> None:
            thread = threading.Thread(target=future.set_result, args=(PASSED,))
            thread.start()
            thread.join()

        queue._feed = slow_feed  # type: ignore[method-assign]
        first.set_running_or_notify_cancel()
        finish(first)
        while len(results) < 2:
            await asyncio.sleep(0.001)

    with_queue(work, sandbox=held)


def test_many_who_ask_for_health_cost_one_program(held: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_module, "FRESH", 0.0)

    async def work(queue: JudgeQueue) -> None:
        asked = [asyncio.ensure_future(queue.healthy()) for _ in range(50)]
        while not held.futures:
            await asyncio.sleep(0)
        assert len(held.futures) == 1
        held.release()
        assert await asyncio.gather(*asked) == [True] * 50

    with_queue(work, sandbox=held)


@pytest.mark.parametrize("error", [InvalidProblem("odd"), SandboxError("down")])
def test_what_the_judge_raises_reaches_who_asked(error: Exception, problem: Problem) -> None:
    async def work(queue: JudgeQueue) -> None:
        with pytest.raises(type(error), match=str(error)):
            await queue.verdict("x", problem)

    with_queue(work, sandbox=scripted.load(default=error))


def test_a_judge_that_was_closed_is_no_fault_of_the_client_s(problem: Problem) -> None:
    judge = scripted.load(default=True)

    async def work(queue: JudgeQueue) -> None:
        judge.close()
        with pytest.raises(SandboxError):
            await queue.verdict("x", problem)

    with_queue(work, sandbox=judge)


def test_once_nobody_is_waited_for_whoever_waits_and_whoever_comes_is_told(held: Any, problem: Problem) -> None:
    async def work(queue: JudgeQueue) -> None:
        waiting = [asyncio.ensure_future(queue.admitted("def f(x): ...", problem, 10)) for _ in range(3)]
        while queue.inside < 2:
            await asyncio.sleep(0.001)
        assert queue.give_up() == 2  # the third has no room yet: its turn comes when those two have left
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(each) for each in results] == [SandboxError] * 3
        assert (queue.inside, queue.give_up()) == (0, 0)

    with_queue(work, sandbox=held, queue=2)


def test_the_judge_that_keeps_what_is_printed_is_opened_once_whoever_leaves_meanwhile(problem: Problem) -> None:
    async def work(queue: JudgeQueue) -> None:
        opened, go_on = 0, threading.Event()

        def slowly(more: dict[str, int]) -> Any:
            nonlocal opened
            opened += 1
            go_on.wait(10)
            return scripted.load(default=True)

        queue._opened = slowly  # type: ignore[method-assign]
        leaving = [asyncio.ensure_future(queue.verdict("def add(a, b): ...", problem, printed=True)) for _ in range(2)]
        for task in leaving:
            await asyncio.sleep(0.01)
            task.cancel()
        staying = asyncio.ensure_future(queue.verdict("def add(a, b): ...", problem, printed=True))
        await asyncio.sleep(0.01)
        go_on.set()
        assert (await staying).outcome is Outcome.PASSED
        assert opened == 1

    with_queue(work, sandbox="auto", options={"workers": 1, "require": "none"})
