"""Logits that are never all in memory: what a loss needs of each position, a few positions at a time.

    Policy --states that its head reads--> Deferred --head, softmax--> log-probabilities, entropies (B, T) --> loss

Logits (B, T, V) in float32 are by far the largest tensor of an update, and a softmax, its gradient and the entropy make as many
copies again. A `Deferred` keeps the states in front of the head. The head and all that follows it are computed for some positions
at a time, and once more on the way back, as in fused linear cross-entropy (Liger, arXiv 2410.10989, section 3). Where a batch is
small enough, or where a policy cannot leave its head out, the logits are spelled out as they always were.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from agents import functional
from agents.core import Batch, Policy

NUMBERS = 1 << 25  # logits that are in memory at a time: 128 MiB in float32, and a few such tensors beside
LEAST = 64  # positions at a time, however large the vocabulary: fewer would leave a device idle

# logits (..., V) and tokens (...) -> numbers of each position (...)
OfPositions = Callable[[Tensor, Tensor], tuple[Tensor, ...]]


@dataclass(frozen=True, eq=False)
class Deferred:
    """Next-token distributions that are not spelled out.

    Args:
        states: (B, T, D), what the head reads.
        head: (N, D) -> logits (N, V).
        mask: bool (B, T), where there is a token. Elsewhere every number is 0.
        rows: positions whose logits may be in memory at a time.
        learns: whether a gradient flows to the states and the head.
    """

    states: Tensor
    head: Callable[[Tensor], Tensor]
    mask: Tensor
    rows: int
    learns: bool = True

    def detach(self) -> Deferred:
        """The same distributions, through which no gradient flows."""
        return replace(self, learns=False)

    def of_positions(self, tokens: Tensor, function: OfPositions) -> tuple[Tensor, ...]:
        """What `function` makes of the logits of each position and its token (B, T): each (B, T)."""
        with torch.set_grad_enabled(torch.is_grad_enabled() and self.learns):
            pairs = zip(self.states[self.mask].split(self.rows), tokens[self.mask].split(self.rows), strict=True)
            parts = [self._part(states, chosen, function) for states, chosen in pairs]
            columns = (torch.cat(column) for column in zip(*parts, strict=True))
            return tuple(c.new_zeros(self.mask.shape).masked_scatter(self.mask, c) for c in columns)

    def _part(self, states: Tensor, tokens: Tensor, function: OfPositions) -> tuple[Tensor, ...]:
        def compute(states: Tensor, tokens: Tensor) -> tuple[Tensor, ...]:
            return function(self.head(states), tokens)

        if not torch.is_grad_enabled():
            return compute(states, tokens)
        # a head draws no random numbers
        return checkpoint(compute, states, tokens, use_reentrant=False, preserve_rng_state=False)


Logits = Tensor | Deferred


def of_positions(logits: Logits, tokens: Tensor, function: OfPositions) -> tuple[Tensor, ...]:
    """What `function` makes of the logits (B, T, V) and the tokens (B, T): each (B, T)."""
    return function(logits, tokens) if isinstance(logits, Tensor) else logits.of_positions(tokens, function)


def token_logprobs(logits: Logits, tokens: Tensor, temperature: float = 1.0) -> Tensor:
    """log p(token) at `temperature`, in float32: (B, T)."""

    def function(rows: Tensor, chosen: Tensor) -> tuple[Tensor]:
        return (functional.token_logprobs(functional.at_temperature(rows, temperature), chosen),)

    return of_positions(logits, tokens, function)[0]


def logprobs_and_entropy(
    logits: Logits, tokens: Tensor, temperature: float = 1.0, *, entropy_learns: bool = False
) -> tuple[Tensor, Tensor]:
    """log p(token), and the entropy of each next-token distribution in nats, both at `temperature`: (B, T), (B, T)."""

    def function(rows: Tensor, chosen: Tensor) -> tuple[Tensor, Tensor]:
        rows = functional.at_temperature(rows, temperature)
        entropy = functional.token_entropy(rows if entropy_learns else rows.detach())
        return functional.token_logprobs(rows, chosen), entropy

    logprobs, entropy = of_positions(logits, tokens, function)
    return logprobs, entropy


# ------------------------------------------------------------------------------------------------------------- reading


def predict(policy: Policy[Any], data: Batch, rows: int = 0) -> Logits:
    """The policy's logits, deferred if there are more positions than `rows`; 0: than `NUMBERS` of logits allow."""
    most = _at_a_time(policy, data, rows)
    return defer(policy, data, most)[0] if most else policy.logits(data)


def read(policy: Policy[Any], data: Batch, rows: int = 0) -> tuple[Logits, Tensor]:
    """`predict`, and the last hidden states (B, T, D): see `agents.core.Policy.read`."""
    most = _at_a_time(policy, data, rows)
    return defer(policy, data, most, output_hidden_states=True) if most else policy.read(data)


def states(policy: Policy[Any], data: Batch) -> Tensor:
    """The last hidden states (B, T, D) of `agents.core.Policy.read`, without logits where a policy can leave its head out."""
    if getattr(policy, "can_defer", False):
        return defer(policy, data, LEAST, output_hidden_states=True)[1]
    return policy.read(data)[1]


def defer(policy: Any, data: Batch, rows: int, **options: bool) -> tuple[Deferred, Any]:
    """The deferred logits of a policy that can defer them, and with `output_hidden_states` the last states (B, T, D)."""
    head, inputs, last = policy.before_head(data, **options)
    return Deferred(inputs, head, data.token_mask, rows), last


def _at_a_time(policy: Policy[Any], data: Batch, rows: int) -> int:
    """Positions whose logits are spelled out at a time; 0: all of them are."""
    vocabulary = getattr(policy, "head_rows", 0)
    most = rows or (max(LEAST, NUMBERS // vocabulary) if vocabulary else 0)  # of others, nothing is known
    return most if 0 < most < data.tokens.numel() and getattr(policy, "can_defer", False) else 0
