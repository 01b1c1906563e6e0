"""A sandbox that has its programs judged elsewhere: what callers of `sandbox/http.py` and `sandbox/ray.py` hold.

`Dispatcher` has the queue and the threads; this is the `core.Sandbox` around it.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future
from contextlib import closing
from typing import Any

from rltf_env.core import Problem, Verdict
from rltf_env.core.seams import in_order
from rltf_env.errors import SandboxError, UnknownName, UsageError
from rltf_env.sandbox.cage.isolation import LEVELS
from rltf_env.sandbox.dispatch import Dispatcher
from rltf_env.sandbox.pool import wire


def check_numbers(numbers: Mapping[str, Any], seconds: Mapping[str, Any], require: str) -> None:
    """Raises UsageError or UnknownName on options of no use: whole numbers, seconds, a level of isolation."""
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise UsageError(f"Expected {name} to be a positive whole number, got {value!r}.")
    for name, value in seconds.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
            raise UsageError(f"Expected {name} to be a positive number, got {value!r}.")
    if require not in LEVELS:
        raise UnknownName("isolation level", require, LEVELS)


class RemoteSandbox:
    """A `core.Sandbox` whose programs are judged by hosts elsewhere. Safe to use from threads; close it, or use it with `with`.

    Args:
        dispatcher: that carries the programs.
        require: the weakest level of isolation that will do.
        end: what ends the dispatcher, and whatever it needs; without, its `close`.

    Raises:
        SandboxError: no host answered in time, or the isolation is too weak.
    """

    def __init__(self, dispatcher: Dispatcher, require: str = "none", end: Callable[[], None] | None = None) -> None:
        self.dispatcher, self._pid = dispatcher, os.getpid()
        self._finalizer = weakref.finalize(self, end or dispatcher.close)
        try:
            dispatcher.connect()
        except BaseException:
            self.close()
            raise
        level = self.level().partition("/")[2].partition(":")[0]
        if require != "none" and (level not in LEVELS or LEVELS.index(level) < LEVELS.index(require)):
            self.close()
            raise SandboxError(f"Expected isolation of level {require!r} or better, got {self.level()!r}.")

    @property
    def closed(self) -> bool:
        """True after `close`."""
        return self.dispatcher.closed

    @property
    def options(self) -> Mapping[str, Any]:
        """The options of the hosts' judges, those aside that no verdict depends on."""
        return self.dispatcher.known.get("options", {})

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names of those who judge now."""
        with self.dispatcher.lock:
            return tuple(host.shown for host in self.dispatcher.hosts if host.about is not None)

    def level(self) -> str:
        """Backend, isolation level and layers of the hosts, as `Verdict.judged_by` has them."""
        return str(self.dispatcher.known.get("judge", ""))

    def run(self, source: str, problem: Problem) -> Verdict:
        """The verdict on `source`. Raises SandboxError if no host gave one."""
        return self.submit(source, problem).result()

    def submit(self, source: str, problem: Problem) -> Future[Verdict]:
        """Has `source` judged in the background; waits while too many programs are pending."""
        wire.check_job(source, problem)
        self._check_open()
        return self.dispatcher.submit(source, problem)

    def map(self, jobs: Iterable[tuple[str, Problem]]) -> Iterator[Verdict]:
        """Verdicts in the order of `jobs`, which may be endless: a bounded number is taken ahead of need."""
        with closing(in_order((self.submit(*job) for job in jobs), self.dispatcher.window)) as futures:
            for future in futures:
                yield future.result()

    def close(self) -> None:
        """Hangs up; what was not judged yet is cancelled, or gets SandboxError. May be called again."""
        if os.getpid() == self._pid:
            self._finalizer()

    def __enter__(self) -> RemoteSandbox:
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
