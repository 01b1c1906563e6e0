"""Who judges what next, tried without a process: the threads of workers are the test's own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import pytest

from rltf_env.core import CallCase, CaseResult, Outcome, Problem, Verdict
from rltf_env.errors import InvalidProblem, SandboxError, UsageError
from rltf_env.sandbox.pool import scheduler as module
from rltf_env.sandbox.pool.scheduler import AHEAD, SLOW, Job, Scheduler, Seat, check_open

PASSED = Verdict((CaseResult(Outcome.PASSED),))
ADD = Problem("add", "", [CallCase((1, 2), 3)], "add")
LONG = 20.0  # seconds that a test waits for what must happen


def problem(number: int, size: int = 0) -> Problem:
    return Problem(f"p{number}", "", [CallCase((number, "x" * size), 0)], "f")


class Pool:
    """A scheduler and its workers' seats; what each was told to cancel."""

    def __init__(self, workers: int = 1, pending: int = 1000, cache: int = 0) -> None:
        self.scheduler = Scheduler(pending, cache)
        self.cancelled: list[list[int]] = []
        self.seats = [Seat(self.cancelled.append) for _ in range(workers)]
        for seat in self.seats:
            seat.running = True
        self.scheduler.seats += self.seats

    def submit(self, *names: str, on: Problem = ADD) -> list[Future[Verdict]]:
        return [self.scheduler.submit(name, on, lambda: check_open(self.scheduler.closed, True)) for name in names]

    def take(self, seat: int = 0) -> str:
        """The next program of a worker, as it is handed out."""
        job = self.scheduler.next_for(self.seats[seat])
        assert job is not None
        self.seats[seat].learn(job.problem)
        return job.source

    def take_all(self, seat: int = 0) -> list[str]:
        """All that a worker gets before it should read an answer."""
        taken = []
        while (job := self.scheduler.next_for(self.seats[seat])) is not None:
            self.seats[seat].learn(job.problem)
            taken.append(job.source)
        return taken

    def answer(self, seat: int = 0) -> None:
        """A worker answers the oldest of its jobs."""
        job = self.scheduler.judged(self.seats[seat], next(iter(self.seats[seat].jobs)))
        assert job is not None
        self.scheduler.finish(job, PASSED)

    def held(self, seat: int = 0) -> list[str]:
        return [job.source for job in self.seats[seat].jobs.values()]


class Background:
    """Calls a function that may have to wait."""

    def __init__(self, call: Callable[[], Any]) -> None:
        self.result: Any = None
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._run, args=(call,), daemon=True)
        self.thread.start()

    def _run(self, call: Callable[[], Any]) -> None:
        try:
            self.result = call()
        except Exception as error:
            self.error = error

    def ended(self) -> Any:
        self.thread.join(LONG)
        assert not self.thread.is_alive(), "it waits for ever"
        return self.result

    def waits(self, scheduler: Scheduler) -> bool:
        """True once it waits for the scheduler to change."""
        end = threading.Event()
        for _ in range(2000):
            with scheduler.changed:
                if scheduler.changed._waiters:  # type: ignore[attr-defined]
                    return self.thread.is_alive()
            end.wait(0.005)
        return False


# -------------------------------------------------------------------------------------------------------- in order


def test_jobs_are_handed_out_in_order() -> None:
    pool = Pool()
    pool.submit("a", "b", "c")
    assert pool.take_all() == ["a", "b", "c"]


def test_a_worker_holds_a_bounded_number_of_jobs() -> None:
    pool = Pool()
    pool.submit(*map(str, range(2 * AHEAD)))
    assert len(pool.take_all()) == AHEAD
    pool.answer()
    assert pool.take_all() == [str(AHEAD)]


def test_no_worker_takes_ahead_what_an_idle_one_could_begin_with() -> None:
    pool = Pool(workers=3)
    pool.submit("a", "b", "c")
    assert pool.take_all(0) == ["a"]
    assert pool.take_all(1) == ["b"]
    assert pool.take_all(2) == ["c"]


