"""The space of texts: Gymnasium's `Text`, but of any characters, since no alphabet covers what statements and programs hold.

Gymnasium's vectors and flattening see it as code points: int32 (max_length,), filled up with -1.
"""

from __future__ import annotations

import multiprocessing as mp
import string
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
from gymnasium.spaces import Box, Text
from gymnasium.spaces.utils import flatten, flatten_space, unflatten
from gymnasium.vector.utils.shared_memory import (
    create_shared_memory,
    read_from_shared_memory,
    write_to_shared_memory,
)

SAMPLED = string.ascii_letters + string.digits + string.punctuation + " \n"
LONGEST_SAMPLE = 64


class Unicode(Text):
    """Texts of at most `max_length` characters that UTF-8 can hold: all of Unicode but lone surrogates. "" is one.

    A sample is short and of printable ASCII, unless `sample` is told a length or a mask over these characters.
    """

    def __init__(self, max_length: int, *, seed: int | np.random.Generator | None = None) -> None:
        super().__init__(max_length, min_length=0, charset=SAMPLED, seed=seed)

    def contains(self, x: Any) -> bool:
        """True for a text of at most `max_length` characters that UTF-8 can hold."""
        return isinstance(x, str) and len(x) <= self.max_length and encodable(x)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A random text; `mask` is `(length or None, mask of characters or None)`, as in Gymnasium's `Text`."""
        if mask is None and probability is None:
            mask = int(self.np_random.integers(min(self.max_length, LONGEST_SAMPLE) + 1)), None
        return super().sample(mask, probability)

    def __repr__(self) -> str:
        return f"Unicode({self.max_length})"

    def __eq__(self, other: object, /) -> bool:
        return isinstance(other, Unicode) and self.max_length == other.max_length


def encodable(text: str) -> bool:
    """True unless `text` holds half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _code_points(text: str, size: int) -> npt.NDArray[np.int32]:
    codes = np.frombuffer(text.encode("utf-32-le"), "<u4")
    padded = np.full(size, -1, np.int32)
    padded[: len(codes)] = codes
    return padded


def _text(codes: npt.NDArray[np.int32]) -> str:
    return codes[codes >= 0].astype("<u4").tobytes().decode("utf-32-le")


@flatten_space.register(Unicode)
def _flatten_space(space: Unicode) -> Box:
    return Box(-1, 0x10FFFF, (space.max_length,), np.int32)


@flatten.register(Unicode)
def _flatten(space: Unicode, x: str) -> npt.NDArray[np.int32]:
    return _code_points(x, space.max_length)


@unflatten.register(Unicode)
def _unflatten(space: Unicode, x: npt.NDArray[np.int32]) -> str:
    return _text(x)


@create_shared_memory.register(Unicode)
def _create(space: Unicode, n: int = 1, ctx: ModuleType = mp) -> Any:
    return ctx.Array("i", n * space.max_length)


@write_to_shared_memory.register(Unicode)
def _write(space: Unicode, index: int, value: str, shared_memory: Any) -> None:
    rows = np.frombuffer(shared_memory.get_obj(), np.int32).reshape(-1, space.max_length)
    rows[index] = _code_points(value, space.max_length)


@read_from_shared_memory.register(Unicode)
def _read(space: Unicode, shared_memory: Any, n: int = 1) -> tuple[str, ...]:
    return tuple(map(_text, np.frombuffer(shared_memory.get_obj(), np.int32).reshape(n, space.max_length)))
