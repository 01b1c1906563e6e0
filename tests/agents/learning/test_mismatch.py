"""The metrics of how far an engine is from the policy: a table worked by hand, and agents that log them."""

from __future__ import annotations

import copy
from collections.abc import Callable
from math import exp, log
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from fake_vllm import FakeVLLM

from agents.algorithms import grpo, ppo, rltf
from agents.core import TrainingSample
from agents.decoding.sampling import Sampling
from agents.engines._folder import Shared
from agents.learning.mismatch import mismatch
from agents.policies.causal import CausalPolicy
from rltf_env.env import UnitTestEnv

MakeEnv = Callable[..., UnitTestEnv]
POLICY, ENGINE = (0.6, 0.2, 0.3, 0.9), (0.2, 0.4, 0.3, 0.001)  # ratios 3, 1/2, 1; the last token is not learnt from
MASK = np.array([True, True, True, False])
MADE_OF = {
    "mismatch": (log(3) + log(2)) / 3,
    "mismatch_kl": ((3 - 1 - log(3)) + (1 / 2 - 1 + log(2)) + 0) / 3,
    "mismatch_ratio": 3.0,
}


def samples(*engine: float) -> list[TrainingSample]:
    """Two samples, of the first two tokens and of the rest."""
    ids, weights = np.zeros(4, np.int64), np.zeros(4, np.float32)
    old, drawn = (np.log(np.array(p, np.float32)) for p in (POLICY, engine or ENGINE))
    cuts = (slice(0, 2), slice(2, 4))
    return [TrainingSample(ids, ids[at], MASK[at], weights[at], old[at], 0, {"behaviour": drawn[at]}) for at in cuts]


def asked(how: dict[str, Any] | None = None, loss_temperature: Any = "sampling", **more: Any) -> Any:
    sampling = Sampling(engine="vllm", **(how or {}))
    return SimpleNamespace(sampling=sampling, loss_temperature=loss_temperature, **more)


def test_metrics_are_those_worked_by_hand(policy: CausalPolicy) -> None:
    assert mismatch(policy, samples(), asked()) == pytest.approx(MADE_OF, rel=1e-5)
    assert mismatch(policy, samples(), asked({"temperature": 0.6})) == pytest.approx(MADE_OF, rel=1e-5)
    same = mismatch(policy, samples(*POLICY), asked())
    assert same == {"mismatch": 0.0, "mismatch_kl": 0.0, "mismatch_ratio": 1.0}


def test_a_ratio_beyond_numbers_is_a_number(policy: CausalPolicy) -> None:
    metrics = mismatch(policy, samples(1e-37, 0.4, 0.3, 0.1), asked())
    assert metrics["mismatch_ratio"] == pytest.approx(exp(50))
    assert np.isfinite(metrics["mismatch_kl"])


@pytest.mark.parametrize(
    "c",
    [
        asked({"top_p": 0.9}),
        asked({"top_k": 40}),
        asked({"min_p": 0.1}),
        asked({"temperature": 0.6}, loss_temperature=1),
        asked(ratio="behaviour"),
        SimpleNamespace(sampling=Sampling(), loss_temperature="sampling"),
    ],
    ids=["top_p", "top_k", "min_p", "another temperature", "no probabilities of its own", "our own engine"],
)
def test_what_differs_by_design_is_not_logged(policy: CausalPolicy, c: Any) -> None:
    assert mismatch(policy, samples(), c) == {}
    assert mismatch(policy, [], asked()) == {}


SMALL = {"samples_per_problem": 2, "batch_size": 4, "optimiser": {"lr": 1e-3, "warmup": 2}}
AGENTS: dict[str, tuple[Any, dict[str, Any]]] = {
    "grpo": (grpo, {"problems": 2}),
    "ppo": (ppo, {"problems": 2}),
    "rltf": (rltf, {"fill": 4, "baseline": "group_mean", "supervised": 0}),
}


@pytest.mark.parametrize("name", AGENTS)
def test_an_engine_that_is_off_shows_and_is_weighed(
    policy: CausalPolicy, make_env: MakeEnv, tmp_path: Path, name: str
) -> None:
    module, options = AGENTS[name]
    Shared(tmp_path).save_start(policy)
    with FakeVLLM(copy.deepcopy(policy), tmp_path / "start", max_model_len=512) as server:
        server.off = 0.25  # it says that tokens were that much less likely, in nats
        sampling = {"engine": "vllm_server", "engine_options": {"url": server.url, "folder": str(tmp_path)}}
        agent = module.load(policy, make_env(), seed=0, sampling=sampling, importance_cap=1.1, **SMALL, **options)
        metrics = agent.update()
    assert metrics["mismatch"] == pytest.approx(0.25, abs=1e-4)
    assert metrics["mismatch_ratio"] == pytest.approx(exp(0.25), abs=1e-3)
    assert metrics["importance"] == pytest.approx(1.1, abs=1e-4), "exp(0.25), but for the cap"
    assert metrics["importance_held"] == 1
    assert torch.isfinite(next(policy.model.parameters())).all()