def test_a_broken_worker_is_not_waited_for() -> None:
    pool = Pool(workers=2)
    pool.seats[1].broken = True
    pool.submit("a", "b")
    assert pool.take_all(0) == ["a", "b"]


def test_a_problem_that_only_others_know_is_left_to_them_if_there_is_another_close_behind() -> None:
    pool = Pool(workers=2)
    one, two = problem(1), problem(2)
    pool.submit("1a", on=one)
    pool.take(1)
    pool.submit("1b", "1c", on=one)
    pool.submit("2a", on=two)
    assert pool.take(0) == "2a"
    assert pool.take(0) == "1b", "nothing else is left"


def test_long_jobs_are_not_sent_ahead() -> None:
    pool = Pool()
    pool.submit("a", on=problem(1))
    pool.submit("b", on=problem(2, size=2 * module.AHEAD_BYTES))
    assert pool.take_all() == ["a"]
    pool.answer()
    assert pool.take_all() == ["b"]


def test_a_problem_is_encoded_once_and_one_that_cannot_be_is_not_sent_ahead() -> None:
    pool = Pool()
    bad = Problem("bad", "", [CallCase((object(),), 1)], "f")
    text = pool.scheduler.encoded_problem(ADD)
    assert text
    assert pool.scheduler.encoded_problem(ADD) is text
    assert pool.scheduler.encoded_problem(bad) is None
    with pytest.raises(InvalidProblem):
        module.wire.encoded_problem(bad)


def test_a_job_that_is_judged_again_comes_first() -> None:
    pool = Pool()
    pool.submit("a", "b", "c")
    assert pool.take() == "a"
    (job,) = pool.scheduler.take_back(pool.seats[0])
    pool.scheduler.requeue(job)
    assert pool.take_all() == ["a", "b", "c"]


def test_a_job_that_could_not_be_sent_is_dropped() -> None:
    pool = Pool()
    (future,) = pool.submit("a")
    job = pool.scheduler.next_for(pool.seats[0])
    assert job is not None
    pool.scheduler.drop(pool.seats[0], job)
    pool.scheduler.finish(job, InvalidProblem("bad"))
    assert pool.held() == []
    assert isinstance(future.exception(0), InvalidProblem)


def test_a_worker_forgets_the_problems_that_it_has_not_seen_for_longest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "REMEMBERED", 2)
    seat = Seat(print)
    problems = [problem(i) for i in range(3)]
    assert [seat.learn(problems[i]) for i in (0, 1, 0, 2)] == [True, True, False, True]
    assert list(seat.problems) == [id(problems[0]), id(problems[2])]
    assert seat.forget == [id(problems[1])]


# ------------------------------------------------------------------------------------------------------- take over


def test_what_waits_behind_a_slow_program_is_taken_over() -> None:
    pool = Pool(workers=2)
    futures = pool.submit("slow")
    pool.take(0)
    pool.submit("other")
    pool.take(1)
    futures += pool.submit("b", "c")
    assert pool.take_all(0) == ["b", "c"]
    pool.answer(1)
    numbers = list(pool.seats[0].jobs)[1:]
    pool.seats[0].since -= SLOW
    assert pool.take_all(1) == ["b", "c"]
    assert pool.held(0) == ["slow"]
    assert pool.cancelled == [numbers]
    assert pool.scheduler.judged(pool.seats[0], numbers[0]) is None, "its answer comes too late"
    assert pool.held(1) == ["b", "c"]
    pool.answer(1)
    assert futures[1].result(0) is PASSED


@pytest.mark.parametrize("ready", ["just begun", "not running"])
def test_nothing_is_taken_from_a_worker_that_is_not_slow_yet_or_only_starts(ready: str) -> None:
    pool = Pool(workers=2)
    pool.submit("other")
    pool.take(1)
    pool.submit("a", "b")
    assert pool.take_all(0) == ["a", "b"]
    pool.answer(1)
    pool.seats[0].since += 3600 if ready == "just begun" else -3600
    pool.seats[0].running = ready == "just begun"
    waiting = Background(lambda: pool.take(1))
    assert waiting.waits(pool.scheduler)
    assert pool.held(0) == ["a", "b"]
    pool.submit("c")
    assert waiting.ended() == "c"


