"""float32 copies of weights that have fewer bits: what the optimiser moves, while the model computes with its own.

A bfloat16 has eight bits of mantissa, so that a step below 1/512 of a weight is rounded away, and most steps
at a fine-tuning rate are. A master copy adds such steps up until they show (mixed precision training,
Micikevicius et al. 2017, arXiv 1710.03740, section 3.1). Moments and gradients are float32 as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from agents.learning import shards

LOW = (torch.bfloat16,)


class Masters:
    """`leaves` are what an optimiser is given: each parameter itself, or its copy where it has 16 bits.

    Args:
        parameters: all of them learn.
    """

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self.leaves = [nn.Parameter(p.detach().float()) if p.dtype in LOW else p for p in self.parameters]
        self._versions: list[int] = []
        self._note()

    def _pairs(self) -> Iterator[tuple[nn.Parameter, nn.Parameter]]:
        """(parameter, its copy), of those that have one."""
        return ((p, leaf) for p, leaf in zip(self.parameters, self.leaves, strict=True) if leaf is not p)

    def _note(self) -> None:
        """Remembers which weights the copies belong to; torch counts the writes to a tensor."""
        self._versions = [p._version for p, _ in self._pairs()]

    @torch.no_grad()
    def follow(self) -> None:
        """Copies anew what somebody else has written into the model since the last step."""
        for (p, leaf), version in zip(self._pairs(), self._versions, strict=True):
            if p._version != version:
                leaf.copy_(p)
        self._note()

    @torch.no_grad()
    def take_gradients(self) -> None:
        """Adds the parameters' gradients to those of their copies, in float32, and frees them."""
        for p, leaf in self._pairs():
            if p.grad is not None:
                leaf.grad = p.grad.float() if leaf.grad is None else leaf.grad.add_(p.grad)
                p.grad = None

    @torch.no_grad()
    def give_weights(self) -> None:
        """Rounds the copies into the model."""
        for p, leaf in self._pairs():
            p.copy_(leaf)
        self._note()

    def state_dict(self) -> dict[str, list[Tensor]]:
        """The copies, under `masters`; nothing where there are none."""
        copies = [leaf.detach() for _, leaf in self._pairs()]
        return {"masters": copies} if copies else {}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave, once the model has its weights; a state without copies has those of the model."""
        pairs = list(self._pairs())
        for (_, leaf), saved in zip(pairs, state.get("masters", [p.detach() for p, _ in pairs]), strict=True):
            leaf.copy_(shards.part_like(saved, leaf))
        self._note()
