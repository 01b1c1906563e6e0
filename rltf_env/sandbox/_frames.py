"""Messages between the judge's processes: a length, then JSON, or JSON with raw pieces behind it. Standard library only."""

from __future__ import annotations

import json
import os
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


def read_frame(fd: int) -> bytes:
    """The next payload. Raises EOFError when the other side has gone."""
    return _read_exactly(fd, _LENGTH.unpack(_read_exactly(fd, _LENGTH.size))[0])


def pack(head: Any, pieces: list[bytes]) -> bytes:
    """A JSON value and raw bytes as one payload."""
    text = json.dumps([head, [len(piece) for piece in pieces]]).encode()
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
