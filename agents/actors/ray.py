"""Actors of a Ray cluster: `[scale] engine = "ray"`. Needs the extra `ray`.

    learner                                          on any node
    thread of generator 0 --lot(version, weights)--> Writer: policy, environment, judge
            |             <-------- a frame -------+
            +--> queue (bounded) --> `ActorPool`

Each generator is an actor (`agents.actors.writer`) that writes and judges. The learner's thread for
it keeps one call outstanding, with the newest weights: a reference to them in the object store, from
where each node fetches them once. A lot is the same frame as of a local process, read with
`weights_only`. While the queue is full, nobody asks for more.

A generator that has died, or gives no sign of life for `scale.patience` seconds, or sends nothing for
`scale.silence`, is replaced, each time after a longer pause (from 1 s to 60 s), as often as it
takes: `EARNED` lots end the row. Only a run whose generators have all failed `LIVES` times before
any of them has sent a lot ends: its recipe cannot work. Ray restarts nothing by itself. With the
learner, however it ends, its actors end.
"""

from __future__ import annotations

import io
import queue
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from agents.actors import messages
from agents.actors.core import EARNED, LIVES, Lots, Start
from agents.actors.writer import Writer, pack_weights
from agents.config import Scale
from agents.core import Policy
from rltf_env.cluster import Cluster, Failed, Gone, StoreFull

FIRST, LONGEST = 0.5, 60.0  # seconds until a generator is started anew; doubled for each that died in a row
STEP = 1.0  # seconds at a time that silence is counted in: a learner that was itself stopped has counted one of them
STARTING = 600.0  # seconds that an actor may take until its first sign of life, if that is more than `scale.patience`
ENDING = 20.0  # seconds for a thread to notice the end


def load(scale: Scale, policy: Policy[Any], folder: Path, lots: Lots) -> RayEngine:
    """Attaches to the cluster. See `agents.actors.core.Engine`.

    Raises:
        UsageError: Ray is not installed, there is no cluster at the address, or it asks for no token.
    """
    return RayEngine(scale, policy, folder, lots, Cluster(scale.address))


class RayEngine:
    """The actors, and the newest weights in the object store."""

    def __init__(self, scale: Scale, policy: Policy[Any], folder: Path, lots: Lots, cluster: Cluster) -> None:
        self.scale, self.policy, self.folder, self.lots, self.cluster = scale, policy, folder, lots, cluster
        self.newest: tuple[int, Any] = (-1, None)  # version, and a promise of the weights
        self.failures = dict.fromkeys(range(scale.generators), 0)  # in a row
        self.delivered = False  # whether any lot has ever come

    def push(self, version: int) -> None:
        """Puts the weights into the store. Older ones free themselves with the last call that refers to them.

        Where there is no room, that is waited for, for `scale.patience` seconds; meanwhile generators write with the older ones.

        Raises:
            StoreFull: there was none.
        """
        deadline = time.monotonic() + self.scale.patience
        while True:
            try:
                self.newest = version, self.cluster.put(pack_weights(self.policy))
                return
            except StoreFull:
                if time.monotonic() > deadline:
                    raise
                time.sleep(STEP)

    def begin(self, start: Start) -> RayActor:
        """A new actor, after a pause if others have died in a row."""
        failures = self.failures[start.index]
        delay = min(LONGEST, FIRST * 2**failures) if start.life > 1 else 0.0
        return RayActor(self, start, delay)

    def lives(self, dead: RayActor) -> int:
        """Without an end, unless no generator has ever sent anything."""
        self.failures[dead.index] = 1 if dead.sent >= EARNED else self.failures[dead.index] + 1
        hopeless = not self.delivered and min(self.failures.values()) >= LIVES
        return 0 if hopeless else LIVES

    def close(self) -> None:
        """Lets go of the cluster."""
        self.newest = -1, None
        self.cluster.close()


