"""Distributions agree: the one that programs are drawn from, and the one that the loss and its ratio are of."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from agents.algorithms import actor_critic, grpo, policy_gradient, ppo, rltf
from agents.core import Batch
from agents.decoding.sampling import Sampling
from agents.learning.likelihood import temperature_of
from agents.policies.causal import CausalPolicy
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UnknownName, UsageError

MakeEnv = Callable[..., UnitTestEnv]

# ------------------------------------------------------------------------------------------- expectations, without noise

FIRST, SECOND = (0.5, 0.0, -0.5), (1.0, 0.0, -1.0)  # logits of two tokens with three choices each
GOOD = torch.tensor([1.0, 0.0, 0.0])  # the reward depends on the first token alone
CHOICES = list(itertools.product(range(3), range(3)))


def expected_gradients(module: Any, temperature: float, **options: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the loss of all nine programs, each as often as it is drawn at `temperature`: (3,) and (3, 3)."""
    first = torch.tensor(FIRST, requires_grad=True)
    second = torch.tensor([SECOND] * 3, requires_grad=True)
    drawn = [(logits / temperature).log_softmax(-1).detach() for logits in (first, second)]
    behaviour = torch.tensor([[drawn[0][a], drawn[1][a, b]] for a, b in CHOICES])
    advantages = torch.tensor([GOOD[a] for a, _ in CHOICES]) - (drawn[0].exp() * GOOD).sum()
    shares = len(CHOICES) * behaviour.sum(1).exp() * advantages
    tokens, mask = torch.tensor(CHOICES), torch.ones(len(CHOICES), 2, dtype=torch.bool)
    zeros = torch.zeros(len(CHOICES), 2)
    extra = {
        "behaviour": behaviour, "values": zeros, "returns": zeros,
        "rewards": torch.stack([zeros[:, 0], shares], 1),
    }  # fmt: skip
    weights = shares[:, None].expand(-1, 2)
    data = Batch(tokens[:, :1], mask[:, :1], tokens, mask, mask, weights, behaviour, extra)
    logits = torch.stack([torch.stack([first, second[a]]) for a, _ in CHOICES])
    c = module.Config(sampling=Sampling(temperature=temperature), **options)
    more = (zeros,) if module in (ppo, actor_critic) else ()
    module.loss(data, logits, *more, c)[0].backward()
    assert first.grad is not None
    assert second.grad is not None
    return first.grad, second.grad


@pytest.mark.parametrize("temperature", [1.0, 0.7, 0.6, 1.5])
@pytest.mark.parametrize(
    ("module", "options"),
    [
        (policy_gradient, {}),
        (policy_gradient, {"clip": 0.2}),
        (ppo, {}),
        (rltf, {}),
        (rltf, {"clip": 0.2}),
        (actor_critic, {}),
    ],
    ids=["reinforce", "grpo", "ppo", "rltf", "rltf clipped", "actor_critic"],
)
def test_a_token_on_which_no_reward_depends_is_not_moved(
    module: Any, options: dict[str, Any], temperature: float
) -> None:
    first, second = expected_gradients(module, temperature, **options)
    assert float(second.abs().max()) < 1e-6
    assert float(first.abs().max()) > 0.05
    assert first.argmin() == 0  # the good one becomes likelier


def test_the_loss_at_1_of_what_was_drawn_at_another_temperature_sharpens_after_the_good() -> None:
    _, second = expected_gradients(policy_gradient, 0.7, loss_temperature=1, importance_cap=0.0)
    assert float(second[0, 0]) < -0.01  # after the good first token its likeliest becomes likelier
    assert float(second[1, 0]) > 0.001  # after a bad one less likely


# -------------------------------------------------------------------------------------------------- agents from the start

SMALL = {"samples_per_problem": 4, "batch_size": 8, "optimiser": {"lr": 1e-3, "warmup": 2}}
COOL = {"temperature": 0.6}
AGENTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "grpo": (grpo, {"problems": 2, "kl": 0.1}),
    "ppo": (ppo, {"problems": 2, "kl": 0.1}),
    "rltf": (rltf, {"fill": 8, "refresh": 8, "baseline": "group_mean", "supervised": 0, "clip": 0.2}),
    "actor_critic": (actor_critic, {"fill": 8, "refresh": 8}),
}


