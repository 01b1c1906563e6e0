"""The critic: what it reads, what it learns, how it weighs, how it is kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.algorithms import rltf
from agents.batching import batch
from agents.core import TrainingSample
from agents.critics.outcome import Critic, CriticConfig, Weighting
from agents.learning.learner import OptimiserConfig
from agents.policies import tiny, value_head
from agents.policies.causal import CausalPolicy
from agents.testing import check_agent
from rltf_env.core import Outcome
from rltf_env.env import UnitTestEnv
from rltf_env.errors import MissingData, UsageError

QUICK = OptimiserConfig(lr=3e-2, warmup=0, weight_decay=0.0)
SMALL: dict[str, Any] = {
    "buffer": 16,
    "fill": 8,
    "refresh": 4,
    "refresh_every": 2,
    "samples_per_problem": 2,
    "batch_size": 4,
}


def written(tokens: list[int], weight: float = 1.0) -> TrainingSample:
    n = len(tokens)
    return TrainingSample(
        np.array([5, 6]), np.array(tokens), np.ones(n, bool), np.full(n, weight, np.float32), np.zeros(n, np.float32)
    )


SAMPLES = [written([40, 41, 42]), written([40, 60]), written([70, 41, 43, 44]), written([80, 81])]
OUTCOMES = [Outcome.PASSED, Outcome.SYNTAX_ERROR, Outcome.WRONG_ANSWER, Outcome.RUNTIME_ERROR]


@pytest.fixture
def critic(policy: CausalPolicy) -> Critic:
    made = Critic(policy, optimiser=QUICK)
    with torch.no_grad():
        made.head.weight.normal_(generator=torch.Generator().manual_seed(0))
    return made


# ---------------------------------------------------------------------------------------------------------- the states


def test_read_gives_the_logits_and_the_states_that_they_are_made_of(policy: CausalPolicy) -> None:
    data = batch(SAMPLES, policy.pad_id)
    logits, states = policy.read(data)
    assert torch.equal(logits, policy.logits(data))
    assert states.shape == (4, 4, value_head.state_width(policy))
    again = policy.model.get_output_embeddings()(states)[..., : policy.vocab_size]
    torch.testing.assert_close(again, logits)
    assert not policy.model.get_output_embeddings()._forward_pre_hooks


def test_a_state_has_not_read_its_own_token_but_the_critic_has(critic: Critic) -> None:
    other = [written([40, 41, 99]), *SAMPLES[1:]]
    states = [critic.policy.read(batch(s, critic.policy.pad_id))[1][0] for s in (SAMPLES, other)]
    torch.testing.assert_close(states[0][:3], states[1][:3])
    a, b = critic.probabilities(SAMPLES)[0], critic.probabilities(other)[0]
    np.testing.assert_allclose(a[:2], b[:2], atol=1e-6)
    assert np.abs(a[2] - b[2]).max() > 1e-4


def test_padding_is_not_read_neither_by_tokens_nor_by_the_maximum(critic: Critic) -> None:
    together, whole = critic.probabilities(SAMPLES), critic.judgements(SAMPLES)
    for i, each in enumerate(SAMPLES):
        np.testing.assert_allclose(critic.probabilities([each])[0], together[i], atol=1e-5)
        np.testing.assert_allclose(critic.judgements([each])[0], whole[i], atol=1e-5)
        assert together[i].shape == (len(each.tokens), 4)


def test_a_fresh_head_says_nothing(policy: CausalPolicy) -> None:
    fresh = Critic(policy)
    assert not value_head.on(policy).values(torch.randn(2, 3, 16, generator=torch.Generator().manual_seed(0))).any()
    np.testing.assert_allclose(fresh.judgements(SAMPLES), 0.25)
    np.testing.assert_allclose(fresh.weights(SAMPLES, OUTCOMES)[0], 0.25)
    np.testing.assert_allclose(Critic(policy, classes=2).judgements(SAMPLES), 0.5)


def test_q_is_the_probability_of_what_came(critic: Critic) -> None:
    rows, q = critic.probabilities(SAMPLES), critic.weights(SAMPLES, OUTCOMES)
    for row, weight, outcome in zip(rows, q, OUTCOMES, strict=True):
        np.testing.assert_array_equal(weight, row[:, int(outcome)])
        np.testing.assert_allclose(row.sum(1), 1, atol=1e-5)


# ------------------------------------------------------------------------------------------------------------ learning


@pytest.mark.parametrize("trunk", ["own", "actor"])
def test_a_critic_learns_outcomes_and_leaves_an_actors_transformer_alone(policy: CausalPolicy, trunk: Any) -> None:
    before = {name: t.clone() for name, t in policy.model.state_dict().items()}
    made = Critic(policy, trunk=trunk, optimiser=QUICK)
    lines = [made.learn(SAMPLES, OUTCOMES) for _ in range(60)]
    assert lines[0]["critic_loss"] == pytest.approx(np.log(4), abs=1e-4)
    assert lines[-1]["critic_loss"] < 0.7
    assert lines[-1]["critic_accuracy"] == 1.0
    assert made.judgements(SAMPLES).argmax(1).tolist() == [3, 0, 2, 1]
    same = all(torch.equal(t, before[name]) for name, t in policy.model.state_dict().items())
    assert same == (trunk == "actor")
    assert all(p.grad is None for p in policy.model.parameters()) == (trunk == "actor")


def test_a_binary_critic_knows_passed_from_the_rest(policy: CausalPolicy) -> None:
    made = Critic(policy, classes=2, optimiser=QUICK)
    for _ in range(40):
        made.learn(SAMPLES, OUTCOMES)
    assert made.judgements(SAMPLES)[:, -1].round().tolist() == [1, 0, 0, 0]
    with pytest.raises(UsageError, match="2 or 4 classes, got 3"):
        Critic(policy, classes=3)


# ---------------------------------------------------------------------------------------------------------------- kept


def test_a_saved_critic_is_the_same_critic(critic: Critic, tmp_path: Path) -> None:
    critic.save(tmp_path / "critic")
    again = Critic.load(tmp_path / "critic")
    for a, b in zip(critic.probabilities(SAMPLES), again.probabilities(SAMPLES), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)  # equal weights elsewhere in memory may be summed in another order
    again.learn(SAMPLES, OUTCOMES)


def test_what_cannot_be_saved_or_loaded_says_so(policy: CausalPolicy, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="transformer of its own"):
        Critic(policy, trunk="actor").save(tmp_path)
    with pytest.raises(MissingData, match=r"Critic\.save wrote"):
        Critic.load(tmp_path / "nothing")


# ----------------------------------------------------------------------------------------------------------- weighting


def test_a_frozen_critic_multiplies_each_tokens_weight(critic: Critic, policy: CausalPolicy, tmp_path: Path) -> None:
    critic.save(tmp_path)
    weighting = Weighting(policy, CriticConfig("frozen", str(tmp_path)))
    samples = [written(s.tokens.tolist(), weight=-2.0) for s in SAMPLES]
    found, said = weighting(samples, OUTCOMES, np.random.default_rng(0))
    for sample, q in zip(found, critic.weights(SAMPLES, OUTCOMES), strict=True):
        np.testing.assert_allclose(sample.weights, -2.0 * q, rtol=1e-5)
    assert list(said) == ["critic_weight"]
    assert weighting.state_dict() == {}


def test_a_critic_of_another_tokenizer_is_refused(critic: Critic, tmp_path: Path) -> None:
    critic.save(tmp_path)
    other = tiny.load(width=16, layers=1, heads=2, vocab_size=300, dataset_options={"size": 4})
    with pytest.raises(UsageError, match="the actor's tokenizer"):
        Weighting(other, CriticConfig("frozen", str(tmp_path)))


def test_a_frozen_critic_needs_a_folder() -> None:
    with pytest.raises(UsageError, match=r"agent\.critic\.path"):
        CriticConfig("frozen")


def test_rltf_with_an_online_critic_keeps_its_contract() -> None:
    critic = {"mode": "online", "updates": 2, "batch_size": 3}
    check_agent(lambda p, e, s: rltf.load(p, e, seed=s, baseline="group_mean", critic=critic, supervised=0, **SMALL))


def test_rltf_weighs_what_enters_the_buffer(policy: CausalPolicy, make_env: Callable[..., UnitTestEnv]) -> None:
    """A fresh head that has learnt nothing yet gives a quarter to every outcome: so much is left of each weight."""
    critic = {"mode": "online", "updates": 1, "optimiser": {"lr": 1e-30}}
    plain = rltf.load(policy, make_env(), seed=0, baseline="none", **SMALL)
    weighed = rltf.load(policy, make_env(), seed=0, baseline="none", critic=critic, **SMALL)
    for agent in (plain, weighed):
        agent.collect(8)
    for a, b in zip(plain.buffer._samples, weighed.buffer._samples, strict=True):
        np.testing.assert_allclose(a.weights / 4, b.weights, atol=1e-6)
    assert weighed.sampled["critic_weight"] == pytest.approx(0.25)


def test_the_rate_of_an_online_critic_is_that_of_what_learns() -> None:
    assert CriticConfig(mode="online").optimiser.lr == 1e-3  # type: ignore[union-attr]
    assert CriticConfig(mode="online", path="critic").optimiser.lr == 2e-5  # type: ignore[union-attr]
    assert CriticConfig(mode="online", optimiser=OptimiserConfig(lr=0.5)).optimiser.lr == 0.5  # type: ignore[union-attr]
