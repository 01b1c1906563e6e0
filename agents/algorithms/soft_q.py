"""Soft Q-learning for text (arXiv 2106.07704): logits read as Q-values, made consistent along programs that anybody wrote.

    V = log sum exp Q,  log p = Q - V,  and the best policy has p(program) ~ exp(scale * reward + shift)
    L = (1 - coefficient) * L(Q, Q')  +  coefficient * L(Q', Q)        Q' is a target that follows Q slowly

`functional.path_consistency` is L: what is left of the equations between the values of neighbouring tokens. They hold for the
best policy on *every* program, so nothing asks who wrote one: no ratio, no baseline, no policy version. The buffer is RLTF's;
besides its programs a batch holds references with the reward that the judge gives them, or records of an earlier evaluation.

The scale of the reward is the inverse of a temperature, and all that moves a probability is what the reward says *against V*:
some log |vocabulary|, and whatever offset the logits of a trained model have. Hence `shift = "calibrated"`.

With `coefficient = 0` the loss is that of the released code. Its gradient goes through log p alone, which no
offset of the logits changes, so V is never learnt, and where two paths meet the policy that it ends at is not the best one:
`tests/agents/algorithms/test_soft_q.py` has four programs on which it is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from agents import functional, parallel
from agents.algorithms.policy_gradient import Credit
from agents.algorithms.supervised import draw_references, reference_source
from agents.collector import BufferedAgent, Collector, Written
from agents.core import Batch, Episode, Policy, TrainingSample
from agents.decoding.sampling import Sampling
from agents.learning import recorded
from agents.learning.learner import Learner, OptimiserConfig
from agents.learning.logits import Logits, of_positions, predict
from agents.learning.reference import Reference, read_each
from agents.learning.replay import ReplayBuffer
from agents.options import build, chosen
from rltf_env.core import Feedback, FloatArray, Program
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError

Shift = Literal["calibrated", "none"]
JUDGED = 4096  # references whose reward is remembered

# The released code's loss, target and rewards, for `agents.make("soft_q", ..., **RELEASED_CODE)`. It is one-sided: see above.
RELEASED_CODE: dict[str, Any] = {"coefficient": 0.0, "polyak": 1e-3, "scale": 10.0, "shift": "none"}


@dataclass(frozen=True)
class Config:
    """The buffer's numbers are RLTF's and mean what they mean for `agents.algorithms.rltf.Config`.

    Args:
        fill: programs written by the initial policy before the first update that needs one; with `offline_data` none are.
        refresh: new programs at each refresh; 0: never any, so that what the buffer has at first is all there is.
        loss: "single" and "multi" are the paper's single-step and multi-step path consistency, "both" their mean,
            which it uses, "vanilla" its baseline; see `functional.path_consistency`.
        coefficient: share of the loss with the two networks exchanged, which trains V. 0: the released code's, one-sided.
        scale: what a reward of 1 is worth, in nats. The paper maps rewards to [-10, 10], or [-50, 50].
        shift: "calibrated" adds the mean V at the last tokens of the first batch to each program's return, so that a reward of
            0 asks for no change there; "none", the paper's.
        polyak: share of its way to the policy by which the target moves at each update (the paper: 0.001).
        offline: share of a batch that are references, with the reward that the judge gives them (1: nothing is written).
        offline_only: first updates that learn from references alone.
        offline_data: judged programs to begin with, a record's folder or a file: see `agents.learning.recorded`.
        credit: "program": what a program earned stands on its last token, as in the paper; "token": where the reward
            function puts it.
        references: which problems have references, as in `agents.algorithms.supervised.Config`.
    """

    buffer: int = 6400
    fill: int = 6400
    refresh: int = 6400
    refresh_every: int = 50
    samples_per_problem: int = 20
    batch_size: int = 32
    max_staleness: int = 0
    loss: functional.PathLoss = "both"
    coefficient: float = 0.5
    scale: float = 30.0
    shift: Shift = "calibrated"
    polyak: float = 0.05
    offline: float = 0.5
    offline_only: int = 0
    offline_data: str = ""
    credit: Credit = "program"
    references: dict[str, Any] = field(default_factory=dict)
    sampling: Sampling = field(default_factory=Sampling)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)

    def __post_init__(self) -> None:
        sizes = (self.buffer, self.fill, self.refresh_every, self.samples_per_problem, self.batch_size)
        if min(sizes) < 1 or min(self.refresh, self.max_staleness, self.offline_only) < 0:
            raise UsageError(f"Expected sizes >= 1 and refresh, max_staleness, offline_only >= 0, got {chosen(self)}.")
        if not (self.scale > 0 and 0 < self.polyak <= 1 and 0 <= self.coefficient <= 1 and 0 <= self.offline <= 1):
            raise UsageError(
                f"Expected scale > 0, polyak in (0, 1], coefficient and offline in [0, 1], got {self.scale}, {self.polyak}, "
                f"{self.coefficient}, {self.offline}."
            )
        if self.offline_only and not self.offline:
            raise UsageError(
                f"Expected offline > 0 with offline_only={self.offline_only}: those updates learn from references alone."
            )
        if self.offline_data:
            recorded.check(self.offline_data)


class SoftQ(BufferedAgent):
    """See the head of this file, and `agents.core.OffPolicyAgent`."""

    NUMBERS = ("shift",)

    def __init__(self, policy: Policy[Any], env: UnitTestEnv, config: Config, seed: int) -> None:
        self.policy, self.env, self.config = policy, env, config
        self.target = Reference(policy, config.optimiser.limit, move=True)  # before a learner shares its weights out
        self.learner = Learner(policy, config.optimiser)
        self.buffer = ReplayBuffer(config.buffer)
        self.references = reference_source(env, config.references)
        self.collector = Collector(policy, env, config.sampling, seed)
        self.shift: float | None = None if config.shift == "calibrated" else 0.0
        self.judged: dict[tuple[str, bytes], FloatArray] = {}  # what references earned; no part of the state
        self.parts = {"learner": self.learner, "target": self.target, "buffer": self.buffer}

    # ---------------------------------------------------------------------------------------------------------- update

    def update(self) -> dict[str, float]:
        """One step on programs of the buffer, and what it was like."""
        c, step = self.config, self.learner.updates
        offline = c.batch_size if step < c.offline_only else round(c.offline * c.batch_size)
        drawn = self._from_buffer(c.batch_size - offline, step)
        samples = [*self._references(offline), *drawn]
        if self.shift is None:
            self.shift = self._values_at_the_end(samples)
        metrics = self.learner.step(samples, "seq_sum", partial(loss, c=c, shift=self.shift), self._read)
        self.target.follow(self.policy, c.polyak)
        age = {"staleness": float(step - np.mean([s.version for s in drawn]))} if drawn else {}
        return {**self.sampled, "soft_q_loss": metrics.pop("loss"), **metrics, **age}

    def _read(self, data: Batch) -> tuple[Logits, Logits]:
        with torch.no_grad():
            target = predict(self.target.policy, data, self.config.optimiser.logit_rows)
        return self.learner.predict(data), target.detach()

    def _values_at_the_end(self, samples: Sequence[TrainingSample]) -> float:
        """The mean of V before the last token of each program, by the target."""
        target, c = self.target.policy, self.config.optimiser

        def values(data: Batch) -> Tensor:
            return of_positions(predict(target, data, c.logit_rows), data.tokens, _values)[0]

        rows = read_each(target, samples, c.limit, values)
        return float(np.mean([row[-1] for row in rows]))

    # --------------------------------------------------------------------------------------------------------- samples

    def _from_buffer(self, count: int, step: int) -> list[TrainingSample]:
        if not count:
            return []
        self.refill(step)
        return self.buffer.draw_fresh(count, self.collector.rng, step, self.config.max_staleness)

    def refill(self, step: int) -> None:
        """Programs to begin with, from a record or the policy; afterwards new ones at their rhythm, unless `refresh` is 0."""
        c = self.config
        if not len(self.buffer) and c.offline_data:
            self.buffer.extend(recorded.recorded(c.offline_data, self.env, self._earned))
            self.sampled = {"buffer": float(len(self.buffer))}
        elif not len(self.buffer) and self.fill_from_actors is None:
            self.collect(c.fill)
        elif c.refresh or self.fill_from_actors:
            super().refill(step)

    def write(self, programs: int) -> Written:
        """Writes and has judged so many programs: problems, groups, samples."""
        k = self.config.samples_per_problem
        pairs = self.collector.groups(-(-programs // k), k, self.learner.updates)
        groups = [group for _, group in pairs]
        return [problem for problem, _ in pairs], groups, [self._sample(e) for group in groups for e in group]

    def _sample(self, e: Episode) -> TrainingSample:
        """The episode, what it earned as its weights."""
        weights = self._earned(e.feedback)
        return TrainingSample(
            e.prompt, e.program.tokens, e.feedback.loss_mask, weights, e.behaviour_logprobs, e.version
        )

    def _earned(self, feedback: Feedback) -> FloatArray:
        """float32 (T,), in units of reward."""
        if self.config.credit == "token":
            return feedback.rewards
        earned = np.zeros_like(feedback.rewards)
        earned[-1] = feedback.total
        return earned

    def _references(self, count: int) -> list[TrainingSample]:
        """References as if the policy had written them, with what the judge has them earn."""
        pairs = draw_references(self.env, self.references, self.collector.rng, count)
        keys = [(problem.id, sample.tokens.tobytes()) for problem, sample in pairs]
        new = {key: pair for key, pair in zip(keys, pairs, strict=True) if key not in self.judged}
        asked = [(problem, self._program(sample)) for problem, sample in new.values()]
        with self.journal.timed("judge"):
            earned = parallel.current().from_first(
                lambda: [self._earned(judgement.feedback) for judgement in self.env.judge_many(asked)]
            )
        weights = {**self.judged, **dict(zip(new, earned, strict=True))}
        self.judged = dict(list(weights.items())[-JUDGED:])
        return [_weighed(sample, weights[key]) for key, (_, sample) in zip(keys, pairs, strict=True)]

    def _program(self, sample: TrainingSample) -> Program:
        return self.env.tokenizer.program(sample.tokens, prefix_length=int((~sample.loss_mask).sum()))


def _weighed(sample: TrainingSample, weights: FloatArray) -> TrainingSample:
    return TrainingSample(sample.prompt, sample.tokens, sample.loss_mask, weights, sample.old_logprobs)


def loss(data: Batch, read: tuple[Logits, Logits], c: Config, shift: float = 0.0) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss at the head of this file, as assembled: summed over a program's tokens, mean over programs; and what to log.

    Args:
        data: `weights` are what the tokens earned.
        read: logits (B, T, V) of the policy that learns, and of its target; or `Deferred` ones.
        c: kind, share of the exchanged term, scale.
        shift: what each program's return is raised by, after scaling.
    """
    logits, target = read
    mask = data.token_mask
    rewards = scaled(data.weights, mask, c.scale, shift)
    values, chosen, entropy = of_positions(logits, data.tokens, partial(_of_tokens, kind=c.loss))
    target_values, target_chosen = of_positions(target, data.tokens, partial(_chosen, kind=c.loss))
    error = functional.path_error(chosen, target_values, rewards, mask, c.loss)
    exchanged = functional.path_error(target_chosen, values, rewards, mask, c.loss)
    whole = functional.reduce((1 - c.coefficient) * error + c.coefficient * exchanged, data.loss_mask, "seq_sum")
    with torch.no_grad():
        first = data.loss_mask & (data.loss_mask.cumsum(1) == 1)
        log = {
            "value": functional.masked_mean(values, first),
            "entropy": functional.masked_mean(entropy, data.loss_mask),
        }
    return whole, log


