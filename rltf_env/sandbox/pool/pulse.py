"""Whether the judge's own processes still move: one that was stopped, or hangs, never answers and never ends.

Judged by the time that the kernel says they have run. The cage looks at a program ten times a second, so even one that
sleeps does not make the judge stand still; and who waits for a processor is busy, not hung. Linux; elsewhere the judge
always seems to move, and only the longest time of all counts (`worker.Worker._longest`).
"""

from __future__ import annotations

import time
from pathlib import Path

HUNG = 10.0  # seconds without a move after which a process is given up: more than `precompile.PATIENCE`
LOOK = 0.5  # seconds between looks


class Pulse:
    """Watches a referee and, if they are the judge's own, its children: the cage and the compiler.

    Args:
        pid: of the referee.
        children: its children are the judge's; else they are programs.
    """

    def __init__(self, pid: int, *, children: bool) -> None:
        self._pid, self._children = pid, children
        self._most = max(round(HUNG / LOOK), 1)
        self._quiet = self._stopped = 0  # looks in a row
        self._last: dict[int, int] = {}
        self._last_look = 0.0

    def hung(self) -> bool:
        """True if nothing has moved, or one of them was stopped, at each look for `HUNG` seconds. Call it again and again.

        Looks are counted, not seconds: the caller itself may have stood still.
        """
        if time.monotonic() - self._last_look < LOOK / 2:
            return False
        self._last_look = time.monotonic()
        states, runtimes = self._look()
        active = not runtimes or runtimes != self._last or not {"R", "D"}.isdisjoint(states)
        self._last = runtimes
        self._quiet = 0 if active else self._quiet + 1
        self._stopped = self._stopped + 1 if "T" in states else 0
        return max(self._quiet, self._stopped) >= self._most

    def _look(self) -> tuple[str, dict[int, int]]:
        """The states of the processes, and the nanoseconds that each has run."""
        states, runtimes = "", {}
        for pid in [self._pid, *(_children(self._pid) if self._children else ())]:
            place = Path("/proc") / str(pid)
            try:
                states += (place / "stat").read_text(errors="replace").rpartition(")")[2][1]
                runtimes[pid] = int((place / "schedstat").read_text().split()[0])
            except (OSError, ValueError, IndexError):  # it ends, or this system does not say
                continue
        return states, runtimes


def _children(pid: int) -> list[int]:
    try:
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except (OSError, ValueError):
        return []
