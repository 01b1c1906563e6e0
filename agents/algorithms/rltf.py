"""RLTF (arXiv 2307.04349): online reinforcement learning from unit test feedback of several granularities.

The page follows section 3.2 of the paper: programs of the current policy flow through an online buffer; half of the updates
are supervised (eq. 7), half raise or lower each token's log-probability by what the tests said of it (eq. 8-10).

    weight_t = (whole-program reward - that of the baseline)  +  reward of token t          (no baseline on the fine term)
    L_rl     = - sum_t weight_t log p(w_t | D, w_<t)

What the paper leaves open is an option, with the paper's choice as default; deviations are listed in PAPERS.md:
`reduction` ("seq_sum" is the paper's, "token_mean" the released code's), `supervised_reduction` (that of eq. 7; the same two),
`baseline` ("best_so_far" the paper's, "greedy" the released code's, "group_mean" RLOO's), `clip` (0: none, as in the paper;
otherwise PPO's bound on the ratio to the policy that wrote the sample; `ratio` says by which of its probabilities), `dual_clip`
(0: none; 3 is usual where the buffer holds old programs and `clip` is set), `loss_temperature` and `importance_cap` (which change
nothing at temperature 1 with nothing cut off; the released code learns at 1 what it drew at 0.6), `critic`
(CodeRL's, which the paper's text names and its equations lack, and the released code applies: each weight times the probability
that a critic gives to what became of the program). A weight is fixed when its sample enters the buffer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from agents import functional
from agents.algorithms.policy_gradient import check_bounds, surrogate
from agents.algorithms.supervised import draw_pairs, reference_source, supervised_loss
from agents.collector import BufferedAgent, Collector, Written
from agents.core import Batch, Credit, Episode, Policy, TrainingSample
from agents.critics.outcome import CriticConfig, Weighting
from agents.decoding.sampling import Sampling
from agents.learning.distinct import By, Distinct, key_of
from agents.learning.learner import Learner, OptimiserConfig
from agents.learning.likelihood import LossTemperature, temperature_of, with_old_logprobs
from agents.learning.logits import Logits, logprobs_and_entropy
from agents.learning.mismatch import mismatch
from agents.learning.replay import ReplayBuffer
from agents.options import build, chosen
from agents.rollout import EPSILON
from rltf_env.core import Attempt, CaseResult, ComparativeReward, Failure, Feedback, Outcome, Problem, Verdict
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError

Baseline = Literal["best_so_far", "greedy", "group_mean", "none"]
Ratio = Literal["policy", "behaviour"]


@dataclass(frozen=True)
class Config:
    """Defaults are the paper's (section 4.1 and the released scripts; papers and code agree unless said).

    Args:
        buffer: programs that the buffer holds.
        fill: programs written by the initial policy before the first update.
        refresh: new programs at each refresh.
        refresh_every: updates between refreshes.
        samples_per_problem: programs sampled for a problem at a time (20 for CodeT5, 10 for CodeGen).
        batch_size: programs per update.
        supervised: supervised updates for each RL update (the paper: 1; 0 is RL alone).
        supervised_batch: references per supervised update; 0: `batch_size`.
        supervised_reduction: how the tokens of references are summed; "seq_sum" is eq. 7, the mean over tokens the released code's.
        references: which problems have references, as in `agents.algorithms.supervised.Config`.
        ratio: what `clip` and the logged divergence compare with: the probability that the policy itself gave the token when
            it wrote it, at the temperature of the loss ("policy"), or that of the distribution it was really drawn from
            ("behaviour": temperature, cut-offs, the engine's roundings).
        dual_clip: bound of the ratio where a token's weight is negative, if there is a `clip`; 0: none.
        loss_temperature, importance_cap: see `agents.algorithms.policy_gradient.Config`.
        history: problems whose best program so far is remembered; those not seen for longest are forgotten first.
        max_staleness: samples written by a policy more than this many updates ago are passed over; 0: no limit.
        keep: "all" programs enter the buffer, or the "weighted" ones alone, if there are any: those whose weight is not 0 on
            every token. The others have no gradient: all of a group that earned the same (as DAPO leaves them out, arXiv
            2503.14476, section 3.2).
        distinct: which programs enter the buffer once, as long as it holds as many: see `agents.learning.distinct`.
    """

    buffer: int = 6400
    fill: int = 6400
    refresh: int = 6400
    refresh_every: int = 50
    samples_per_problem: int = 20
    batch_size: int = 32
    supervised: int = 1
    supervised_batch: int = 0
    supervised_reduction: functional.Reduction = "token_mean"
    references: dict[str, Any] = field(default_factory=dict)
    baseline: Baseline = "best_so_far"
    history: int = 16384
    reduction: functional.Reduction = "seq_sum"
    constant: float = 512.0  # with reduction="constant": tokens by which a program's sum is divided
    clip: float = 0.0
    ratio: Ratio = "policy"
    dual_clip: float = 0.0
    loss_temperature: LossTemperature = "sampling"
    importance_cap: float = 2.0
    max_staleness: int = 0
    keep: Literal["all", "weighted"] = "all"
    distinct: By = "none"
    critic: CriticConfig = field(default_factory=CriticConfig)
    sampling: Sampling = field(default_factory=Sampling)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)

    def __post_init__(self) -> None:
        sizes = (self.buffer, self.fill, self.refresh, self.refresh_every, self.samples_per_problem, self.batch_size)
        rest = (self.supervised, self.supervised_batch, self.clip, self.max_staleness)
        if min(*sizes, self.history) < 1 or min(rest) < 0:
            raise UsageError(
                f"Expected sizes >= 1 and supervised, supervised_batch, clip, max_staleness >= 0, got {chosen(self)}."
            )
        if self.baseline == "group_mean" and self.samples_per_problem < 2:
            raise UsageError("Expected samples_per_problem >= 2 for a group mean, got 1.")
        check_bounds(self.dual_clip, self.importance_cap)
        temperature_of(self)


class RLTF(BufferedAgent):
    """See the head of this file, and `agents.core.OffPolicyAgent`."""

    def __init__(self, policy: Policy[Any], env: UnitTestEnv, config: Config, seed: int) -> None:
        if config.baseline in ("best_so_far", "greedy") and not isinstance(env.reward, ComparativeReward):
            raise UsageError(
                f"Expected a reward with `relative(attempt, baseline)` for baseline={config.baseline!r}, got "
                f"{type(env.reward).__name__}. Use baseline='group_mean' or 'none' with it."
            )
        self.policy, self.env, self.config = policy, env, config
        self.learner = Learner(policy, config.optimiser)
        self.critic: Credit | None = None if config.critic.mode == "off" else Weighting(policy, config.critic)
        self.buffer = ReplayBuffer(config.buffer)
        self.distinct = Distinct.opened(config.distinct, config.buffer, env)
        self.references = reference_source(env, config.references)
        self.best: dict[tuple[str, str], Verdict] = {}  # of each problem with what it gave, for baseline="best_so_far"
        self.collector = Collector(policy, env, config.sampling, seed)
        self.parts = {"learner": self.learner, "buffer": self.buffer, "critic": self.critic, "distinct": self.distinct}

    # ---------------------------------------------------------------------------------------------------------- update

    def update(self) -> dict[str, float]:
        """One step, on references or on programs of the buffer in turn, and what it was like."""
        step = self.learner.updates
        self.refill(step)
        if step % (self.config.supervised + 1) < self.config.supervised:
            size = self.config.supervised_batch or self.config.batch_size
            pairs = self.pairs(size)
            how, constant = self.config.supervised_reduction, self.config.constant
            metrics = self.learner.step(pairs, how, partial(supervised_loss, how=how, constant=constant))
            return {**self.sampled, "supervised_loss": metrics.pop("loss"), **metrics}
        samples = self.buffer.draw_fresh(self.config.batch_size, self.collector.rng, step, self.config.max_staleness)
        metrics = self.learner.step(samples, self.config.reduction, partial(loss, c=self.config))
        staleness = step - np.mean([s.version for s in samples])
        ages = {"staleness": float(staleness), "batch": float(len(samples))}
        apart = mismatch(self.policy, samples, self.config)
        return {**self.sampled, "rl_loss": metrics.pop("loss"), **metrics, **ages, **apart}

    def pairs(self, count: int) -> list[TrainingSample]:
        """What a supervised update learns from."""
        return draw_pairs(self.env, self.references, self.collector.rng, count)

    # ---------------------------------------------------------------------------------------------------------- buffer

    def write(self, programs: int) -> Written:
        """`programs` programs of the current policy: problems, a group of episodes for each, and a sample for each episode.

        Groups that lost verdicts have left without anything to measure them against are left out.
        """
        c = self.config
        problems, version = self.collector.draw(-(-programs // c.samples_per_problem)), self.learner.updates
        written = self.collector.start(problems, c.samples_per_problem, version)  # judged while the greedy are written
        likeliest = replace(c.sampling, temperature=0.0)
        greedy = self.collector.start(problems, 1, version, likeliest) if self._needs_greedy else None
        groups = written.judged()
        best = greedy.judged() if greedy else [[] for _ in problems]
        kept: list[tuple[Problem, list[Episode]]] = []
        samples: list[TrainingSample] = []
        for problem, group, likely in zip(problems, groups, best, strict=True):
            baseline = self._baseline(problem, likely)
            if self._is_measured(group, baseline):
                samples += map(self._sample, group, self._weights(problem, group, baseline))
                kept.append((problem, group))
            self._remember(problem, [*group, *likely])
        if c.ratio == "policy":
            samples = with_old_logprobs(self.policy, samples, c)
        return [p for p, _ in kept], [g for _, g in kept], samples

    def ingest(
        self, samples: Sequence[TrainingSample], outcomes: Sequence[Outcome], sampled: Mapping[str, float]
    ) -> Sequence[TrainingSample]:
        """As `BufferedAgent.ingest`; if there is a critic, it weighs the samples first."""
        metrics: dict[str, float] = {}
        if self.critic is not None:
            samples, metrics = self.critic(samples, outcomes, self.collector.rng)
        weighted = [s for s in samples if (np.abs(s.weights) * s.loss_mask).max() > EPSILON]
        chosen = weighted if weighted and self.config.keep == "weighted" else samples
        kept, repeated = self.without_repeats(chosen)
        self.buffer.extend(kept)
        shares = {"weighted": len(weighted) / len(samples), "buffer": float(len(self.buffer))}
        self.sampled = {**sampled, **metrics, **repeated, **shares}
        return samples

    @property
    def _needs_greedy(self) -> bool:
        return self.config.baseline in ("best_so_far", "greedy")

    def _baseline(self, problem: Problem, greedy: Sequence[Episode]) -> Verdict | None:
        """The verdict that programs are measured against: on the best program so far, the greedy one, if any, counted in."""
        best = self.best.get((problem.id, problem.prefix)) if self.config.baseline == "best_so_far" else None
        seen = ([best] if best else []) + [e.verdict for e in greedy]
        return max(seen, key=_rank) if seen else None

    def _is_measured(self, group: Sequence[Episode], baseline: Verdict | None) -> bool:
        """Whether there are programs, and what they are measured against: a verdict, or each other."""
        if self._needs_greedy:
            return bool(group) and baseline is not None
        return len(group) >= (2 if self.config.baseline == "group_mean" else 1)

    def _weights(self, problem: Problem, group: Sequence[Episode], baseline: Verdict | None) -> list[np.ndarray]:
        """float32 (T,) for each program of a group."""
        if baseline is not None:
            assert isinstance(self.env.reward, ComparativeReward)
            attempts = (Attempt(problem, e.program, e.verdict) for e in group)
            return [spread(self.env.reward.relative(attempt, baseline)) for attempt in attempts]
        feedback = [e.feedback for e in group]
        return list(map(spread, feedback)) if self.config.baseline == "none" else above_the_others(feedback)

    def _remember(self, problem: Problem, group: Sequence[Episode]) -> None:
        if self.config.baseline == "best_so_far" and group:
            key = problem.id, problem.prefix  # a curriculum's stages are not measured against each other
            before = self.best.pop(key, None)  # and put in again at the end: the newest are last
            seen: list[Verdict] = [e.verdict for e in group] + ([before] if before else [])
            best = max(seen, key=_rank)
            self.best[key] = _verdict([int(r.outcome) for r in best.results])  # without outputs and messages
            while len(self.best) > self.config.history:
                del self.best[next(iter(self.best))]

    def _sample(self, e: Episode, weights: np.ndarray) -> TrainingSample:
        old = e.logprobs if self.config.ratio == "policy" else e.behaviour_logprobs
        return TrainingSample(
            e.prompt,
            e.program.tokens,
            e.feedback.loss_mask,
            weights,
            old,
            e.version,
            {"behaviour": e.behaviour_logprobs},
            key_of(e, self.distinct),
        )

    # ----------------------------------------------------------------------------------------------------------- state

    def state_dict(self) -> dict[str, Any]:
        """All that an exact continuation needs."""
        best = {key: [int(r.outcome) for r in verdict.results] for key, verdict in self.best.items()}
        return {**super().state_dict(), "best": best}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` gave."""
        super().load_state_dict({**state, "buffer": _with_behaviour(state["buffer"])})
        self.best = {key: _verdict(outcomes) for key, outcomes in state["best"].items()}


def _with_behaviour(buffer: Mapping[str, Any]) -> dict[str, Any]:
    """The state of a buffer, also of a checkpoint that did not say what tokens were drawn with: with what was stored, then."""
    samples = [
        {**sample, "extra": {"behaviour": sample["logprobs"], **sample["extra"]}} for sample in buffer["samples"]
    ]
    return {**buffer, "samples": samples}


def loss(data: Batch, logits: Logits, c: Config) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss at the head of this file, as assembled: a scalar to descend, and what to log.

    Args:
        data: `weights` are those of the tokens; see `agents.algorithms.policy_gradient.surrogate` for the others.
        logits: (B, T, V), of the policy that learns, or `Deferred` ones.
        c: how it is reduced and clipped.
    """
    logprobs, entropy = logprobs_and_entropy(logits, data.tokens, temperature_of(c))
    log = {"entropy": functional.masked_mean(entropy, data.loss_mask)}
    total, more = surrogate(logprobs, data, c, c.reduction, c.constant)
    return total, log | more


def spread(feedback: Feedback) -> np.ndarray:
    """Whole-program reward on every token, plus each token's own: float32 (T,)."""
    return feedback.weights


def above_the_others(group: Sequence[Feedback]) -> list[np.ndarray]:
    """`spread` of each program, less the mean whole-program reward of the group's others: float32 (T,) each."""
    whole = torch.tensor([feedback.program_reward for feedback in group], dtype=torch.float64)
    shift = (functional.leave_one_out(whole) - whole).numpy()
    return [(spread(feedback) + s).astype(np.float32) for feedback, s in zip(group, shift, strict=True)]


def _rank(verdict: Verdict) -> tuple[int, float]:
    """Better programs rank higher: by outcome, then by pass ratio."""
    return int(verdict.outcome), verdict.pass_ratio


def _verdict(outcomes: Sequence[int]) -> Verdict:
    """A verdict with these outcomes: all that a baseline is asked for."""
    passed = Outcome.PASSED
    return Verdict(tuple(CaseResult(Outcome(o), None if o == passed else Failure("")) for o in outcomes))


def load(policy: Policy[Any], env: UnitTestEnv, *, seed: int, **options: Any) -> RLTF:
    """The agent; `options` are the fields of `Config`."""
    return RLTF(policy, env, build(Config, options, "agent"), seed)
