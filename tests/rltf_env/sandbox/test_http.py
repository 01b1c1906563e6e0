"""`sandbox = "http"`: what becomes of programs whose service is full, slow, gone, or another than it was.

`Fake` is a service of the tests' own (`support/fake_service.py`).
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from fake_service import (
    ABOUT,
    ADD,
    PASSED,
    Fake,
    Rule,
    failed,
    half,
    hang_up,
    judge,
    opened,
    programs,
    reply,
    silence,
    status,
    stream,
)

from rltf_env import datasets, sandbox, testing
from rltf_env.core import CallCase, FailureKind, Outcome, Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import InvalidProblem, SandboxError, UnknownName, UsageError
from rltf_env.sandbox import protocol
from rltf_env.sandbox.http import load

# ------------------------------------------------------------------------------------------------------ nothing is lost


@pytest.mark.parametrize(
    "rules",
    [
        [],
        [half],
        [half, half, hang_up],
        [status(429, Retry_After="0.05")],
        [status(503), status(503, Retry_After="nonsense")],
        [status(500)],
        [status(502), half],
        [failed],
    ],
)
def test_every_program_has_its_verdict_and_those_that_were_answered_are_not_sent_again(rules: list[Rule]) -> None:
    with Fake(*rules) as fake, opened(fake, batch=8, ahead=16, tries=9) as box:
        verdicts = list(box.map(programs(60)))
    assert all(verdict.same(PASSED) for verdict in verdicts)
    assert fake.handed == Counter(str(n) for n in range(60))


def test_another_service_takes_over_what_one_has_lost() -> None:
    with Fake() as good, Fake(half) as bad, opened(good, bad, batch=8, ahead=16) as box:
        first = list(box.map(programs(40)))
        bad.server.shutdown()
        bad.server.server_close()
        rest = list(box.map(programs(40)))
    assert len(first) + len(rest) == 80


def test_a_service_that_says_nothing_is_given_up() -> None:
    with Fake(silence) as fake, opened(fake, patience=0.2) as box:
        assert box.run("x", ADD).same(PASSED)


def test_a_program_that_ends_services_is_given_up_alone() -> None:
    def die_of(name: str) -> Rule:
        def rule(fake: Fake, handler: Any, jobs: list[Any]) -> None:
            (hang_up if name in [job["program"] for job in jobs] else judge)(fake, handler, jobs)

        return rule

    with Fake(*[die_of("7")] * 60) as fake, opened(fake, batch=8, ahead=8) as box:
        futures = [box.submit(*job) for job in programs(16)]
        errors = [future.exception(20) for future in futures]
    assert [type(error) for error in errors if error] == [SandboxError]
    assert errors[7] is not None


def test_a_judge_that_fails_again_and_again_is_an_error() -> None:
    with Fake(*[failed] * 3) as fake, opened(fake) as box, pytest.raises(SandboxError, match="down"):
        box.run("x", ADD)


def test_a_service_that_comes_back_is_used_again() -> None:
    with Fake() as first:
        port = first.server.server_address[1]
        box = opened(first)
        box.run("1", ADD)
    future = box.submit("2", ADD)
    with Fake(port=port):
        assert future.result(20).same(PASSED)
        box.close()


def test_without_a_service_all_that_waits_is_given_up_in_time() -> None:
    with Fake() as fake:
        box = opened(fake, wait=0.3)
    futures = [box.submit(*job) for job in programs(100)]
    assert {type(future.exception(20)) for future in futures} == {SandboxError}
    box.close()


def test_a_kept_connection_that_the_service_closed_is_no_loss() -> None:
    def once(fake: Fake, handler: Any, jobs: list[Any]) -> None:
        judge(fake, handler, jobs)
        handler.close_connection = True

    with Fake(once, once) as fake, opened(fake, tries=1) as box:
        assert [box.run(str(n), ADD).outcome for n in range(3)] == [Outcome.PASSED] * 3


# ------------------------------------------------------------------------------------------------------ how it is asked


def test_programs_go_in_full_batches_and_no_more_than_a_service_was_to_have() -> None:
    with Fake() as fake, opened(fake, batch=16, ahead=32) as box:
        list(box.map(programs(320)))
    assert max(fake.batches) == 16
    assert sum(fake.batches) == 320
    assert len(fake.batches) < 60


def test_one_endless_program_does_not_keep_others_waiting() -> None:
    endless: list[str] = []

    def slow(fake: Fake, handler: Any, jobs: list[Any]) -> None:
        def lines() -> Iterator[str]:
            endless.append(jobs[0]["program"])
            yield from (protocol.encode_line(n, PASSED) for n in range(1, len(jobs)))
            fake.stop.wait(20)
            yield protocol.encode_line(0, PASSED)

        stream(handler, lines())

    with Fake(slow) as fake, opened(fake, batch=8, ahead=16, patience=60.0) as box:
        futures = [box.submit(*job) for job in programs(50)]
        while not endless:
            time.sleep(0)
        last = futures.pop(int(endless[0]))
        assert all(future.result(10) for future in futures)
        assert not last.done()
        fake.stop.set()
        assert last.result(20)


def test_a_problem_crosses_when_it_is_asked_for_and_only_then() -> None:
    known: set[str] = set()

    def ask(fake: Fake, handler: Any, jobs: list[Any]) -> None:
        reply(handler, 409, {"unknown": sorted({job["digest"] for job in jobs} - known)})
        known.update(job["digest"] for job in jobs)

    with Fake(ask) as fake, opened(fake) as box:
        assert box.run("x", ADD).same(PASSED)
    assert known == {protocol.digest(ADD)}


def test_a_service_that_never_knows_a_problem_is_an_error() -> None:
    def never(fake: Fake, handler: Any, jobs: list[Any]) -> None:
        reply(handler, 409, {"unknown": [job["digest"] for job in jobs]})

    with Fake(*[never] * 9) as fake, opened(fake) as box, pytest.raises(SandboxError):
        box.run("x", ADD)


def test_a_cancelled_program_is_never_sent() -> None:
    hold = threading.Event()

    def wait(fake: Fake, handler: Any, jobs: list[Any]) -> None:
        hold.wait(20)
        judge(fake, handler, jobs)

    with Fake(wait) as fake, opened(fake, batch=1, ahead=1) as box:
        first, second, third = (box.submit(str(n), ADD) for n in range(3))
        assert second.cancel()
        hold.set()
        assert first.result(20)
        assert third.result(20)
    assert "1" not in fake.handed


def test_a_batch_that_is_too_long_goes_in_parts_and_one_program_that_is_gets_an_error() -> None:
    with Fake(about=ABOUT | {"body": 400}) as fake, opened(fake) as box:
        futures = [box.submit(source, ADD) for source in (*"abcdefgh", "x" * 1000)]
        assert [future.exception(20) for future in futures[:-1]] == [None] * 8
        assert isinstance(futures[-1].exception(20), UsageError)


def test_one_refused_problem_does_not_take_its_batch_with_it() -> None:
    bad = Problem("bad", "", [CallCase((0,), 0)], "f")

    def refuse(fake: Fake, handler: Any, jobs: list[Any]) -> None:
        if protocol.digest(bad) in [job["digest"] for job in jobs]:
            reply(handler, 422, {"detail": "no such problem"})
        else:
            judge(fake, handler, jobs)

    with Fake(*[refuse] * 30) as fake, opened(fake) as box:
        futures = [box.submit(str(n), bad if n == 2 else ADD) for n in range(6)]
        errors = [future.exception(20) for future in futures]
    assert [type(error) for error in errors] == [type(None)] * 2 + [InvalidProblem] + [type(None)] * 3
    assert "no such problem" in str(errors[2])


# ------------------------------------------------------------------------------------------------- opened and closed


def test_without_an_address_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RLTF_JUDGE_URL", raising=False)
    with pytest.raises(UsageError, match="rltf serve"):
        sandbox.load("http")


@pytest.mark.parametrize("url", ["127.0.0.1:8080", "ftp://x", "http://", "http://x:port", "http://[::1"])
def test_what_is_no_address_is_refused_without_its_token(url: str) -> None:
    with pytest.raises(UsageError, match="URL") as refused:
        load(url.replace("://", "://x:secret-token@") if "://" in url else url)
    assert "secret-token" not in str(refused.value)


@pytest.mark.parametrize(
    "options", [{"batch": 0}, {"tries": True}, {"wait": 0}, {"patience": "1"}, {"ahead": 1.5}, {"require": "much"}]
)
def test_options_of_no_use_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises((UsageError, UnknownName)):
        load("http://127.0.0.1:1", **options)


def test_options_of_a_judge_are_held_against_the_service_s() -> None:
    with Fake(about=ABOUT | {"options": {"trace": False, "packages": ["numpy"], "case_seconds": 4.0}}) as fake:
        opened(fake, case_seconds=4, packages=("numpy",)).close()
        with pytest.raises(UsageError, match="rltf serve --set trace=true"):
            opened(fake, trace=True)
        with pytest.raises(UnknownName, match="Did you mean 'patience'"):
            opened(fake, pateince=2)
        with pytest.raises(UnknownName, match="is the service's"):
            opened(fake, workers=2)


def test_what_a_reward_needs_is_asked_of_the_service() -> None:
    problem = datasets.load("procedural", size=1)[0]
    for options, good in (({"trace": True}, True), ({}, False)):
        with real(options={"workers": 1, **options}) as url:
            sandbox_options = {"urls": url}
            env = UnitTestEnv("procedural", reward="executed", sandbox="http", sandbox_options=sandbox_options)
            if good:
                assert env.judge(problem, problem.solutions[0]).verdict.executed
            else:
                with pytest.raises(UsageError, match="Expected a service with trace = True"):
                    env.judge(problem, problem.solutions[0])
            env.close()


def test_a_service_that_does_not_come_is_an_error_in_time() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with pytest.raises(SandboxError, match="Expected a service within"):
            load(f"http://127.0.0.1:{free.getsockname()[1]}", wait=0.2)


def test_services_that_judge_differently_are_not_mixed() -> None:
    other = ABOUT | {"options": {"case_seconds": 9}}
    with Fake() as one, Fake(about=other) as two, pytest.raises(UsageError, match="judge alike"):
        opened(one, two)


def test_a_service_that_comes_back_as_another_is_left() -> None:
    with Fake() as stays, Fake(hang_up, hang_up) as changes:
        box = opened(stays, changes, batch=1, ahead=1)
        changes.about = ABOUT | {"python": "2"}

        def judge_until_it_is_left() -> None:
            assert len(list(box.map(programs(20)))) == 20
            while len(box.dispatcher.hosts) > 1:
                box.run("more", ADD)

        with pytest.warns(RuntimeWarning, match="judges no more"):
            judge_until_it_is_left()
        box.close()


def test_the_level_that_is_required_is_that_of_the_service() -> None:
    with Fake(about=ABOUT | {"judge": "fake/limits:rlimits"}) as fake:
        with pytest.raises(SandboxError, match="Expected isolation of level 'full'"):
            opened(fake, require="full")
        opened(fake, require="limits").close()


def test_a_closed_sandbox_lets_nobody_wait() -> None:
    with Fake(silence) as fake:
        box = opened(fake, batch=1, ahead=1, patience=0.5)
        held, waiting = box.submit("1", ADD), box.submit("2", ADD)
        while not held.running():
            time.sleep(0)
        box.close()
        box.close()
        assert isinstance(held.exception(20), SandboxError)
        assert waiting.cancelled()
        with pytest.raises(UsageError, match="closed"):
            box.run("3", ADD)


def test_a_sandbox_that_is_forgotten_ends() -> None:
    with Fake() as fake:
        box = opened(fake)
        box.run("1", ADD)
        dispatcher = box.dispatcher
        del box
        assert dispatcher.closed


def test_what_is_no_program_is_refused_at_once() -> None:
    with Fake() as fake, opened(fake) as box, pytest.raises(UsageError, match="Expected a program's text"):
        box.submit(3, ADD)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------ a real service


@contextlib.contextmanager
def real(**settings: Any) -> Iterator[str]:
    app = pytest.importorskip(
        "rltf_env.serve.app", reason="needs FastAPI: pip install 'rltf[serve]'", exc_type=ImportError
    )
    from rltf_env.serve.settings import Settings

    with app.background(Settings(**{"port": 0, **settings})) as url:
        yield url


def test_a_wrong_token_is_said_at_once_and_the_right_one_may_stand_in_the_url() -> None:
    token = "a token of some length"
    with real(token=token, options={"workers": 1}) as url:
        with pytest.raises(UsageError, match="RLTF_JUDGE_TOKEN"):
            load(url)
        with pytest.raises(UsageError, match="got another"):
            load(url, token="a token of some other length")
        place = url.removeprefix("http://")
        for box in (load(url, token), load(f"http://x:{token.replace(' ', '%20')}@{place}")):
            with box:
                assert box.run("def add(a, b): return a + b", ADD).outcome is Outcome.PASSED


class Cutter:
    """A way to a service that breaks each connection after so many bytes of replies, so many times."""

    def __init__(self, url: str, after: int, times: int) -> None:
        self.target = url.removeprefix("http://").split(":")
        self.after, self.times = after, times
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self.listener.accept()
                far = socket.create_connection((self.target[0], int(self.target[1])))
                threading.Thread(target=self._pass, args=(near, far, None), daemon=True).start()
                threading.Thread(target=self._pass, args=(far, near, self.after), daemon=True).start()

    def _pass(self, source: socket.socket, to: socket.socket, most: int | None) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(4096):
                to.sendall(data)
                passed += len(data)
                if most is not None and self.times and passed > most:
                    self.times -= 1
                    break
        for each in (source, to):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def test_lost_connections_cost_no_verdict_and_no_program_is_judged_twice() -> None:
    with sandbox.load(workers=1) as judging, real(sandbox=judging) as url:
        judged: Counter[str] = Counter()
        finish = judging.scheduler.finish

        def counted(job: Any, result: Any) -> None:
            judged[job.source] += 1
            finish(job, result)

        judging.scheduler.finish = counted
        cutter = Cutter(url, after=3000, times=4)
        jobs = [(f"def add(a, b): return a + b + {n % 2}  # {n}", ADD) for n in range(100)]
        with load(cutter.url, batch=16, ahead=32, tries=9) as box:
            verdicts = list(box.map(jobs))
        cutter.listener.close()
    assert [verdict.outcome is Outcome.PASSED for verdict in verdicts] == [n % 2 == 0 for n in range(100)]
    assert cutter.times == 0
    assert judged == Counter(source for source, _ in jobs)


def test_the_contract_holds_over_http() -> None:
    with real(options={"workers": 2, "case_seconds": 0.5, "memory_mb": 300}) as url, load(url) as box:
        testing.check_sandbox(box)
        assert box.level().startswith("forkserver/")


def test_an_odd_problem_is_told_as_a_judge_of_this_process_tells_it() -> None:
    order = Problem("odd", "", [CallCase((1,), 1)], "f", meta={"order": "sideways"})
    value = Problem("odd", "", [CallCase((object(),), 1)], "f")
    surrogate = "x = '\ud800'"
    with real(options={"workers": 1}) as url, load(url) as box, sandbox.load(workers=1) as local:
        for each in (box, local):
            for problem in (order, value):
                with pytest.raises(InvalidProblem):
                    each.run("f = abs", problem)
        assert box.run(surrogate, ADD).same(local.run(surrogate, ADD))


def test_lines_and_facts_cross_as_they_are() -> None:
    options: dict[str, Any] = {"workers": 1, "trace": True, "trace_cases": True, "facts": True}
    with real(options=options) as url, load(url) as box, sandbox.load(**options) as local:
        program = "def add(a, b):\n    if a:\n        return a + b\n    return 0\n"
        assert box.run(program, ADD) == local.run(program, ADD)
        assert box.run(program, ADD).executed


def test_verdicts_from_a_service_time_out_as_they_do_here() -> None:
    with real(options={"workers": 1, "case_seconds": 0.3}) as url, load(url) as box:
        (result,) = box.run("while True: pass", ADD).results
    assert result.failure is not None
    assert result.failure.kind == FailureKind.TIMEOUT
