"""The batch of two programs on which every loss is worked out by hand (`test_losses.py` has the table)."""

from __future__ import annotations

import torch

from agents.core import Batch
from agents.decoding.sampling import Sampling

LOGP = (-0.693147, -1.386294, -0.223144)
ENTROPY = (0.693147, 0.562335, 0.500402)
KL = (0.193147, 0.306853, 0.193147)
LOGP_AT_2 = (-0.693147, -1.005053, -0.405465)
ENTROPY_AT_2 = (0.693147, 0.656806, 0.636514)
KL_AT_2 = (0.193147, 0.054120, 0.110826)
DRAWN_AT_2 = Sampling(temperature=2.0)


def rows(first: float, second: float, third: float) -> torch.Tensor:
    """(2, 2): the second program has one token."""
    return torch.tensor([[first, second], [third, 0.0]])


MASK = torch.tensor([[True, True], [True, False]])
PADDING = torch.tensor([[0, 0], [0, 1 / 2]])  # a probability where there is no token
PROBABILITIES = rows(1 / 2, 1 / 4, 4 / 5) + PADDING


def logits() -> torch.Tensor:
    """(2, 2, 2), of token 0, which is drawn, and of token 1."""
    return torch.stack([PROBABILITIES, 1 - PROBABILITIES], -1).log().requires_grad_()


def batch(weights: torch.Tensor | None = None, **extra: torch.Tensor) -> Batch:
    prompt = torch.ones(2, 1, dtype=torch.long)
    tokens, old = torch.zeros(2, 2, dtype=torch.long), (rows(2 / 5, 1 / 2, 1 / 2) + PADDING).log()
    weights = rows(1, -2, 3) if weights is None else weights
    return Batch(prompt, prompt > 0, tokens, MASK, MASK, weights, old, extra)


REFERENCE = rows(1 / 4, 1 / 2, 2 / 5) + PADDING


def mean(a: float, b: float, c: float) -> float:
    return (a + b + c) / 3


def seq_sum(a: float, b: float, c: float) -> float:
    return (a + b + c) / 2


def seq_mean(a: float, b: float, c: float) -> float:
    return ((a + b) / 2 + c) / 2
