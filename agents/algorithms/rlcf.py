"""RLCF (arXiv 2305.18341): PPO on feedback that needs no tests, a compiler's and a discriminator's.

    reward = syntax error -1 | finding -0.6, and -0.3 on its line | else 2 D - 1          (the sandbox "static", `coarse + fine`)
    D      = the probability that a program is a reference, by a discriminator that learns beside the policy

The paper's grounding function is the reward of the environment, with `sandbox = "static"` and `coarse`'s `passed = 0`, and what
this page adds: D's share, on the programs that pass, whatever judge lets them pass. The algorithm is `ppo`, and all that it
takes stands beside `discriminator`. `agents/recipes/procedural_rlcf.toml` is a run. Of the paper only the abstract and what its
reviewers say were to be had, so the values, D's training and the schedule are ours (PAPERS.md).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from agents.algorithms import ppo
from agents.algorithms.grounding import DiscriminatorConfig, GroundedCollector, Grounding
from agents.core import Policy
from agents.options import build
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError


@dataclass(frozen=True)
class Config(ppo.Config):
    """PPO's, and those of the discriminator (`agents.algorithms.grounding.DiscriminatorConfig`)."""

    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)


class RLCF(ppo.PPO):
    """See the head of this file, and `agents.core.Agent`."""

    grounds = Grounding

    def __init__(self, policy: Policy[Any], env: UnitTestEnv, config: Config, seed: int) -> None:
        super().__init__(policy, env, config, seed)
        programs = config.problems * config.samples_per_problem
        self.grounding = self.grounds(policy, env, config.discriminator, programs, seed)
        self.collector = GroundedCollector(policy, env, config.sampling, seed, self.grounding)
        self.parts = {**self.parts, "grounding": self.grounding}

    def check_actors(self) -> None:
        """Refuses: each actor would have a discriminator of its own, which learns from what it alone has written."""
        raise UsageError(
            "Expected no [scale] generators with agent.kind = 'rlcf', whose discriminator learns from all programs of a round. "
            "Remove [scale]."
        )

    def collect(self) -> None:
        """A round as PPO's, with the discriminator's share; and how that is doing."""
        super().collect()
        self.sampled = {**self.sampled, **self.grounding.metrics}

    @property
    def warnings(self) -> list[str]:
        """What whoever reads the results has to know; see `agents.training`."""
        return self.grounding.warnings


def load(policy: Policy[Any], env: UnitTestEnv, *, seed: int, **options: Any) -> RLCF:
    """The agent; `options` are the fields of `Config`."""
    return RLCF(policy, env, build(Config, options, "agent"), seed)
