"""A Ray cluster, as little of it as judging and writing need: nodes, actors, calls that may fail, objects.

Nothing else in the project talks to Ray, so tests put a stand-in of the same shape in its place
(`tests/support/fake_cluster.py`). Ray repeats nothing by itself here: whoever calls an actor owns
what was asked, and asks another one.

Whoever reaches Ray's ports runs code on its machines, and Ray unpickles what its own processes send.
So a cluster on other machines is only used with a token (RAY_AUTH_MODE=token). Programs that are
judged never meet Ray: they run in the judge's cage, whoever asked for it.
"""

from __future__ import annotations

import importlib
import os
import sys
import threading
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from rltf_env.errors import RLTFError, UsageError

QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # read when Ray is imported
LOOPBACK = ("127.0.0.1", "localhost", "::1")
_UNSET = "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"  # "0": an actor that asks for no GPU sees those of its node


class Gone(Exception):
    """An actor, or its node, is not there any more. `node`: the node, so nothing that it was asked is to blame."""

    def __init__(self, text: str, *, node: bool) -> None:
        super().__init__(text)
        self.node = node


class Failed(Exception):
    """What an actor was asked raised an exception there; the text has its traceback."""


class StoreFull(RLTFError, RuntimeError):
    """There is no room for an object, in memory or on the disk."""


class Node(NamedTuple):
    """A machine of the cluster, or a part of one, as Ray counts it."""

    id: str
    name: str
    cpus: float
    resources: Mapping[str, float]


class Cluster:
    """The Ray that this process is attached to. Close it; the last one that is closed ends a Ray that was started here.

    Args:
        address: of a cluster (`host:port`, "auto"); without, the Ray that this process has, else $RAY_ADDRESS, else a Ray of
            this machine, which is started.

    Raises:
        UsageError: Ray is not installed; an address on other machines without a token, or another than this process is attached to.
    """

    def __init__(self, address: str = "") -> None:
        for name, value in QUIET.items():
            os.environ.setdefault(name, value)
        try:
            ray: Any = importlib.import_module("ray")
            importlib.import_module("ray.exceptions")
        except ImportError as error:
            raise UsageError(f"A cluster needs Ray ({error}): pip install 'rltf[ray]'.") from error
        self._ray, self._closed = ray, False
        with _SHARE.lock:
            _SHARE.attach(ray, address)

    def close(self) -> None:
        """Lets go of the cluster. May be called again."""
        with _SHARE.lock:
            if not self._closed:
                self._closed = True
                _SHARE.release(self._ray)

    def nodes(self) -> list[Node]:
        """The nodes that Ray takes for alive: a dead one stays among them for up to 15 s, a hung one for a minute."""
        return [
            Node(row["NodeID"], row.get("NodeName") or row["NodeManagerAddress"], row["Resources"].get("CPU", 0.0),
                 row["Resources"])
            for row in self._ray.nodes()
            if row["Alive"]
        ]  # fmt: skip

    def start(
        self, kind: type, *arguments: Any, node: str = "", cpus: float = 0.0, gpus: float = 0.0, calls: int = 1
    ) -> Any:
        """An actor: an instance of `kind` in a process of its own, never restarted. Returns at once.

        Args:
            kind: a class of a module that can be imported on the node too.
            arguments: of the class.
            node: the id of the node; "": whichever has room.
            cpus: processors that Ray keeps for it.
            gpus: accelerators that Ray keeps for it; the process sees no others.
            calls: that it answers at a time.
        """
        strategies = importlib.import_module("ray.util.scheduling_strategies")
        where = strategies.NodeAffinitySchedulingStrategy(node, soft=False) if node else "SPREAD"
        remote = self._ray.remote(
            num_cpus=cpus, num_gpus=gpus, max_restarts=0, max_task_retries=0, max_concurrency=calls,
            scheduling_strategy=where, runtime_env={"env_vars": _environment(gpus)},
        )(kind)  # fmt: skip
        return remote.remote(*arguments)

    def call(self, actor: Any, method: str, *arguments: Any) -> Any:
        """Asks an actor for something. Returns a promise at once, for `get`. A promise among the arguments arrives kept."""
        try:
            return getattr(actor, method).remote(*arguments)
        except self._ray.exceptions.RayError as error:
            raise self._explained(error) from error

    def wait(self, promise: Any, seconds: float) -> bool:
        """True once `get` would return, or raise, at once."""
        return bool(self._ray.wait([promise], timeout=seconds)[0])

    def get(self, promise: Any, seconds: float) -> Any:
        """What was asked for.

        Raises:
            TimeoutError: nothing has come for so long.
            Gone, Failed: it will not come.
        """
        try:
            return self._ray.get(promise, timeout=seconds)
        except self._ray.exceptions.GetTimeoutError as error:
            raise TimeoutError(f"nothing for {seconds:g} s") from error
        except self._ray.exceptions.RayError as error:
            raise self._explained(error) from error

    def put(self, value: Any) -> Any:
        """A promise of `value` that any number of actors may be handed; each node fetches it once.

        Raises:
            StoreFull: there is no room for it. There is again once older promises are let go of.
        """
        errors = self._ray.exceptions
        try:
            return self._ray.put(value)
        except (errors.ObjectStoreFullError, errors.OutOfDiskError) as error:
            raise StoreFull(
                f"Expected room in Ray's object store, got a full one ({_sentence(str(error))}). Start Ray with a larger "
                "--object-store-memory, or free some of the disk that it spills to; the same command then continues."
            ) from error

    def kill(self, actor: Any) -> None:
        """Ends an actor's process, if it is there."""
        if self._ray.is_initialized():
            self._ray.kill(actor)

    def _explained(self, error: Any) -> Gone | Failed:
        errors = self._ray.exceptions
        text = _sentence(str(error))
        if isinstance(error, errors.ActorUnavailableError):
            return Gone(f"its node does not answer ({text})", node=True)
        if isinstance(error, errors.ActorDiedError):
            return Gone(f"it has died ({text})", node=bool(error.preempted))
        if isinstance(error, errors.RayTaskError):
            return Failed(str(error))
        return Gone(f"{type(error).__name__}: {text}", node=True)


