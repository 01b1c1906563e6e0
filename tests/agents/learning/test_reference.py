"""A reference stays what the policy was: a copy, a copy on the host, or the policy with its adapters off."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from small_policies import copy_of

from agents.core import TrainingSample
from agents.critics.values import OwnValues, ValueConfig
from agents.learning.learner import OptimiserConfig
from agents.learning.reference import Average, Reference
from agents.policies import tiny, tiny_seq2seq
from agents.policies.causal import CausalPolicy
from rltf_env.errors import UsageError


def samples() -> list[TrainingSample]:
    rng = np.random.default_rng(0)
    nothing = np.zeros(6, np.float32)
    return [
        TrainingSample(rng.integers(1, 250, p), rng.integers(1, 250, 6), nothing == 0, nothing, nothing)
        for p in (3, 5, 5)
    ]


def with_adapters() -> CausalPolicy:
    lora = {"r": 2, "alpha": 4, "targets": ["q_proj", "v_proj"]}
    sizes: dict[str, Any] = {"width": 16, "layers": 1, "heads": 2, "vocab_size": 280, "max_positions": 128}
    return copy_of(tiny.load, **sizes, dataset_options={"size": 4}, lora=lora)


def eager() -> CausalPolicy:
    sizes: dict[str, Any] = {"width": 16, "layers": 1, "heads": 2, "vocab_size": 280, "max_positions": 128}
    policy = copy_of(tiny.load, **sizes, dataset_options={"size": 4})
    policy.model.set_attn_implementation("eager")
    return policy


def seq2seq() -> Any:
    return copy_of(tiny_seq2seq.load, width=16, layers=1, heads=2, vocab_size=280, dataset_options={"size": 4})


@torch.no_grad()
def learn(policy: Any) -> None:
    for p in policy.model.parameters():
        if p.requires_grad:
            p.add_(0.3 * torch.linspace(-1, 1, p.numel()).view_as(p))


def read(reference: Reference) -> list[np.ndarray]:
    return [s.extra["reference"] for s in reference.with_reference_logprobs(samples())]


@pytest.mark.parametrize("make", [eager, seq2seq, with_adapters])
@pytest.mark.parametrize("place", ["policy", "cpu"])
def test_a_reference_does_not_move_while_the_policy_learns(make: Callable[[], Any], place: Any) -> None:
    policy = make()
    reference = Reference(policy, 2, place=place)
    now, before = Reference(policy, 2, move=True), read(reference)
    assert all(np.array_equal(a, b) for a, b in zip(before, read(now), strict=True))
    learn(policy)
    assert all(np.array_equal(a, b) for a, b in zip(before, read(reference), strict=True))
    assert max(np.abs(a - b).max() for a, b in zip(before, read(Reference(policy, 2)), strict=True)) > 0.01


def test_a_policy_with_adapters_needs_no_copy_and_keeps_them_on() -> None:
    policy = with_adapters()
    reference = Reference(policy, 2)
    assert reference.policy.model is policy.model
    assert reference.state_dict() == {}
    learning = [p.requires_grad for p in policy.model.parameters()]
    before = read(reference)
    learn(policy)
    read(reference)
    assert [p.requires_grad for p in policy.model.parameters()] == learning
    follower = Reference(policy, 2)
    assert follower.policy.model is not policy.model, "adapters that have learnt are part of what is held to"
    assert max(np.abs(a - b).max() for a, b in zip(before, read(follower), strict=True)) > 0.01


def test_a_reference_on_the_host_is_on_the_device_to_be_read_and_away_otherwise(
    policy: CausalPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    reference = Reference(policy, 2, place="cpu")
    moved: list[str] = []
    own = reference.policy.model.to
    monkeypatch.setattr(reference.policy.model, "to", lambda device: moved.append(str(device)) or own(device))
    reference.home = torch.device("cpu", 0)  # as if it were another
    read(reference)
    assert moved == ["cpu:0", "cpu"]


def test_values_of_their_own_are_read_with_their_own_transformer() -> None:
    policy = eager()
    own = OwnValues(policy, ValueConfig(trunk="own"), OptimiserConfig())
    learner = own.own
    torch.nn.init.ones_(own.head.weight)

    def loss(data: Any, worth: Any) -> Any:
        return worth.square().sum(), {}

    learner.step(samples(), "seq_sum", loss, own.values)
    assert all(p.grad is None for p in policy.model.parameters())
    assert any(p.grad is not None for p in own.policy.model.parameters())


def test_a_copy_follows_by_its_share_of_the_way() -> None:
    """A share of .01 from 2 towards 1: 1.99."""
    copied, learner = (torch.nn.utils.skip_init(torch.nn.Linear, 3, 2) for _ in range(2))
    with torch.no_grad():
        for ours, theirs in zip(copied.parameters(), learner.parameters(), strict=True):
            ours.fill_(2.0)
            theirs.fill_(1.0)
    Average(copied).follow(learner, 0.01)
    for ours, theirs in zip(copied.parameters(), learner.parameters(), strict=True):
        torch.testing.assert_close(ours, torch.full_like(ours, 1.99))
        assert bool((theirs == 1).all())


def test_small_steps_add_up_in_weights_of_16_bits_also_in_a_run_that_goes_on() -> None:
    """1,000 steps of a thousandth of the way from 2 towards 1: 1 + .999^1000 = 1.368. Rounded each time, it stays at 2."""
    copied, learner = (torch.nn.Linear(3, 2, dtype=torch.bfloat16) for _ in range(2))
    with torch.no_grad():
        for ours, theirs in zip(copied.parameters(), learner.parameters(), strict=True):
            ours.fill_(2.0)
            theirs.fill_(1.0)
    average = Average(copied)
    for _ in range(500):
        average.follow(learner, 0.001)
    again = copy.deepcopy(copied)
    later = Average(again)
    later.load_state_dict(average.state_dict())
    for _ in range(500):
        later.follow(learner, 0.001)
    for weights in again.parameters():
        torch.testing.assert_close(weights.float(), torch.full_like(weights, 1.368).float(), atol=0.004, rtol=0)


def test_a_target_of_16_bits_is_saved_with_what_it_has_on_the_way() -> None:
    policy = eager()
    policy.model.to(torch.bfloat16)
    target, again = Reference(policy, 2, move=True), Reference(policy, 2, move=True)
    learn(policy)
    target.follow(policy, 0.001)
    again.load_state_dict(target.state_dict())
    for reference in (target, again):
        for _ in range(3):
            reference.follow(policy, 0.001)
    assert target.average
    assert again.average
    for ours, theirs in zip(target.average.masters.leaves, again.average.masters.leaves, strict=True):
        assert torch.equal(ours, theirs)


def test_a_fixed_reference_does_not_follow() -> None:
    with pytest.raises(UsageError, match="move=True"):
        Reference(eager(), 2).follow(eager(), 0.5)
