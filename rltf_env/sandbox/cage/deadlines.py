"""Limits of time within the process of a program and its tests: each test has one of its own. Standard library only.

A program can turn these off, since it shares the process. They give every test its verdict where a program is only slow; what
ends one that is hostile is the watch over its process.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Any

from rltf_env.sandbox.values import FILENAME, TEST

PATIENCE = (
    5  # times that TimeUp is raised in a stretch before the process is ended: a program may swallow it, again and again
)
LAST = 0.02  # seconds for a test that begins when its program has used up what it had
_SOON = 0.2  # seconds until it is raised again
_SHORT = 0.05  # seconds; of what takes less, it is not worth asking how long it waited for a processor
# which limit a process was over that one of these signals ended
ENDS = {int(getattr(signal, name, 0)): limit for name, limit in (("SIGVTALRM", "cpu"), ("SIGALRM", "wall"))}


class TimeUp(BaseException):
    """A test took longer than one may. Not an Exception, so that a program's own handlers do not hold it up."""


class Deadline:
    """Raises TimeUp in what runs between `start` and `stop`, where the system can do that.

    It is raised where code of the program's or the test's is running. A runner that is about to note what became of a test is
    left alone for a while: it would lose all of them. A program that swallows TimeUp, or does not come back from one call
    into C, ends its process instead, by a signal of `ENDS`. Else one test could use up the time of all.

    Args:
        seconds: CPU time that a stretch may take.
        wall: CPU time and idle time. What a busy machine keeps it waiting for a processor does not count.
        most: CPU time of all stretches together; with idle time it is longer by as much as `wall` is. A stretch that begins
            later gets a last moment.
    """

    def __init__(self, seconds: float, wall: float, most: float) -> None:
        self.seconds, self.wall, self.setitimer = seconds, wall, getattr(signal, "setitimer", None)
        self.most, self.most_wall = most, most * wall / seconds
        self.used, self.passed = -time.process_time(), 0.0
        self.began = self.waited = 0.0
        self.limit = wall  # of the present stretch
        self.raised = 0  # times in it
        self.over = (
            ""  # the limit that the last stretch went over, "cpu" or "wall": what it was in may have swallowed TimeUp
        )

    def start(self) -> None:
        """Begins a stretch."""
        self.over = ""
        if self.setitimer is not None:
            signal.signal(signal.SIGPROF, self._up)
            signal.signal(signal.SIGALRM, self._look)
            self.began, self.waited = time.monotonic(), waited_for_processor()
            self.limit = max(min(self.wall, self.most_wall - self.passed), LAST)
            left = self.most - (self.used + time.process_time())
            left = max(min(self.seconds, left), LAST)
            self.raised = 0
            self.setitimer(signal.ITIMER_PROF, left)
            signal.signal(signal.SIGVTALRM, signal.SIG_DFL)
            self.setitimer(signal.ITIMER_VIRTUAL, 2 * left + _SOON * PATIENCE)
            self.setitimer(signal.ITIMER_REAL, self.limit)

    def stop(self) -> None:
        """Ends it."""
        if self.setitimer is not None:
            for timer in (signal.ITIMER_PROF, signal.ITIMER_REAL, signal.ITIMER_VIRTUAL):
                self.setitimer(timer, 0)
            if time.monotonic() - self.began > _SHORT:
                self.passed += self._used()

    def _used(self) -> float:
        return time.monotonic() - self.began - (waited_for_processor() - self.waited)

    def _up(self, signum: int, frame: Any) -> None:
        assert self.setitimer is not None
        self.setitimer(signal.ITIMER_PROF, _SOON)
        self._raise("cpu", signal.SIGVTALRM, frame)

    def _look(self, signum: int, frame: Any) -> None:
        assert self.setitimer is not None
        used = self._used()
        self.setitimer(signal.ITIMER_REAL, max(self.limit - used, _SOON))
        if used >= self.limit:
            self._raise("wall", signal.SIGALRM, frame)

    def _raise(self, limit: str, last: int, frame: Any) -> None:
        self.raised, self.over = self.raised + 1, limit
        if self.raised > PATIENCE:
            signal.signal(last, signal.SIG_DFL)
            os.kill(os.getpid(), last)
        if _is_judged(frame):
            raise TimeUp(limit)

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()


def _is_judged(frame: Any) -> bool:
    """True if code of a program or of a test is running there."""
    while frame is not None:
        if frame.f_code.co_filename in (FILENAME, TEST):
            return True
        frame = frame.f_back
    return False


def waited_for_processor() -> float:
    """Seconds that the threads of this process were ready to run and got no processor, as far as the kernel says."""
    waited = 0.0
    with contextlib.suppress(OSError, ValueError):  # there is no /proc, or it keeps no such statistics
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/schedstat", "rb") as file:
                waited += int(file.read().split()[1]) / 1e9
    return waited
