"""The way each term of a loss pulls: one step of descent, and what became likelier."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from loss_batch import MASK, REFERENCE, batch, logits

from agents.algorithms import actor_critic, policy_gradient, ppo, rltf
from agents.core import Batch


def entropy_of(logits: torch.Tensor) -> float:
    return float(-(logits.log_softmax(-1) * logits.softmax(-1)).sum(-1)[MASK].sum().detach())


def distance(logits: torch.Tensor) -> float:
    """To the reference's probabilities."""
    return float((logits.softmax(-1)[..., 0] - REFERENCE)[MASK].square().sum().detach())


def chance(logits: torch.Tensor) -> float:
    return float(logits.softmax(-1)[..., 0][MASK].sum().detach())


@pytest.mark.parametrize("module", [policy_gradient, ppo, actor_critic], ids=lambda m: m.__name__)
def test_the_entropy_term_makes_a_policy_less_certain(module: Any) -> None:
    before = logits()
    step(module, before, "entropy")
    assert entropy_of(after(before)) > entropy_of(before)


def test_the_kl_term_pulls_a_policy_to_the_reference() -> None:
    before = logits()
    policy_gradient.loss(silent(), before, policy_gradient.Config(kl=1.0))[0].backward()
    assert distance(after(before)) < distance(before)


def test_the_value_term_pulls_values_to_the_returns() -> None:
    values = torch.zeros(2, 2, requires_grad=True)
    ppo.loss(silent(), logits(), values, ppo.Config(value_clip=0.0))[0].backward()
    assert values.grad is not None
    assert bool((values.grad[MASK] < 0).all())  # all returns are 1


@pytest.mark.parametrize("module", [policy_gradient, ppo, rltf], ids=lambda m: m.__name__)
def test_what_weighs_more_than_nothing_becomes_likelier(module: Any) -> None:
    before = logits()
    arguments = (torch.zeros(2, 2),) if module is ppo else ()
    data = batch(torch.ones(2, 2), values=torch.zeros(2, 2), returns=torch.zeros(2, 2))
    module.loss(data, before, *arguments, module.Config(clip=0.9))[0].backward()
    assert chance(after(before)) > chance(before)


def step(module: Any, before: torch.Tensor, term: str) -> None:
    arguments = () if module is policy_gradient else (torch.zeros(2, 2),)
    module.loss(silent(), before, *arguments, module.Config(**{term: 1.0}))[0].backward()


def silent() -> Batch:
    """Nothing weighs anything."""
    zeros = torch.zeros(2, 2)
    return batch(zeros, reference=REFERENCE.log(), values=zeros, returns=torch.ones(2, 2), rewards=zeros)


def after(logits: torch.Tensor) -> torch.Tensor:
    assert logits.grad is not None
    return (logits - 0.1 * logits.grad).detach()
