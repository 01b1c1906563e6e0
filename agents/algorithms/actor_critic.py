"""Online actor-critic: a value head on the policy's states learns from programs that the online buffer plays again.

    v, A = V-trace of the rewards, the values as they are now, and the ratio to the policy that wrote the program
    L    = - A log p  +  value_weight * (V - v)^2 / 2  -  entropy * H

RLTF's online buffer (arXiv 2307.04349, section 3.2) as the memory, the importance correction of IMPALA (arXiv 1802.01561,
eq. 1) for what in it is old, and a simple critic on the language model's states, updated with every step, as in "Automatic
unit test data generation and actor-critic reinforcement learning for code synthesis" (arXiv 2310.13669). The ratio is to the
distribution that was really sampled from. The value loss does not reach the transformer: the head stands on its states as they
are, or on those of a transformer of its own (`value = { trunk = "own" }`), which learns beside the policy. With
`distinct = "tree"` the buffer holds no two programs of one syntax tree, as in the last paper.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents import functional
from agents.algorithms.policy_gradient import Credit
from agents.collector import BufferedAgent, Collector, Written
from agents.core import Batch, Episode, Policy, TrainingSample
from agents.critics import values
from agents.critics.values import OwnValues, ValueConfig
from agents.decoding.sampling import Sampling
from agents.learning.distinct import By, Distinct, key_of
from agents.learning.learner import Learner, OptimiserConfig
from agents.learning.likelihood import LossTemperature, temperature_of
from agents.learning.logits import Logits, logprobs_and_entropy, token_logprobs
from agents.learning.replay import ReplayBuffer
from agents.options import build, chosen
from rltf_env.core import Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError


@dataclass(frozen=True)
class Config:
    """The buffer's numbers mean what they mean for `agents.algorithms.rltf.Config`; there are no supervised updates.

    Args:
        distinct: which programs enter the buffer once: see `agents.learning.distinct`. "tree" is the paper's.
        credit: "token": rewards stand where the reward function puts them; "program": their sum on the last token.
        gamma, lam: discount, and lambda of the traces; 1, so that an outcome reaches a program's beginning.
        loss_temperature: see `agents.algorithms.policy_gradient.Config`.
        value: who says what a state is worth, see `agents.critics.values.ValueConfig`.
        rho: bound of the ratio in V-trace (IMPALA's rho bar; its c bar is 1).
        reduction, constant: how tokens are summed, see `functional.reduce`.
    """

    buffer: int = 6400
    fill: int = 6400
    refresh: int = 1024
    refresh_every: int = 8
    samples_per_problem: int = 4
    batch_size: int = 64
    max_staleness: int = 0
    distinct: By = "none"
    credit: Credit = "token"
    gamma: float = 1.0
    lam: float = 1.0
    loss_temperature: LossTemperature = "sampling"
    rho: float = 1.0
    value: ValueConfig = field(default_factory=ValueConfig)
    value_weight: float = 0.5
    entropy: float = 0.0
    reduction: functional.Reduction = "token_mean"
    constant: float = 512.0
    sampling: Sampling = field(default_factory=Sampling)
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(lr=1e-6, weight_decay=0.01, warmup=20))

    def __post_init__(self) -> None:
        sizes = (self.buffer, self.fill, self.refresh, self.refresh_every, self.samples_per_problem, self.batch_size)
        if min(sizes) < 1 or self.max_staleness < 0 or self.constant <= 0:
            raise UsageError(f"Expected sizes >= 1, max_staleness >= 0 and constant > 0, got {chosen(self)}.")
        if not (0 <= self.gamma <= 1 and 0 <= self.lam <= 1 and self.rho > 0):
            raise UsageError(f"Expected gamma and lam within 0 and 1, and rho > 0, got {chosen(self)}.")
        if self.value_weight < 0 or self.entropy < 0:
            raise UsageError(f"Expected value_weight and entropy >= 0, got {chosen(self)}.")
        temperature_of(self)


class ActorCritic(BufferedAgent):
    """See the head of this file, and `agents.core.OffPolicyAgent`."""

    def __init__(self, policy: Policy[Any], env: UnitTestEnv, config: Config, seed: int) -> None:
        self.policy, self.env, self.config = policy, env, config
        self.values = values.load(policy, config.value, config.optimiser)
        self.learner = Learner(policy, config.optimiser, {"model": policy.model, **self.values.parts})
        self.buffer = ReplayBuffer(config.buffer)
        self.distinct = Distinct.opened(config.distinct, config.buffer, env)
        self.collector = Collector(policy, env, config.sampling, seed)
        self.parts = {"learner": self.learner, "buffer": self.buffer, "distinct": self.distinct}
        self.parts |= {"values": self.values.own} if self.values.own else {}

    # ---------------------------------------------------------------------------------------------------------- update

    def update(self) -> dict[str, float]:
        """One step on programs of the buffer, with V-trace advantages, and what it was like."""
        c, step = self.config, self.learner.updates
        self.refill(step)
        samples = self.buffer.draw_fresh(c.batch_size, self.collector.rng, step, c.max_staleness)
        beside = self._learn_values(samples, self.values) if isinstance(self.values, OwnValues) else {}
        metrics = self.learner.step(samples, c.reduction, self._loss, self.learner.read) | beside
        staleness = step - np.mean([s.version for s in samples])
        ages = {"staleness": float(staleness), "batch": float(len(samples))}
        return {**self.sampled, "rl_loss": metrics.pop("loss"), **metrics, **ages}

    def _loss(self, data: Batch, read: tuple[Logits, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        logits, states = read
        return loss(data, logits, self.values.read(data, states.detach()), self.config)

    def _learn_values(self, samples: Sequence[TrainingSample], own: OwnValues) -> dict[str, float]:
        c = self.config

        def read(data: Batch) -> tuple[Tensor, Tensor]:
            with torch.no_grad():
                logprobs = token_logprobs(self.learner.predict(data), data.tokens, temperature_of(c))
            return logprobs, own.values(data)

        def error(data: Batch, seen: tuple[Tensor, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
            logprobs, worth = seen
            old, rewards = data.old_logprobs, data.extra["rewards"]
            with torch.no_grad():
                targets, _ = functional.vtrace(logprobs, old, rewards, worth, data.token_mask, c.gamma, c.lam, c.rho)
            return functional.value_loss(worth, worth, targets, data.loss_mask, 0.0, c.reduction, c.constant), {}

        return own.step(samples, c.reduction, error, read)

    # ---------------------------------------------------------------------------------------------------------- buffer

    def write(self, programs: int) -> Written:
        """Writes and has judged so many programs: problems, groups, samples."""
        k = self.config.samples_per_problem
        pairs = self.collector.groups(-(-programs // k), k, self.learner.updates)
        groups = [group for _, group in pairs]
        return [p for p, _ in pairs], groups, [self._sample(e) for group in groups for e in group]

    def log_samples(
        self, problems: Sequence[Problem], groups: Sequence[Sequence[Episode]], samples: Sequence[TrainingSample]
    ) -> None:
        """Programs to look at, for the journal, with the rewards of their tokens."""
        self.collector.log_samples(problems, groups, [e.feedback.rewards for group in groups for e in group])

    def _sample(self, e: Episode) -> TrainingSample:
        """The episode with its rewards, and no weights: what a token is worth changes with the values."""
        rewards = e.feedback.rewards
        if self.config.credit == "program":
            rewards = np.zeros_like(rewards)
            rewards[-1] = e.feedback.total
        zeros = np.zeros(len(e.program), np.float32)
        return TrainingSample(
            e.prompt,
            e.program.tokens,
            e.feedback.loss_mask,
            zeros,
            e.behaviour_logprobs,
            e.version,
            {"rewards": rewards},
            key_of(e, self.distinct),
        )

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` gave."""
        super().load_state_dict({**state, "buffer": _with_rewards(state["buffer"])})


def _with_rewards(buffer: Mapping[str, Any]) -> dict[str, Any]:
    """The state of a buffer, also of a checkpoint that held the rewards of tokens in the place of their weights."""
    samples = [
        sample if "rewards" in sample["extra"] else {**sample, "extra": {"rewards": sample["weights"]}}
        for sample in buffer["samples"]
    ]
    return {**buffer, "samples": samples}


def loss(data: Batch, logits: Logits, values: Tensor, c: Config) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss at the head of this file, as assembled: a scalar to descend, and what to log.

    Args:
        data: `extra` has the rewards of the tokens, `old_logprobs` is what they were really drawn with.
        logits: (B, T, V), of the policy that learns, or `Deferred` ones.
        values: (B, T), V.
        c: the weights of the terms.
    """
    learns = bool(c.entropy)
    logprobs, entropy = logprobs_and_entropy(logits, data.tokens, temperature_of(c), entropy_learns=learns)
    with torch.no_grad():
        targets, advantages = functional.vtrace(
            logprobs, data.old_logprobs, data.extra["rewards"], values, data.token_mask, c.gamma, c.lam, c.rho
        )
    error = functional.value_loss(values, values, targets, data.loss_mask, 0.0, c.reduction, c.constant)
    policy_loss = functional.reinforce(logprobs, advantages, data.loss_mask, c.reduction, c.constant)
    bonus = functional.reduce(entropy, data.loss_mask, c.reduction, c.constant)
    with torch.no_grad():
        cut = (logprobs - data.old_logprobs).exp() > c.rho
        log = {
            "value_loss": error.detach(),
            "value": functional.masked_mean(values, data.loss_mask),
            "entropy": functional.masked_mean(entropy, data.loss_mask),
            "kl_behaviour": functional.masked_mean(functional.kl_estimate(data.old_logprobs, logprobs), data.loss_mask),
            "clip_fraction": functional.masked_mean(cut.float(), data.loss_mask),
        }
    return policy_loss + c.value_weight * error - c.entropy * bonus, log


def load(policy: Policy[Any], env: UnitTestEnv, *, seed: int, **options: Any) -> ActorCritic:
    """The agent; `options` are the fields of `Config`."""
    return ActorCritic(policy, env, build(Config, options, "agent"), seed)