@pytest.mark.parametrize("name", AGENTS)
def test_at_any_temperature_the_first_ratio_is_one_and_the_reference_where_it_was(
    policy: CausalPolicy, make_env: MakeEnv, name: str
) -> None:
    module, options = AGENTS[name]
    line = module.load(policy, make_env(), seed=0, sampling=COOL, **SMALL, **options).update()
    assert line["kl_behaviour"] == pytest.approx(0, abs=1e-6)
    if "importance" in line:
        assert line["importance"] == pytest.approx(1, abs=1e-5)
    assert line.get("kl_reference", 0) == pytest.approx(0, abs=1e-4)
    assert name == "actor_critic" or line.get("clip_fraction", 0) == 0  # its bound is 1, which rounding passes


@pytest.mark.parametrize("name", ["grpo", "ppo", "rltf"])
def test_what_was_cut_off_while_drawing_is_weighed_and_the_weight_is_capped(
    policy: CausalPolicy, make_env: MakeEnv, name: str
) -> None:
    module, options = AGENTS[name]
    weights = []
    for cap in (2.0, 0.5, 0.0):
        made = module.load(policy, make_env(), seed=0, sampling={"top_p": 0.5}, importance_cap=cap, **SMALL, **options)
        weights.append(made.update().get("importance"))
    assert weights[2] is None
    assert 0.4 < weights[0] < 0.7, "half of the distribution is left, so what was drawn was drawn twice as often"
    assert weights[1] <= 0.5


def test_at_temperature_1_nothing_is_read_again_and_nothing_weighs_otherwise(
    policy: CausalPolicy, make_env: MakeEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agents.learning.likelihood.logprobs", lambda *_: pytest.fail("read once more"))
    agent = rltf.load(policy, make_env(), seed=0, **SMALL, **AGENTS["rltf"][1])
    agent.collect(8)
    for s in agent.buffer.draw(8, np.random.default_rng(0)):
        np.testing.assert_array_equal(s.old_logprobs, s.extra["behaviour"])
    assert agent.update()["importance"] == 1


def test_a_checkpoint_that_does_not_say_what_was_drawn_from_is_read(policy: CausalPolicy, make_env: MakeEnv) -> None:
    agent, again = (rltf.load(policy, make_env(), seed=0, **SMALL, **AGENTS["rltf"][1]) for _ in range(2))
    agent.collect(8)
    state = agent.state_dict()
    older = [{**s, "extra": {}} for s in state["buffer"]["samples"]]
    again.load_state_dict({**state, "buffer": {**state["buffer"], "samples": older}})
    again.collect(8)
    assert again.update()["importance"] == 1


def test_greedy_programs_are_learnt_from_at_1_or_not_at_all(policy: CausalPolicy, make_env: MakeEnv) -> None:
    for module, options in AGENTS.values():
        with pytest.raises(UsageError, match=r"sampling\.temperature > 0 .* loss_temperature = 1"):
            module.load(policy, make_env(), seed=0, sampling={"temperature": 0.0}, **SMALL, **options)
    greedy = rltf.Config(sampling=Sampling(temperature=0.0), loss_temperature=1)
    assert temperature_of(greedy) == 1
    with pytest.raises(UnknownName, match="loss_temperature"):
        rltf.load(policy, make_env(), seed=0, loss_temperature=0.7)


@pytest.mark.parametrize("name", ["grpo", "ppo", "rltf"])
@pytest.mark.parametrize("wrong", [{"dual_clip": 1.0}, {"dual_clip": -3.0}, {"importance_cap": -1.0}])
def test_bounds_that_bound_nothing_are_refused(
    policy: CausalPolicy, make_env: MakeEnv, name: str, wrong: dict[str, float]
) -> None:
    with pytest.raises(UsageError, match=next(iter(wrong))):
        AGENTS[name][0].load(policy, make_env(), seed=0, **wrong)
