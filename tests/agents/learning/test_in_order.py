"""Gradients are summed in one order on a CPU, in every update, and torch's settings are as they were afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from agents.core import Batch, TrainingSample
from agents.learning.in_order import SETTINGS, in_order
from agents.learning.learner import Learner, OptimiserConfig
from agents.policies.causal import CausalPolicy

CPU = torch.device("cpu")


@pytest.fixture
def two_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("two_threads")
def test_the_gradient_of_an_index_that_stands_twice_is_the_same_every_time() -> None:
    rng = torch.Generator().manual_seed(0)
    index = torch.randint(3, (20_000,), generator=rng)
    weights = torch.randn(20_000, 8, generator=rng)

    def gradient() -> torch.Tensor:
        x = torch.zeros(3, 8, requires_grad=True)
        with in_order(CPU):
            (x[index] * weights).sum().backward()
        assert x.grad is not None
        return x.grad

    first = gradient()
    assert all(torch.equal(gradient(), first) for _ in range(20))


def test_an_update_sums_in_order_and_leaves_the_settings_as_they_were(policy: CausalPolicy) -> None:
    inside: list[bool] = []

    def loss(_: Batch, logits: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        logits.register_hook(lambda _: inside.append(torch.are_deterministic_algorithms_enabled()))
        return logits.mean(), {}

    sample = TrainingSample(
        np.arange(3), np.arange(5), np.ones(5, bool), np.ones(5, np.float32), np.zeros(5, np.float32)
    )
    Learner(policy, OptimiserConfig(lr=1e-30)).step([sample], "token_mean", loss)
    assert inside == [True]
    assert not torch.are_deterministic_algorithms_enabled()
    assert SETTINGS.fill_uninitialized_memory


def test_who_asked_for_deterministic_algorithms_keeps_them() -> None:
    torch.use_deterministic_algorithms(True)
    try:
        with in_order(CPU):
            pass
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
    finally:
        torch.use_deterministic_algorithms(False)


def test_other_devices_are_left_alone() -> None:
    with in_order(torch.device("meta")):
        assert not torch.are_deterministic_algorithms_enabled()
