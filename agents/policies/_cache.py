"""A key-value cache with room to grow: a step writes one token instead of copying all that stands before it.

transformers' dynamic cache concatenates, so a program of T tokens copies its keys and values T times. Here they lie in
memory that is allocated ahead, a third more each time it is full, and the layers see the part that is filled.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

LEAST = 64  # tokens of room, at the least, when a layer grows


class RoomyLayer(DynamicLayer):
    """One layer: keys and values (B, heads, length, width) as views of buffers with a longer third axis."""

    keys: Tensor  # pyright: ignore[reportIncompatibleVariableOverride] - never None here
    values: Tensor  # pyright: ignore[reportIncompatibleVariableOverride]

    def __init__(self, keys: Tensor, values: Tensor, repeats: int = 1) -> None:
        super().__init__()
        self.dtype, self.device, self.is_initialized = keys.dtype, keys.device, True
        self._buffers = tuple(_grown(t, repeats) for t in (keys, values))
        self._show(keys.shape[-2])

    def _show(self, length: int) -> None:
        self.keys, self.values = (buffer[..., :length, :] for buffer in self._buffers)

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        start = self.keys.shape[-2]
        end = start + key_states.shape[-2]
        if end > self._buffers[0].shape[-2]:
            self._buffers = tuple(_grown(t) for t in (self.keys, self.values))
        for buffer, new in zip(self._buffers, (key_states, value_states), strict=True):
            buffer[..., start:end, :] = new
        self._show(end)
        return self.keys, self.values

    def batch_select_indices(self, indices: Tensor) -> None:
        length = self.keys.shape[-2]
        self._buffers = tuple(_grown(t[indices]) for t in (self.keys, self.values))
        self._show(length)

    def batch_repeat_interleave(self, repeats: int) -> None:
        length = self.keys.shape[-2]
        self._buffers = tuple(_grown(t, repeats) for t in (self.keys, self.values))
        self._show(length)


def _grown(states: Tensor, repeats: int = 1) -> Tensor:
    """A copy of (B, heads, length, width), each row `repeats` times, with room after it."""
    rows, heads, length, width = states.shape
    buffer = states.new_empty(rows, repeats, heads, length + max(LEAST, length // 3), width)
    buffer[..., :length, :] = states[:, None]
    return buffer.flatten(0, 1)


def roomy(cache: Any, repeats: int = 1) -> Any:
    """`cache` with each row `repeats` times in a row, and with room in every layer that holds all that it has read.

    Other layers (sliding windows, state spaces) stay what they are.
    """
    for i, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer and layer.is_initialized and layer.keys is not None:
            cache.layers[i] = RoomyLayer(layer.keys, layer.values, repeats)  # pyright: ignore[reportArgumentType]
        elif repeats > 1:
            layer.batch_repeat_interleave(repeats)
    return cache


def is_plain(config: Any) -> bool:
    """True if a model of this config keeps all keys and values of all its layers, so that a cache can be differentiated."""
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)
