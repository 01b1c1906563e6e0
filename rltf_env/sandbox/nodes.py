"""Nodes of a cluster as hosts of a judge: an actor on each, started, watched, given up, and started again.

`NodeHost` is what the dispatcher sees of a node; `NodeConnection` one request to its judge. `Watch`
is the thread that sees to the nodes: those that join, those that are gone, those whose judge is lost.
Whoever carries programs never waits for a judge to start.
"""

from __future__ import annotations

import contextlib
import logging
import math
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

from rltf_env.cluster import Cluster, Failed, Gone, Node
from rltf_env.errors import UsageError
from rltf_env.sandbox import protocol
from rltf_env.sandbox.dispatch import Dispatcher
from rltf_env.sandbox.hosted import HostedJudge
from rltf_env.sandbox.hosts import FIRST, LONGEST, Host, Lost, Refused, Unknown
from rltf_env.sandbox.protocol import Result

LOG = logging.getLogger("rltf.sandbox")
BEAT = 1.0  # seconds after which a judge that has no verdict says that it is alive
STARTING = 300.0  # seconds that an actor and its judge may take to start
SURVEY = 1.0  # seconds between looks at the cluster's nodes
ENDING = 5.0  # seconds for threads that carry programs to notice the end
GLANCE = 0.05  # seconds between looks at judges that start, and at hosts with nothing to do


class Life:
    """One actor on a node: there may be others after it."""

    def __init__(self, actor: Any, promise: Any) -> None:
        self.actor, self.promise = actor, promise  # of what it says of itself
        self.since = time.monotonic()
        self.loss: Lost | None = None


class NodeHost(Host):
    """A node of the cluster.

    Args:
        cluster: that it belongs to.
        node: as the cluster names it.
        judge: arguments of `HostedJudge`.
        ahead: programs that it may be handed.
        lanes: requests at a time.
        linger: seconds that a verdict waits for others.
    """

    def __init__(
        self, cluster: Cluster, node: Node, judge: tuple[Any, ...], ahead: int, lanes: int, linger: float
    ) -> None:
        super().__init__(f"node {node.name} ({node.id[:8]})")
        self.cluster, self.node, self.judge = cluster, node, judge
        self.ahead, self.lanes, self.linger = ahead, lanes, linger
        self.lock = threading.Lock()
        self.life: Life | None = None
        self.rest = math.inf  # until `Watch` has started a judge
        self.again = 0.0  # when a judge may be started

    def connect(self, patience: float) -> NodeConnection:
        """A new connection."""
        return NodeConnection(self, patience)

    def release(self, count: int) -> int:
        """Asks for programs back; the connections that carry them get them."""
        life = self.life
        if life is None or life.loss is not None:
            return 0
        with contextlib.suppress(Gone, Failed, TimeoutError):  # whoever waits for a verdict learns of it too
            return self.cluster.get(self.cluster.call(life.actor, "release", count), BEAT)
        return 0

    def failed(self, jitter: float) -> None:
        """It failed: it rests until `Watch` has a judge there again, each time later."""
        with self.lock:
            if self.about is None:  # other connections to the same judge, lost with it
                return
            self.about, self.rest = None, math.inf
            pause = min(LONGEST, FIRST * 2**self.failures) * (0.5 + jitter)
            self.failures += 1
            self.again = time.monotonic() + pause

    def begin(self) -> None:
        """Has a judge started there. Returns at once."""
        actor = self.cluster.start(HostedJudge, *self.judge, node=self.node.id, calls=self.lanes + 4)
        self.life = Life(actor, self.cluster.call(actor, "about"))

    def lose(self, life: Life, text: str, *, handed: bool) -> Lost:
        """What to raise over a judge that is lost. All its connections raise the same, and its actor is ended."""
        with self.lock:
            if life.loss is None:
                life.loss = Lost(f"{self.shown}: {text}", handed=handed)
                LOG.warning("The judge of %s is lost: %s. Its programs are handed out again.", self.shown, text)
                self._end(life)
        return Lost(str(life.loss), handed=life.loss.handed)

    def end(self) -> None:
        """Ends the judge, if there is one."""
        if self.life is not None:
            self._end(self.life)

    def _end(self, life: Life) -> None:
        """It may only have been unreachable: two judges on a node would be one too many."""
        with contextlib.suppress(Exception):  # of a cluster that may be gone: nothing is left to end
            self.cluster.kill(life.actor)


