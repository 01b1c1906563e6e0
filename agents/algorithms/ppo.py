"""PPO on programs (Schulman et al., arXiv 1707.06347; with a KL term as in Ziegler et al., arXiv 1909.08593).

    r_t  = what token t earned  - beta log(policy / reference)          (the whole-program reward on the last token)
    A, G = GAE of r and V, whitened                                     (`gamma`, `lam`)
    L    = clipped ratio * A  +  value_weight * clipped (V - G)^2 / 2   (`epochs` times over a round, in minibatches)
    beta follows the KL of each round to `kl_target`

V is a linear head on the policy's own last states; its loss reaches the transformer too, `value_weight` times. With
`value = { trunk = "own" }` it is read with a transformer of its own, which learns in a step beside the policy's. One `update` is
one optimiser step. Per-token rewards are RLTF's fine-grained ones with `credit = "token"`: a guilty line pays once, shared by its
tokens (`rltf_env/rewards/fine.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents import functional
from agents.algorithms.policy_gradient import (
    Credit,
    Overlong,
    bare_sample,
    check_bounds,
    surrogate,
    token_log_ratios,
)
from agents.batching import pad_right
from agents.collector import Collector, RoundAgent, RoundConfig, Written
from agents.core import Batch, Episode, Policy, TrainingSample
from agents.critics import values
from agents.critics.values import OwnValues, ValueConfig
from agents.decoding.sampling import Sampling
from agents.learning.learner import Learner, OptimiserConfig
from agents.learning.likelihood import LossTemperature, reference_of, temperature_of, with_old_logprobs
from agents.learning.logits import Logits, logprobs_and_entropy, states
from agents.learning.minibatches import Arrivals, RolloutBuffer
from agents.learning.mismatch import mismatch
from agents.learning.reference import Place, read_each
from agents.options import build, chosen
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError


@dataclass(frozen=True)
class Config(RoundConfig):
    """Clip, epochs and GAE as in PPO; the KL target is Ziegler's; its first coefficient StepCoder's (arXiv 2402.01391).

    Lambda is 1, not PPO's 0.95: of an outcome at the end, 0.95 leaves 2e-6 to the first of 256 tokens (Open-Reasoner-Zero,
    arXiv 2503.24290).

    Args:
        problems, samples_per_problem: programs of a round.
        batch_size: programs per update; epochs: times that each program of a round is learnt from.
        credit: "token": rewards stand where the reward function puts them; "program": their sum on the last token.
        gamma, lam: discount and lambda of GAE.
        clip, dual_clip, loss_temperature, importance_cap: see `agents.algorithms.policy_gradient.Config`.
        value_clip: bound of a value's change in a round, in units of reward (0: none).
        value: who says what a state is worth, see `agents.critics.values.ValueConfig`.
        value_weight: of the value loss where the policy learns from it; value_warmup: updates in which the values alone
            learn, before the policy does.
        kl: first coefficient of the KL term (0: none, and no reference in memory).
        kl_target: nats per program that the coefficient steers to (0: it stays as it is); kl_rate: how quickly.
        reference, overlong, overlong_cache, overlong_weight, max_staleness: see `agents.algorithms.policy_gradient.Config`.
    """

    problems: int = 32
    samples_per_problem: int = 4
    batch_size: int = 64
    epochs: int = 4
    credit: Credit = "token"
    gamma: float = 1.0
    lam: float = 1.0
    clip: float = 0.2
    dual_clip: float = 3.0
    loss_temperature: LossTemperature = "sampling"
    importance_cap: float = 2.0
    value_clip: float = 0.2
    value: ValueConfig = field(default_factory=ValueConfig)
    value_weight: float = 0.1
    value_warmup: int = 0
    entropy: float = 0.0
    kl: float = 0.05
    kl_target: float = 6.0
    kl_rate: float = 0.1
    reference: Place = "policy"
    overlong: Overlong = "judge"
    overlong_cache: float = 0.2
    overlong_weight: float = 1.0
    max_staleness: int = 0
    sampling: Sampling = field(default_factory=Sampling)
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(lr=1e-6, weight_decay=0.01, warmup=20))

    def __post_init__(self) -> None:
        if min(self.problems, self.samples_per_problem, self.batch_size, self.epochs) < 1:
            raise UsageError(f"Expected sizes and epochs >= 1, got {chosen(self)}.")
        if min(self.value_warmup, self.max_staleness) < 0:
            raise UsageError(f"Expected value_warmup and max_staleness >= 0, got {chosen(self)}.")
        if not (0 <= self.gamma <= 1 and 0 <= self.lam <= 1 and self.clip > 0 and 0 < self.overlong_cache <= 1):
            raise UsageError(f"Expected gamma, lam, overlong_cache within 0 and 1, and clip > 0, got {chosen(self)}.")
        weights = (self.value_clip, self.value_weight, self.entropy, self.kl, self.kl_target, self.kl_rate)
        if min(*weights, self.overlong_weight) < 0:
            raise UsageError(f"Expected weights, value_clip and the KL's constants >= 0, got {chosen(self)}.")
        check_bounds(self.dual_clip, self.importance_cap)
        temperature_of(self)


class PPO(RoundAgent):
    """See the head of this file, and `agents.core.Agent`."""

    NUMBERS = ("kl",)
    WRITING = {"kl": 0.0, "value": {}}  # noqa: RUF012

    def __init__(self, policy: Policy[Any], env: UnitTestEnv, config: Config, seed: int) -> None:
        self.policy, self.env, self.config = policy, env, config
        self.values = values.load(policy, config.value, config.optimiser)
        self.reference = reference_of(policy, config) if config.kl else None  # before a learner shares its weights out
        self.learner = Learner(policy, config.optimiser, {"model": policy.model, **self.values.parts})
        self.kl = config.kl  # the coefficient, as it is now
        self.round, self.buffer = RolloutBuffer(), Arrivals()
        self.collector = Collector(policy, env, config.sampling, seed)
        self.parts = {"learner": self.learner, "reference": self.reference, "round": self.round}
        self.parts |= {"values": self.values.own} if self.values.own else {}

    # ---------------------------------------------------------------------------------------------------------- update

    def update(self) -> dict[str, float]:
        """One step on the present round, which is written first where there is none, and what it was like."""
        self.refill()
        samples = self.round.draw()
        metrics = self._learn_values(samples, self.values) if isinstance(self.values, OwnValues) else {}
        if metrics and not self._warm:
            self.learner.updates += 1
            return {**self.sampled, "rl_loss": 0.0, **metrics}
        metrics |= {"staleness": self._age(samples)} if self.fill_from_actors else {}
        metrics |= mismatch(self.policy, samples, self.config)
        metrics = self.learner.step(samples, "token_mean", self._loss, self.learner.read) | metrics
        return {**self.sampled, "rl_loss": metrics.pop("loss"), **metrics}

    def _age(self, samples: Sequence[TrainingSample]) -> float:
        """Updates since the samples were written, in the mean."""
        return float(self.learner.updates - np.mean([s.version for s in samples]))

    @property
    def _warm(self) -> bool:
        return self.learner.updates >= self.config.value_warmup

    def _loss(self, data: Batch, read: tuple[Logits, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        logits, last = read
        if isinstance(self.values, OwnValues):  # they learn beside: here the value term is a constant
            return loss(data, logits, data.extra["values"], self.config)
        worth = self.values.read(data, last if self._warm else last.detach())
        return loss(data, logits if self._warm else logits.detach(), worth, self.config, head_alone=not self._warm)

    def _learn_values(self, samples: Sequence[TrainingSample], own: OwnValues) -> dict[str, float]:
        def error(data: Batch, read: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
            before, returns = data.extra["values"], data.extra["returns"]
            return functional.value_loss(read, before, returns, data.loss_mask, self.config.value_clip), {}

        return own.step(samples, "token_mean", error)

    # ----------------------------------------------------------------------------------------------------------- round

    def write(self, programs: int) -> Written:
        """See `RoundAgent`. The weights of a sample are what its tokens earned, until its round begins."""
        c, limit = self.config, float(self.env.max_program_tokens)
        count = -(-programs // c.samples_per_problem)
        groups = self.collector.groups(count, c.samples_per_problem, self.learner.updates)
        episodes = [e for _, group in groups for e in group]
        samples = with_old_logprobs(self.policy, [bare_sample(e, c.overlong) for e in episodes], c)
        samples = [replace(s, weights=earned(e, limit, c)) for s, e in zip(samples, episodes, strict=True)]
        return [p for p, _ in groups], [g for _, g in groups], samples

    def begin(self, samples: Sequence[TrainingSample]) -> tuple[Sequence[TrainingSample], dict[str, float]]:
        """See `RoundAgent`: credits each token, less the KL term, by the present values."""
        c = self.config
        log_ratios = self._log_ratios(samples)
        rewards = [less_kl(s.weights, ratio, self.kl) for s, ratio in zip(samples, log_ratios, strict=True)]
        worth = read_each(self.policy, samples, c.optimiser.limit, self._values)
        credited = advantages(samples, rewards, worth, c.gamma, c.lam)
        self.round.start(credited, c.epochs, c.batch_size, self.collector.rng)
        return credited, {**self._adapt_kl(log_ratios), "value": float(np.mean([v.mean() for v in worth]))}

    def _log_ratios(self, samples: Sequence[TrainingSample]) -> list[np.ndarray]:
        """float32 (T,) for each sample: log(policy / reference) of its tokens; zeros without a reference."""
        if self.reference is None:
            return [np.zeros(len(s.tokens), np.float32) for s in samples]
        return [token_log_ratios(s) for s in self.reference.with_reference_logprobs(samples)]

    def _adapt_kl(self, log_ratios: Sequence[np.ndarray]) -> dict[str, float]:
        """Moves the KL coefficient by the mean log-ratio of the round's programs; both as metrics."""
        if self.reference is None:
            return {}
        used, measured = self.kl, float(np.mean([ratio.sum() for ratio in log_ratios]))
        if self.config.kl_target:
            self.kl = functional.adaptive_kl(self.kl, measured, self.config.kl_target, self.config.kl_rate)
        return {"kl_reference": measured, "kl_coefficient": used}

    def _values(self, data: Batch) -> Tensor:
        if isinstance(self.values, OwnValues):
            return self.values.values(data)
        return self.values.read(data, states(self.policy, data))


