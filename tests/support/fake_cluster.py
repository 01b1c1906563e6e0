"""A cluster of the tests' own: actors are threads of this process, which a test may kill, stop, or lose with their node.

It has the shape of `rltf_env.cluster.Cluster`. `Judge` is a judge that a test lets answer.
"""

from __future__ import annotations

import copy
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as LateError
from typing import Any, ClassVar

from rltf_env.cluster import Failed, Gone, Node
from rltf_env.core import CallCase, CaseResult, Failure, Outcome, Problem, Verdict

ADD = Problem("add", "", [CallCase((1, 2), 3)], "add")
PASSED = Verdict((CaseResult(Outcome.PASSED),), judged_by="fake/full:")
_WRONG = CaseResult(Outcome.WRONG_ANSWER, Failure("WrongAnswer", "no", None))
FAILED = Verdict((_WRONG,), judged_by="fake/full:")


class Actor:
    """An instance in threads of its own, and every promise that it has not kept."""

    def __init__(self, kind: type, arguments: tuple[Any, ...], node: str, calls: int) -> None:
        self.kind, self.node = kind, node
        self.pool = ThreadPoolExecutor(calls)
        self.dead: Gone | None = None
        self.running = threading.Event()  # cleared: stopped, as by SIGSTOP
        self.running.set()
        self.promises: set[Future[Any]] = set()
        self.made = self.pool.submit(lambda: kind(*arguments))


class FakeCluster:
    """Nodes of one processor each, which may join and leave."""

    def __init__(self, *names: str) -> None:
        self.alive = [node(name) for name in names]
        self.actors: list[Actor] = []
        self.lock = threading.RLock()
        self.closed = False

    # ------------------------------------------------------------------------------------------- as the real one

    def close(self) -> None:
        self.closed = True
        for actor in self.actors:
            self.end(actor, Gone("closed", node=False))

    def nodes(self) -> list[Node]:
        return list(self.alive)

    def start(self, kind: type, *arguments: Any, node: str = "", calls: int = 1, **resources: float) -> Actor:
        actor = Actor(kind, arguments, node, calls)
        with self.lock:
            self.actors.append(actor)
        return actor

    def call(self, actor: Actor, method: str, *arguments: Any) -> Future[Any]:
        promise: Future[Any] = Future()
        with self.lock:
            if actor.dead:
                raise actor.dead
            actor.promises.add(promise)
            actor.pool.submit(self._answer, actor, promise, method, arguments)
        return promise

    def _answer(self, actor: Actor, promise: Future[Any], method: str, arguments: tuple[Any, ...]) -> None:
        try:
            value, error = getattr(actor.made.result(), method)(*arguments), None
        except Exception as raised:
            value, error = None, Failed(f"Traceback\n{type(raised).__name__}: {raised}")
        actor.running.wait()
        with self.lock:
            actor.promises.discard(promise)
            if not promise.done():
                promise.set_exception(error) if error else promise.set_result(value)

    def wait(self, promise: Future[Any], seconds: float) -> bool:
        try:
            promise.exception(seconds)
        except LateError:
            return False
        return True

    def get(self, promise: Future[Any], seconds: float) -> Any:
        try:
            return promise.result(seconds)
        except LateError:
            raise TimeoutError(f"nothing for {seconds:g} s") from None

    def put(self, value: Any) -> Any:
        return copy.deepcopy(value)  # a store's objects do not change

    def kill(self, actor: Actor) -> None:
        self.end(actor, Gone("it has died (killed)", node=False))

    # ---------------------------------------------------------------------------------------------- what tests do

    def on(self, name: str) -> Actor:
        """The newest actor of a node."""
        return next(actor for actor in reversed(self.actors) if actor.node == name)

    def end(self, actor: Actor, error: Gone) -> None:
        """The actor's process dies."""
        with self.lock:
            actor.dead = actor.dead or error
            promises, actor.promises = actor.promises, set()
            for promise in promises:
                promise.set_exception(error)
        actor.running.set()
        actor.pool.shutdown(wait=False)

    def lose(self, name: str) -> None:
        """The node dies, as a caller sees it; the cluster takes it for alive until `leave`."""
        self.end(self.on(name), Gone("its node does not answer (lost)", node=True))

    def leave(self, name: str) -> None:
        self.alive = [each for each in self.alive if each.id != name]


def node(name: str) -> Node:
    return Node(name, name, 1.0, {"CPU": 1.0, "judge": 1.0})


class Judge:
    """A local judge: programs that say "wait" are answered by `Judge.go`, all others at once. `ran` counts them."""

    ran: ClassVar[Counter[str]] = Counter()
    held: ClassVar[list[tuple[str, Future[Verdict]]]] = []
    level_name = "fake/full:"

    def level(self) -> str:
        return self.level_name

    def submit(self, source: str, problem: Problem) -> Future[Verdict]:
        future: Future[Verdict] = Future()
        if "wait" in source:
            Judge.held.append((source, future))
        elif future.set_running_or_notify_cancel():
            Judge.ran[source] += 1
            future.set_result(FAILED if "wrong" in source else PASSED)
        return future

    @classmethod
    def go(cls) -> None:
        """Answers all that waits."""
        while cls.held:
            source, future = cls.held.pop()
            if future.set_running_or_notify_cancel():
                cls.ran[source] += 1
                future.set_result(FAILED if "wrong" in source else PASSED)

    def run(self, source: str, problem: Problem) -> Verdict:
        return self.submit(source, problem).result()

    def map(self, jobs: Iterable[tuple[str, Problem]]) -> Iterator[Verdict]:
        yield from (self.run(*job) for job in jobs)

    def close(self) -> None:
        return


def load() -> Judge:
    return Judge()


def broken() -> Judge:
    raise ModuleNotFoundError("no_such_module")
