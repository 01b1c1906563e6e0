"""Policy gradients with groups of programs: one page, of which REINFORCE, RLOO, GRPO, Dr.GRPO and DAPO are settings.

    write K programs for each of some problems        (again for other problems, where a group earned the same: DAPO)
    A  = what a program earned, against its group      (`advantage`)  [+ what each token earned: `credit = "token"`]
    L  = - ratio * A, clipped, reduced over tokens     (`clip`, `clip_high`, `dual_clip`, `reduction`)
         + kl * KL(policy || reference) - entropy * H  (`kl`, `entropy`)

The algorithms are files beside this one, each a `Config` whose defaults are its paper's: `reinforce`, `rloo`, `grpo`,
`dr_grpo`, `dapo`. One `update` is one optimiser step; a round of programs is walked through in minibatches, and when it is used
up the current policy writes the next.

Token-level credit is the one thing that none of those papers has: RLTF's fine-grained rewards (arXiv 2307.04349, eq. 9), which
have no baseline, stand on their tokens beside the group's advantage, in units of reward.

Two things are no paper's: `dual_clip`, and `importance_cap`, without effect where programs are drawn as the loss reads them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from agents import functional
from agents.collector import Collector, RoundAgent, RoundConfig, Written
from agents.core import Batch, Episode, Policy, TrainingSample
from agents.decoding.sampling import Sampling
from agents.learning.learner import Learner, OptimiserConfig
from agents.learning.likelihood import LossTemperature, reference_of, temperature_of, with_old_logprobs
from agents.learning.logits import Logits, logprobs_and_entropy
from agents.learning.minibatches import Arrivals, RolloutBuffer
from agents.learning.mismatch import mismatch
from agents.learning.reference import Place
from agents.options import chosen
from agents.rollout import EPSILON, summary
from rltf_env.core import Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError

Advantage = Literal["running", "leave_one_out", "centred", "standardised"]
Credit = Literal["program", "token"]
Overlong = Literal["judge", "filter", "punish"]
Groups = list[tuple[Problem, list[Episode]]]

ADVANTAGES: Mapping[str, Callable[[Tensor], Tensor]] = {
    "leave_one_out": functional.leave_one_out,
    "centred": functional.centred,
    "standardised": functional.standardised,
}


@dataclass(frozen=True)
class Config(RoundConfig):
    """What the algorithms have in common.

    Args:
        problems: problems of a round.
        samples_per_problem: K, programs for each.
        batch_size: programs per update; a round has problems * K.
        epochs: times that each program of a round is learnt from.
        advantage: of a program's return: less a running mean of all returns before (Williams 1992), less the mean of the
            group's others, less the group's mean, or that over the group's standard deviation.
        credit: "program": every token has the advantage of the program's return, `Feedback.total`. "token": of its whole-program
            share, `Feedback.program_reward`, plus what the token weighs itself, `Feedback.token_rewards`.
        reduction, constant: how tokens are summed, see `functional.reduce`.
        clip, clip_high: bounds of the ratio, 1 - clip and 1 + clip_high; clip_high 0 is clip, and clip 0 takes no ratio at all.
        dual_clip: bound of the ratio where the advantage is negative (`functional.clipped_surrogate`); 0: none.
        loss_temperature: "sampling": log-probabilities, ratio, KL and entropy are those at the temperature that programs were
            drawn at; 1: those of the policy as it is, whatever that was.
        importance_cap: a token weighs by what the policy gave it over what it was drawn with, at most by this; 0: not so. The
            two differ where top-p, top-k or min-p cut something off, and by the roundings of an engine (TRL's correction).
        kl: weight of the KL term to the policy before the first update, in the loss (k3 estimate).
        kl_reward: weight of log(policy / reference) of a whole program, taken off its return.
        reference: where the first policy lies between rounds: beside the policy, or on the host ("cpu"). A policy with LoRA has it
            for nothing, with its adapters off.
        entropy: weight of the entropy of the next-token distribution, to be kept high.
        resample: how often groups that all earned the same are replaced by groups of other problems, at the most; 0 leaves
            them in. Those still missing then are missing from the round; if all are, the last ones are taken.
        overlong: what becomes of a program that was cut off. "judge": it is judged like any other; "filter": it counts in its
            group, but nothing is learnt from its own tokens; "punish": its return, and that of programs nearly as long,
            loses up to `overlong_weight` (DAPO eq. 13).
        overlong_cache: share of the token limit in which the punishment grows from 0 to 1.
        max_staleness: updates that a program of `[scale]`'s generators may be old when its round begins; without them none is.
    """

    problems: int = 32
    samples_per_problem: int = 8
    batch_size: int = 256
    epochs: int = 1
    advantage: Advantage = "leave_one_out"
    credit: Credit = "program"
    reduction: functional.Reduction = "seq_sum"
    constant: float = 512.0
    clip: float = 0.0
    clip_high: float = 0.0
    dual_clip: float = 3.0
    loss_temperature: LossTemperature = "sampling"
    importance_cap: float = 2.0
    kl: float = 0.0
    kl_reward: float = 0.0
    reference: Place = "policy"
    entropy: float = 0.0
    resample: int = 0
    overlong: Overlong = "judge"
    overlong_cache: float = 0.2
    overlong_weight: float = 1.0
    max_staleness: int = 0
    sampling: Sampling = field(default_factory=Sampling)
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(lr=1e-6, weight_decay=0.01, warmup=20))

    def __post_init__(self) -> None:
        if min(self.problems, self.samples_per_problem, self.batch_size, self.epochs) < 1 or self.resample < 0:
            raise UsageError(f"Expected sizes and epochs >= 1 and resample >= 0, got {chosen(self)}.")
        if self.max_staleness < 0:
            raise UsageError(f"Expected max_staleness >= 0, got {self.max_staleness}.")
        if min(self.clip, self.clip_high, self.kl, self.kl_reward, self.entropy, self.overlong_weight) < 0:
            raise UsageError(f"Expected clips and weights >= 0, got {chosen(self)}.")
        check_bounds(self.dual_clip, self.importance_cap)
        temperature_of(self)
        if not 0 < self.overlong_cache <= 1 or self.constant <= 0:
            raise UsageError(f"Expected 0 < overlong_cache <= 1 and constant > 0, got {chosen(self)}.")
        if self.advantage != "running" and self.samples_per_problem < 2:
            raise UsageError(f"Expected samples_per_problem >= 2 for advantage={self.advantage!r}, got 1.")
        if self.epochs > 1 and not self.clip:
            raise UsageError(
                "Expected clip > 0 with epochs > 1: from the second on, the programs are another policy's."
            )


class PolicyGradient(RoundAgent):
    """See the head of this file, and `agents.core.Agent`."""

    NUMBERS = ("baseline",)
    WRITING = {"kl": 0.0}  # noqa: RUF012

    def __init__(self, policy: Policy[Any], env: UnitTestEnv, config: Config, seed: int) -> None:
        self.policy, self.env, self.config = policy, env, config
        held = config.kl or config.kl_reward
        self.reference = reference_of(policy, config) if held else None  # before a learner shares its weights out
        self.learner = Learner(policy, config.optimiser)
        self.round, self.buffer = RolloutBuffer(), Arrivals()
        self.baseline = 0.0  # the running mean of returns, for advantage="running"
        self.collector = Collector(policy, env, config.sampling, seed)
        self.parts = {"learner": self.learner, "reference": self.reference, "round": self.round}

    # ---------------------------------------------------------------------------------------------------------- update

    def update(self) -> dict[str, float]:
        """One step on programs of the round, which is collected first where there is none, and what it was like."""
        self.refill()
        samples = self.round.draw()
        staleness = self.learner.updates - np.mean([s.version for s in samples])
        metrics = self.learner.step(samples, self.config.reduction, partial(loss, c=self.config))
        metrics |= {"staleness": float(staleness), **mismatch(self.policy, samples, self.config)}
        return {**self.sampled, "rl_loss": metrics.pop("loss"), **metrics}

    # ----------------------------------------------------------------------------------------------------------- round

    def check_actors(self) -> None:
        """See `RoundAgent`. Besides, a ratio must correct for an older policy, and no return may ask a reference."""
        super().check_actors()
        if not self.config.clip:
            raise UsageError(
                "Expected agent.clip > 0 with scale.generators > 0, got 0: programs are of an older policy, which only a ratio "
                "corrects for. Set clip, or remove [scale]."
            )
        if self.config.kl_reward:
            raise UsageError(
                f"Expected agent.kl_reward = 0 with scale.generators > 0, got {self.config.kl_reward}: generators have no "
                "reference. Use agent.kl, a term of the loss."
            )

    def collect(self) -> None:
        """Lets the current policy write a round of programs."""
        groups, drawn = self._groups(self.config.problems)
        samples = self._credited(groups)
        self.begin(samples)
        self.sampled = summary([e for _, group in drawn for e in group], self.journal.take_lost())
        self.sampled |= {"groups": float(len(groups)), "groups_drawn": float(len(drawn))}
        self.log_samples([p for p, _ in groups], [g for _, g in groups], samples)

    def write(self, programs: int) -> Written:
        """See `RoundAgent`: whole groups, whose programs are measured against one another."""
        groups, _ = self._groups(-(-programs // self.config.samples_per_problem))
        return [p for p, _ in groups], [g for _, g in groups], self._credited(groups)

    def begin(self, samples: Sequence[TrainingSample]) -> tuple[Sequence[TrainingSample], dict[str, float]]:
        """See `RoundAgent`."""
        c = self.config
        if self.reference and not c.kl_reward:
            samples = self.reference.with_reference_logprobs(samples)
        self.round.start(samples, c.epochs, c.batch_size, self.collector.rng)
        return samples, {}

    def _credited(self, groups: Groups) -> list[TrainingSample]:
        """A sample for each program, with the log-probabilities of the policy that wrote it, and its advantages."""
        c = self.config
        samples = [bare_sample(e, c.overlong) for _, group in groups for e in group]
        samples = with_old_logprobs(self.policy, samples, c)
        if self.reference and c.kl_reward:
            samples = self.reference.with_reference_logprobs(samples)
        weights = self._weights([g for _, g in groups], self._returns([g for _, g in groups], samples))
        return [replace(s, weights=w) for s, w in zip(samples, weights, strict=True)]

    def _groups(self, count: int) -> tuple[Groups, Groups]:
        """`count` groups to learn from, and all that were drawn for them. One program alone has no group to be measured against."""
        c, kept, drawn = self.config, [], []
        least = 1 if c.advantage == "running" else 2
        for _ in range(c.resample + 1):
            new = self.collector.groups(count - len(kept), c.samples_per_problem, self.learner.updates, least)
            drawn += new
            kept += [(p, group) for p, group in new if not c.resample or self._has_signal(group)]
            if len(kept) == count:
                break
        return kept or drawn[-count:], drawn

    def _has_signal(self, group: Sequence[Episode]) -> bool:
        """True if the group has something to teach: its programs did not all earn the same, or single tokens earned something."""
        if self.config.credit == "program":
            return len({round(e.feedback.total, 6) for e in group}) > 1
        return len({round(e.feedback.program_reward, 6) for e in group}) > 1 or any(
            (np.abs(e.feedback.token_rewards[e.feedback.loss_mask]) > EPSILON).any() for e in group
        )

    def _returns(self, groups: Sequence[Sequence[Episode]], samples: Sequence[TrainingSample]) -> list[Tensor]:
        """float64 (K,) for each group: what programs earned, less what they lose by length and distance to the reference."""
        c, episodes = self.config, [e for group in groups for e in group]
        earned = [e.feedback.total if c.credit == "program" else e.feedback.program_reward for e in episodes]
        lengths = torch.tensor([len(e.program) for e in episodes], dtype=torch.float64)
        ratios = [float(token_log_ratios(s).sum()) for s in samples] if c.kl_reward else [0.0 for _ in samples]
        limit = float(self.env.max_program_tokens)
        returns = program_returns(
            torch.tensor(earned, dtype=torch.float64), lengths, torch.tensor(ratios, dtype=torch.float64), limit, c
        )
        return list(returns.split([len(group) for group in groups]))

    def _weights(self, groups: Sequence[Sequence[Episode]], returns: Sequence[Tensor]) -> list[np.ndarray]:
        """float32 (T,) for each program. Groups may differ in size; a running mean has no use for them."""
        c, episodes = self.config, [e for group in groups for e in group]
        rows = [torch.cat(list(returns))] if c.advantage == "running" else returns
        advantages: list[float] = []
        for row in rows:
            of_row, self.baseline = program_advantages(row[None], self.baseline, c)
            advantages += of_row[0].tolist()
        return [token_weights(e, a, c) for e, a in zip(episodes, advantages, strict=True)]


RUNNING = 0.1  # the share of a round's mean return in the running mean


def loss(data: Batch, logits: Logits, c: Config) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss at the head of this file, as assembled: a scalar to descend, and what to log.

    Args:
        data: `weights` are the advantages A; with `c.kl`, `extra["reference"]` are the reference's log-probabilities; see
            `surrogate` besides.
        logits: (B, T, V), of the policy that learns, or `Deferred` ones.
        c: the weights of the terms; a term whose weight is 0 is left out.
    """
    learns = bool(c.entropy)
    logprobs, entropy = logprobs_and_entropy(logits, data.tokens, temperature_of(c), entropy_learns=learns)
    log = {"entropy": functional.masked_mean(entropy.detach(), data.loss_mask)}
    total, more = surrogate(logprobs, data, c, c.reduction, c.constant, c.clip_high)
    if c.kl:
        kl = functional.kl_estimate(logprobs, data.extra["reference"])
        total = total + c.kl * functional.reduce(kl, data.loss_mask, c.reduction, c.constant)
        log["kl_reference"] = functional.masked_mean(kl.detach(), data.loss_mask)
    if c.entropy:
        total = total - c.entropy * functional.reduce(entropy, data.loss_mask, c.reduction, c.constant)
    return total, log | more


def program_returns(earned: Tensor, lengths: Tensor, log_ratios: Tensor, limit: float, c: Config) -> Tensor:
    """What programs earned, less what long ones and those far from the reference lose: float64 (N,).

    Args:
        earned: (N,), of the reward.
        lengths: (N,), in tokens, of at most `limit`.
        log_ratios: (N,), log(policy / reference) of each whole program, in nats.
    """
    returns = earned.clone()
    if c.overlong == "punish":
        returns += c.overlong_weight * functional.soft_overlong(lengths, limit, c.overlong_cache * limit)
    if c.kl_reward:
        returns -= c.kl_reward * log_ratios
    return returns


def token_log_ratios(sample: TrainingSample) -> np.ndarray:
    """log(policy / reference) of each token, in nats, 0 where nothing is to be learnt: float32 (T,)."""
    return (sample.old_logprobs - sample.extra["reference"]) * sample.loss_mask


def token_weights(e: Episode, advantage: float, c: Config) -> np.ndarray:
    """float32 (T,): the advantage of the program, on each token; with token credit, plus what the token itself earned."""
    own = e.feedback.token_rewards if c.credit == "token" else np.zeros(len(e.program), np.float32)
    return (own + advantage).astype(np.float32)


def program_advantages(returns: Tensor, baseline: float, c: Config) -> tuple[Tensor, float]:
    """Advantages (problems, K) of returns (problems, K), and the running mean after them.

    `baseline` is the running mean before; it is moved with `advantage="running"` alone.
    """
    if c.advantage != "running":
        return ADVANTAGES[c.advantage](returns), baseline
    return returns - baseline, baseline + RUNNING * (float(returns.mean()) - baseline)


class Bounds(Protocol):
    """What bounds the ratio and the importance weights of a loss."""

    @property
    def clip(self) -> float:
        """The ratio stays above 1 - this, and below 1 + it."""
        ...

    @property
    def dual_clip(self) -> float:
        """The ratio's bound where the advantage is negative; 0: none."""
        ...

    @property
    def importance_cap(self) -> float:
        """The most that a token weighs for how it was drawn; 0: no weighing."""
        ...


def check_bounds(dual_clip: float, importance_cap: float) -> None:
    """Raises UsageError for a dual clip that would hold ratios of 1 and below, or a negative cap."""
    if dual_clip != 0 and dual_clip <= 1:
        raise UsageError(f"Expected dual_clip > 1, or 0 for no bound, got {dual_clip}.")
    if importance_cap < 0:
        raise UsageError(f"Expected importance_cap >= 0, got {importance_cap}.")


def surrogate(
    logprobs: Tensor, data: Batch, c: Bounds, reduction: functional.Reduction, constant: float, clip_high: float = 0.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """REINFORCE's loss, or with `c.clip` PPO's, of `data.weights`; and what to log of the ratio.

    Args:
        logprobs: (B, T), at the temperature of the loss.
        data: `old_logprobs` are what a ratio compares with, at that temperature too; `extra["behaviour"]`, if there is one, is
            what tokens were really drawn with.
        c: bounds.
        reduction, constant: see `functional.reduce`.
        clip_high: the upper bound, if it is another than `c.clip`.
    """
    weights, log = importance_weighted(data, c.importance_cap)
    with torch.no_grad():
        divergence = functional.kl_estimate(data.old_logprobs, logprobs)
        log["kl_behaviour"] = functional.masked_mean(divergence, data.loss_mask)
    if not c.clip:
        return functional.reinforce(logprobs, weights, data.loss_mask, reduction, constant), log
    high = clip_high or c.clip
    ratio = (logprobs, data.old_logprobs, weights, data.loss_mask, c.clip)
    with torch.no_grad():
        log["clip_fraction"] = functional.clip_fraction(*ratio, clip_high=high, dual_clip=c.dual_clip)
    total = functional.clipped_surrogate(*ratio, reduction, constant, clip_high=high, dual_clip=c.dual_clip)
    return total, log


def importance_weighted(data: Batch, cap: float) -> tuple[Tensor, dict[str, Tensor]]:
    """The weights of tokens (B, T), each times its truncated importance weight; and what to log of those.

    Samples that do not say what they were drawn with were drawn from the policy itself.
    """
    if not cap or "behaviour" not in data.extra:
        return data.weights, {}
    importance = functional.importance_weights(data.old_logprobs, data.extra["behaviour"], cap)
    held = (importance == cap).float()
    log = {
        "importance": functional.masked_mean(importance, data.loss_mask),
        "importance_held": functional.masked_mean(held, data.loss_mask),
    }
    return data.weights * importance, log


def bare_sample(e: Episode, overlong: Overlong = "judge") -> TrainingSample:
    """The episode without weights, and `extra["behaviour"]`, the log-probabilities that its tokens were drawn with.

    Of a program that was cut off nothing is learnt if such are to be filtered out.
    """
    learn = e.feedback.loss_mask & (overlong != "filter" or not e.program.truncated)
    nothing, extra = np.zeros(len(e.program), np.float32), {"behaviour": e.behaviour_logprobs}
    return TrainingSample(e.prompt, e.program.tokens, learn, nothing, e.logprobs, e.version, extra)
