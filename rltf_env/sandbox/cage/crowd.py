"""How many processes a program may have where its user has others: the kernel counts all of a user's together.

`/proc` does not show them all (another container may have the same user), so the kernel is asked: a fork fails if there are too
many. Standard library only; Linux.
"""

# pyright: reportPossiblyUnboundVariable=false
from __future__ import annotations

import contextlib
import os
import time

with contextlib.suppress(ImportError):  # not on Windows, where nobody asks
    import resource

OWN = 2  # processes that a judge has of a user that nobody else has: the warm parent, and the referee
_FRESH = 1.0  # seconds that a count is good for
_EXACT = 4  # of what a count may be wrong


class Crowd:
    """The limit on processes of programs. It counts once where nobody else has the user, else again and again.

    Args:
        processes: that a program may have.
    """

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self._until = 0.0
        self.present = OWN if _may_fork(OWN + 1) else -1

    def count(self) -> None:
        """Called in the warm parent, which has no limit, before it forks a program."""
        if self.present != OWN and time.monotonic() > self._until:
            self.present = _present()
            self._until = time.monotonic() + _FRESH

    def limit(self) -> None:
        """Called in a program's process: it, and all that come from it, are held to the limit for good."""
        _, hard = resource.getrlimit(resource.RLIMIT_NPROC)
        most = self._processes + self.present
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))


def _present() -> int:
    """Processes and threads of this user, nearly; as many as it may have if it can have no more."""
    hard = resource.getrlimit(resource.RLIMIT_NPROC)[1]
    most = 1 << 22 if hard == resource.RLIM_INFINITY else hard  # numbers of processes are smaller
    too_few, enough = OWN, 1 << 6
    while enough < most and not _may_fork(enough):
        too_few, enough = enough, min(2 * enough, most)
    while enough - too_few > _EXACT:
        middle = (too_few + enough) // 2
        too_few, enough = (too_few, middle) if _may_fork(middle) else (middle, enough)
    return enough


def _may_fork(limit: int) -> bool:
    """True if there would be no more than `limit` processes with another one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    resource.setrlimit(resource.RLIMIT_NPROC, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    try:
        pid = os.fork()
    except BlockingIOError:
        return False
    finally:
        resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    return True
