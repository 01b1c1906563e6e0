"""Whoever judges elsewhere, as a client sees it: what is known of a host, and what may come of asking it.

`Dispatcher` carries programs to hosts and knows nothing else of them. A host is a service behind a URL
(`sandbox/services.py`) or a node of a Ray cluster (`sandbox/nodes.py`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from rltf_env.sandbox.protocol import Result

LONGEST = 30.0  # seconds between two tries at a host that is down
FIRST = 0.1


class Lost(Exception):
    """The connection failed, or the host did. `handed`: it may have begun with what it was asked."""

    def __init__(self, text: str, *, handed: bool) -> None:
        super().__init__(text)
        self.handed = handed


class Later(Exception):
    """The host has no room, or is about to end; it wants to be asked again after so many seconds."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


class Unknown(Exception):
    """The host does not know these problems (digests)."""

    def __init__(self, digests: Sequence[str]) -> None:
        super().__init__(digests)
        self.digests = frozenset(digests)


class Refused(Exception):
    """The host finds something wrong with what it was asked."""


class TooLong(Exception):
    """The request is longer than the host takes."""


class Connection(Protocol):
    """One request at a time; for one thread. `abort` may come from another."""

    def about(self) -> dict[str, Any]:
        """What the host says of itself. Raises Lost, Later, UsageError."""
        ...

    def judge(self, body: bytes) -> Iterator[tuple[int, Result]]:
        """Results as they come, with the number of their job.

        Raises:
            Lost, Later, Unknown, Refused, TooLong, UsageError: what else may come of it.
        """
        ...

    def abort(self) -> None:
        """Ends the connection; the host drops what it has not begun."""
        ...


class Host:
    """What is known of a host, by all who talk to it. Guarded by whoever holds it.

    Args:
        shown: its name in messages.
    """

    ahead = 0  # programs that it may have been handed; 0: as many as the dispatcher says
    workers = 0  # programs that it judges at a time, where that is known

    def __init__(self, shown: str) -> None:
        self.shown = shown
        self.about: dict[str, Any] | None = None  # what it says of itself, once it was asked
        self.outstanding = 0  # programs that it was handed
        self.released = self.returned = 0  # programs that it has agreed to give back, and those that have come
        self.reserved = False  # for one program alone
        self.failures = 0
        self.rest = 0.0  # when it may be asked again

    def connect(self, patience: float) -> Connection:
        """A new connection, given up after `patience` seconds of silence. A host that judges says so every second."""
        raise NotImplementedError

    def release(self, count: int) -> int:
        """Asks for `count` programs back that the host has not begun with. How many will come: none, of one that cannot."""
        return 0

    def failed(self, jitter: float) -> None:
        """It failed: it is left alone for a while, each time for longer. Other connections lost meanwhile count once."""
        self.about = None  # who answers next may be another
        now = time.monotonic()
        if now < self.rest:
            return
        pause = min(LONGEST, FIRST * 2**self.failures) * (0.5 + jitter)
        self.failures += 1
        self.rest = now + pause
