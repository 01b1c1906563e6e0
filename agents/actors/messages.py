"""Plain data between processes, a frame at a time: eight bytes of length, then what `torch.save` made of it.

Only tensors, numbers, strings, lists and dicts cross: the reader loads with `weights_only`, so that a frame cannot run code.
"""

from __future__ import annotations

import io
import struct
from typing import Any, BinaryIO

import torch

LENGTH = struct.Struct("<Q")


def send(stream: BinaryIO, value: Any) -> None:
    """Writes `value`; waits until the other side has made room for it."""
    body = io.BytesIO()
    torch.save(value, body)
    send_bytes(stream, LENGTH.pack(body.tell()) + body.getvalue())


def send_bytes(stream: BinaryIO, content: bytes) -> None:
    """Writes all of `content` to a stream that has no buffer and may take less at a time."""
    rest = memoryview(content)
    while rest:
        rest = rest[stream.write(rest) :]


def receive(stream: BinaryIO) -> Any:
    """The next value; None at the end, also of a writer that died in the middle of one."""
    head = receive_bytes(stream, LENGTH.size)
    body = receive_bytes(stream, LENGTH.unpack(head)[0]) if head else None
    return None if body is None else torch.load(io.BytesIO(body), map_location="cpu", weights_only=True)


def receive_bytes(stream: BinaryIO, count: int) -> bytes | None:
    """Exactly `count` bytes of a stream without a buffer; None if it ends before."""
    data = bytearray()
    while len(data) < count:
        part = stream.read(count - len(data))
        if not part:
            return None
        data += part
    return bytes(data)
