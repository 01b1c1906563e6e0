"""Dr.GRPO (Liu et al. 2025, arXiv 2503.20783): GRPO without what biases it, the division by length and that by the deviation.

Tokens are summed and divided by a constant, the room for a program. See `agents/algorithms/policy_gradient.py`.
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
    """A group's mean as baseline, no KL; `constant` should be the environment's max_program_tokens."""

    problems: int = 128
    samples_per_problem: int = 8
    batch_size: int = 128
    advantage: policy_gradient.Advantage = "centred"
    reduction: functional.Reduction = "constant"
    clip: float = 0.2


def load(policy: Policy[Any], env: UnitTestEnv, *, seed: int, **options: Any) -> PolicyGradient:
    """The agent; `options` are the fields of `Config`."""
    return PolicyGradient(policy, env, build(Config, options, "agent"), seed)
