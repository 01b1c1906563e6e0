"""The bytes of UTF-8 as tokens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from rltf_env.core import IntArray, Program
from rltf_env.errors import UsageError
from rltf_env.tokenizers import _offsets
from rltf_env.tokenizers._ids import checked


def load() -> Bytes:
    """The tokenizer `"bytes"`."""
    return Bytes()


@dataclass(frozen=True)
class Bytes:
    """The bytes of UTF-8 as tokens 0-255, and 256 as the end of the sequence."""

    @property
    def vocab_size(self) -> int:
        """257: the bytes and the end."""
        return 257

    @property
    def eos_id(self) -> int:
        """256, behind the bytes."""
        return 256

    def encode(self, text: str) -> list[int]:
        """The UTF-8 bytes of `text`."""
        try:
            return list(text.encode())
        except UnicodeEncodeError as error:
            raise UsageError(
                f"Expected text that UTF-8 can hold, got a lone surrogate at character {error.start}. "
                "Replace it first: text.encode(errors='replace').decode()."
            ) from error

    def program(self, tokens: Sequence[int] | IntArray, *, prefix_length: int = 0, truncated: bool = False) -> Program:
        """The program that `tokens` (T,) spell; bytes that are no UTF-8 become U+FFFD, as in `bytes.decode`.

        The bytes of one character share its offset. See `HuggingFace.program` for the arguments and errors.
        """
        ids = checked(tokens, self.vocab_size, self.eos_id, truncated)
        body = ids[:-1] if len(ids) and ids[-1] == self.eos_id else ids
        data = body.astype(np.uint8)
        text = data.tobytes().decode("utf-8", "replace")
        starts = np.full(len(ids), len(text), np.int64)
        starts[: len(body)] = _offsets.utf8_offsets(data)
        return Program(ids, text, starts, prefix_length, truncated)

    def spellings(self) -> tuple[bytes, ...]:
        """The bytes of each token (V); the end token has none."""
        return (*(bytes((byte,)) for byte in range(256)), b"")
