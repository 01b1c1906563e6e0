"""DAPO (Yu et al. 2025, arXiv 2503.14476): GRPO with a higher upper clip, groups that tell something, token-level mean, and a
soft punishment of long programs; no KL.

See `agents/algorithms/policy_gradient.py`. Groups are replaced where their programs all earned the same, which for a reward of 0
and 1 is the paper's "accuracy 0 or 1".
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
    """The paper's: clip 0.2 and 0.28, 512 problems with 16 programs, 16 updates a round, a cache of a fifth of the room."""

    problems: int = 512
    samples_per_problem: int = 16
    batch_size: int = 512
    advantage: policy_gradient.Advantage = "standardised"
    reduction: functional.Reduction = "token_mean"
    clip: float = 0.2
    clip_high: float = 0.28
    resample: int = 3
    overlong: policy_gradient.Overlong = "punish"


def load(policy: Policy[Any], env: UnitTestEnv, *, seed: int, **options: Any) -> PolicyGradient:
    """The agent; `options` are the fields of `Config`."""
    return PolicyGradient(policy, env, build(Config, options, "agent"), seed)