class _Share:
    """The one Ray of this process, and how many hold it."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.holders, self.ours = 0, False

    def attach(self, ray: Any, address: str) -> None:
        if ray.is_initialized():
            _check_same(ray, address)
        else:
            self.ours, self.holders = True, 0
            _begin(ray, address or os.environ.get("RAY_ADDRESS", "") or "local")
        self.holders += 1

    def release(self, ray: Any) -> None:
        self.holders -= 1
        if not self.holders and self.ours:
            self.ours = False
            ray.shutdown()


_SHARE = _Share()


def _begin(ray: Any, address: str) -> None:
    import logging

    quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address == "local":
        ray.init(address="local", include_dashboard=False, _node_ip_address="127.0.0.1", **quiet)
        return
    check_address(address)
    try:
        ray.init(address=address, **quiet)
    except ConnectionError as error:
        raise UsageError(
            f"Expected a Ray cluster at {address!r}, got none: {_sentence(str(error))} Start one with `ray start --head`."
        ) from error


def check_address(address: str) -> None:
    """Raises UsageError on an address of other machines, unless Ray asks everybody for a token."""
    host = urlsplit(address if "://" in address else f"//{address}").hostname or ""
    guarded = os.environ.get("RAY_AUTH_MODE") == "token"
    if not guarded and host not in (*LOOPBACK, "auto"):
        raise UsageError(
            f"Expected a Ray cluster with a token at {address!r}, got RAY_AUTH_MODE={os.environ.get('RAY_AUTH_MODE', '')!r}: "
            "whoever reaches its ports runs code. Set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN there and here."
        )


def _check_same(ray: Any, address: str) -> None:
    if address in ("", "auto", "local"):
        return
    own = ray.get_runtime_context().gcs_address
    if address.rpartition("://")[2] != own:
        raise UsageError(
            f"Expected one Ray in a process, got {address!r} besides {own!r}, to which it is attached. Name one alone."
        )


def _environment(gpus: float) -> dict[str, str]:
    """What an actor's process needs to import what this one does: folders that no installation brings."""
    installed = (os.path.realpath(sys.prefix), os.path.realpath(sys.base_prefix))
    folders = [os.path.abspath(path) for path in sys.path if path and os.path.isdir(path)]
    own = [path for path in folders if not os.path.realpath(path).startswith(installed)]
    path = os.pathsep.join(dict.fromkeys([*own, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]))
    return {"PYTHONPATH": path} | ({} if gpus else {_UNSET: "0"})


def _sentence(text: str) -> str:
    """The line of Ray's explanation that says why."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    why = [line for line in lines if line.startswith(("The actor is dead", "The node", "Worker exit"))]
    return (why or lines or ["no reason"])[0][:300]
