"""Rewards made of rewards: their sum, and a reward times a number."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import add

import numpy as np

from rltf_env.core import Attempt, ComparativeReward, Feedback, Reward, Verdict
from rltf_env.errors import UsageError
from rltf_env.rewards._options import number


@dataclass(frozen=True)
class Sum:
    """The sum of what `rewards` give, part by part."""

    rewards: tuple[Reward, ...]

    @property
    def needs(self) -> frozenset[str]:
        """What any of them needs."""
        return frozenset().union(*map(needs, self.rewards))

    @property
    def reads_references(self) -> bool:
        """True if one of them does."""
        return any(map(reads_references, self.rewards))

    def __call__(self, attempt: Attempt) -> Feedback:
        return reduce(add, (reward(attempt) for reward in self.rewards))


@dataclass(frozen=True)
class ComparativeSum(Sum):
    """A sum whose every term can measure itself against a baseline."""

    rewards: tuple[ComparativeReward, ...]

    def relative(self, attempt: Attempt, baseline: Verdict) -> Feedback:
        """The sum of the terms, each relative to the baseline in its own way."""
        return reduce(add, (reward.relative(attempt, baseline) for reward in self.rewards))


@dataclass(frozen=True)
class Scaled:
    """`weight` times what `reward` gives."""

    reward: Reward
    weight: float

    @property
    def needs(self) -> frozenset[str]:
        """What the reward needs."""
        return needs(self.reward)

    @property
    def reads_references(self) -> bool:
        """True if the reward does."""
        return reads_references(self.reward)

    def __call__(self, attempt: Attempt) -> Feedback:
        return _times(self.reward(attempt), self.weight)


@dataclass(frozen=True)
class ComparativeScaled(Scaled):
    """`weight` times a reward that can measure itself against a baseline."""

    reward: ComparativeReward

    def relative(self, attempt: Attempt, baseline: Verdict) -> Feedback:
        """Feedback relative to the baseline's verdict, times the weight."""
        return _times(self.reward.relative(attempt, baseline), self.weight)


def needs(reward: Reward) -> frozenset[str]:
    """The options that a sandbox must be opened with, so that a verdict has what the reward reads: names of booleans."""
    return frozenset(getattr(reward, "needs", ()))


def reads_references(reward: Reward) -> bool:
    """True if a reward compares programs with the references of their problem."""
    return bool(getattr(reward, "reads_references", False))


def summed(*rewards: Reward) -> Reward:
    """The sum of `rewards`; it has `relative` if all of them have."""
    _check(rewards)
    if len(rewards) == 1:
        return rewards[0]
    comparative = tuple(reward for reward in rewards if isinstance(reward, ComparativeReward))
    return ComparativeSum(comparative) if len(comparative) == len(rewards) else Sum(rewards)


def scaled(reward: Reward, weight: float) -> Reward:
    """`weight` * `reward`; it has `relative` if `reward` has."""
    _check((reward,))
    weight = number("weight", weight)
    if weight == 1:
        return reward
    return ComparativeScaled(reward, weight) if isinstance(reward, ComparativeReward) else Scaled(reward, weight)


def _check(rewards: tuple[Callable[..., object], ...]) -> None:
    if not rewards:
        raise UsageError("Expected at least one reward to add, got none.")
    for reward in rewards:
        if not isinstance(reward, Reward):
            raise UsageError(f"Expected a reward (a function from Attempt to Feedback), got {reward!r}.")


def _times(feedback: Feedback, weight: float) -> Feedback:
    parts = {name: weight * value for name, value in feedback.parts.items()}
    rewards = feedback.rewards * np.float32(weight)
    credit = None if feedback.credit is None else feedback.credit * np.float32(weight)
    return Feedback(rewards, feedback.loss_mask, parts, weight * feedback.program_reward, credit)
