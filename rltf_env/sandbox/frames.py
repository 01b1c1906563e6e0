"""Messages between the judge's processes: a length, then JSON, or JSON with raw pieces behind it. Standard library only."""

from __future__ import annotations

import json
import os
import select
import signal
import struct
from typing import Any

_LENGTH = struct.Struct("<Q")


def write_all(fd: int, data: bytes) -> None:
    """Writes all of `data`, however little the other side takes at a time."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def write_frame(fd: int, payload: bytes) -> None:
    """Sends `payload` with its length in front."""
    write_all(fd, _LENGTH.pack(len(payload)) + payload)


def _read_exactly(fd: int, size: int) -> bytes:
    data = os.read(fd, min(size, 1 << 20)) if size else b""
    if len(data) == size:
        return data
    chunks = [data]
    size -= len(data)
    while size and chunks[-1]:
        chunks.append(os.read(fd, min(size, 1 << 20)))
        size -= len(chunks[-1])
    if size:
        raise EOFError("the other side has gone")
    return b"".join(chunks)


class Alert:
    """Waits until a descriptor can be read, and hears signals meanwhile.

    A signal that comes between Python's last look and a blocking read would be heard only when the read is over, which may be
    a program's whole time. Where there is no poll(2), `wait` does not wait: the read does.
    """

    def __init__(self) -> None:
        self._polls: dict[Any, Any] = {}
        self._wakeup = -1
        if hasattr(select, "poll"):
            self._wakeup, write = os.pipe()
            os.set_blocking(write, False)
            signal.set_wakeup_fd(write, warn_on_full_buffer=False)

    def wait(self, fd: int) -> None:
        """Returns when `fd` can be read, or its other side has gone."""
        if self._wakeup < 0:
            return
        if fd not in self._polls:
            self._polls[fd] = select.poll()
            self._polls[fd].register(fd, select.POLLIN)
            self._polls[fd].register(self._wakeup, select.POLLIN)
        while all(ready != fd for ready, _ in self._polls[fd].poll()):
            os.read(self._wakeup, 64)

    def wait_for(self, fd: int, event: int, other: int) -> bool:
        """True when `fd` is ready for an event (POLLIN or POLLOUT), False when that did not come before `other` can be read."""
        key = (fd, event, other)
        if key not in self._polls:
            self._polls[key] = poll = select.poll()
            poll.register(fd, event)
            poll.register(other, select.POLLIN)
            poll.register(self._wakeup, select.POLLIN)
        while True:
            ready = [each for each, _ in self._polls[key].poll()]
            if fd in ready:
                return True
            if other in ready:
                return False
            os.read(self._wakeup, 64)


def read_frame(fd: int) -> bytes:
    """The next payload. Raises EOFError when the other side has gone."""
    return _read_exactly(fd, _LENGTH.unpack(_read_exactly(fd, _LENGTH.size))[0])


class Turns:
    """Reads frames from a side that waits for an answer to each: into a buffer of its own, with one call if it is long enough.

    Nothing of a frame is left in memory once the next one is there: whoever is forked meanwhile sees the present one alone.
    """

    def __init__(self, fd: int, size: int = 1 << 16) -> None:
        self.fd, self._used = fd, 0
        self._make(size)

    def read(self) -> memoryview:
        """The next payload, good until the next call. Raises EOFError when the other side has gone."""
        start = _LENGTH.size
        got = self._more(0, len(self._whole))
        while got < start:
            got += self._more(got, start)
        size = int.from_bytes(self._whole[:start], "little") + start
        if size > len(self._whole):
            self._enlarge(size, got)
        while got < size:
            got += self._more(got, size)
        if size < self._used:
            self._whole[size : self._used] = bytes(self._used - size)
        self._used = size
        return self._whole[start:size]

    def _make(self, size: int) -> None:
        self._whole = memoryview(bytearray(size))

    def _more(self, start: int, end: int) -> int:
        """Reads what has come, into this part of the buffer."""
        count = os.readv(self.fd, [self._whole[start:end]])
        if not count:
            raise EOFError("the other side has gone")
        return count

    def _enlarge(self, size: int, got: int) -> None:
        before = self._whole
        self._make(size)
        self._whole[:got] = before[:got]
        before[:] = bytes(len(before))


def pack(head: Any, pieces: list[bytes]) -> bytes:
    """A JSON value and raw bytes as one payload."""
    return pack_text(json.dumps(head), pieces)


def pack_text(head: str, pieces: list[bytes]) -> bytes:
    """What `pack` makes, of a value that is JSON text already."""
    text = f"[{head}, {[len(piece) for piece in pieces]}]".encode()
    return b"".join([_LENGTH.pack(len(text)), text, *pieces])


def unpack(payload: bytes) -> tuple[Any, list[bytes]]:
    """What was packed. Raises ValueError on anything else."""
    start = _LENGTH.size
    if len(payload) < start:
        raise ValueError("too short")
    (size,) = _LENGTH.unpack_from(payload)
    head, lengths = json.loads(payload[start : start + size])
    pieces, at = [], start + size
    for length in lengths:
        pieces.append(payload[at : at + length])
        at += length
    return head, pieces
