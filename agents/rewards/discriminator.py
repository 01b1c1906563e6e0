"""What a discriminator says of a program: 2 D - 1, for the program as a whole (RLCF, arXiv 2305.18341).

    reward = "coarse+fine+agents.rewards.discriminator:load"
    reward_options = { coarse = { passed = 0.0 }, "agents.rewards.discriminator:load" = { path = "runs/x/discriminator" } }

The discriminator is frozen: `python -m agents.train_discriminator RUN` makes one. A policy that learns from it soon
writes what it was not taught to tell; the agent `rlcf` keeps one up with the policy.
"""

from __future__ import annotations

import threading
from typing import Any, Literal

import torch

from agents.critics.discriminator import Discriminator
from rltf_env.core import Attempt, Feedback, Outcome
from rltf_env.errors import UnknownName, UsageError

Where = Literal["passed", "all"]


class DiscriminatorReward:
    """`weight` * (2 D - 1) of programs that pass; with the sandbox `static`, of those in which nothing was found.

    There is no `relative`: a verdict alone does not tell the score of another program.

    Args:
        discriminator: reads programs, one at a time; it does not learn here.
        weight: of the reward.
        where: "passed", or "all" programs, whatever the judge says of them.
    """

    def __init__(self, discriminator: Discriminator, weight: float = 1.0, where: Where = "passed") -> None:
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < float("inf"):
            raise UsageError(f"Expected a finite weight >= 0, got {weight!r}.")
        if where not in ("passed", "all"):
            raise UnknownName("value of option 'where'", str(where), ("passed", "all"))
        self.discriminator, self.weight, self.where = discriminator, float(weight), where
        self._lock = threading.Lock()  # feedback is made in the judge's threads

    def __call__(self, attempt: Attempt) -> Feedback:
        program = attempt.program
        if self.where == "passed" and attempt.verdict.outcome is not Outcome.PASSED:
            return Feedback.build(program, "discriminator")
        sample = self.discriminator.sample(attempt.problem, program.text, ended=not program.truncated)
        with self._lock, torch.inference_mode():
            score = float(self.discriminator.scores([sample], alone=True)[0])
        return Feedback.build(program, "discriminator", program_reward=self.weight * (2 * score - 1))


def load(path: str, weight: float = 1.0, where: Where = "passed", **options: Any) -> DiscriminatorReward:
    """The reward of the discriminator in the folder `path`; `options` (dtype, device) are those of its kind of policy.

    Raises:
        MissingData: there is none.
        UsageError: a weight that is not finite or below 0, or another value of `where`.
    """
    return DiscriminatorReward(Discriminator.load(path, **options), weight, where)
