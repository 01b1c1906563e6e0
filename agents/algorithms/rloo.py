"""RLOO (Ahmadian et al. 2024, arXiv 2402.14740): REINFORCE with the mean of the other programs of the problem as baseline.

The KL to the reference is part of the return, as in the paper (its eq. 2). See `agents/algorithms/policy_gradient.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agents.algorithms import policy_gradient
from agents.algorithms.policy_gradient import PolicyGradient
from agents.core import Policy
from agents.options import build
from rltf_env.env import UnitTestEnv


@dataclass(frozen=True)
class Config(policy_gradient.Config):
    """Four programs for each problem, one update a round, no ratio; sums over tokens. The KL weight, 0.03, is our choice."""

    problems: int = 64
    samples_per_problem: int = 4
    advantage: policy_gradient.Advantage = "leave_one_out"
    kl_reward: float = 0.03


def load(policy: Policy[Any], env: UnitTestEnv, *, seed: int, **options: Any) -> PolicyGradient:
    """The agent; `options` are the fields of `Config`."""
    return PolicyGradient(policy, env, build(Config, options, "agent"), seed)
