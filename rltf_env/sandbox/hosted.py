"""A judge that clients elsewhere ask: `HostedJudge` is what runs on each node of a cluster.

    about() -> who judges here
    open(body) -> {"request": 7}          a batch is taken, as `protocol.request` has written it
    collect(7, seconds, linger) -> lines  verdicts as they come, as `protocol.encode_line` writes them
    drop(7), release(count)               what is not wanted any more, or by another host sooner

Handing over and collecting are two calls, so that a batch is known to have arrived before anybody
waits for it. `collect` answers within `seconds`, whatever is being judged: that is the sign of life.
A request that carries one endless loop still gives all its other verdicts at once.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import asdict
from functools import partial
from typing import Any

import rltf_env
from rltf_env import sandbox
from rltf_env.core import Problem, Sandbox, Verdict
from rltf_env.errors import DataError, UsageError
from rltf_env.sandbox import protocol
from rltf_env.sandbox.protocol import Result, Returned
from rltf_env.sandbox.store import ProblemStore

ROOM = 1 << 30  # bytes of problems that are remembered


class Request:
    """A batch of a client: what is being judged, and what has not been collected yet.

    `changed` wakes who collects: at the first result, and at the last, but not at each of many between.
    """

    def __init__(self, lock: threading.RLock) -> None:
        self.changed = threading.Condition(lock)
        self.futures: OrderedDict[int, Future[Verdict]] = OrderedDict()
        self.ready: deque[tuple[int, Result]] = deque()
        self.left = 0  # results that have not been collected

    def add(self, n: int, result: Result) -> None:
        """A result. Called under the lock."""
        self.futures.pop(n, None)
        self.ready.append((n, result))
        if len(self.ready) == 1 or len(self.ready) >= self.left:
            self.changed.notify_all()


class HostedJudge:
    """A local judge for clients elsewhere. Safe to use from threads.

    Args:
        name: of the local judge.
        options: of the local judge.
    """

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        self.judge: Sandbox = sandbox.load(name, **options)
        self.store = ProblemStore((), ROOM)
        self.lock = threading.RLock()
        self.requests: OrderedDict[int, Request] = OrderedDict()
        self._numbers = itertools.count(1)

    def about(self) -> dict[str, Any]:
        """Who judges here: verdicts depend on it. Waits until the judge has started.

        Raises:
            SandboxError: it does not start.
        """
        level = self.judge.level() if hasattr(self.judge, "level") else ""  # type: ignore[attr-defined]
        options = asdict(self.judge.options) if hasattr(self.judge, "options") else {}  # type: ignore[attr-defined]
        workers = options.get("workers", 1)
        lasting = {key: value for key, value in options.items() if key not in protocol.PASSING}
        lasting["packages"] = sandbox.packages(options.get("packages"))  # with their versions
        return {
            "rltf": rltf_env.__version__,
            "python": platform.python_version(),
            "judge": level,
            "options": json.loads(json.dumps(lasting)),
            "workers": workers,
            "process": os.getpid(),
        }

    def open(self, body: bytes) -> dict[str, Any]:
        """Begins to judge a batch.

        Returns:
            {"request": its number}, or {"unknown": digests of problems that have to be sent along}, or {"refused": why}.
        """
        content = json.loads(body)
        try:
            with self.lock:
                sent = dict(self.store.put(row, "a problem") for row in content.get("problems", ()))
                keys = {job["digest"] for job in content["jobs"]}
                problems = {key: sent.get(key) or self.store.get(key) for key in keys}
        except (DataError, UsageError) as error:
            return {"refused": str(error)}
        if unknown := sorted(key for key, problem in problems.items() if problem is None):
            return {"unknown": unknown}
        return {"request": self._begin([(job["program"], problems[job["digest"]]) for job in content["jobs"]])}

    def _begin(self, jobs: list[tuple[str, Problem | None]]) -> int:
        request = Request(self.lock)
        request.left = len(jobs)
        with self.lock:
            number = next(self._numbers)
            self.requests[number] = request
        for n, (source, problem) in enumerate(jobs):
            assert problem is not None
            future = self._submitted(source, problem)
            with self.lock:
                request.futures[n] = future
            future.add_done_callback(partial(self._finish, request, n))
        return number

    def _submitted(self, source: str, problem: Problem) -> Future[Verdict]:
        try:
            return self.judge.submit(source, problem)
        except Exception as error:  # of one program; the others of its batch are judged
            failed: Future[Verdict] = Future()
            failed.set_exception(error)
            return failed

    def _finish(self, request: Request, n: int, future: Future[Verdict]) -> None:
        error = Returned("not begun with") if future.cancelled() else future.exception()
        result: Result = error if isinstance(error, Exception) else future.result()
        with self.lock:
            request.add(n, result)

    def collect(self, number: int, seconds: float, linger: float) -> tuple[bool, bytes]:
        """What has been judged of a request.

        Args:
            number: of the request.
            seconds: to wait for the first result, at most.
            linger: seconds to wait for others, once there is one: a call costs half as much as judging a small program.

        Returns:
            True if nothing is left, and a line for each result.
        """
        with self.lock:
            request = self.requests[number]
            if request.changed.wait_for(lambda: request.ready, seconds):
                request.changed.wait_for(lambda: len(request.ready) >= request.left, linger)
            results = list(request.ready)
            request.ready.clear()
            request.left -= len(results)
            over = not request.left
            if over:
                self.requests.pop(number, None)
        return over, "".join(protocol.encode_line(*each) for each in results).encode()

    def drop(self, number: int) -> None:
        """Nobody waits for a request any more: what has not begun does not begin."""
        with self.lock:
            request = self.requests.pop(number, None)
            futures = list(request.futures.values()) if request else []
        for future in futures:
            future.cancel()

    def release(self, count: int) -> int:
        """Gives back up to `count` jobs that have not begun, the newest first. They are `Returned` to whoever collects.

        Returns:
            how many it were.
        """
        with self.lock:
            waiting = [f for request in reversed(self.requests.values()) for f in reversed(request.futures.values())]
        returned = 0
        for future in waiting:
            if returned >= count:
                break
            returned += future.cancel()
        return returned
