"""The on-policy agents' memory: the samples of one round, walked through a few times in minibatches, then forgotten.

Where actors write (`[scale]`), what has come waits for its round in `Arrivals`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from agents.core import TrainingSample
from agents.learning.replay import pack, unpack


class RolloutBuffer:
    """Samples in minibatches of nearly equal size; false when all of them have been handed out."""

    def __init__(self) -> None:
        self._samples: list[TrainingSample] = []
        self._parts: list[list[int]] = []  # the last comes next

    def __bool__(self) -> bool:
        return bool(self._parts)

    def start(self, samples: Sequence[TrainingSample], epochs: int, size: int, rng: np.random.Generator) -> None:
        """A new round: every sample once an epoch, in an order of `rng`, at most `size` at a time."""
        self._samples, self._parts = list(samples), []
        for _ in range(epochs):
            order = rng.permutation(len(samples))
            self._parts += [part.tolist() for part in np.array_split(order, -(-len(samples) // size))]
        self._parts.reverse()

    def draw(self) -> list[TrainingSample]:
        """The next minibatch."""
        return [self._samples[i] for i in self._parts.pop()]

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors and numbers; of a round that is over, nothing."""
        return {"samples": [pack(s) for s in self._samples if self._parts], "parts": [list(p) for p in self._parts]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self._samples = [unpack(packed) for packed in state["samples"]]
        self._parts = [list(p) for p in state["parts"]]


class Arrivals:
    """Samples that have come for the next rounds, the first first; each is taken once."""

    def __init__(self) -> None:
        self._samples: deque[TrainingSample] = deque()

    def __len__(self) -> int:
        return len(self._samples)

    def extend(self, samples: Iterable[TrainingSample]) -> None:
        """Adds the newest."""
        self._samples.extend(samples)

    def forget(self, before: int) -> None:
        """Drops the samples of policy versions before this one."""
        self._samples = deque(s for s in self._samples if s.version >= before)

    def take(self, count: int) -> list[TrainingSample]:
        """The oldest ones, which are then no longer here."""
        return [self._samples.popleft() for _ in range(min(count, len(self)))]

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors and numbers."""
        return {"samples": [pack(s) for s in self._samples]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self._samples = deque(unpack(packed) for packed in state["samples"])
