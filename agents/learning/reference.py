"""A policy's copy that does not learn: the reference that a KL term holds the learner to, or a target that follows it."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

from agents import parallel
from agents.batching import batch
from agents.core import Batch, Policy, TrainingSample
from agents.learning import shards
from agents.learning.logits import predict, token_logprobs
from agents.learning.masters import Masters
from agents.learning.micro import Limit, positions_read
from agents.policies import _lora
from rltf_env.errors import UsageError

Place = Literal["policy", "cpu"]


class Reference:
    """A frozen copy of `policy` at the moment of making it, asked for its log-probabilities at `temperature`.

    Args:
        policy: what is copied. Of one with LoRA adapters that change nothing yet, there is no copy unless it is to `move`:
            it is the policy with its adapters off.
        size: of the slices that are read at once.
        move: whether the copy will `follow` the policy.
        place: where the copy lies between its readings, beside the policy or on the host. On the way to the policy's device and
            back it takes the time of a copy of all weights, once a round.
        logit_rows: see `agents.learning.logits.predict`.
    """

    def __init__(
        self,
        policy: Policy[Any],
        size: Limit | int,
        temperature: float = 1.0,
        *,
        move: bool = False,
        place: Place = "policy",
        logit_rows: int = 0,
    ) -> None:
        self.policy, self.size, self.temperature, self.logit_rows = copy.copy(policy), size, temperature, logit_rows
        self.average: Average | None = None
        self.adapters = not move and _lora.change_nothing(policy.model)
        self.home = policy.device
        self.away = torch.device("cpu") if place == "cpu" and not self.adapters else self.home
        if not self.adapters:
            self.policy.model = _frozen_copy(policy.model, self.away)
            shards.share_copy(self.policy)
        if move:
            self.average = Average(self.policy.model)

    def with_reference_logprobs(self, samples: Sequence[TrainingSample]) -> list[TrainingSample]:
        """The samples, each with the reference's log-probabilities as `extra["reference"]` (T,)."""
        with self._here():
            rows = logprobs(self.policy, samples, self.size, self.temperature, self.logit_rows)
        return [replace(s, extra={**s.extra, "reference": row}) for s, row in zip(samples, rows, strict=True)]

    @contextmanager
    def _here(self) -> Iterator[None]:
        """With the reference's weights on the policy's device, and in force."""
        model: Any = self.policy.model
        if self.adapters:
            with model.disable_adapter():
                yield
            return
        if self.away == self.home:
            yield
            return
        model.to(self.home)
        try:
            yield
        finally:
            model.to(self.away)

    def follow(self, policy: Policy[Any], rate: float) -> None:
        """Moves each weight of the copy by this share of its way to `policy`'s: a Polyak average of the policies so far.

        Raises:
            UsageError: this copy was not made to `move`.
        """
        if self.average is None:
            raise UsageError(
                "Expected a reference that may move to follow a policy, got a fixed one. Make it with move=True."
            )
        self.average.follow(policy.model, rate)

    def state_dict(self) -> dict[str, Any]:
        """The copy's weights: a run that continues is held to the same policy, whatever its recipe's path holds by then.

        Without a copy they are the learner's frozen ones.
        """
        if self.adapters:
            return {}
        copies = shards.gathered(self.average.state_dict()) if self.average else {}
        weights = shards.state_dict(self.policy.model)
        return {"model": weights, **copies} if copies else weights

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        if self.adapters:
            return
        shards.load_state_dict(self.policy.model, state.get("model", state))
        if self.average:
            self.average.load_state_dict(state)


def _frozen_copy(model: nn.Module, device: torch.device) -> nn.Module:
    return copy.deepcopy(model).to(device).eval().requires_grad_(False)


class Average:
    """What lets a copied module follow the one that learns, each time by a share of the way.

    Weights of 16 bits are averaged in float32 and rounded from there: a step of a hundredth of a small way would be lost.
    """

    def __init__(self, copied: nn.Module) -> None:
        self.masters = Masters(list(copied.parameters()))

    @torch.no_grad()
    def follow(self, learner: nn.Module, rate: float) -> None:
        """Moves each weight by the share `rate` of its way to what it was copied from."""
        for ours, theirs in zip(self.masters.leaves, learner.parameters(), strict=True):
            ours.lerp_(theirs.to(ours.dtype), rate)
        self.masters.give_weights()

    def state_dict(self) -> dict[str, Any]:
        """What the weights themselves do not say; nothing, unless they have 16 bits."""
        return self.masters.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave, once the copied module has its weights."""
        self.masters.load_state_dict(state)


@torch.no_grad()
def read_each(policy: Policy[Any], samples: Sequence[TrainingSample], size: Limit | int, of: Any) -> list[np.ndarray]:
    """float32 (T, ...) for each sample: `of(batch)` (B, T, ...), without gradients.

    Args:
        size: of the slices that are read at once. On several ranks each reads some of them.
        of: what is to be known.
    """
    ranks = parallel.current()
    order = sorted(range(len(samples)), key=lambda i: len(samples[i].prompt) + len(samples[i].tokens))
    places = iter(order)
    cut = Limit.of(size).for_ranks(len(samples), ranks.world).cut([samples[i] for i in order])
    parts = [([next(places) for _ in part], part) for part in cut]  # a sample may be there twice
    read: dict[int, np.ndarray] = {}
    policy.model.eval()

    def cost(each: tuple[list[int], Sequence[TrainingSample]]) -> float:
        return positions_read(each[1], 0)

    with shards.passes():
        for chosen, part in ranks.dealt(parts, cost) + ranks.idle(parts, cost):
            values = of(batch(part, policy.pad_id).to(policy.device)).float().cpu().numpy()
            for i, row in zip(chosen, values, strict=True):
                read[i] = row[: len(samples[i].tokens)].copy()
    rows = ranks.merged(read)
    return [rows[i] for i in range(len(samples))]


def logprobs(
    policy: Policy[Any],
    samples: Sequence[TrainingSample],
    size: Limit | int,
    temperature: float = 1.0,
    logit_rows: int = 0,
) -> list[np.ndarray]:
    """float32 (T,) for each sample: its tokens' log-probabilities under the policy at `temperature`, after its prompt."""

    def read(data: Batch) -> torch.Tensor:
        return token_logprobs(predict(policy, data, logit_rows), data.tokens, temperature)

    was_training = policy.model.training
    try:
        return read_each(policy, samples, size, read)
    finally:
        policy.model.train(was_training)
