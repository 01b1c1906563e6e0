"""A policy's copy that does not learn: the reference that a KL term holds the learner to, or a target that follows it."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from agents import functional
from agents.batching import batch
from agents.core import Batch, Policy, TrainingSample


class Reference:
    """A frozen copy of `policy` at the moment of making it, asked for its log-probabilities at `temperature`."""

    def __init__(self, policy: Policy[Any], micro_batch: int, temperature: float = 1.0) -> None:
        self.policy, self.micro_batch, self.temperature = copy.copy(policy), micro_batch, temperature
        self.policy.model = copy.deepcopy(policy.model).eval().requires_grad_(False)

    def with_reference_logprobs(self, samples: Sequence[TrainingSample]) -> list[TrainingSample]:
        """The samples, each with the reference's log-probabilities as `extra["reference"]` (T,)."""
        rows = logprobs(self.policy, samples, self.micro_batch, self.temperature)
        return [replace(s, extra={**s.extra, "reference": row}) for s, row in zip(samples, rows, strict=True)]

    @torch.no_grad()
    def follow(self, policy: Policy[Any], rate: float) -> None:
        """Moves each weight of the copy by this share of its way to `policy`'s: a Polyak average of the policies so far."""
        for ours, theirs in zip(self.policy.model.parameters(), policy.model.parameters(), strict=True):
            ours.lerp_(theirs, rate)

    def state_dict(self) -> dict[str, Any]:
        """The copy's weights: a run that continues is held to the same policy, whatever its recipe's path holds by then."""
        return self.policy.model.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self.policy.model.load_state_dict(state)


@torch.no_grad()
def read_each(policy: Policy[Any], samples: Sequence[TrainingSample], size: int, of: Any) -> list[np.ndarray]:
    """float32 (T,) for each sample: `of(batch)` (B, T) in slices of at most `size` (0: all at once), without gradients."""
    order = sorted(range(len(samples)), key=lambda i: len(samples[i].prompt) + len(samples[i].tokens))
    rows: list[np.ndarray] = [np.zeros(0, np.float32)] * len(samples)
    policy.model.eval()
    for i in range(0, len(order), size or len(order)):
        part = order[i : i + (size or len(order))]
        values = of(batch([samples[j] for j in part], policy.pad_id).to(policy.device)).float().cpu().numpy()
        for j, row in zip(part, values, strict=True):
            rows[j] = row[: len(samples[j].tokens)].copy()
    return rows


def logprobs(
    policy: Policy[Any], samples: Sequence[TrainingSample], size: int, temperature: float = 1.0
) -> list[np.ndarray]:
    """float32 (T,) for each sample: its tokens' log-probabilities under the policy at `temperature`, after its prompt."""

    def read(data: Batch) -> torch.Tensor:
        return functional.token_logprobs(functional.at_temperature(policy.logits(data), temperature), data.tokens)

    was_training = policy.model.training
    try:
        return read_each(policy, samples, size, read)
    finally:
        policy.model.train(was_training)
