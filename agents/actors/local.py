"""Actors as processes of this machine: `[scale] engine = "local"`.

A lot is a frame on the standard output of `agents.actors.process`; weights are a file, of which the
processes are told the version. The process is told to end by the end of its input, so it ends with
the learner, however that ends.
"""

from __future__ import annotations

import os
import queue
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, cast

from agents.actors import messages
from agents.actors.core import EARNED, LIVES, Lots, Start
from agents.actors.process import PATIENCE, save_weights
from agents.config import Scale
from agents.core import Policy


def load(scale: Scale, policy: Policy[Any], folder: Path, lots: Lots) -> LocalEngine:
    """Starts nothing yet. See `agents.actors.core.Engine`."""
    return LocalEngine(scale, policy, folder, lots)


class LocalEngine:
    """Processes, and the file with the weights."""

    def __init__(self, scale: Scale, policy: Policy[Any], folder: Path, lots: Lots) -> None:
        self.scale, self.policy, self.folder, self.lots = scale, policy, folder, lots
        self.weights = folder / "weights.pt"

    def push(self, version: int) -> None:
        """Writes the weights where processes read them; each is told of the version by `LocalActor.tell`."""
        save_weights(self.weights, self.policy, version)

    def begin(self, start: Start) -> LocalActor:
        """A new process."""
        orders = {**start.orders, "weights": str(self.weights.resolve())}
        log = self.folder / f"{start.index}.log"
        return LocalActor(start.index, start.life, start.lives, orders, log, self.lots, self.scale.silence)

    def lives(self, dead: LocalActor) -> int:
        """How many are left after one more was lost: those lost before `EARNED` lots came are earned back."""
        return (LIVES if dead.sent >= EARNED else dead.lives) - 1

    def close(self) -> None:
        """No process reads the weights any more."""
        self.weights.unlink(missing_ok=True)


class LocalActor:
    """A generator as the learner sees it. A thread reads what it writes into `lots`, and None at the end.

    It is the `life`-th of its `index`, and has `lives` left, this one counted in.
    """

    def __init__(
        self,
        index: int,
        life: int,
        lives: int,
        orders: dict[str, Any],
        log: Path,
        lots: Lots,
        silence: float,
    ) -> None:
        self.index, self.life, self.lives, self.log, self.lots = index, life, lives, log, lots
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        with open(log, "ab") as file:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "agents.actors.process"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=file, bufsize=0, env=environment,
                start_new_session=True,  # Ctrl-C is for the learner, which ends its generators
            )  # fmt: skip
        self.orders = cast(BinaryIO, self.popen.stdin)
        self.answers = messages.Patient(cast(BinaryIO, self.popen.stdout), silence)
        self.over = threading.Event()
        self.broken = ""  # what was wrong with its answers, if anything was
        self.sent = 0  # lots that could be read
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()
        with suppress(BrokenPipeError):
            messages.send(self.orders, orders)

    def tell(self, version: int) -> None:
        """That there are new weights. One that has died is told nothing."""
        with suppress(BrokenPipeError):
            messages.send_bytes(self.orders, messages.LENGTH.pack(version))

    def _read(self) -> None:
        try:
            while (lot := messages.receive(self.answers)) is not None:
                self.sent += 1
                self._put(lot)  # its silence is not counted while the learner has no room
        except messages.Silence as silence:
            self.broken = f"{silence} (scale.silence), then "
            self.popen.kill()
        except Exception as error:  # whatever it was, the learner must not wait for more
            self.broken = f"an answer that cannot be read ({error!r}), then "
        finally:
            self._put(None)

    def _put(self, lot: dict[str, Any] | None) -> None:
        while not self.over.is_set():
            with suppress(queue.Full):
                self.lots.put((self, lot), timeout=0.2)
                return

    def hang_up(self) -> None:
        """Nothing more is wanted of it."""
        self.over.set()
        with suppress(BrokenPipeError):
            self.orders.close()

    def end(self) -> str:
        """Waits for its end, and makes one if that takes long; says how it ended."""
        self.hang_up()
        try:
            code = self.popen.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            code = self.popen.wait()
        self.thread.join()
        self.answers.close()
        last = self.log.read_text(errors="replace").strip().rpartition("\n")[2]
        return self.broken + (f"signal {-code}" if code < 0 else f"status {code}: {last}")
