"""How much slower this processor computes now than when nothing runs beside.

CPU time leaves out what a program waits for a processor, but not that it computes more slowly while others use the same
core, cache and memory. A small loop of known length tells by how much. Standard library only.
"""

from __future__ import annotations

import time

from rltf_env.sandbox.board import Note

_LOOPS, _TRIES = 10_000, 5  # about half a millisecond each; the quickest counts
_MARGIN = 1.02  # what two measurements of the same pace may differ by


class Pace:
    """Probes of the processor.

    Args:
        note: where the pace of calm is shared with the other referees.
    """

    def __init__(self, note: Note) -> None:
        self._note = note

    @property
    def is_known(self) -> bool:
        """True if any referee has measured the pace of calm."""
        return self._note.calm_pace < float("inf")

    def calibrate(self) -> None:
        """Measures the pace of calm. Call it when no other referee runs a program."""
        self._note.calm_pace = probe()

    def slowdown(self, seconds: float) -> float:
        """How many times as long as in calm a computation takes, at most, where the probe takes so many seconds."""
        return _MARGIN * max(seconds / self._note.calm_pace, 1.0)


def probe() -> float:
    """Seconds of CPU time that the loop takes."""
    best = float("inf")
    for _ in range(_TRIES):
        before, total = time.thread_time(), 0
        for number in range(_LOOPS):
            total += number * number % 7
        best = min(best, time.thread_time() - before)
    return best
