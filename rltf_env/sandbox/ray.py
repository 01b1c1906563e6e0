"""The judge of a Ray cluster: on each node an actor hosts the local judge. Needs the extra `ray`.

    sandbox.load("ray")                                    a Ray of this machine, started if there is none
    sandbox.load("ray", address="auto", nodes="judge")     the nodes of a cluster that have the resource "judge"

Programs go in batches, verdicts come as they are ready, so one endless loop delays no other program
of its batch. A job is ours until its verdict is here: a judge that dies, hangs or leaves with its
node has its jobs handed out again, and the first verdict settles. Ray is asked to repeat nothing. A
judge that cannot be had is a `SandboxError`, never a verdict.

Noticed: a judge that is killed, at once; its node, after about 2 s; either of them stopped, after
`patience` seconds. A sentence in the log (`rltf.sandbox`) says which it was.
"""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

from rltf_env import sandbox
from rltf_env.cluster import Cluster
from rltf_env.errors import UnknownName
from rltf_env.sandbox.client import RemoteSandbox, check_numbers
from rltf_env.sandbox.dispatch import Dispatcher
from rltf_env.sandbox.nodes import Watch
from rltf_env.sandbox.pool.options import Options

OURS = ("auto", "forkserver", "subprocess")  # judges that take `Options`


def load(
    address: str = "",
    *,
    nodes: str = "",
    judge: str = "auto",
    workers: int = 0,
    batch: int = 64,
    ahead: int = 4,
    linger: float = 0.1,
    pending: int = 10_000,
    tries: int = 3,
    patience: float = 30.0,
    wait: float = 300.0,
    require: str = "none",
    **options: Any,
) -> RemoteSandbox:
    """The judge of a cluster.

    Args:
        address: of the cluster (`host:port`, "auto"); without, the Ray that this process has, else $RAY_ADDRESS, else a
            Ray of this machine, which is started. On other machines it must ask for a token.
        nodes: a resource that a node must have to judge (`ray start --resources='{"judge": 1}'`); "": all nodes judge.
        judge: the local judge on each node.
        workers: of the judge on each node; 0: the node's processors, as Ray counts them.
        batch: programs in a request, at most.
        ahead: programs that a node may have been handed for each of its workers; two batches in any case.
        linger: seconds that a verdict waits for others of its batch, so that they share a call, which costs as much as judging one.
        pending: programs that may wait here; beyond that `submit` blocks.
        tries: judges that may be lost over a program before it is given up. A node that is lost counts for none.
        patience: seconds of silence after which a judge counts as lost. One that judges says so every second.
        wait: seconds without any judge before all that waits is given up.
        require: the weakest level of isolation that will do, one of `isolation.LEVELS`.
        options: of the judge on each node (`pool.options.Options`).

    Raises:
        UnknownName, UsageError: Ray is not installed, an option of no use, a cluster without a token.
        SandboxError: no node judged within `wait` seconds, or the isolation is too weak.
    """
    numbers = {"batch": batch, "ahead": ahead, "pending": pending, "tries": tries}
    check_numbers(numbers, {"linger": linger, "patience": patience, "wait": wait}, require)
    sandbox.check_runs(judge, "a cluster, whose programs are paid for what they pass")
    own = _checked(judge, workers, require, options)
    cluster = Cluster(address)
    dispatcher = Dispatcher(
        [], batch=batch, ahead=2 * batch, connections=1, pending=pending, tries=tries, patience=patience, wait=wait,
        noun="node",
    )  # fmt: skip
    watch = Watch(cluster, dispatcher, nodes, (judge, own), batch, ahead, linger)
    watch.thread.start()

    def end() -> None:
        dispatcher.close()
        watch.close()

    return RemoteSandbox(dispatcher, require, end)


def _checked(judge: str, workers: int, require: str, options: dict[str, Any]) -> dict[str, Any]:
    """The options of each node's judge. Raises UnknownName, UsageError."""
    if judge not in OURS:
        return {**options, "workers": workers} if workers else options
    known = [field.name for field in fields(Options)]
    own = [name for name, each in inspect.signature(load).parameters.items() if each.kind is not each.VAR_KEYWORD]
    for name in options:
        if name not in known:
            raise UnknownName("option of sandbox 'ray'", name, sorted({*known, *own}))
    options = {**options, "workers": workers, "require": require}
    Options.check("forkserver" if judge == "auto" else judge, options)
    return options