def _values(logits: Tensor, tokens: Tensor) -> tuple[Tensor]:
    """V of each position."""
    return (logits.float().logsumexp(-1),)


def _chosen(logits: Tensor, tokens: Tensor, kind: functional.PathLoss) -> tuple[Tensor, Tensor]:
    """V of each position, and what `functional.path_error` asks of its token."""
    of = functional.token_values if kind == "vanilla" else functional.token_logprobs
    return logits.float().logsumexp(-1), of(logits, tokens)


def _of_tokens(logits: Tensor, tokens: Tensor, kind: functional.PathLoss) -> tuple[Tensor, Tensor, Tensor]:
    """`_chosen`, and the entropy of each position, which is logged."""
    return *_chosen(logits, tokens, kind), functional.token_entropy(logits.detach())


def scaled(rewards: Tensor, mask: Tensor, scale: float, shift: float) -> Tensor:
    """The rewards of tokens in nats, the last of each program raised by `shift`: (B, T), mask (B, T) -> (B, T)."""
    ends = mask & ~torch.cat([mask[:, 1:], torch.zeros_like(mask[:, :1])], 1)
    return scale * rewards + shift * ends


def load(policy: Policy[Any], env: UnitTestEnv, *, seed: int, **options: Any) -> SoftQ:
    """The agent; `options` are the fields of `Config`."""
    return SoftQ(policy, env, build(Config, options, "agent"), seed)