class NodeConnection:
    """One request at a time to the judge of a node; see `hosts.Connection`."""

    def __init__(self, host: NodeHost, patience: float) -> None:
        self.host, self.patience = host, patience
        self.over = False

    def about(self) -> dict[str, Any]:
        """What the judge says of itself, once `Watch` has asked it. Raises Lost."""
        if self.host.about is None:
            life = self.host.life
            raise Lost(str(life.loss) if life and life.loss else f"{self.host.shown} has not started", handed=False)
        return self.host.about

    def judge(self, body: bytes) -> Iterator[tuple[int, Result]]:
        """Results as they come, with the number of their job. Raises Lost, Unknown, Refused."""
        life = self.host.life
        if life is None or life.loss is not None:
            raise Lost(str(life.loss) if life else f"{self.host.shown} has not started", handed=False)
        reply = self._ask(life, "open", body)
        if "unknown" in reply:
            raise Unknown(reply["unknown"])
        if "refused" in reply:
            raise Refused(reply["refused"])
        number, over = reply["request"], False
        try:
            while not over:
                over, lines = self._ask(life, "collect", number, BEAT, self.host.linger)
                for line in lines.splitlines():
                    yield protocol.decode_line(line, self.host.shown)
        finally:
            if not over and life.loss is None:
                with contextlib.suppress(Gone):
                    self.host.cluster.call(life.actor, "drop", number)

    def abort(self) -> None:
        """Ends the request at its next sign of life."""
        self.over = True

    def _ask(self, life: Life, method: str, *arguments: Any) -> Any:
        if life.loss is not None:
            raise Lost(str(life.loss), handed=life.loss.handed)
        if self.over:
            raise Lost(f"{self.host.shown} is not asked any more", handed=True)
        cluster = self.host.cluster
        try:
            return cluster.get(cluster.call(life.actor, method, *arguments), self.patience)
        except TimeoutError:
            text = f"silent for {self.patience:g} s"
            raise self.host.lose(life, text, handed=True) from None
        except Gone as gone:
            raise self.host.lose(life, str(gone), handed=not gone.node) from gone
        except Failed as failed:
            raise self.host.lose(life, _last_line(failed), handed=True) from failed


