"""GRPO (Shao et al. 2024, DeepSeekMath, arXiv 2402.03300): returns standardised in their group, a clipped ratio, a KL loss.

The paper's outcome supervision (its section 4.1.2). See `agents/algorithms/policy_gradient.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agents import functional
from agents.algorithms import policy_gradient
from agents.algorithms.policy_gradient import PolicyGradient
from agents.core import Policy
from agents.options import build
from rltf_env.env import UnitTestEnv


@dataclass(frozen=True)
class Config(policy_gradient.Config):
    """The paper's: KL 0.04, 64 programs for each of 16 problems, a single update a round; the mean over tokens of each program."""

    problems: int = 16
    samples_per_problem: int = 64
    batch_size: int = 1024
    advantage: policy_gradient.Advantage = "standardised"
    reduction: functional.Reduction = "seq_mean"
    clip: float = 0.2
    kl: float = 0.04


def load(policy: Policy[Any], env: UnitTestEnv, *, seed: int, **options: Any) -> PolicyGradient:
    """The agent; `options` are the fields of `Config`."""
    return PolicyGradient(policy, env, build(Config, options, "agent"), seed)
