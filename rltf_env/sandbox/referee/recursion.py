"""How deep the referee goes: further than Python does at its start where it reads tests, and no further where it runs them.

`1 + 1 + ... + 1` and a chain of `elif` are trees as deep as they are long, and a few frames for each level. The worker's stack
has room for that (`cage/stack.py`).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from rltf_env.sandbox.cage.program import DEPTH, depth

READING = 30_000  # frames


def allow_reading() -> None:
    """From now on, in this process."""
    sys.setrecursionlimit(READING)


@contextmanager
def as_at_start() -> Iterator[None]:
    """Inside, code has the frames that it would have in a process of its own."""
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(DEPTH + depth())
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
