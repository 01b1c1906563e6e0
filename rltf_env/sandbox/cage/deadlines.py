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

LAST = 0.02  # seconds for a test that begins when its program has used up what it had
_SHORT = 0.05  # seconds; of what takes less, it is not worth asking how long it waited for a processor


class TimeUp(BaseException):
    """A test took longer than one may. Not an Exception, so that a program's own handlers do not hold it up."""


class Deadline:
    """Raises TimeUp in what runs between `start` and `stop`, where the system can do that.

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

    def start(self) -> None:
        """Begins a stretch."""
        if self.setitimer is not None:
            signal.signal(signal.SIGPROF, self._up)
            signal.signal(signal.SIGALRM, self._look)
            self.began, self.waited = time.monotonic(), waited_for_processor()
            self.limit = max(min(self.wall, self.most_wall - self.passed), LAST)
            left = self.most - (self.used + time.process_time())
            self.setitimer(signal.ITIMER_PROF, max(min(self.seconds, left), LAST))
            self.setitimer(signal.ITIMER_REAL, self.limit)

    def stop(self) -> None:
        """Ends it."""
        if self.setitimer is not None:
            self.setitimer(signal.ITIMER_PROF, 0)
            self.setitimer(signal.ITIMER_REAL, 0)
            if time.monotonic() - self.began > _SHORT:
                self.passed += self._used()

    def _used(self) -> float:
        return time.monotonic() - self.began - (waited_for_processor() - self.waited)

    def _up(self, *args: Any) -> None:
        assert self.setitimer is not None
        self.setitimer(signal.ITIMER_PROF, 0.2)  # again, for a program that swallowed it
        raise TimeUp("cpu")

    def _look(self, *args: Any) -> None:
        assert self.setitimer is not None
        used = self._used()
        self.setitimer(signal.ITIMER_REAL, max(self.limit - used, 0.2))
        if used >= self.limit:
            raise TimeUp("wall")

    def __enter__(self) -> None:
        self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()


def waited_for_processor() -> float:
    """Seconds that the threads of this process were ready to run and got no processor, as far as the kernel says."""
    waited = 0.0
    with contextlib.suppress(OSError, ValueError):  # there is no /proc, or it keeps no such statistics
        for thread in os.listdir("/proc/self/task"):
            with open(f"/proc/self/task/{thread}/schedstat", "rb") as file:
                waited += int(file.read().split()[1]) / 1e9
    return waited
