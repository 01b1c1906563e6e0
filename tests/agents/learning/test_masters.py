"""Weights of 16 bits learn through copies of 32: as much as float32 does, to the bit again after a restart."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from small_policies import copy_of

from agents.algorithms import ppo
from agents.algorithms.supervised import supervised_loss
from agents.core import TrainingSample
from agents.learning.learner import Learner, OptimiserConfig
from agents.learning.masters import Masters
from agents.policies import shape
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError

SHAPE = {
    "model_type": "llama", "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_attention_heads": 2, "vocab_size": 280, "max_position_embeddings": 128, "tie_word_embeddings": True,
}  # fmt: skip
MakeEnv = Callable[..., UnitTestEnv]


def policy_of(dtype: str, **options: Any) -> Any:
    return copy_of(shape.load, config=SHAPE, dtype=dtype, vocab_size=280, dataset_options={"size": 4}, **options)


def pairs() -> list[TrainingSample]:
    rng = np.random.default_rng(0)
    nothing = np.zeros(30, np.float32)
    return [
        TrainingSample(rng.integers(1, 250, 20), rng.integers(1, 250, 30), nothing == 0, nothing, nothing)
        for _ in range(8)
    ]


def learner_of(dtype: str, lr: float, micro_batch: int = 8) -> Learner:
    return Learner(policy_of(dtype), OptimiserConfig(lr=lr, warmup=0, micro_batch=micro_batch, weight_decay=0.0))


def learnt(learner: Learner, updates: int) -> list[float]:
    return [learner.step(pairs(), "token_mean", supervised_loss)["loss"] for _ in range(updates)]


def flat(tensors: Any) -> torch.Tensor:
    return torch.cat([t.detach().float().flatten() for t in tensors])


@pytest.mark.parametrize("lr", [2e-6, 2e-5, 1e-3])
def test_bfloat16_learns_as_float32_does(lr: float) -> None:
    ways, falls = [], []
    for dtype in ("float32", "bfloat16"):
        learner = learner_of(dtype, lr)
        start = flat(learner.masters.leaves)
        losses = learnt(learner, 20)
        ways.append(flat(learner.masters.leaves) - start)
        falls.append(losses[0] - losses[-1])
    assert torch.nn.functional.cosine_similarity(*ways, dim=0) > 0.9
    assert float(ways[1].norm() / ways[0].norm()) == pytest.approx(1, abs=0.1)
    if lr >= 2e-5:  # below, bfloat16 says the loss less exactly than it falls
        assert falls[1] == pytest.approx(falls[0], rel=0.25)


def test_steps_that_are_too_small_for_bfloat16_add_up() -> None:
    learner = learner_of("bfloat16", 2e-6)
    before = flat(learner.policy.model.parameters())
    learnt(learner, 1)
    once = float((flat(learner.policy.model.parameters()) != before).float().mean())
    learnt(learner, 19)
    assert float((flat(learner.policy.model.parameters()) != before).float().mean()) > 2 * once
    for p, leaf in zip(learner.masters.parameters, learner.masters.leaves, strict=True):
        assert p.dtype == torch.bfloat16
        assert leaf.dtype == torch.float32
        assert torch.equal(p, leaf.bfloat16())


def test_float32_needs_no_copies_and_keeps_its_state_as_it_was() -> None:
    learner = learner_of("float32", 1e-3)
    assert all(a is b for a, b in zip(learner.masters.leaves, learner.masters.parameters, strict=True))
    assert learner.state_dict().keys() == {"model", "optimiser", "updates"}


def test_moments_and_gradients_of_micro_batches_are_float32() -> None:
    norms = []
    for dtype, micro_batch in (("float32", 8), ("bfloat16", 1)):
        learner = learner_of(dtype, 1e-3, micro_batch)
        norms.append(learner.step(pairs(), "token_mean", supervised_loss)["grad_norm"])
        assert all(s["exp_avg_sq"].dtype == torch.float32 for s in learner.optimiser.state.values())
        assert all(p.grad is None or p.grad.dtype == torch.float32 for p in learner.policy.model.parameters())
    assert norms[1] == pytest.approx(norms[0], rel=0.02)


def test_a_run_in_bfloat16_goes_on_to_the_bit() -> None:
    first = learner_of("bfloat16", 1e-5)
    learnt(first, 3)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    again = learner_of("bfloat16", 1e-5)
    again.load_state_dict(torch.load(file, weights_only=True))
    assert learnt(first, 3) == learnt(again, 3)
    assert torch.equal(flat(first.masters.leaves), flat(again.masters.leaves))


def test_an_older_state_without_copies_takes_those_of_its_weights() -> None:
    first, again = learner_of("bfloat16", 1e-3), learner_of("bfloat16", 1e-3)
    learnt(first, 2)
    state = copy.deepcopy(first.state_dict())
    del state["masters"]
    again.load_state_dict(state)
    assert torch.equal(flat(again.masters.leaves), flat(first.policy.model.parameters()))


def test_weights_that_somebody_else_writes_are_learnt_from() -> None:
    learner = learner_of("bfloat16", 1e-6)
    learnt(learner, 1)
    with torch.no_grad():
        for p in learner.policy.model.parameters():
            p.mul_(1.5)
    written = flat(learner.policy.model.parameters())
    learnt(learner, 1)
    assert float((flat(learner.policy.model.parameters()) - written).abs().max()) < 0.01


def test_what_does_not_learn_has_no_copy() -> None:
    model = torch.nn.Linear(3, 2).bfloat16()
    model.weight.requires_grad_(False)
    masters = Masters([p for p in model.parameters() if p.requires_grad])
    assert [tuple(leaf.shape) for leaf in masters.leaves] == [(2,)]
    masters.take_gradients()  # nobody has one
    assert masters.leaves[0].grad is None


def test_float16_is_refused_for_learning_and_for_nothing_else(make_env: MakeEnv) -> None:
    policy = policy_of("float16")
    with pytest.raises(UsageError, match=r'float16.*policy\.dtype = "bfloat16"'):
        Learner(policy, OptimiserConfig())
    with pytest.raises(UsageError, match="float16"):
        ppo.load(policy, make_env(), seed=0)


def test_ratios_of_the_first_update_are_one_in_bfloat16_too(make_env: MakeEnv) -> None:
    policy = policy_of("bfloat16", seed=3)
    with torch.no_grad():
        for p in policy.model.parameters():
            p.mul_(4)  # sharp enough for roundings to show
    sizes = {"problems": 2, "samples_per_problem": 4, "batch_size": 8, "kl": 0.0}
    agent = ppo.load(policy, make_env(), seed=0, **sizes)
    agent.collect()
    data = agent.round._samples
    apart = np.concatenate([(s.old_logprobs - s.extra["behaviour"])[s.loss_mask] for s in data])
    assert np.abs(apart).max() > 0.01, "decoding token by token rounds otherwise"
    line = agent.update()
    assert line["kl_behaviour"] < 1e-4
    assert line["clip_fraction"] == 0
    assert line["importance"] == pytest.approx(np.exp(apart).clip(max=2).mean(), rel=1e-3)