# ------------------------------------------------------------------------------------------------------------ calm


def busy_pair() -> Pool:
    """Two workers, of which each has one job that it has begun with and two that it has not."""
    pool = Pool(workers=2)
    pool.submit("a", "b")
    pool.take(0)
    pool.take(1)
    pool.submit("a1", "a2")
    pool.take_all(0)
    pool.submit("b1", "b2")
    pool.take_all(1)
    return pool


def test_calm_comes_when_the_others_have_done_what_they_had_begun_with() -> None:
    pool = busy_pair()
    calm = Background(lambda: pool.scheduler.wait_for_calm(pool.seats[0], next(iter(pool.seats[0].jobs))))
    assert calm.waits(pool.scheduler)
    assert pool.held(1) == ["b"], "what it had not begun with is taken back"
    assert len(pool.cancelled) == 1
    pool.answer(1)
    calm.ended()
    paused = Background(lambda: pool.take(1))
    assert paused.waits(pool.scheduler), "nothing is handed out"
    pool.answer(0)
    assert paused.ended() == "b1"


def test_who_waits_for_calm_is_quiet_itself_and_gets_it_in_turn() -> None:
    pool = busy_pair()
    first, second = (next(iter(seat.jobs)) for seat in pool.seats)
    one = Background(lambda: pool.scheduler.wait_for_calm(pool.seats[0], first))
    assert one.waits(pool.scheduler)
    two = Background(lambda: pool.scheduler.wait_for_calm(pool.seats[1], second))
    one.ended()
    assert two.thread.is_alive()
    pool.answer(0)
    two.ended()


def test_who_waits_for_calm_hears_of_another_that_wants_it_where_nothing_waits_behind_them() -> None:
    pool = Pool(workers=2)
    pool.submit("a", "b")
    pool.take(0)
    pool.take(1)
    first, second = (next(iter(seat.jobs)) for seat in pool.seats)
    one = Background(lambda: pool.scheduler.wait_for_calm(pool.seats[0], first))
    assert one.waits(pool.scheduler)
    two = Background(lambda: pool.scheduler.wait_for_calm(pool.seats[1], second))
    one.ended()
    pool.answer(0)
    two.ended()


def test_a_worker_that_dies_gives_calm_back() -> None:
    pool = busy_pair()
    pool.answer(1)
    pool.scheduler.take_back(pool.seats[1])
    pool.scheduler.wait_for_calm(pool.seats[0], next(iter(pool.seats[0].jobs)))
    pool.submit("c")
    paused = Background(lambda: pool.take(1))
    assert paused.waits(pool.scheduler)
    pool.scheduler.take_back(pool.seats[0])
    assert paused.ended() == "c"


def test_nobody_pauses_for_a_job_that_another_has_taken_over() -> None:
    pool = busy_pair()
    pool.scheduler.wait_for_calm(pool.seats[0], 10_000)
    pool.answer(1)
    assert pool.held(1) == ["b1", "b2"], "nothing was taken back"


def test_waiting_for_calm_ends_with_the_scheduler() -> None:
    pool = busy_pair()
    calm = Background(lambda: pool.scheduler.wait_for_calm(pool.seats[0], next(iter(pool.seats[0].jobs))))
    assert calm.waits(pool.scheduler)
    pool.scheduler.close()
    calm.ended()


# --------------------------------------------------------------------------------------------------------- callers


def test_a_cancelled_job_is_not_handed_out() -> None:
    pool = Pool()
    a, b = pool.submit("a", "b")
    assert a.cancel()
    assert pool.take_all() == ["b"]
    assert not b.cancel(), "somebody judges it"


def test_who_asks_for_the_same_program_meanwhile_gets_the_same_verdict() -> None:
    pool = Pool(cache=1)
    first = pool.submit("a")
    assert pool.take() == "a"
    second = pool.submit("a")
    pool.answer()
    assert [future.result(0) for future in first + second] == [PASSED, PASSED]
    assert pool.submit("a")[0].result(0) is PASSED, "remembered"


