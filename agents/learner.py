"""One optimiser step, the part that every agent shares: AdamW, warm-up, gradient clipping, micro-batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import cos, inf, pi
from typing import Any, Literal

import torch
from torch import Tensor

from agents.core import Batch, Policy
from agents.functional import Reduction
from agents.rollout import Sample, batch
from rltf_env.errors import UsageError

Loss = Callable[
    [Batch, Tensor], tuple[Tensor, dict[str, Tensor]]
]  # (batch, logits (B, T, V)) -> (scalar, things to log)


Decay = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW. `warmup` updates of linear warm-up, then constant (RLTF's released schedule); `clip_norm` 0 clips nothing.

    With another `decay` the rate falls from `lr`, reached at the warm-up's end, to `final * lr` at update `length`, and stays
    there: `final` 0 ends all learning.
    """

    lr: float = 2e-6
    weight_decay: float = 0.05
    beta1: float = 0.9
    beta2: float = 0.999
    warmup: int = 500
    decay: Decay = "constant"
    length: int = 0  # updates until the decay has ended, the warm-up counted in
    final: float = 0.0  # the share of lr that is left then
    clip_norm: float = 1.0
    micro_batch: int = 16  # programs per forward pass; 0: the whole batch at once

    def __post_init__(self) -> None:
        if not 0 < self.lr < inf or self.warmup < 0 or not self.clip_norm >= 0 or self.micro_batch < 0:
            raise UsageError(f"Expected a finite lr > 0 and warmup, clip_norm, micro_batch >= 0, got {self}.")
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1 and 0 <= self.weight_decay < inf):
            raise UsageError(f"Expected beta1 and beta2 in [0, 1) and a finite weight_decay >= 0, got {self}.")
        if not 0 <= self.final <= 1:
            raise UsageError(f"Expected final in [0, 1], a share of lr, got {self.final}.")
        if self.decay == "constant" and (self.length or self.final):
            raise UsageError("Expected no length and no final with decay='constant'. Choose 'linear' or 'cosine'.")
        if self.decay != "constant" and self.length <= self.warmup:
            raise UsageError(f"Expected length > warmup={self.warmup} for decay={self.decay!r}, got {self.length}.")

    def rate(self, update: int) -> float:
        """The learning rate of update 0, 1, ..."""
        if update < self.warmup:
            return self.lr * (update + 1) / self.warmup
        if self.decay == "constant":
            return self.lr
        done = min(1.0, (update - self.warmup) / (self.length - self.warmup))
        left = 1 - done if self.decay == "linear" else (1 + cos(pi * done)) / 2
        return self.lr * (self.final + (1 - self.final) * left)


class Learner:
    """A policy and its optimiser."""

    def __init__(self, policy: Policy[Any], config: OptimiserConfig) -> None:
        self.policy, self.config = policy, config
        self.optimiser = torch.optim.AdamW(
            (p for p in policy.model.parameters() if p.requires_grad),
            lr=config.lr,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
        )
        self.updates = 0

    def step(self, samples: Sequence[Sample], how: Reduction, loss: Loss) -> dict[str, float]:
        """Descends `loss` on `samples`, micro-batch by micro-batch.

        Raises:
            FloatingPointError: the loss or the gradient is not finite; the policy is left as it was.
        """
        self.policy.model.eval()  # dropout would draw from the global generator, and no ratio to the sampled would be 1
        self.optimiser.zero_grad(set_to_none=True)
        logged: dict[str, Tensor] = {}
        for part, share in micro_batches(samples, self.config.micro_batch, how):
            data = batch(part, self.policy.pad_id).to(self.policy.device)
            value, extra = loss(data, self.policy.logits(data))
            (value * share).backward()
            for name, item in {"loss": value, **extra}.items():
                logged[name] = logged.get(name, torch.zeros_like(item)) + item.detach() * share
        norm = torch.nn.utils.clip_grad_norm_(self.policy.model.parameters(), self.config.clip_norm or torch.inf)
        if not torch.isfinite(norm):
            raise FloatingPointError(
                f"Gradient norm is {float(norm)} at update {self.updates}: lower lr, or clip the weights."
            )
        lr = self.config.rate(self.updates)
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.step()
        self.updates += 1
        return {**{name: float(item) for name, item in logged.items()}, "grad_norm": float(norm), "lr": lr}

    def state_dict(self) -> dict[str, Any]:
        """Model, optimiser, number of updates."""
        return {
            "model": self.policy.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self.policy.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.updates = state["updates"]


def micro_batches(samples: Sequence[Sample], size: int, how: Reduction) -> Iterator[tuple[Sequence[Sample], float]]:
    """Slices of at most `size` samples with their share of the loss, so that the shares' sum is the loss of the whole.

    Samples of like length share a slice, so that little is padded.
    """
    ordered = sorted(samples, key=lambda s: len(s.prompt) + len(s.tokens))
    size = size or len(ordered)
    counts = [int(s.learn.sum()) if how == "token_mean" else 1 for s in ordered]
    total = max(1, sum(counts))
    for i in range(0, len(ordered), size):
        yield ordered[i : i + size], sum(counts[i : i + size]) / total
