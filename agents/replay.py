"""The online buffer: the newest samples, first in first out, walked through in a random order.

RLTF (arXiv 2307.04349, section 3.2) holds 6,400 and refreshes every 50 updates. A bounded queue does what the paper says; the
released `memory_pool.py` exceeds its bound at the start and never grows beyond its first size (PAPERS.md).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch

from agents.rollout import Sample
from rltf_env.errors import UsageError


class ReplayBuffer:
    """At most `capacity` samples; each is drawn once before any is drawn again, in an order that a refresh shuffles anew."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise UsageError(f"Expected a capacity of at least 1 sample, got {capacity}.")
        self._samples: deque[Sample] = deque(maxlen=capacity)
        self._order: list[int] = []

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def capacity(self) -> int:
        assert self._samples.maxlen is not None
        return self._samples.maxlen

    def extend(self, samples: Iterable[Sample]) -> None:
        """Adds the newest samples; the oldest beyond capacity fall out."""
        self._samples.extend(samples)
        self._order = []

    def draw(self, count: int, rng: np.random.Generator) -> list[Sample]:
        """`count` samples (fewer if the buffer holds fewer)."""
        if not self._samples:
            raise UsageError("Expected samples in the buffer before drawing from it, got none.")
        drawn: list[int] = []
        while len(drawn) < min(count, len(self)):
            if not self._order:
                self._order = rng.permutation(len(self)).tolist()
            drawn.append(self._order.pop())
        return [self._samples[i] for i in drawn]

    def versions(self) -> np.ndarray:
        """int64 (len,): the policy version that wrote each sample, oldest first."""
        return np.array([s.version for s in self._samples], np.int64)

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors and numbers."""
        return {"samples": [_pack(s) for s in self._samples], "order": list(self._order)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self._samples.clear()
        self._samples.extend(_unpack(packed) for packed in state["samples"])
        self._order = list(state["order"])


def _pack(sample: Sample) -> dict[str, Any]:
    arrays = {name: torch.from_numpy(getattr(sample, name)) for name in _ARRAYS}
    return {**arrays, "version": sample.version}


def _unpack(packed: Mapping[str, Any]) -> Sample:
    return Sample(**{name: packed[name].numpy() for name in _ARRAYS}, version=packed["version"])


_ARRAYS = ("prompt", "tokens", "learn", "weights", "logprobs")
