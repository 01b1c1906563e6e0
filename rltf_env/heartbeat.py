"""Signs of life: what a process is at, told every few seconds in which it printed nothing else.

Loading a model, filling a buffer and measuring take minutes in which a log, or a terminal without a panel, would stand still.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType

SECONDS = 5.0  # of silence, after which a line says what is going on


class Heartbeat:
    """Says what `begin` was told, at once, and again while it takes long and nothing else is printed.

    Args:
        say: prints a line, from a thread of its own too; None: nobody is told.
        seconds: of silence between two lines.
    """

    def __init__(self, say: Callable[[str], None] | None = None, seconds: float = SECONDS) -> None:
        self.say, self.seconds = say, seconds
        self.paused = False  # while something else on the screen moves
        self._what, self._count = "", ""
        self._began = self._printed = time.monotonic()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="rltf-heartbeat", daemon=True)

    def __enter__(self) -> Heartbeat:
        if self.say:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def begin(self, what: str) -> None:
        """Something new begins: says so now."""
        self.doing(what)
        if self.say:
            self.say(what)

    def doing(self, what: str, count: str = "") -> None:
        """What goes on from now on, and how far it is: told when it takes long."""
        if what != self._what:
            self._began = time.monotonic()
            self.printed()
        self._what, self._count = what, count

    def printed(self) -> None:
        """Something else was printed: no line is needed for a while."""
        self._printed = time.monotonic()

    def silent(self) -> bool:
        """True if nothing has been printed for so long that something should be."""
        return time.monotonic() - self._printed >= self.seconds

    def line(self) -> str:
        """What goes on, in words: `NAME: loading the policy, 12 s`."""
        parts = (self._what, self._count, f"{time.monotonic() - self._began:.0f} s")
        return ", ".join(filter(None, parts))

    def _beat(self) -> None:
        while not self._ended.wait(min(self.seconds / 5, 1.0)):
            if self._what and not self.paused and self.silent():
                self.printed()
                if self.say:
                    self.say(self.line())
