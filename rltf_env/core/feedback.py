"""Feedback: what each token of a program earned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rltf_env._renamed import renamed_arguments, renamed_fields
from rltf_env.core.programs import BoolArray, FloatArray, Program
from rltf_env.core.verdicts import Verdict
from rltf_env.errors import UsageError


@renamed_fields(learn="loss_mask", sequence="program_reward")
@dataclass(frozen=True, eq=False)
class Feedback:
    """What each token of a program earned, for two kinds of agents.

    *Returns.* An agent that adds up what an episode earned (PPO, GRPO, every agent of Gymnasium's) reads `rewards`, or their
    sum, `total`. *Weights.* An agent whose loss weighs the log-probability of each token by itself (RLTF eq. 2) reads
    `program_reward`, which weighs every token, and `token_rewards`, which weigh the single ones. The two are not the same number: a
    line of ten tokens that is to weigh as much as its program of 200 needs -0.3 * 20 on each token in such a loss (RLTF
    eq. 9), and would sum to -60 in a return.

    Args:
        rewards: float32 (T,). Their sum is the return of the episode.
        loss_mask: bool (T,), the tokens that an agent should learn from.
        parts: the sum that each named part contributed, for logs.
        program_reward: the share of `rewards` that was earned by the program as a whole. It is contained in `rewards`, on the last
            token, where an outcome reward belongs in an episode; agents whose equations weigh *every* token with it (RLTF
            eq. 3, 5, 8, 10: S=0, E=T) take it from here.
        credit: float32 (T,), the weights of single tokens, where they are not what `rewards` holds beside `program_reward`; None:
            they are.
    """

    rewards: FloatArray
    loss_mask: BoolArray
    parts: Mapping[str, float] = field(default_factory=dict)
    program_reward: float = 0.0
    credit: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.credit is not None and self.credit.shape != self.rewards.shape:
            raise UsageError(
                f"Expected credit of the shape of rewards, {self.rewards.shape}, got {self.credit.shape}. "
                "Give one number for each token, or None."
            )
        if self.rewards.shape != self.loss_mask.shape or self.rewards.ndim != 1:
            raise UsageError(
                f"Expected rewards and loss_mask of one shape (T,), got {self.rewards.shape}, {self.loss_mask.shape}."
            )
        if type(self.program_reward) is not float or any(type(value) is not float for value in self.parts.values()):
            # NumPy's numbers are not for logs and checkpoints.
            object.__setattr__(self, "program_reward", float(self.program_reward))
            object.__setattr__(self, "parts", {name: float(value) for name, value in self.parts.items()})

    @classmethod
    @renamed_arguments(sequence="program_reward")
    def build(
        cls,
        program: Program,
        name: str,
        *,
        program_reward: float = 0.0,
        tokens: npt.ArrayLike | None = None,
        credit: npt.ArrayLike | None = None,
    ) -> Feedback:
        """Feedback on `program` from one part: a score for the whole, and/or a score for each token (T,).

        `credit` (T,) are the weights of single tokens where they are not `tokens`.
        """
        rewards = np.zeros(len(program), np.float32) if tokens is None else np.array(tokens, np.float32)
        if program_reward and not len(program):
            raise UsageError("Expected a program of at least one token to carry a reward, got none.")
        if program_reward:
            rewards[-1] += program_reward
        weights = None if credit is None else np.array(credit, np.float32)
        return cls(rewards, program.generated_mask, {name: float(rewards.sum())}, float(program_reward), weights)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Feedback):
            return NotImplemented
        return (self.program_reward, dict(self.parts)) == (other.program_reward, dict(other.parts)) and (
            np.array_equal(self.rewards, other.rewards)
            and np.array_equal(self.loss_mask, other.loss_mask)
            and np.array_equal(self.token_rewards, other.token_rewards)
        )

    def __hash__(self) -> int:
        return hash((self.program_reward, tuple(self.parts), len(self.rewards)))

    @property
    def total(self) -> float:
        """The episode's return: the sum of `rewards`."""
        return float(self.rewards.sum())

    @property
    def token_rewards(self) -> FloatArray:
        """float32 (T,): what single tokens weigh in a loss, beside `program_reward`, which weighs all of them."""
        if self.credit is not None:
            return self.credit.copy()
        rest = self.rewards.copy()
        if len(rest):
            rest[-1] -= np.float32(self.program_reward)
        return rest

    @property
    def weights(self) -> FloatArray:
        """float32 (T,): what each token weighs in a sum over tokens: `program_reward` and its own (RLTF eq. 8-10)."""
        return (self.token_rewards + self.program_reward).astype(np.float32)

    def __add__(self, other: Feedback) -> Feedback:
        """Adds rewards and credit, intersects `loss_mask`, merges parts (a part named twice is summed)."""
        if not isinstance(other, Feedback):
            return NotImplemented
        names = [*self.parts, *(name for name in other.parts if name not in self.parts)]
        apart = self.credit is not None or other.credit is not None
        return Feedback(
            self.rewards + other.rewards,
            self.loss_mask & other.loss_mask,
            {name: self.parts.get(name, 0.0) + other.parts.get(name, 0.0) for name in names},
            self.program_reward + other.program_reward,
            self.token_rewards + other.token_rewards if apart else None,
        )


class Judgement(NamedTuple):
    """What `env.judge(problem, program)` returns."""

    verdict: Verdict
    feedback: Feedback
