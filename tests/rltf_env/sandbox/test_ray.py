"""`sandbox = "ray"`: what becomes of programs whose judge dies, hangs, or leaves with its node.

`FakeCluster` stands in for Ray (`support/fake_cluster.py`); `tests/slow/test_ray.py` kills real processes.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import fake_cluster
import pytest
from fake_cluster import ADD, FAILED, PASSED, FakeCluster, Judge

from rltf_env import cluster, sandbox
from rltf_env.core import CallCase, Problem
from rltf_env.errors import SandboxError, UnknownName, UsageError
from rltf_env.sandbox import nodes, protocol, ray
from rltf_env.sandbox.client import RemoteSandbox
from rltf_env.sandbox.hosted import HostedJudge


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A judge that has answered nothing yet, and a watch that looks often."""
    monkeypatch.setattr(Judge, "ran", Counter())
    monkeypatch.setattr(Judge, "held", [])
    for name, seconds in {"BEAT": 0.05, "SURVEY": 0.01, "GLANCE": 0.002, "FIRST": 0.01}.items():
        monkeypatch.setattr(nodes, name, seconds)
    yield
    Judge.go()


@contextmanager
def opened(fake: FakeCluster, **options: Any) -> Iterator[RemoteSandbox]:
    usual = {"judge": "fake_cluster:load", "batch": 8, "linger": 0.001, "patience": 5.0, "wait": 20.0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ray, "Cluster", lambda address: fake)
        box = sandbox.load("ray", **{**usual, **options})
    with box:
        yield box


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def jobs(count: int, text: str = "") -> list[tuple[str, Problem]]:
    return [(f"{text} {n} {'wrong' if n % 3 == 0 else ''}", ADD) for n in range(count)]


def right(verdicts: list[Any], count: int) -> bool:
    return len(verdicts) == count and all(v.same(FAILED if n % 3 == 0 else PASSED) for n, v in enumerate(verdicts))


def two(box: RemoteSandbox) -> None:
    until(lambda: len(box.hosts) == 2)


# ------------------------------------------------------------------------------------------------------ nothing is lost


def test_verdicts_come_in_the_order_of_the_programs_and_each_is_judged_once() -> None:
    with opened(FakeCluster("a", "b")) as box:
        assert right(list(box.map(jobs(100))), 100)
    assert Judge.ran == Counter(source for source, _ in jobs(100))