class RayActor:
    """A generator as the learner sees it. A thread asks for lots and puts them into the queue, and None at the end."""

    def __init__(self, engine: RayEngine, start: Start, delay: float) -> None:
        self.engine, self.cluster, self.scale = engine, engine.cluster, engine.scale
        self.index, self.life, self.lives, self.orders = start.index, start.life, start.lives, start.orders
        self.log = engine.folder / f"{start.index}.log"
        self.log.touch()
        self.sent = 0  # lots that could be read
        self.reason = "nothing wrong"
        self.over = threading.Event()
        self._handle: Any = None
        self._beat: Any = None  # a promise
        self._alive = False  # whether it has ever given a sign of life
        self.thread = threading.Thread(
            target=self._work, args=(delay,), name=f"rltf-generator-{start.index}", daemon=True
        )
        self.thread.start()

    def tell(self, version: int) -> None:
        """Nothing: each call takes the newest weights along."""

    def hang_up(self) -> None:
        """Nothing more is wanted of it."""
        self.over.set()
        self._kill()

    def end(self) -> str:
        """Ends it and says how it ended."""
        self.hang_up()
        if self.thread is not threading.current_thread():
            self.thread.join(ENDING)
        return self.reason

    def _kill(self) -> None:
        if self._handle is not None:
            with suppress(Exception):  # of a cluster that may be gone: nothing is left to end
                self.cluster.kill(self._handle)

    def _work(self, delay: float) -> None:
        try:
            if self.over.wait(delay):
                return
            scale = self.scale
            self._handle = self.cluster.start(Writer, self.orders, cpus=scale.cpus, gpus=scale.gpus, calls=2)
            promise = self._ask()
            while not self.over.is_set():
                self._wait_for(promise)
                lot = messages.receive(io.BytesIO(self.cluster.get(promise, STEP)))
                promise = self._ask()
                self.sent += 1
                self.engine.delivered = True
                self._put(lot)
        except Failed as failed:
            self._note(str(failed))
            self.reason = str(failed).strip().rpartition("\n")[2]
        except (Gone, messages.Silence) as error:
            self.reason = str(error)
        except Exception as error:  # whatever it was, the learner must not wait for more
            self.reason = f"an answer that cannot be read ({error!r})"
        finally:
            if not self.over.is_set():
                self._note(f"Life {self.life} ended with {self.reason}.")
            self._kill()
            self._put(None)

    def _ask(self) -> Any:
        version, weights = self.engine.newest
        return self.cluster.call(self._handle, "lot", version, weights)

    def _wait_for(self, promise: Any) -> None:
        """Returns when the lot is there, or can be had no more. Raises Silence."""
        without_lot = without_beat = 0.0
        while not self.cluster.wait(promise, STEP) and not self.over.is_set():
            without_lot += STEP
            without_beat = 0.0 if self._beats() else without_beat + STEP
            limit = self.scale.patience if self._alive else max(self.scale.patience, STARTING)
            if without_beat >= limit:
                room = "" if self._alive else ": has the cluster room for it?"
                raise messages.Silence(f"no sign of life for {limit:g} s{room}")
            if 0 < self.scale.silence <= without_lot:
                raise messages.Silence(f"nothing for {self.scale.silence:g} s (scale.silence)")

    def _beats(self) -> bool:
        """True if it has given a sign of life since it was last asked for one."""
        if self._beat is None:
            self._beat = self.cluster.call(self._handle, "beat")
        if not self.cluster.wait(self._beat, 0):
            return False
        self.cluster.get(self._beat, STEP)
        self._beat, self._alive = None, True
        return True

    def _put(self, lot: dict[str, Any] | None) -> None:
        while not self.over.is_set():
            with suppress(queue.Full):
                self.engine.lots.put((self, lot), timeout=0.2)
                return

    def _note(self, text: str) -> None:
        with open(self.log, "a", encoding="utf-8") as file:
            file.write(text.rstrip() + "\n")
