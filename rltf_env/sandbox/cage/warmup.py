"""What the warm parent of the programs does before it is one, so that a fork of it has little left to do. Standard library only.

A page of memory that a fork writes to is copied for it, at about two microseconds, and Python writes wherever it looks: it counts
references. So what programs use is imported, the judge's own code has run often enough for the interpreter to have settled
on its instructions (`harness.rehearse`), and what is made from now on lies close together (`settle`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rltf_env.sandbox.cage import harmless

# Not what is large and rare: dataclasses and hashlib would add a quarter to the cost of every fork.
MODULES = (
    "typing math cmath re string random itertools functools collections collections.abc heapq bisect operator copy "
    "datetime array decimal fractions statistics time enum abc io"
)
_POOL, _FIRST = 16384, 48  # bytes of a pool of CPython's allocator, and where the first object in it is
_LARGEST = 512  # bytes of an object that has a pool
_fillers: list[Any] = []


def load() -> None:
    """Imports what programs use."""
    with no_hooks():
        for name in MODULES.split():
            __import__(name)
        harmless.prepare("sys", "__future__", *MODULES.split())


@contextmanager
def no_hooks() -> Iterator[None]:
    """Keeps modules that are imported meanwhile from registering what would run at every fork."""
    hooks = os.register_at_fork
    os.register_at_fork = lambda **hooks: None  # type: ignore[assignment]
    try:
        yield
    finally:
        os.register_at_fork = hooks


def settle() -> None:
    """Uses up the gaps that are left in the pools of small objects: those that follow fill pages, rather than dirty many.

    Where an interpreter lays its objects out in another way, this does nothing worse than keep two megabytes.
    """
    for size in range(16, _LARGEST + 1, 16):
        for _ in range(4 * _POOL // size):
            _fillers.append(_of(size))
            if id(_fillers[-1]) % _POOL == _FIRST:
                break


def _of(size: int) -> Any:
    """An object that takes so many bytes, a multiple of 16."""
    if size == 16:
        return object()
    return float(len(_fillers)) if size == 32 else bytes(max(size - 40, 5))
