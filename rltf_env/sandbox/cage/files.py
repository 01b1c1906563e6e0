"""Where a program leaves what it has to say: memory files, held by the cage that runs it and by the referee that reads them.

The referee empties and reads them while no program is alive. That is not left to the cage: every page that the cage touches
between two forks is copied at the next one. Standard library only; Linux.
"""

# pyright: reportOptionalMemberAccess=false
from __future__ import annotations

import os

from rltf_env.sandbox.cage import trace

try:
    import fcntl as _fcntl
except ImportError:  # not on Windows, where there is no cage whose files these are
    _fcntl = None  # type: ignore[assignment]

STDIN, STDOUT, STDERR, RESULT, REPORT, LINES = range(6)  # their descriptors in the cage
# Of a live program: see `turns.py`; pipes to the program, and from it.
TURNS, ASK_END, TELL_END = range(LINES + 1, LINES + 4)
CASE = (STDIN, STDOUT, RESULT)  # used anew for every case
MODE = 0o777  # of a memory file
BATCH = b"batch"  # in the report: the process that compiled the program runs all of its cases


def empty(fds: tuple[int, ...]) -> None:
    """Empties files, and takes back what a program may have set on them: they are shared with the next one."""
    for fd in fds:
        os.ftruncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
        release(fd)


def release(fd: int) -> None:
    """Takes back flags and locks, which belong to a descriptor that programs share, and so outlive them."""
    _fcntl.fcntl(fd, _fcntl.F_SETFL, 0)
    _fcntl.flock(fd, _fcntl.LOCK_UN)


def restore(fds: tuple[int, ...], mode: int) -> None:
    """Takes back the modes and times that an owner may have set."""
    for fd in fds:
        os.fchmod(fd, mode)
        os.utime(fd)


def may_restore(fds: tuple[int, ...], mode: int) -> bool:
    """False if this process may not do that. Then no program may set them either."""
    try:
        restore(fds, mode)
    except PermissionError:
        return False
    return True


def content(fd: int) -> bytes:
    """All that is in a file, which nobody uses any more. (Asking where it ends makes fewer objects than fstat.)"""
    return os.pread(fd, os.lseek(fd, 0, os.SEEK_END), 0)


class Files:
    """The files of a cage, by the descriptors that its referee has."""

    def __init__(self) -> None:
        self.null = os.open(os.devnull, os.O_RDWR)
        self.case = tuple(os.memfd_create(name, 0) for name in ("stdin", "stdout", "result"))
        self.report, self.lines = os.memfd_create("report", 0), os.memfd_create("lines", 0)

    def in_order(self) -> list[int]:
        """The descriptors in the order that they have in the cage."""
        stdin, stdout, result = self.case
        return [stdin, stdout, self.null, result, self.report, self.lines]

    def empty(self) -> None:
        """Cuts every file to length 0, for the next case."""
        files = (*self.case, self.report, self.lines)
        empty(files)
        restore(files, MODE)
        release(self.null)

    def output(self) -> tuple[bytes, bytes]:
        """What the program printed, and what it returned."""
        return content(self.case[1]), content(self.case[2])

    def traced(self, rows: int) -> trace.Traced:
        """The lines of the program, if they were to be traced."""
        return trace.read(content(self.lines), rows)
