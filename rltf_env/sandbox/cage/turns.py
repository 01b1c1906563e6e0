"""Whose turn it is between a live program and the referee that asks it one thing after another. Standard library only.

The referee writes it down in a file that the program has not (`cage/live.py`), and the cage reads it when it looks at the
program: the time in which a program waits for the next question is not the program's.
"""

from __future__ import annotations

import os
import struct
import time

# Seconds of the referee's turns so far; since when it has the turn, or 0; 1 if all is asked.
LAYOUT = struct.Struct("=ddd")


def read(fd: int) -> tuple[float, bool]:
    """The seconds that were not the program's so far, and whether nothing more is wanted of it."""
    total, since, over = LAYOUT.unpack(os.pread(fd, LAYOUT.size, 0))
    return total + (max(time.monotonic() - since, 0.0) if since else 0.0), over == 1.0
