"""Locks of a study's folder, for processes that share its work.

    with held(folder / "grpo.lock") as mine:    # True: nobody else has it
        ...

A lock is the kernel's (`flock`), so that of a killed process is free at once. Where there is none, outside Unix, two processes
in one folder are the user's own affair.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def held(path: Path, wait: bool = False) -> Iterator[bool]:
    """Holds the lock `path` and gives True; gives False, at once, if another process has it and we do not `wait` for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        yield _lock(file, wait)
    finally:
        os.close(file)


def _lock(file: int, wait: bool) -> bool:
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    return True
