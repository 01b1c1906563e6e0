"""What a state is worth: a linear layer on the last hidden states of any policy, for agents that learn values.

It starts at zero, so that before the first update every value is 0 and an advantage is a return: no value is noise. Its
parameters are handed to `Learner(..., head=...)`, and are thereby in the optimiser and in every checkpoint. They are no part of
the saved policy, which stays a plain transformers folder.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from agents.core import Policy
from rltf_env.errors import UsageError


class ValueHead(nn.Module):
    """One number, or one for each of `outputs`, per state, in float32: (B, T, D) -> (B, T, outputs)."""

    def __init__(self, width: int, outputs: int = 1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(outputs, width))  # not nn.Linear, which draws from the global generator
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, states: Tensor) -> Tensor:
        """Hidden states (..., D) to float32 (..., outputs)."""
        return nn.functional.linear(states.float(), self.weight, self.bias)

    def values(self, states: Tensor) -> Tensor:
        """(B, T): the first output."""
        return self(states)[..., 0]


def on(policy: Policy[Any], outputs: int = 1) -> ValueHead:
    """A fresh head as wide as the states of `policy`, on its device."""
    return ValueHead(state_width(policy), outputs).to(policy.device)


def state_width(policy: Policy[Any]) -> int:
    """D: the width of the states that `policy.read` gives.

    Raises:
        UsageError: the model has no output embedding to read it from.
    """
    last = policy.model.get_output_embeddings()  # pyright: ignore[reportCallIssue]
    if last is None:
        raise UsageError(f"Expected a model with an output embedding, got {type(policy.model).__name__} without one.")
    return int(last.weight.shape[-1])
