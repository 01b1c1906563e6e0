"""A key-value cache with room to grow: a step writes one token instead of copying all that stands before it.

transformers' dynamic cache concatenates, so a program of T tokens copies its keys and values T times. Here they lie in
memory that is allocated ahead, a third more each time it is full, and the layers see the part that is filled.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache
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

    Other layers (sliding windows, convolutions, state spaces) and other kinds of cache stay what they are.
    """
    if hasattr(cache, "self_attention_cache"):  # of a decoder with an encoder
        for part in (cache.self_attention_cache, cache.cross_attention_cache):
            roomy(part, repeats)
        return cache
    if not isinstance(cache, Cache):
        return selected(cache, _repeated(rows_of(cache), repeats)) if repeats > 1 else cache
    for i, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer and layer.is_initialized and layer.keys is not None:
            cache.layers[i] = RoomyLayer(layer.keys, layer.values, repeats)  # pyright: ignore[reportArgumentType]
        elif repeats > 1 and (count := rows_of(layer)):
            layer.reorder_cache(_repeated(count, repeats))  # pyright: ignore[reportArgumentType]
    return cache


def selected(cache: Any, rows: Tensor) -> Any:
    """What a model keeps of what it has read, with these of its rows, in this order; a row may be chosen several times.

    transformers' own layers of any kind know how (`reorder_cache`, which beam search needs). In tensors, and in what holds
    tensors, rows are the first axis.
    """
    if hasattr(cache, "self_attention_cache"):
        selected(cache.self_attention_cache, rows)
        selected(cache.cross_attention_cache, rows)
    elif isinstance(cache, Cache):
        for layer in cache.layers:
            if isinstance(layer, RoomyLayer):
                layer.batch_select_indices(rows)
            else:
                layer.reorder_cache(rows)  # pyright: ignore[reportArgumentType] - any indices will do
    elif isinstance(cache, Tensor):
        return cache.index_select(0, rows.to(cache.device))
    elif isinstance(cache, dict):
        return {key: selected(value, rows) for key, value in cache.items()}
    elif isinstance(cache, (list, tuple)):
        return type(cache)([selected(value, rows) for value in cache])
    elif hasattr(cache, "__dict__"):  # a class of the model's own
        for name, value in vars(cache).items():
            if isinstance(value, _HOLDERS):
                setattr(cache, name, selected(value, rows))
    return cache


_HOLDERS = (Tensor, dict, list, tuple)


def rows_of(cache: Any) -> int:
    """The number of rows in a cache, a layer or whatever else holds tensors; 0 where none does."""
    return next((len(tensor) for tensor in _tensors(cache) if tensor.dim() > 1 and tensor.numel()), 0)


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
        return
    if not isinstance(value, _HOLDERS):
        value = getattr(value, "__dict__", {})
    parts: Iterable[Any] = value.values() if isinstance(value, dict) else value
    for part in parts:
        if isinstance(part, _HOLDERS):
            yield from _tensors(part)


def _repeated(rows: int, repeats: int) -> Tensor:
    return torch.arange(rows).repeat_interleave(repeats)


def is_plain(config: Any) -> bool:
    """True if a model of this config keeps all keys and values of all its layers, so that a cache can be differentiated."""
    return all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)
