"""Packed tests, unpacked without unpickling: base64 of zlib of a pickle that holds one text.

LiveCodeBench ships its private tests so, and others follow it. A pickle can run anything when it is
loaded, so none is loaded here. Its opcodes are looked at: such a pickle has those that begin, frame,
hold one text, remember it, and stop. Any other opcode, or a second text, and it is refused.

    unpacked(text, "row 3")    the text inside
"""

from __future__ import annotations

import base64
import binascii
import pickletools
import zlib

from rltf_env.errors import DataError

LARGEST = 1 << 28  # bytes, unpacked
_TEXT = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"})
_HARMLESS = frozenset({"PROTO", "FRAME", "MEMOIZE", "BINPUT", "LONG_BINPUT", "PUT", "STOP"})


def unpacked(packed: str, where: str, *, largest: int = LARGEST) -> str:
    """The one text in a packed pickle.

    Args:
        packed: base64 of zlib of the pickle.
        where: it stands, for messages.
        largest: bytes that it may unpack to.

    Raises:
        DataError: anything else, or something larger.
    """
    try:
        data = base64.b64decode(packed, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"{where}: expected JSON or packed tests (base64), got {packed[:40]!r}: {error}.") from error
    return _text(_inflated(data, where, largest), where)


def _inflated(data: bytes, where: str, largest: int) -> bytes:
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(data, largest)
    except zlib.error as error:
        raise DataError(f"{where}: expected packed tests (zlib), got {error}.") from error
    if stream.unconsumed_tail:
        raise DataError(f"{where}: expected packed tests of at most {largest} bytes, got more.")
    if not stream.eof:
        raise DataError(f"{where}: expected packed tests to their end, got {len(content)} bytes that break off.")
    return content


def _text(content: bytes, where: str) -> str:
    """The text of a pickle of nothing but a text. No opcode is carried out."""
    texts: list[str] = []
    end = 0
    try:
        for opcode, value, at in pickletools.genops(content):
            if opcode.name in _TEXT and isinstance(value, str):
                texts.append(value)
            elif opcode.name not in _HARMLESS:
                raise DataError(
                    f"{where}: expected a pickle of one text, got the opcode {opcode.name}. It was not run."
                )
            end = at or 0
    except ValueError as error:  # not a pickle, or one that breaks off
        raise DataError(f"{where}: expected a pickle of one text, got {error}.") from error
    if len(texts) != 1 or end != len(content) - 1:
        raise DataError(f"{where}: expected a pickle of one text and nothing behind it, got {len(texts)} texts.")
    return texts[0]
