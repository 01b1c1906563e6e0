"""Ctrl-C in training: the running update comes to its end, and a checkpoint is written.

A signal that raises wherever the program happens to stand loses the updates since the last checkpoint,
and may leave a tracker's writer thread waiting for a queue that nobody fills.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console


class Stopped(KeyboardInterrupt):
    """Somebody asked the run to end, and there is a checkpoint of `step` updates; 0: none yet."""

    def __init__(self, step: int, updates: int) -> None:
        self.step = step
        super().__init__(_words(step, updates))


def _words(step: int, updates: int) -> str:
    if step:
        return (
            f"Stopped after update {step} of {updates}; a checkpoint is written. The same command goes on from there."
        )
    before = f"before the first of {updates} updates" if updates else "before everything was measured"
    return f"Stopped {before}. The same command begins anew."


class Request:
    """Whether Ctrl-C was pressed. The second time, and within `at_once`, it interrupts where it is.

    Trackers are told numbers outside `at_once`, so that none is interrupted while its writer waits.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.asked = False
        self._at_once = False
        self._console = console or Console(quiet=True)

    def handle(self, number: int, frame: FrameType | None) -> None:
        """What the signal calls."""
        if self.asked or self._at_once:
            raise KeyboardInterrupt
        self.asked = True
        words = "Stopping after the running update. Ctrl-C again stops at once, without a checkpoint."
        self._console.print(words, soft_wrap=True)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """For work that may take long, and can be done again without a loss: an evaluation, the first fill of a buffer."""
        before, self._at_once = self._at_once, True
        try:
            yield
        finally:
            self._at_once = before


@contextmanager
def requested(console: Console | None = None) -> Iterator[Request]:
    """Takes SIGINT for this block, and says on `console` what it does.

    Signals belong to the main thread: in another one nothing changes.
    """
    request = Request(console)
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    before = signal.signal(signal.SIGINT, request.handle)
    try:
        yield request
    finally:
        signal.signal(signal.SIGINT, before)
