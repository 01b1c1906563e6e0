"""Values with a transformer of their own: what learns, what does not, where it begins, and that a run goes on."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import loss_batch
import numpy as np
import pytest
import torch

from agents.algorithms import actor_critic, ppo
from agents.batching import batch
from agents.core import TrainingSample
from agents.critics import values
from agents.critics.values import OwnValues, SharedValues, ValueConfig
from agents.learning.learner import OptimiserConfig
from agents.policies import tiny, value_head
from agents.policies.causal import CausalPolicy
from agents.testing import check_agent
from rltf_env.env import UnitTestEnv
from rltf_env.errors import MissingData, UsageError

MakeEnv = Callable[..., UnitTestEnv]
PPO: dict[str, Any] = {"problems": 2, "samples_per_problem": 2, "batch_size": 4, "epochs": 1}
AC: dict[str, Any] = {
    "buffer": 12,
    "fill": 8,
    "refresh": 4,
    "refresh_every": 2,
    "samples_per_problem": 2,
    "batch_size": 4,
}
QUICK = OptimiserConfig(lr=3e-2, warmup=0, weight_decay=0.0)
OWN = {"trunk": "own", "lr": 1e-2}


def sample(*tokens: int) -> TrainingSample:
    n = len(tokens)
    return TrainingSample(
        np.array([5, 6]), np.array(tokens), np.ones(n, bool), np.zeros(n, np.float32), np.zeros(n, np.float32)
    )


def weights(agent: Any) -> dict[str, torch.Tensor]:
    return {name: t.clone() for name, t in agent.state_dict()["learner"]["model"].items()}


def moved(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(t, before[name]) for name, t in after.items())


@pytest.mark.parametrize(("make", "small"), [(ppo.load, PPO), (actor_critic.load, AC)])
def test_by_default_nothing_is_another_than_without_the_option(
    make: Any, small: dict[str, Any], policy: CausalPolicy, make_env: MakeEnv
) -> None:
    agent = make(policy, make_env(), seed=0, **small)
    assert isinstance(agent.values, SharedValues)
    assert set(agent.learner.parts) == {"model", "head"}
    assert "values" not in agent.state_dict()


@pytest.mark.parametrize(("make", "small"), [(ppo.load, PPO), (actor_critic.load, AC)])
def test_a_trunk_of_its_own_learns_at_its_own_rate_and_the_policy_is_not_in_it(
    make: Any, small: dict[str, Any], policy: CausalPolicy, make_env: MakeEnv
) -> None:
    options = {"lr": 1e-3, "warmup": 0}
    agent = make(policy, make_env(), seed=0, value=OWN, optimiser=options, **small)
    assert isinstance(agent.values, OwnValues)
    before = {name: t.clone() for name, t in agent.values.policy.model.state_dict().items()}
    lines = [agent.update() for _ in range(3)]
    assert [line["lr"] for line in lines] == pytest.approx([1e-3] * 3)
    assert [line["value_lr"] for line in lines] == pytest.approx([1e-2] * 3)
    assert moved(before, agent.values.policy.model.state_dict())
    ids = {id(p) for p in policy.model.parameters()}
    assert not ids & {id(p) for p in agent.values.policy.model.parameters()}
    assert set(agent.learner.parts) == {"model"}


def test_the_policys_gradient_is_that_of_its_own_loss_alone(policy: CausalPolicy, make_env: MakeEnv) -> None:
    """Whatever the value loss weighs: with a trunk of its own it is a constant to the policy."""
    ends = []
    for weight in (0.0, 100.0):
        agent = ppo.load(copy.deepcopy(policy), make_env(), seed=0, value=OWN, value_weight=weight, **PPO)
        agent.update()
        ends.append(weights(agent))
    assert not moved(*ends)


@pytest.mark.parametrize(("clip", "expected"), [(0.0, 0.375), (0.2, 0.393333)])
def test_own_values_are_clipped_as_shared_ones_are(
    clip: float, expected: float, policy: CausalPolicy, make_env: MakeEnv
) -> None:
    """Squares .25, 1, 1, or held at .4, 1 and 1.2 .36, 1, 1: half their mean."""
    agent = ppo.load(policy, make_env(), seed=0, value=OWN, value_clip=clip, **PPO)
    data = loss_batch.batch(values=loss_batch.rows(0.2, 1.1, 1.0), returns=loss_batch.rows(1.0, 0.0, 1.0))
    read = loss_batch.rows(0.5, 1.0, 2.0)
    own: Any = SimpleNamespace(step=lambda samples, how, error: {"loss": float(error(data, read)[0])})
    assert agent._learn_values([], own)["loss"] == pytest.approx(expected, abs=1e-5)


def test_in_the_warm_up_the_policy_stays_and_the_values_learn(policy: CausalPolicy, make_env: MakeEnv) -> None:
    agent = ppo.load(policy, make_env(), seed=0, value=OWN, value_warmup=2, **PPO)
    before = weights(agent)
    assert isinstance(agent.values, OwnValues)
    for expected in (False, False, True):
        metrics = agent.update()
        assert moved(before, weights(agent)) == expected
        assert metrics["value_loss"] > 0
    assert agent.values.head.weight.any()
    assert agent.learner.updates == 3


def test_values_of_its_own_are_read_without_a_gradient_and_learnt_with_one(policy: CausalPolicy) -> None:
    own, data = OwnValues(policy, ValueConfig("own"), QUICK), batch([sample(40, 41)], policy.pad_id)
    torch.nn.init.ones_(own.head.weight)
    assert not own.read(data, torch.zeros(0)).requires_grad
    own.values(data).sum().backward()
    assert any(p.grad is not None and p.grad.any() for p in own.policy.model.parameters())


def test_values_are_learnt_from_what_each_program_earned(policy: CausalPolicy) -> None:
    own = OwnValues(policy, ValueConfig("own", lr=3e-2), QUICK)
    good, bad = sample(40, 41, 42), sample(50, 51)

    def error(data: Any, read: torch.Tensor) -> Any:
        target = (data.tokens[:, :1] == 40).float().expand_as(read)
        return ((read - target) ** 2 * data.loss_mask).sum() / data.loss_mask.sum(), {}

    losses = [own.step([good, bad], "token_mean", error)["value_loss"] for _ in range(60)]
    assert losses[0] == pytest.approx(0.6), "values begin at 0"
    assert losses[-1] < 0.15, "all but the first token, before which the two are alike"


def test_it_begins_as_the_policy_or_as_a_folder_with_its_head(policy: CausalPolicy, tmp_path: Path) -> None:
    own = OwnValues(policy, ValueConfig("own"), QUICK)
    data = batch([sample(40, 41)], policy.pad_id)
    assert torch.equal(own.policy.logits(data), policy.logits(data))
    assert own.own.config.lr == QUICK.lr
    with torch.no_grad():
        own.head.bias.fill_(0.25)
    own.policy.save(tmp_path)
    assert OwnValues(policy, ValueConfig("own", str(tmp_path)), QUICK).values(data).tolist() == [[0.0, 0.0]]
    torch.save(own.head.state_dict(), tmp_path / values.HEAD)
    assert OwnValues(policy, ValueConfig("own", str(tmp_path)), QUICK).values(data).tolist() == [[0.25, 0.25]]
    assert value_head.state_width(policy) == 16


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"lr": 1e-3}, UsageError, "trunk = 'own' with a path or an lr"),
        ({"path": "x"}, UsageError, "trunk = 'own' with a path or an lr"),
        ({"trunk": "own", "lr": -1.0}, UsageError, "a finite agent.value.lr >= 0"),
        ({"trunk": "own", "path": "nowhere"}, MissingData, "a folder with a transformer, got 'nowhere'"),
    ],
)
def test_impossible_values_say_so(
    options: dict[str, Any], error: type, message: str, policy: CausalPolicy, make_env: MakeEnv
) -> None:
    with pytest.raises(error, match=message):
        ppo.load(policy, make_env(), seed=0, value=options, **PPO)


def test_a_transformer_of_another_vocabulary_is_refused(policy: CausalPolicy, tmp_path: Path) -> None:
    tiny.load(width=16, layers=1, heads=2, vocab_size=270, dataset_options={"size": 4}).save(tmp_path)
    with pytest.raises(UsageError, match="the policy's vocabulary"):
        OwnValues(policy, ValueConfig("own", str(tmp_path)), QUICK)


@pytest.mark.parametrize(("make", "small"), [(ppo.load, PPO), (actor_critic.load, AC)])
def test_an_agent_with_values_of_its_own_keeps_the_contract(make: Any, small: dict[str, Any]) -> None:
    check_agent(lambda p, e, s: make(p, e, seed=s, value=OWN, **small))