def loss(
    data: Batch, logits: Logits, values: Tensor, c: Config, *, head_alone: bool = False
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss at the head of this file, as assembled: a scalar to descend, and what to log.

    Args:
        data: `weights` are the advantages A, `extra` the values at the time of writing and the returns G; and what
            `agents.algorithms.policy_gradient.surrogate` reads.
        logits: (B, T, V), of the policy that learns, or `Deferred` ones.
        values: (B, T), V.
        c: the weights of the terms.
        head_alone: the loss is the value term alone (`value_warmup`).
    """
    error = functional.value_loss(values, data.extra["values"], data.extra["returns"], data.loss_mask, c.value_clip)
    learns = bool(c.entropy)
    logprobs, of_tokens = logprobs_and_entropy(logits, data.tokens, temperature_of(c), entropy_learns=learns)
    policy_loss, log = surrogate(logprobs, data, c, "token_mean", 1.0)
    entropy = functional.masked_mean(of_tokens, data.loss_mask)
    log |= {"value_loss": error.detach(), "entropy": entropy.detach()}
    total = policy_loss + c.value_weight * error - c.entropy * entropy
    return (c.value_weight * error if head_alone else total), log


def less_kl(rewards: np.ndarray, log_ratio: np.ndarray, kl: float) -> np.ndarray:
    """Rewards of tokens (T,), less `kl` times their log(policy / reference), in nats."""
    return rewards - kl * log_ratio


def earned(e: Episode, limit: float, c: Config) -> np.ndarray:
    """float32 (T,): what each token earned, where it earned it or at the end. `limit`: tokens that a program may have."""
    rewards = e.feedback.rewards.copy()
    if c.credit == "program":
        rewards = np.zeros_like(rewards)
        rewards[-1] = e.feedback.total
    if c.overlong == "punish":
        length = torch.tensor(float(len(e.program)))
        rewards[-1] += c.overlong_weight * float(functional.soft_overlong(length, limit, c.overlong_cache * limit))
    return rewards


def advantages(
    samples: Sequence[TrainingSample],
    rewards: Sequence[np.ndarray],
    values: Sequence[np.ndarray],
    gamma: float,
    lam: float,
) -> list[TrainingSample]:
    """The samples with their tokens' whitened advantages as weights, and `extra` values and returns, each (T,)."""
    mask = pad_right([np.ones(len(s.tokens), bool) for s in samples], False)
    learn = pad_right([s.loss_mask for s in samples], False)
    estimates, returns = functional.gae(pad_right(rewards, 0.0), pad_right(values, 0.0), mask, gamma, lam)
    weights = functional.whiten(estimates, learn).numpy()
    return [
        replace(s, weights=w[: len(v)].copy(), extra={**s.extra, "values": v, "returns": g[: len(v)].copy()})
        for s, v, w, g in zip(samples, values, weights, returns.numpy(), strict=True)
    ]


def load(policy: Policy[Any], env: UnitTestEnv, *, seed: int, **options: Any) -> PPO:
    """The agent; `options` are the fields of `Config`."""
    return PPO(policy, env, build(Config, options, "agent"), seed)
