"""Slices by tokens: as full as they may be, and the loss of the whole, however it is cut."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from agents import functional
from agents.core import Batch, TrainingSample
from agents.learning.learner import Learner, OptimiserConfig
from agents.learning.logits import token_logprobs
from agents.learning.micro import Limit, micro_batches, positions_read
from agents.options import build
from agents.policies.causal import CausalPolicy
from rltf_env.errors import UsageError


def samples(*pairs: tuple[int, int]) -> list[TrainingSample]:
    """A sample for each (prompt, program) length; prompts of one length are equal."""
    rng = np.random.default_rng(0)
    made = []
    for p, t in pairs:
        weights = rng.normal(size=t).astype(np.float32)
        made.append(TrainingSample(np.full(p, 7, np.int64), rng.integers(1, 250, t), weights < 2, weights, 0 * weights))
    return made


def shapes(parts: Any) -> list[list[tuple[int, int]]]:
    return [[(len(s.prompt), len(s.tokens)) for s in part] for part in parts]


def test_slices_hold_as_many_tokens_as_they_may() -> None:
    made = samples((2, 3), (2, 3), (4, 5), (4, 5), (4, 20))
    # 2 + 2*3 = 8; with the third 2*4 + 3*5 = 23 > 14; 4 + 2*5 = 14; the last alone, 24 though only 14 are allowed
    parts = list(Limit(tokens=14).cut(made))
    assert shapes(parts) == [[(2, 3), (2, 3)], [(4, 5), (4, 5)], [(4, 20)]]
    assert [positions_read(part, 0) for part in parts] == [8, 14, 24]
    assert len(list(Limit(tokens=13).cut(made))) == 4
    assert shapes(Limit(programs=1, tokens=14).cut(made)) == [
        [pair] for pair in ((2, 3), (2, 3), (4, 5), (4, 5), (4, 20))
    ]
    assert list(Limit(tokens=5).cut([])) == []


@pytest.mark.parametrize("how", ["token_mean", "seq_mean", "seq_sum", "constant"])
@pytest.mark.parametrize("tokens", [1, 20, 45, 1000])
def test_slices_by_tokens_give_the_loss_and_gradient_of_the_whole(
    policy: CausalPolicy, how: functional.Reduction, tokens: int
) -> None:
    made = samples((5, 9), (1, 3), (8, 4), (3, 12), (3, 12), (2, 1))

    def loss(data: Batch, logits: Any) -> tuple[Tensor, dict[str, Tensor]]:
        logprobs = token_logprobs(logits, data.tokens)
        return functional.reinforce(logprobs, data.weights, data.loss_mask, how, 7.0), {}

    gradients = []
    for options in ({"micro_batch": 0}, {"micro_tokens": tokens}):
        own = copy.copy(policy)
        own.model = copy.deepcopy(policy.model)
        metrics = Learner(own, OptimiserConfig(clip_norm=0, lr=1e-30, **options)).step(made, how, loss)
        gradients.append([p.grad for p in own.model.parameters() if p.grad is not None])
        gradients[-1].append(torch.tensor(metrics["loss"]))
    for whole, parts in zip(*gradients, strict=True):
        torch.testing.assert_close(parts, whole, atol=1e-5, rtol=1e-4)
    assert len(list(micro_batches(made, Limit(tokens=20), how))) > 2


@pytest.mark.parametrize("programs", [1, 8, 16])
def test_slices_by_programs_and_by_tokens_at_once_are_refused(programs: int) -> None:
    with pytest.raises(UsageError, match=f"got both \\({programs} programs, 4096 tokens\\)"):
        build(OptimiserConfig, {"micro_batch": programs, "micro_tokens": 4096}, "agent.optimiser")


def test_limits_of_a_recipe() -> None:
    assert OptimiserConfig().limit == Limit(programs=16)
    by_tokens = OptimiserConfig(micro_tokens=4096)
    assert by_tokens.limit == Limit(tokens=4096)
    assert replace(by_tokens, lr=1e-3).limit == Limit(tokens=4096), "a copy with another rate"
    assert replace(OptimiserConfig(), lr=1e-3).limit == Limit(programs=16)
    for wrong in ({"micro_tokens": -1}, {"logit_rows": -1}):
        with pytest.raises(UsageError):
            OptimiserConfig(**wrong)


def test_there_is_something_for_each_rank() -> None:
    assert Limit(programs=16).for_ranks(32, 1) == Limit(programs=16)
    assert Limit(programs=16).for_ranks(10, 4) == Limit(programs=3)
    assert Limit(programs=2).for_ranks(10, 4) == Limit(programs=2)
    assert Limit(tokens=99).for_ranks(10, 4) == Limit(3, 99)
    assert Limit().for_ranks(1, 4) == Limit(programs=1)