@pytest.mark.parametrize("end", ["actor", "node", "stop"])
def test_what_a_lost_node_held_another_one_judges(end: str, caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeCluster("a", "b")
    with opened(fake, patience=0.3) as box, caplog.at_level(logging.WARNING, "rltf.sandbox"):
        two(box)
        futures = [box.submit(*job) for job in jobs(30, "wait")]
        until(lambda: all(host.outstanding for host in box.dispatcher.hosts))
        lost = fake.on("b")
        fake.leave("b")
        if end == "actor":
            fake.kill(lost)
        elif end == "node":
            fake.lose("b")
        else:
            lost.running.clear()
        until(lambda: len(box.hosts) == 1)
        until(lambda: Judge.go() or all(future.done() for future in futures))
        assert right([future.result() for future in futures], 30)
        assert lost.dead, "a judge that comes to again would be one too many"
    assert "node b" in caplog.text
    assert "handed out again" in caplog.text


def test_the_judge_of_a_node_that_stays_is_started_again() -> None:
    fake = FakeCluster("a")
    with opened(fake) as box:
        future = box.submit("wait", ADD)
        until(lambda: Judge.held)
        Judge.held.clear()
        fake.kill(fake.on("a"))
        until(lambda: Judge.held)
        Judge.go()
        assert future.result(20).same(PASSED)
    assert len(fake.actors) == 2


def test_a_program_that_ends_judges_is_given_up_alone_and_is_no_verdict() -> None:
    fake = FakeCluster("a")

    class Deadly(Judge):
        def submit(self, source: str, problem: Problem) -> Any:
            if source == "deadly":
                fake.kill(fake.on("a"))
            return super().submit(source, problem)

    with pytest.MonkeyPatch.context() as patch, opened(fake) as box:
        patch.setattr(fake_cluster, "Judge", Deadly)
        fake.kill(fake.on("a"))
        sources = ["1", "deadly", "2", "3"]
        errors = [future.exception(20) for future in [box.submit(source, ADD) for source in sources]]
    assert [type(error) for error in errors] == [type(None), SandboxError, type(None), type(None)]
    assert "lost 3 times" in str(errors[1])


def test_nodes_that_are_lost_again_and_again_cost_a_program_no_try() -> None:
    fake = FakeCluster("a")
    with opened(fake, tries=1) as box:
        future = box.submit("wait", ADD)
        for life in range(1, 6):
            until(lambda life=life: len(Judge.held) == life)
            fake.lose("a")
        until(lambda: len(Judge.held) == 6)
        Judge.go()
        assert future.result(20).same(PASSED)


def test_without_any_judge_all_that_waits_is_given_up_in_time() -> None:
    fake = FakeCluster("a")
    with opened(fake) as box:
        box.dispatcher.wait = 0.3  # from here on: the first judge of a process takes its imports as well
        futures = [box.submit(*job) for job in jobs(20, "wait")]
        until(lambda: Judge.held)
        fake.alive.clear()
        fake.lose("a")
        assert {type(future.exception(20)) for future in futures} == {SandboxError}


def test_a_program_is_not_given_up_for_the_time_before_it_came() -> None:
    fake = FakeCluster("a")
    with opened(fake) as box:
        box.dispatcher.wait = 0.5
        fake.alive.clear()
        fake.lose("a")
        until(lambda: not box.dispatcher.hosts)
        before = time.monotonic()
        until(lambda: time.monotonic() > before + 0.4)
        future = box.submit("1", ADD)
        until(lambda: time.monotonic() > before + 0.6)
        assert not future.done()
        fake.alive.append(fake_cluster.node("b"))
        assert future.result(20).same(PASSED)


def test_one_program_that_a_judge_cannot_take_costs_its_batch_nothing() -> None:
    def submit(self: Judge, source: str, problem: Problem) -> Any:
        if source == "2":
            raise SandboxError("not this one")
        return submitting(self, source, problem)

    submitting = Judge.submit
    with pytest.MonkeyPatch.context() as patch, opened(FakeCluster("a")) as box:
        patch.setattr(Judge, "submit", submit)
        errors = [future.exception(20) for future in [box.submit(str(n), ADD) for n in range(6)]]
    assert [type(error) for error in errors] == [type(None)] * 2 + [SandboxError] + [type(None)] * 3
    assert "not this one" in str(errors[2])


# ---------------------------------------------------------------------------------------------------------- how it goes


def test_a_program_without_an_end_delays_no_other() -> None:
    with opened(FakeCluster("a")) as box:
        futures = [box.submit("wait" if n == 3 else str(n), ADD) for n in range(8)]
        last = futures.pop(3)
        assert all(future.result(20) for future in futures)
        assert not last.done()
        Judge.go()
        assert last.result(20)


def test_a_node_with_nothing_to_do_gets_what_waits_at_another() -> None:
    fake = FakeCluster("a")
    with opened(fake) as box:
        with box.dispatcher.lock:  # one by one, each would take a request of its own, and a node has few
            futures = [box.submit(*job) for job in jobs(16, "wait")]
        until(lambda: len(Judge.held) >= 16)
        first = list(Judge.held)
        fake.alive.append(fake_cluster.node("b"))
        until(lambda: len(Judge.held) > len(first))
        until(lambda: Judge.go() or all(future.done() for future in futures))
        assert right([future.result() for future in futures], 16)
        assert any(future.cancelled() for _, future in first)
    assert Judge.ran == Counter(source for source, _ in jobs(16, "wait"))


def test_a_node_is_handed_no_more_than_it_was_to_have_and_submit_waits() -> None:
    with opened(FakeCluster("a"), batch=4, ahead=8, pending=5) as box:
        thread = threading.Thread(target=lambda: [box.submit(*job) for job in jobs(30, "wait")])
        thread.start()
        until(lambda: len(box.dispatcher.queue) == 5 and box.dispatcher.hosts[0].outstanding > 4)
        assert thread.is_alive()
        assert box.dispatcher.hosts[0].outstanding <= 8
        until(lambda: Judge.go() or not thread.is_alive())
        until(lambda: Judge.go() or not box.dispatcher.queue)


def test_a_problem_crosses_once_for_each_judge() -> None:
    seen: list[bool] = []
    opening = HostedJudge.open

    def counted(self: HostedJudge, body: bytes) -> Any:
        seen.append(b'"problems"' in body)
        return opening(self, body)

    with pytest.MonkeyPatch.context() as patch, opened(FakeCluster("a"), batch=1) as box:
        patch.setattr(HostedJudge, "open", counted)
        for n in range(5):
            box.run(str(n), ADD)
    assert seen.count(True) == 1


def test_a_node_that_judges_otherwise_is_left_out_by_name(caplog: pytest.LogCaptureFixture) -> None:
    fake = FakeCluster("a")
    with pytest.MonkeyPatch.context() as patch, opened(fake) as box:
        patch.setattr(Judge, "level_name", "fake/limits:")
        with caplog.at_level(logging.WARNING, "rltf.sandbox"):
            fake.alive.append(fake_cluster.node("b"))
            until(lambda: "node b (b) does not judge for this client" in caplog.text)
        assert box.hosts == ("node a (a)",)
        assert right(list(box.map(jobs(20))), 20)


# -------------------------------------------------------------------------------------------------- opened and closed


def test_no_node_that_may_judge_is_an_error_that_says_so() -> None:
    with (
        pytest.raises(SandboxError, match="no node of the cluster has 'gpu'"),
        opened(FakeCluster("a"), wait=0.1, nodes="gpu"),
    ):
        pass


def test_a_judge_that_does_not_start_is_an_error_with_its_reason() -> None:
    with (
        pytest.raises(SandboxError, match="no_such_module"),
        opened(FakeCluster("a"), wait=0.3, judge="fake_cluster:broken"),
    ):
        pass


def test_the_level_that_is_required_is_that_of_the_nodes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Judge, "level_name", "fake/limits:")
    fake = FakeCluster("a")
    with pytest.raises(SandboxError, match="Expected isolation of level 'full'"), opened(fake, require="full"):
        pass
    assert fake.closed


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"batch": 0}, UsageError, "batch"),
        ({"patience": "1"}, UsageError, "patience"),
        ({"judge": "auto", "case_secods": 1}, UnknownName, "Did you mean 'case_seconds'"),
        ({"judge": "auto", "case_seconds": -1}, UsageError, "case_seconds"),
        ({"judge": "nobody"}, UnknownName, "nobody"),
        ({"judge": "static"}, UsageError, "a cluster, whose programs are paid"),
        ({"require": "much"}, UnknownName, "isolation level"),
    ],
)
def test_options_of_no_use_are_refused(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message), opened(FakeCluster("a"), **options):
        pass


