"""The referee's side of a live program: one that is asked one thing after another, and answers before it is asked the next.

Questions and answers go through two pipes that no write of the referee's blocks on. Whatever comes back is the program's own
result, forged or not: no more than `output_bytes` of it is read, and it is never waited for beyond the program's time, which
whoever runs the program looks after. POSIX; standard library only.
"""

from __future__ import annotations

import json
import mmap
import os
import select
import time
from collections.abc import Callable
from typing import Any

from rltf_env.sandbox.cage.files import release
from rltf_env.sandbox.cage.turns import LAYOUT

_SOON = 0.0002  # seconds in which nobody can have waited for a processor worth mentioning
_DELAYS = "/proc/thread-self/schedstat"
# A descriptor, what is to become of it (POLLIN, POLLOUT): False if the program has ended.
Wait = Callable[[int, int], bool]


class Turns:
    """Takes down whose turn it is. What the referee waits for a processor, once it has an answer, is not the program's time."""

    def __init__(self, fd: int = -1) -> None:
        self._view = mmap.mmap(fd, LAYOUT.size)
        self._since = self._passed = self._delayed = 0.0
        self._delays = os.open(_DELAYS, os.O_RDONLY) if os.path.exists(_DELAYS) else -1

    def reset(self) -> None:
        """The program has the turn, and nothing has been taken off its time."""
        self._passed, self._since, self._delayed = 0.0, time.monotonic(), self._delay()
        LAYOUT.pack_into(self._view, 0, 0.0, 0.0, 0.0)

    def take(self) -> None:
        """The program has answered."""
        now = time.monotonic()
        if now - self._since > _SOON:
            before, self._delayed = self._delayed, self._delay()
            self._passed += min(self._delayed - before, now - self._since)
        self._since = now
        LAYOUT.pack_into(self._view, 0, self._passed, now, 0.0)

    def give(self) -> None:
        """The program is asked something."""
        now = time.monotonic()
        if now - self._since > _SOON:  # what it waited in its own turn is counted already
            self._delayed = self._delay()
        self._passed, self._since = self._passed + now - self._since, now
        LAYOUT.pack_into(self._view, 0, self._passed, 0.0, 0.0)

    def end(self) -> None:
        """Nothing more is wanted of the program: it may be ended."""
        LAYOUT.pack_into(self._view, 0, self.passed(), 0.0, 1.0)

    def passed(self) -> float:
        """The seconds that were not the program's so far."""
        total, since, _ = LAYOUT.unpack_from(self._view)
        return total + (time.monotonic() - since if since else 0.0)

    def __enter__(self) -> Turns:
        return self

    def __exit__(self, *exc: object) -> None:
        """Gives back what it holds."""
        self._view.close()
        if self._delays >= 0:
            os.close(self._delays)

    def _delay(self) -> float:
        """Seconds that this thread was ready to run and did not get a processor."""
        try:
            return int(os.pread(self._delays, 64, 0).split()[1]) / 1e9 if self._delays >= 0 else 0.0
        except (OSError, IndexError, ValueError):  # the kernel keeps no such statistics
            return 0.0


class Pipes:
    """A pipe to a live program and one back, which hold nothing of an earlier one's once they are cleared."""

    def __init__(self, ask: tuple[int, int], tell: tuple[int, int]) -> None:
        (self.ask_end, self.ask), (self.tell_end, self.tell) = ask, tell
        os.set_blocking(self.ask, False)
        os.set_blocking(self.tell_end, False)

    def clear(self) -> None:
        """Takes back what a program left in them or set on its ends. No program may be alive."""
        os.set_blocking(self.ask_end, False)
        for fd in (self.ask_end, self.tell_end):
            while _read(fd):
                pass
        release(self.ask_end)
        release(self.tell)

    def __enter__(self) -> Pipes:
        return self

    def __exit__(self, *exc: object) -> None:
        """Closes the referee's ends."""
        for fd in (self.ask, self.tell_end):
            os.close(fd)


def _read(fd: int) -> bytes:
    try:
        return os.read(fd, 1 << 16)
    except BlockingIOError:
        return b""


class Conversation:
    """One live program, as its test sees it.

    Args:
        most: bytes of answers that are read.
        wait: returns True when a descriptor is ready, False when the program has ended.
    """

    def __init__(self, pipes: Pipes, turns: Turns, most: int, wait: Wait) -> None:
        self._pipes, self._turns, self._left, self._wait = pipes, turns, most, wait
        self._rest = b""
        self.ended = False  # the program is no more, or said too much
        self.flooded = False  # it said too much
        self.first = self._answer() or {}  # what became of it before it was asked anything

    def ask(self, question: bytes) -> dict[str, Any] | None:
        """What came of an operation, packed by `marshal`. None if the program ended before it said so."""
        self._turns.give()
        data = memoryview(len(question).to_bytes(4, "little") + question)
        while data and not self.ended:
            try:
                data = data[os.write(self._pipes.ask, data) :]
            except BlockingIOError:
                self.ended = not self._wait(self._pipes.ask, select.POLLOUT)
            except BrokenPipeError:
                self.ended = True
        return self._answer()

    def close(self, *, leave: bool) -> None:
        """Tells the program that it has been asked all. Unless it is to leave by itself, it may be ended at once."""
        if leave and not self.flooded:
            self._turns.give()
        else:
            self._turns.end()
        try:
            os.write(self._pipes.ask, bytes(4))
        except (BlockingIOError, BrokenPipeError):  # it does not listen, or is no more
            self._turns.end()

    def _answer(self) -> dict[str, Any] | None:
        line = self._line()
        self._turns.take()
        if line is None or not line.startswith(b"{"):
            return None
        try:
            return json.loads(line)
        except (ValueError, RecursionError):
            return None

    def _line(self) -> bytes | None:
        """The next line. None if there is none: then there will be no other."""
        pieces, data = [], self._rest
        while (at := data.find(b"\n")) < 0:
            pieces.append(data)
            self._left -= len(data)
            self.flooded = self.flooded or self._left < 0
            self.ended = self.ended or self.flooded or not self._wait(self._pipes.tell_end, select.POLLIN)
            data = b"" if self.flooded else _read(self._pipes.tell_end)
            if self.ended and not data:
                return None
        pieces.append(data[:at])
        self._left -= at
        self._rest = data[at + 1 :]
        return b"".join(pieces)