def test_few_verdicts_are_remembered_and_the_oldest_goes_first() -> None:
    pool = Pool(cache=2)
    pool.submit("a", "b")
    pool.take_all()
    pool.answer()
    pool.answer()
    assert pool.submit("a")[0].done()
    pool.submit("c")
    pool.take_all()
    pool.answer()
    assert [future.done() for future in pool.submit("a", "c", "b")] == [True, True, False]


def test_errors_are_not_remembered() -> None:
    pool = Pool(cache=2)
    pool.submit("a")
    job = pool.scheduler.next_for(pool.seats[0])
    assert job is not None
    pool.scheduler.judged(pool.seats[0], job.number)
    pool.scheduler.finish(job, SandboxError("down"))
    assert not pool.submit("a")[0].done()


def test_without_a_cache_everything_is_judged_anew() -> None:
    pool = Pool(cache=0)
    pool.submit("a", "a")
    assert pool.take_all() == ["a", "a"]


def test_submit_waits_while_too_many_jobs_are_pending() -> None:
    pool = Pool(pending=2)
    pool.submit("a", "b")
    third = Background(lambda: pool.submit("c"))
    assert third.waits(pool.scheduler)
    assert pool.take() == "a"
    third.ended()
    assert pool.take_all() == ["b", "c"]


# ------------------------------------------------------------------------------------------------------------- end


def test_closing_cancels_what_waits_and_ends_every_wait() -> None:
    pool = Pool(pending=2)
    idle = Background(lambda: pool.scheduler.next_for(pool.seats[0]))
    assert idle.waits(pool.scheduler)
    pool.scheduler.close()
    assert idle.ended() is None

    pool = Pool(pending=2)
    (begun,) = pool.submit("a")
    pool.take()
    waiting = pool.submit("b", "c")
    blocked = Background(lambda: pool.submit("d"))
    assert blocked.waits(pool.scheduler)
    pool.scheduler.close()
    blocked.ended()
    assert isinstance(blocked.error, UsageError)
    assert all(future.cancelled() for future in waiting)
    assert not begun.done(), "its worker answers for it"
    assert pool.scheduler.next_for(pool.seats[0]) is None


def test_a_job_that_comes_back_after_the_end_is_answered_with_an_error() -> None:
    pool = Pool()
    (future,) = pool.submit("a")
    pool.take()
    (job,) = pool.scheduler.take_back(pool.seats[0])
    pool.scheduler.close()
    pool.scheduler.requeue(job)
    assert isinstance(future.exception(0), SandboxError)


def test_a_worker_that_cannot_be_started_leaves_the_jobs_to_the_others() -> None:
    pool = Pool(2)
    (future,) = pool.submit("a")
    with pytest.warns(RuntimeWarning, match="1 of 2 workers are left"):
        pool.scheduler.give_up(pool.seats[0], SandboxError("It cannot be started."))
    assert pool.take(1) == "a"
    pool.answer(1)
    assert future.result(0) is PASSED


def test_without_workers_every_job_gets_the_error_until_the_end() -> None:
    pool = Pool()
    futures = pool.submit("a")
    refusing = Background(lambda: pool.scheduler.give_up(pool.seats[0], SandboxError("none can be started")))
    assert refusing.waits(pool.scheduler)
    futures += pool.submit("b")
    errors = [future.exception(LONG) for future in futures]
    assert [str(error) for error in errors] == ["none can be started"] * 2
    assert errors[0] is not errors[1]
    pool.scheduler.close()
    refusing.ended()


def test_a_verdict_that_nobody_waits_for_harms_nobody() -> None:
    pool = Pool()
    job = Job("a", ADD)
    pool.scheduler.finish(job, PASSED)
    (future,) = pool.submit("b")
    pool.take()
    future.set_result(PASSED)
    pool.answer()
    assert future.result(0) is PASSED


def test_only_an_open_scheduler_of_this_process_takes_jobs() -> None:
    check_open(False, True)
    with pytest.raises(UsageError, match="closed"):
        check_open(True, True)
    with pytest.raises(UsageError, match="fork"):
        check_open(False, False)