def test_a_closed_sandbox_lets_nobody_wait_and_leaves_no_judge() -> None:
    fake = FakeCluster("a")
    with opened(fake, batch=1, ahead=1) as box:
        futures = [box.submit(*job) for job in jobs(8, "wait")]
        until(lambda: Judge.held)
        box.close()
        box.close()
        assert all(future.cancelled() or isinstance(future.exception(20), SandboxError) for future in futures)
        with pytest.raises(UsageError, match="closed"):
            box.run("3", ADD)
    assert fake.closed
    assert all(actor.dead for actor in fake.actors)


# ------------------------------------------------------------------------------------------------------------ the host


def hosted() -> HostedJudge:
    return HostedJudge("fake_cluster:load", {})


def body(*sources: str, known: bool = False) -> bytes:
    rows = [] if known else [protocol.encode_problem(ADD)]
    return protocol.request([(protocol.digest(ADD), source) for source in sources], rows)


def test_a_host_asks_for_problems_that_it_does_not_know() -> None:
    judge = hosted()
    assert judge.open(body("1", known=True)) == {"unknown": [protocol.digest(ADD)]}
    assert judge.open(body("1")) == {"request": 1}
    assert judge.open(body("2", known=True)) == {"request": 2}


def test_a_host_says_that_it_lives_while_it_judges() -> None:
    judge = hosted()
    number = judge.open(body("wait", "1"))["request"]
    over, lines = judge.collect(number, 0.01, 0.0)
    assert (over, len(lines.splitlines())) == (False, 1)
    assert judge.collect(number, 0.01, 0.0) == (False, b"")
    Judge.go()
    assert judge.collect(number, 5.0, 0.0)[0]
    assert not judge.requests


def test_a_request_that_nobody_waits_for_begins_nothing() -> None:
    judge = hosted()
    judge.drop(judge.open(body("wait 1", "wait 2"))["request"])
    Judge.go()
    assert not Judge.ran
    assert not judge.requests


def test_a_problem_that_is_none_is_refused_with_its_reason() -> None:
    bad = {**protocol.encode_problem(Problem("bad", "", [CallCase((1,), 2)], "f")), "cases": []}
    assert "cases" in hosted().open(protocol.request([("0" * 64, "1")], [bad]))["refused"]


# --------------------------------------------------------------------------------------------------------- the cluster


def test_a_cluster_elsewhere_needs_a_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    for address in ("10.0.0.7:6379", "ray://head:10001"):
        with pytest.raises(UsageError, match="RAY_AUTH_MODE=token"):
            cluster.check_address(address)
    for address in ("127.0.0.1:6379", "localhost:6379", "auto"):
        cluster.check_address(address)
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    cluster.check_address("10.0.0.7:6379")


def test_without_ray_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cluster.sys.modules, "ray", None)
    with pytest.raises(UsageError, match=r"pip install 'rltf\[ray\]'"):
        sandbox.load("ray")


def test_the_doctor_says_which_nodes_judge() -> None:
    from rltf_env import doctor

    nodes = ("node a (a)", "node b (b)")
    health = doctor.Health("forkserver/full:rlimits", "full", ("rlimits",), "", 500.0, 0.1, True, nodes)
    assert doctor.report(health, "full").startswith("a service (node a (a), node b (b)): what is missing")
