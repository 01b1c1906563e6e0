"""The dispatcher with hosts of the tests' own, where their order of events can be chosen."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from fake_cluster import ADD, PASSED

from rltf_env.errors import SandboxError
from rltf_env.sandbox.dispatch import Dispatcher
from rltf_env.sandbox.hosts import Host, Lost
from rltf_env.sandbox.jobs import Job
from rltf_env.sandbox.protocol import Result, Returned

ABOUT = {"rltf": "0", "python": "3", "judge": "fake/full:", "options": {}}


class Scripted(Host):
    """A host that answers as `answer` says."""

    workers = 1

    def __init__(self) -> None:
        super().__init__("scripted")
        self.asked: list[int] = []

    def connect(self, patience: float) -> Any:
        return Asked(self)

    def release(self, count: int) -> int:
        self.asked.append(count)
        return count

    def answer(self, programs: list[str]) -> Iterator[tuple[int, Result]]:
        yield from ((n, PASSED) for n in range(len(programs)))


class Asked:
    """A connection to it."""

    def __init__(self, host: Scripted) -> None:
        self.host = host

    def about(self) -> dict[str, Any]:
        return ABOUT

    def judge(self, body: bytes) -> Iterator[tuple[int, Result]]:
        return self.host.answer([job["program"] for job in json.loads(body)["jobs"]])

    def abort(self) -> None:
        return


def dispatcher(*hosts: Host, **numbers: int) -> Dispatcher:
    usual: dict[str, Any] = {"batch": 8, "ahead": 16, "connections": 8, "pending": 100, "tries": 3}
    return Dispatcher(hosts, **{**usual, **numbers}, patience=5.0, wait=20.0)


class Crowded(Scripted):
    """It dies of the program "deadly" once it has been handed all programs that are handed out beside that."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Condition()
        self.inside: set[str] = set()
        self.deaths = 0
        self.rest = 0.0

    def failed(self, jitter: float) -> None:
        """It is back at once."""

    def answer(self, programs: list[str]) -> Iterator[tuple[int, Result]]:
        with self.lock:
            before = self.deaths
            self.inside.update(programs)
            if "deadly" in programs:
                self.lock.wait_for(lambda: len(self.inside) == 4, 0.3)  # the others, if they are to come
                self.deaths += 1
                self.lock.notify_all()
            self.lock.wait_for(lambda: self.deaths > before, 0.6)
            self.inside.difference_update(programs)
            died = self.deaths > before
        if died:
            raise Lost("dead", handed=True)
        yield from ((n, PASSED) for n in range(len(programs)))


def test_at_its_last_try_a_program_has_a_host_for_itself() -> None:
    carrier = dispatcher(Crowded())
    with carrier.lock:  # so that all go in one batch
        futures = [carrier.submit(program, ADD) for program in ("1", "deadly", "2", "3")]
    errors = [future.exception(20) for future in futures]
    carrier.close()
    assert [type(error) for error in errors] == [type(None), SandboxError, type(None), type(None)]


@pytest.mark.parametrize(
    ("tries", "outstanding", "reserved", "count"),
    [(0, 3, False, 2), (1, 3, False, 1), (2, 3, False, 0), (2, 0, False, 1), (0, 1, True, 0), (2, 1, True, 0)],
)
def test_a_last_try_waits_until_its_host_is_empty_and_others_wait_for_it(
    tries: int, outstanding: int, reserved: bool, count: int
) -> None:
    host = Scripted()
    carrier = dispatcher(host)
    for program in ("1", "2"):
        carrier.queue.append(Job(program, ADD, "digest"))
    carrier.queue[0].tries, carrier.queue[0].alone = tries, tries > 0
    host.outstanding, host.reserved = outstanding, reserved
    assert carrier._count(host) == count


def test_nothing_is_asked_back_twice_before_it_has_come() -> None:
    full, idle = Scripted(), Scripted()
    carrier = dispatcher(full, idle)
    for host in (full, idle):
        carrier.welcome(host, ABOUT)
    full.outstanding = 9
    carrier.balance()
    carrier.balance()
    assert (full.asked, idle.asked) == ([4], [])
    full.returned, full.outstanding = 4, 5
    carrier.balance()
    assert full.asked == [4, 2]


def test_what_a_host_gives_back_is_judged_by_another_and_costs_no_try() -> None:
    class Giving(Scripted):
        def answer(self, programs: list[str]) -> Iterator[tuple[int, Result]]:
            giving.rest = 1e12  # from now on it rests, so the other is asked
            yield from ((n, Returned("not begun with")) for n in range(len(programs)))

    giving = Giving()
    carrier = dispatcher(giving, Scripted(), tries=1)
    carrier.hosts[1].outstanding = 1  # the first is asked first
    assert carrier.submit("1", ADD).result(20).same(PASSED)
    assert giving.returned == 1
    carrier.close()
