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

from agents.core import TrainingSample
from rltf_env.errors import UsageError


class ReplayBuffer:
    """At most `capacity` samples; each is drawn once before any is drawn again, in an order that a refresh shuffles anew."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise UsageError(f"Expected a capacity of at least 1 sample, got {capacity}.")
        self._samples: deque[TrainingSample] = deque(maxlen=capacity)
        self._order: list[int] = []

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def capacity(self) -> int:
        """The most programs that it holds."""
        assert self._samples.maxlen is not None
        return self._samples.maxlen

    def extend(self, samples: Iterable[TrainingSample]) -> None:
        """Adds the newest samples; the oldest beyond capacity fall out."""
        self._samples.extend(samples)
        self._order = []

    def forget(self, before: int) -> None:
        """Drops the samples of policy versions before this one."""
        fresh = [s for s in self._samples if s.version >= before]
        if len(fresh) < len(self):
            self._samples.clear()
            self.extend(fresh)

    def draw_fresh(self, count: int, rng: np.random.Generator, now: int, limit: int) -> list[TrainingSample]:
        """Like `draw`, without those written more than `limit` updates before `now` (0: no limit).

        As many as there are, up to `count`, each once: those that are too old are passed over, and others drawn.

        Raises:
            UsageError: all samples are older.
        """
        if not limit or not self._samples:
            return self.draw(count, rng)
        fresh: list[TrainingSample] = []
        seen: set[int] = set()
        again: list[int] = []  # met twice, in a new round: they wait for the next draw
        while len(fresh) < count and len(seen) < len(self):
            i = self._next(rng)
            if i in seen:
                again.append(i)
                continue
            seen.add(i)
            if now - self._samples[i].version <= limit:
                fresh.append(self._samples[i])
        self._order += again
        if not fresh:
            raise UsageError(
                f"Every sample is more than max_staleness={limit} updates old. Lower refresh_every, or raise the limit."
            )
        return fresh

    def _next(self, rng: np.random.Generator) -> int:
        """The next of the round, or the first of a new one."""
        if not self._order:
            self._order = rng.permutation(len(self)).tolist()
        return self._order.pop()

    def draw(self, count: int, rng: np.random.Generator) -> list[TrainingSample]:
        """`count` samples (fewer if the buffer holds fewer)."""
        if not self._samples:
            raise UsageError("Expected samples in the buffer before drawing from it, got none.")
        rows: list[int] = []
        while len(rows) < min(count, len(self)):
            rows.append(self._next(rng))
        return [self._samples[i] for i in rows]

    def versions(self) -> np.ndarray:
        """int64 (len,): the policy version that wrote each sample, oldest first."""
        return np.array([s.version for s in self._samples], np.int64)

    def state_dict(self) -> dict[str, Any]:
        """Plain tensors and numbers."""
        return {"samples": [pack(s) for s in self._samples], "order": list(self._order)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self._samples.clear()
        self._samples.extend(unpack(packed) for packed in state["samples"])
        self._order = list(state["order"])


def pack(sample: TrainingSample) -> dict[str, Any]:
    """Plain tensors and numbers, for a checkpoint."""
    arrays = {key: torch.from_numpy(getattr(sample, name)) for key, name in _ARRAYS.items()}
    extra = {name: torch.from_numpy(array) for name, array in sample.extra.items()}
    key = {"key": sample.key} if sample.key else {}
    return {**arrays, "version": sample.version, "extra": extra, **key}


def unpack(packed: Mapping[str, Any]) -> TrainingSample:
    """What `pack` was given."""
    extra = {name: tensor.numpy() for name, tensor in packed["extra"].items()}
    arrays = {name: packed[key].numpy() for key, name in _ARRAYS.items()}
    return TrainingSample(**arrays, version=packed["version"], extra=extra, key=packed.get("key", ""))


# Keys of a checkpoint, which do not change, and the fields that they hold.
_ARRAYS = {
    "prompt": "prompt",
    "tokens": "tokens",
    "learn": "loss_mask",
    "weights": "weights",
    "logprobs": "old_logprobs",
}
