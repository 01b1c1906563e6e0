"""Plain data between processes, a frame at a time: eight bytes of length, then what `torch.save` made of it.

Only tensors, numbers, strings, lists and dicts cross: the reader loads with `weights_only`, so that a frame cannot run code.
"""

from __future__ import annotations

import io
import selectors
import struct
from typing import Any, BinaryIO, Protocol

import torch

LENGTH = struct.Struct("<Q")
LARGEST = 1 << 40  # bytes
STEP = 1.0  # seconds at a time that silence is counted in: a reader that was itself stopped has counted one of them


class Silence(Exception):
    """Nothing has come for as long as anybody was willing to wait."""


class Readable(Protocol):
    """What frames are read from."""

    def read(self, size: int, /) -> bytes | None:
        """The next bytes, at most so many; none at the end."""
        ...


class Patient:
    """A pipe of which a reader waits `limit` seconds for the next bytes, and no longer (0: for ever)."""

    def __init__(self, stream: BinaryIO, limit: float) -> None:
        self._stream, self._limit = stream, limit
        self._selector = selectors.DefaultSelector()
        self._selector.register(stream, selectors.EVENT_READ)

    def read(self, size: int, /) -> bytes | None:
        """At least one byte and at most `size`; none at the end.

        Raises:
            Silence: nothing came.
        """
        step, quiet = min(STEP, self._limit) or None, 0.0
        while not self._selector.select(step):
            quiet += step or 0.0
            if 0 < self._limit <= quiet:
                raise Silence(f"nothing for {self._limit:g} s")
        return self._stream.read(size)

    def close(self) -> None:
        """The pipe, too."""
        self._selector.close()
        self._stream.close()


def send(stream: BinaryIO, value: Any) -> None:
    """Writes `value`; waits until the other side has made room for it."""
    body = io.BytesIO()
    torch.save(value, body)
    send_bytes(stream, LENGTH.pack(body.tell()) + body.getvalue())


def frame(value: Any) -> bytes:
    """What `receive` reads from a stream."""
    stream = io.BytesIO()
    send(stream, value)
    return stream.getvalue()


def send_bytes(stream: BinaryIO, content: bytes) -> None:
    """Writes all of `content` to a stream that has no buffer and may take less at a time."""
    rest = memoryview(content)
    while rest:
        rest = rest[stream.write(rest) :]


def receive(stream: Readable) -> Any:
    """The next value; None at the end, also of a writer that died in the middle of one.

    Raises:
        ValueError: what comes is no frame.
    """
    head = receive_bytes(stream, LENGTH.size)
    size = LENGTH.unpack(head)[0] if head else 0
    if size > LARGEST:
        raise ValueError(f"Expected a frame of at most {LARGEST} bytes, got one that claims {size}.")
    body = receive_bytes(stream, size) if head else None
    return None if body is None else torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)


def receive_bytes(stream: Readable, count: int) -> bytes | None:
    """Exactly `count` bytes of a stream without a buffer; None if it ends before."""
    data = bytearray()
    while len(data) < count:
        part = stream.read(count - len(data))
        if not part:
            return None
        data += part
    return bytes(data)