class Watch:
    """Sees to the nodes of a cluster, in a thread, until it is closed.

    Args:
        cluster: whose nodes judge.
        dispatcher: whose hosts they become.
        resource: that a node must have one of; "": all nodes judge.
        judge: arguments of `HostedJudge`; of its options, `workers` is the node's processors where it is 0.
        batch: programs in a request.
        ahead: programs that a node may be handed for each of its workers.
        linger: seconds that a verdict waits for others.
    """

    def __init__(
        self, cluster: Cluster, dispatcher: Dispatcher, resource: str, judge: tuple[str, Mapping[str, Any]],
        batch: int, ahead: int, linger: float,
    ) -> None:  # fmt: skip
        self.cluster, self.dispatcher, self.resource, self.judge = cluster, dispatcher, resource, judge
        self.batch, self.ahead, self.linger = batch, ahead, linger
        self.hosts: dict[str, NodeHost] = {}
        self.refused: set[str] = set()
        self.over = threading.Event()
        self._surveyed = -math.inf
        self.thread = threading.Thread(target=self._work, name="rltf-nodes", daemon=True)

    def close(self) -> None:
        """Ends the thread, the judges and the cluster's use."""
        self.over.set()
        if self.thread.is_alive() and threading.current_thread() is not self.thread:
            self.thread.join()
        for host in self.hosts.values():
            host.end()
        self.dispatcher.join(ENDING)
        self.cluster.close()

    def _work(self) -> None:
        while not self.over.wait(GLANCE):
            try:
                self.step()
            except Exception as error:  # a cluster that does not answer: programs wait for `wait` seconds, then give up
                LOG.warning("The cluster does not answer: %r", error)
                self.dispatcher.unreachable(f"the cluster does not answer ({error!r})")
                self.over.wait(SURVEY)

    def step(self) -> None:
        """One look at everything."""
        now = time.monotonic()
        if now - self._surveyed >= SURVEY:
            self._surveyed = now
            self.survey()
        for host in list(self.hosts.values()):
            self._see_to(host, now)
        self.dispatcher.balance()
        if all(host.about is None for host in self.hosts.values()):
            losses = [str(host.life.loss) for host in self.hosts.values() if host.life and host.life.loss]
            self.dispatcher.unreachable((losses or [self._nobody()])[0])

    def survey(self) -> None:
        """Takes in the nodes that have joined, and lets go of those that are gone."""
        alive = {node.id: node for node in self.cluster.nodes() if self._judges(node)}
        for node in alive.values():
            if node.id not in self.hosts and node.id not in self.refused:
                self._add(node)
        for id in [id for id in self.hosts if id not in alive]:
            host = self.hosts.pop(id)
            LOG.warning("%s has left the cluster.", host.shown)
            if host.life is not None and host.life.loss is None:
                host.lose(host.life, "the node has left the cluster", handed=False)
            self.dispatcher.remove(host)

    def _judges(self, node: Node) -> bool:
        return node.resources.get(self.resource, 0) > 0 if self.resource else node.cpus > 0

    def _add(self, node: Node) -> None:
        name, options = self.judge
        workers = options.get("workers", 0) or max(int(node.cpus), 1)
        judge = (name, {**options, "workers": workers} if "workers" in options else options)
        lanes = min(workers + 4, 64)
        host = NodeHost(self.cluster, node, judge, max(self.ahead * workers, 2 * self.batch), lanes, self.linger)
        host.workers = workers
        self.hosts[node.id] = host
        self.dispatcher.connections = sum(each.lanes for each in self.hosts.values())
        self.dispatcher.add(host)

    def _see_to(self, host: NodeHost, now: float) -> None:
        """Has a judge started where there is none, and lets it in when it is ready."""
        life = host.life
        if life is None or (life.loss is not None and host.about is None and now >= host.again):
            host.begin()
        elif host.about is None and life.loss is None:
            if self.cluster.wait(life.promise, 0):
                self._let_in(host, life)
            elif now - life.since > STARTING:
                host.lose(life, f"its judge has not started within {STARTING:g} s", handed=False)
                self._later(host)

    def _let_in(self, host: NodeHost, life: Life) -> None:
        try:
            self.dispatcher.welcome(host, self.cluster.get(life.promise, BEAT))
        except UsageError as error:  # it judges otherwise than the others
            host.end()
            self.refused.add(host.node.id)
            del self.hosts[host.node.id]
            LOG.warning("%s does not judge for this client: %s", host.shown, error)
            self.dispatcher.remove(host)
        except (Gone, Failed, TimeoutError) as error:
            host.lose(life, f"its judge does not start: {_last_line(error)}", handed=False)
            self._later(host)

    def _later(self, host: NodeHost) -> None:
        host.again = time.monotonic() + min(LONGEST, 1.0 * 2**host.failures)
        host.failures += 1

    def _nobody(self) -> str:
        if not self.hosts:
            return f"no node of the cluster has {self.resource!r}" if self.resource else "the cluster has no node"
        return "no judge has started yet"


def _last_line(error: Exception) -> str:
    """Of a traceback, the exception."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [repr(error)])[-1][:300]
