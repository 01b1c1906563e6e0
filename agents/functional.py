"""The mathematics of the agents: pure functions of tensors. Axes: B batch, T tokens, V vocabulary.

Imports torch alone.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

Reduction = Literal["token_mean", "seq_sum", "constant"]


def token_logprobs(logits: Tensor, tokens: Tensor) -> Tensor:
    """log p(token) in float32: logits (B, T, V), tokens (B, T) -> (B, T)."""
    flat = F.cross_entropy(logits.float().flatten(0, 1), tokens.flatten(), reduction="none")
    return -flat.view_as(tokens)


def token_entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of each next-token distribution: logits (B, T, V) -> (B, T)."""
    logp = logits.float().log_softmax(-1)
    return -(logp.exp() * logp).sum(-1)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` where `mask`; 0 where nothing is."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


def reduce(values: Tensor, mask: Tensor, how: Reduction, constant: float = 1.0) -> Tensor:
    """Per-token losses (B, T) to one number.

    - `token_mean`: mean over all tokens of the batch (RLTF's and CodeRL's released code, DAPO)
    - `seq_sum`: sum over each program, mean over programs (RLTF eq. 2 and 7-10)
    - `constant`: the sum divided by B * constant (Dr.GRPO, arXiv 2503.20783, section 3.2)
    """
    if how == "token_mean":
        return masked_mean(values, mask)
    total = (values * mask).sum() / values.shape[0]
    return total if how == "seq_sum" else total / constant


def cross_entropy(logprobs: Tensor, mask: Tensor, how: Reduction = "token_mean", constant: float = 1.0) -> Tensor:
    """Supervised loss on reference programs (RLTF eq. 7): logprobs (B, T), mask (B, T) -> scalar."""
    return reduce(-logprobs, mask, how, constant)


def reinforce(
    logprobs: Tensor, weights: Tensor, mask: Tensor, how: Reduction = "token_mean", constant: float = 1.0
) -> Tensor:
    """-weight * log p, the loss of RLTF eq. 2 with a weight for each token: all (B, T) -> scalar."""
    return reduce(-weights * logprobs, mask, how, constant)


def clipped_surrogate(
    logprobs: Tensor,
    old_logprobs: Tensor,
    weights: Tensor,
    mask: Tensor,
    clip: float,
    how: Reduction = "token_mean",
    constant: float = 1.0,
) -> Tensor:
    """PPO's objective (arXiv 1707.06347, eq. 7), negated: the ratio to the behaviour policy leaves no gain beyond 1 +- clip.

    All (B, T) -> scalar. At ratio 1 its gradient is that of `reinforce`.
    """
    ratio = (logprobs - old_logprobs).exp()
    gain = torch.minimum(ratio * weights, ratio.clamp(1 - clip, 1 + clip) * weights)
    return reduce(-gain, mask, how, constant)


def clip_fraction(logprobs: Tensor, old_logprobs: Tensor, weights: Tensor, mask: Tensor, clip: float) -> Tensor:
    """Share of tokens whose gradient `clipped_surrogate` cuts off."""
    ratio = (logprobs - old_logprobs).exp()
    cut = ((ratio > 1 + clip) & (weights > 0)) | ((ratio < 1 - clip) & (weights < 0))
    return masked_mean(cut.float(), mask)


def kl_estimate(logprobs: Tensor, other: Tensor) -> Tensor:
    """Schulman's k3 estimate of KL(p || other) at each sampled token, never negative: (B, T), (B, T) -> (B, T)."""
    log_ratio = other - logprobs
    return log_ratio.exp() - 1 - log_ratio


def leave_one_out(returns: Tensor) -> Tensor:
    """Each return minus the mean of the *others* of its group (RLOO): (..., K) -> (..., K); K = 1 gives the return itself."""
    k = returns.shape[-1]
    if k == 1:
        return returns
    return (returns - returns.mean(-1, keepdim=True)) * k / (k - 1)
