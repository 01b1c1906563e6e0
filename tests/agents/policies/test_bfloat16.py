"""bfloat16: what a policy thinks stays near what it thinks in float32, and updates stay finite, for both families."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

import pytest
import torch
from small_policies import copy_of

from agents.algorithms import rltf
from agents.batching import batch
from agents.functional import token_logprobs
from agents.policies import shape
from rltf_env.env import UnitTestEnv

FAMILIES: dict[str, dict[str, Any]] = {
    "causal": {
        "model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
        "num_attention_heads": 2, "vocab_size": 280, "max_position_embeddings": 128, "tie_word_embeddings": True,
    },
    "seq2seq": {
        "model_type": "t5", "d_model": 32, "d_kv": 16, "d_ff": 64, "num_layers": 2, "num_heads": 2, "vocab_size": 280,
    },
}  # fmt: skip


def policy_of(family: str, dtype: str) -> Any:
    return copy_of(shape.load, config=FAMILIES[family], dtype=dtype, vocab_size=280, dataset_options={"size": 4})


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_learns_and_thinks_nearly_as_float32_does(family: str, make_env: Callable[..., UnitTestEnv]) -> None:
    exact, policy = policy_of(family, "float32"), policy_of(family, "bfloat16")
    agent = rltf.load(
        policy, make_env(), seed=0, buffer=16, fill=16, refresh=8, refresh_every=2,
        samples_per_problem=4, batch_size=8, baseline="group_mean", clip=0.2, optimiser={"lr": 1e-2, "warmup": 0},
    )  # fmt: skip
    agent.collect(16)
    data = batch(agent.buffer.draw(16, agent.collector.rng), policy.pad_id)
    with torch.no_grad():
        near, far = (token_logprobs(p.logits(data), data.tokens)[data.token_mask] for p in (policy, exact))
        written = data.old_logprobs[data.token_mask & data.loss_mask]
        again = token_logprobs(policy.logits(data), data.tokens)[data.token_mask & data.loss_mask]
    assert near.dtype == torch.float32
    assert 0 < (near - far).abs().max() < 0.15
    assert (again - written).abs().max() < 0.1
    before = [p.detach().clone() for p in policy.model.parameters()]
    for _ in range(4):
        assert all(isfinite(value) for value in agent.update().values())
    moved = [not torch.equal(old, new) for old, new in zip(before, policy.model.parameters(), strict=True)]
    assert all(bool(p.isfinite().all()) for p in policy.model.parameters())
    assert sum(moved) > len(moved) / 2
