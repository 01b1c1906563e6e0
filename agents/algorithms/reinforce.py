"""REINFORCE (Williams 1992): every token with the return of its program, less a running mean of the returns before.

The simplest of the family; see `agents/algorithms/policy_gradient.py`.
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
    """One program for each problem, one update a round, no ratio."""

    problems: int = 256
    samples_per_problem: int = 1
    advantage: policy_gradient.Advantage = "running"


def load(policy: Policy[Any], env: UnitTestEnv, *, seed: int, **options: Any) -> PolicyGradient:
    """The agent; `options` are the fields of `Config`."""
    return PolicyGradient(policy, env, build(Config, options, "agent"), seed)
