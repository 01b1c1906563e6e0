"""Whole numbers from a key, the same on every machine and with every NumPy: what makers of problems draw with."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np


class Stream:
    """Raw bits of PCG64, which no NumPy changes (NEP 19), as it may change Generator's methods."""

    def __init__(self, *key: int) -> None:
        self._generator = np.random.PCG64(key)
        self._bits: Iterator[int] = iter(())

    def below(self, n: int) -> int:
        """An integer in [0, n)."""
        bits = next(self._bits, None)
        if bits is None:
            self._bits = iter(self._generator.random_raw(128).tolist())
            bits = next(self._bits)
        return bits % n

    def between(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return low + self.below(high - low + 1)

    def pick(self, options: Sequence[Any]) -> Any:
        """One of the options."""
        return options[self.below(len(options))]


def share(text: str) -> float:
    """A number in [0, 1) that depends on `text` alone."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) / 2**64
