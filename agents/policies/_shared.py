"""Programs that are being written: the keys and values of a prompt lie in memory once, whatever the number of its programs.

The decomposition of Hydragen (arXiv 2402.05099, section 3), with one softmax over both parts where the paper merges two. See
`agents.policies._attention`.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from transformers import Cache

from agents.policies._cache import RoomyLayer
from agents.policies._rows import Groups, Rectangle


class Shared(Cache):
    """The cache of programs that are being written: keys and values of each prompt once (U), and of each program's own tokens (B).

    A token's query meets the prompt's keys together with those of the group's other programs, in one product of matrices, and
    its own program's keys alone; the softmax is over both.
    """

    def __init__(self, prompts: Rectangle, line: Any, repeats: int) -> None:
        """`line` is the cache of the `prompts`' tokens, one after the other; each prompt is for `repeats` programs."""
        mask = prompts.mask.view(prompts.shape)
        self.prompts = [tuple(_rows(prompts, t) for t in (layer.keys, layer.values)) for layer in line.layers]
        self.mask = torch.zeros(mask.shape, device=mask.device).masked_fill(~mask, -torch.inf)
        empty = ((k[:, :, :0], v[:, :, :0]) for k, v in self.prompts)
        super().__init__(layers=[RoomyLayer(k, v, repeats) for k, v in empty])
        rows = torch.arange(len(mask), device=mask.device)
        self.groups = Groups.of(rows.repeat_interleave(repeats), len(mask))

    def batch_select_indices(self, indices: Tensor) -> None:
        """Keeps these rows, and the prompts that they have."""
        super().batch_select_indices(indices)
        left, which = torch.unique(self.groups.which[indices], return_inverse=True)
        if len(left) < len(self.mask):
            self.prompts = [(k[left], v[left]) for k, v in self.prompts]
            self.mask = self.mask[left]
        self.groups = Groups.of(which, len(left))

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Of one token a row; `key` and `value` are those of the row's own program."""
        rows, heads, _, width = query.shape
        each, length = key.shape[1:3]  # heads of keys, own tokens
        keys, values = self.prompts[layer]
        if keys.shape[1] != each:
            raise NotImplementedError(f"Expected {keys.shape[1]} heads of keys, as were cached, got {each}.")
        alone = (query * scaling).reshape(rows, each, heads // each, width)
        together = self.groups.gathered(alone)  # (U, each, queries of the group, width)
        mask = self.mask.to(query.dtype).repeat_interleave(each, 0)[:, None]
        to_prompt = torch.baddbmm(mask, together.flatten(0, 1), keys.flatten(0, 1).transpose(1, 2))
        to_own = self.groups.gathered(alone @ key.transpose(2, 3)).flatten(0, 1)
        weights = torch.cat([to_prompt, to_own], 2).softmax(2, dtype=torch.float32).to(value.dtype)
        past, own = weights.split([keys.shape[2], length], 2)
        read = torch.bmm(past, values.flatten(0, 1)).view(*together.shape[:3], -1)
        read = self.groups.spread(read, heads // each)
        own = self.groups.spread(own.view(*together.shape[:3], length), heads // each)
        return (read + own @ value).reshape(rows, 1, heads, values.shape[3])


def _rows(prompts: Rectangle, states: Tensor) -> Tensor:
    """Keys or values (1, heads, N, width) to (U, heads, P, width)."""
    return prompts.spread(states[0].transpose(0, 1)).transpose(1, 2).contiguous()
