"""Learning, from references and then from unit tests alone, on forty problems of one operation. Two minutes on two cores."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from agents.algorithms import rltf, supervised
from agents.decoding.sampling import Sampling
from agents.evaluation import evaluate
from agents.policies import tiny
from agents.policies.causal import CausalPolicy
from rltf_env import datasets
from rltf_env.env import UnitTestEnv
from rltf_env.tokenizers import HuggingFace

PROBLEMS = {"size": 40, "depths": [1]}


@pytest.fixture
def policy() -> Iterator[CausalPolicy]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tiny.load(width=64, layers=2, heads=4, dataset_options=PROBLEMS)
    torch.set_num_threads(before)


def rates(policy: CausalPolicy, env: UnitTestEnv) -> np.ndarray:
    """float64 (problems,): the share of each problem's eight sampled programs that pass."""
    problems = datasets.load("procedural", split="train", **PROBLEMS)
    return evaluate(policy, env, problems, Sampling(), samples=8, seed=1).passed / 8


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_references_teach_and_unit_tests_alone_teach_more(policy: CausalPolicy) -> None:
    env = UnitTestEnv(
        datasets.load("procedural", split="train", **PROBLEMS),
        tokenizer=HuggingFace(policy.tokenizer),
        sandbox_options={"case_seconds": 0.2},
        prompt_style="statement",
        reward_options={"alpha": "none"},
        max_prompt_tokens=128,
        max_program_tokens=80,
    )
    try:
        random = rates(policy, env)
        warm = supervised.load(policy, env, seed=0, batch_size=32, optimiser={"lr": 3e-3, "warmup": 10})
        for _ in range(100):
            warm.update()
        warmed = rates(policy, env)
        options = {"lr": 3e-4, "warmup": 5, "weight_decay": 0.0}
        sizes = {
            "buffer": 320,
            "fill": 320,
            "refresh": 320,
            "refresh_every": 4,
            "samples_per_problem": 8,
            "batch_size": 80,
        }
        how = {"supervised": 0, "baseline": "group_mean", "reduction": "token_mean", "clip": 0.2}
        online = rltf.load(policy, env, seed=0, optimiser=options, **sizes, **how)
        for _ in range(240):
            online.update()
        improved = rates(policy, env)
    finally:
        env.close()
    gain = improved - warmed  # on the same problems: paired
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    seen = f"{random.mean():.3f} -> {warmed.mean():.3f} -> {improved.mean():.3f}, difference within {error:.3f}"
    assert random.mean() < 0.01, seen
    assert 0.05 < warmed.mean() < 0.9, seen
    assert gain.mean() > 2 * error, seen  # no such gain by chance: one in forty
