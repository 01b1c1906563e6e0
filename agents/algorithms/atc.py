"""ATC (arXiv 2009.08319): a policy's trunk learns what comes next in a program, apart from any reward.

    o_m       the prompt, and the program up to the end of line m; each reading has other tokens replaced at random
    anchor    u = a + MLP(a),  a = f(o_m):         f is the trunk's last state, and a linear layer
    key       p = g(o_(m+k)):                      g is a copy of f that follows it slowly, and carries no gradient
    loss      -log softmax(u W p^T)[own]           among the keys of all lines of all programs of the batch

So the state at the end of a line must tell which of many programs this one becomes k lines later. A line that has no such
line after it has no key of its own. Nothing is judged and no reward is read: programs are references, or the policy's own.

What learns is the trunk. The head learns only where it is tied to the embedding, and the parts of the loss are thrown away
when the run is over: the policy that it leaves is a plain folder. Any agent goes on from there, with the trunk frozen
(`[policy] freeze = "trunk"`) or not.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agents import functional, parallel
from agents.algorithms.supervised import PATIENCE, draw_pairs, reference_source
from agents.core import Batch, Policy, TrainingSample, rngs
from agents.critics.line_model import last_tokens, line_ends
from agents.critics.outcome import states_after
from agents.decoding.sampling import Sampling
from agents.learning.learner import Learner, OptimiserConfig
from agents.learning.micro import Limit
from agents.learning.reference import Average, Reference, read_each
from agents.options import build
from agents.policies.pair_heads import plain_sample
from agents.policies.value_head import ValueHead, state_width
from agents.rollout import program_of
from rltf_env.core import IntArray, Program
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError


@dataclass(frozen=True)
class Config:
    """Args:
    batch_size: programs an update, each with more than `k` lines.
    programs: "references" of problems, or what the "policy" writes itself.
    references: dataset options that fix which problems have references; see `supervised.Config`.
    sampling: how the policy's own programs are drawn.
    k: lines from an anchor to its key.
    latent, hidden: the widths of what is compared, and of the MLP.
    augmentation: the share of tokens that are replaced, in the prompt too; the end token and its like stay, and stand in for none.
    polyak: the share of its way to the trunk that the copy moves in an update.
    positives: an anchor's "own" key; "shuffled" gives it another's in the batch: the control.
    optimiser: with as many programs a forward pass as its `micro_batch`; keys are those of the whole batch all the same.
    """

    batch_size: int = 32
    programs: Literal["references", "policy"] = "references"
    references: dict[str, Any] = field(default_factory=dict)
    sampling: Sampling = field(default_factory=Sampling)
    k: int = 1
    latent: int = 128
    hidden: int = 512
    augmentation: float = 0.1
    polyak: float = 0.01
    positives: Literal["own", "shuffled"] = "own"
    optimiser: OptimiserConfig = field(
        default_factory=lambda: OptimiserConfig(lr=1e-3, weight_decay=0.0, warmup=1000, clip_norm=10.0)
    )

    def __post_init__(self) -> None:
        if self.batch_size < 2:
            raise UsageError(f"Expected agent.batch_size >= 2, since a key is told from others, got {self.batch_size}.")
        if self.k < 1 or self.latent < 1 or self.hidden < 1:
            raise UsageError(
                f"Expected agent.k, latent and hidden >= 1, got {self.k}, {self.latent} and {self.hidden}."
            )
        if not 0 <= self.augmentation < 1:
            raise UsageError(f"Expected agent.augmentation in [0, 1), a share of the tokens, got {self.augmentation}.")
        if not 0 < self.polyak <= 1:
            raise UsageError(f"Expected agent.polyak in (0, 1], a share of the way, got {self.polyak}.")
        if self.programs == "policy" and self.references:
            raise UsageError('Expected no agent.references with agent.programs = "policy", got both.')


class Head(nn.Module):
    """What stands on the trunk while it learns, in float32.

    Args:
        width: D of the trunk's states.
        latent, hidden: see `Config`.
        seed: draws the weights.
    """

    def __init__(self, width: int, latent: int, hidden: int, seed: int) -> None:
        super().__init__()
        self.projection = ValueHead(width, latent)
        self.inner, self.outer = ValueHead(latent, hidden), ValueHead(hidden, latent)
        self.weight = nn.Parameter(torch.empty(latent, latent))
        generator = torch.Generator()
        generator.manual_seed(seed)
        with torch.no_grad():
            for matrix in (self.projection.weight, self.inner.weight, self.outer.weight, self.weight):
                matrix.uniform_(-1, 1, generator=generator).mul_(1 / math.sqrt(matrix.shape[1]))

    def anchors(self, states: Tensor) -> Tensor:
        """(n, latent): u, of states (n, D)."""
        a = self.projection(states)
        return a + self.outer(F.relu(self.inner(a)))

    def forward(self, states: Tensor, keys: Tensor) -> Tensor:
        """(n, K): how alike the anchors of states (n, D) and keys (K, latent) are."""
        return functional.bilinear(self.anchors(states), self.weight, keys)


class Target:
    """The copy that makes keys: of the trunk, and of the projection."""

    def __init__(self, policy: Policy[Any], head: Head, limit: Limit) -> None:
        self.reference = Reference(policy, limit, move=True)
        self.projection = ValueHead(head.projection.weight.shape[1], len(head.projection.bias)).to(policy.device)
        self.projection.load_state_dict(head.projection.state_dict())
        self.projection.requires_grad_(False)
        self.average = Average(self.projection)  # of float32

    def keys(self, samples: Sequence[TrainingSample], places: Sequence[IntArray]) -> Tensor:
        """(K, latent): of the states that have read each program up to and with the tokens at its places."""
        policy, size = self.reference.policy, self.reference.size
        rows = read_each(policy, samples, size, lambda data: self.projection(states_after(policy, data)))
        chosen = [row[at] for row, at in zip(rows, places, strict=True)]
        return torch.from_numpy(np.concatenate(chosen)).to(policy.device)

    def follow(self, policy: Policy[Any], head: Head, rate: float) -> None:
        """Moves the copy by the share `rate` of its way to the learner."""
        self.reference.follow(policy, rate)
        self.average.follow(head.projection, rate)

    def state_dict(self) -> dict[str, Any]:
        """The copy's weights."""
        return {"trunk": self.reference.state_dict(), "projection": self.projection.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self.reference.load_state_dict(state["trunk"])
        self.projection.load_state_dict(state["projection"])


# --------------------------------------------------------------------------------------------------------------- lines


def ends_of_lines(program: Program) -> IntArray:
    """int64 (M,), rising: the tokens at which a program's lines end; lines that end in one token are one."""
    ends = last_tokens(program.starts, line_ends(program.text))
    return np.unique(ends[ends >= 0])


def own_keys(lines: Sequence[int], k: int) -> IntArray:
    """int64 (sum of lines,): for each line of each program, which key is its own; -1: it has none.

    Keys are those of the lines from the (k + 1)-th of each program on, in order.
    """
    own: list[int] = []
    for count in lines:
        first = sum(each >= 0 for each in own)
        keys = max(0, count - k)
        own += [*range(first, first + keys), *[-1] * (count - keys)]
    return np.array(own, np.int64)


def augmented(tokens: IntArray, share: float, ordinary: IntArray, rng: np.random.Generator) -> IntArray:
    """The tokens, of which each ordinary one is replaced by a random ordinary one with probability `share`."""
    replaced = (rng.random(len(tokens)) < share) & np.isin(tokens, ordinary)
    return np.where(replaced, rng.choice(ordinary, len(tokens)), tokens).astype(np.int64)


def _ordinary(policy: Policy[Any]) -> IntArray:
    special = {policy.eos_id, policy.pad_id, *policy.tokenizer.all_special_ids}
    return np.setdiff1d(np.arange(len(policy.tokenizer)), list(special)).astype(np.int64)


def _digests(samples: Sequence[TrainingSample], places: Sequence[IntArray]) -> IntArray:
    """int64 (K,): of each prompt and program up to the place of a key."""
    return np.array([_digest(s, int(at)) for s, row in zip(samples, places, strict=True) for at in row], np.int64)


def _digest(sample: TrainingSample, at: int) -> int:
    text = np.concatenate([sample.prompt, [-1], sample.tokens[: at + 1]]).astype(np.int64)
    return int.from_bytes(hashlib.blake2b(text.tobytes(), digest_size=8).digest(), "little", signed=True)


@dataclass(frozen=True, eq=False)
class Plan:
    """An update's N programs before any is read with a gradient. M lines and K keys, of all programs together.

    Args:
        samples: (N,), as the anchors read them.
        ends: (N,), where the lines of each end.
        own: int64 (M,), see `own_keys`.
        keys: (K, latent).
        digests: int64 (K,), of what each key has read: equal ones are no negatives of each other.
    """

    samples: list[TrainingSample]
    ends: list[IntArray]
    own: Tensor
    keys: Tensor
    digests: Tensor

    def lines(self, rows: Sequence[int]) -> Tensor:
        """int64: which of the M lines are those of these programs."""
        first = np.cumsum([0, *map(len, self.ends)])
        return torch.from_numpy(np.concatenate([np.arange(first[i], first[i + 1]) for i in rows])).to(self.own.device)

    def states(self, rows: Sequence[int], states: Tensor) -> Tensor:
        """(m, D): of the states (n, T, D) of these programs those at the ends of their lines."""
        row = np.repeat(np.arange(len(rows)), [len(self.ends[i]) for i in rows])
        column = np.concatenate([self.ends[i] for i in rows])
        return states[torch.from_numpy(row).to(states.device), torch.from_numpy(column).to(states.device)]


# --------------------------------------------------------------------------------------------------------------- agent


class ATC:
    """See the head of this file and `agents.core.Agent`."""

    def __init__(self, policy: Policy[Any], env: UnitTestEnv, config: Config, seed: int) -> None:
        self.policy, self.env, self.config = policy, env, config
        self.head = Head(state_width(policy), config.latent, config.hidden, seed).to(policy.device)
        self.learner = Learner(policy, config.optimiser, {"model": policy.model, "head": self.head})
        self.target = Target(policy, self.head, config.optimiser.limit)
        self.source = reference_source(env, config.references)
        self.ordinary = _ordinary(policy)
        self.rng, self.generator = rngs(seed, policy.device)

    def update(self) -> dict[str, float]:
        """One step on the lines of some programs, and how often the own key was the likeliest."""
        plan = self._plan(self._draw())
        rows = [
            replace(sample, extra={"row": np.full(len(sample.tokens), i, np.float32)})
            for i, sample in enumerate(plan.samples)
        ]
        metrics = self.learner.step(rows, "seq_mean", lambda data, states: self._loss(plan, data, states), self._states)
        self.target.follow(self.policy, self.head, self.config.polyak)
        return {"contrast_loss": metrics.pop("loss"), **metrics, "lines": float(len(plan.keys))}

    def _states(self, data: Batch) -> Tensor:
        return states_after(self.policy, data)

    def _loss(self, plan: Plan, data: Batch, states: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The share of these programs in the mean over the batch's anchors, N / n times: what a `Learner` reduces to a mean."""
        rows = data.extra["row"][:, 0].long().tolist()
        own = plan.own[plan.lines(rows)]
        logits = self.head(plan.states(rows, states), plan.keys)
        same = plan.digests[own.clamp(min=0)][:, None] == plan.digests[None]
        scale = len(plan.samples) / len(rows) / int((plan.own >= 0).sum())
        right = same.gather(1, logits.detach().argmax(1, keepdim=True))[:, 0] & (own >= 0)
        return functional.info_nce(logits, own, same).sum() * scale, {"contrast_accuracy": right.sum() * scale}

    # ---------------------------------------------------------------------------------------------------------- a plan

    def _plan(self, programs: Sequence[tuple[TrainingSample, IntArray]]) -> Plan:
        samples, ends = [sample for sample, _ in programs], [at for _, at in programs]
        own = own_keys([len(at) for at in ends], self.config.k)
        if self.config.positives == "shuffled":
            own[own >= 0] = self.rng.permutation(own[own >= 0])
        places = [at[self.config.k :] for at in ends]
        anchors, positives = ([self._augmented(sample) for sample in samples] for _ in range(2))
        device = self.policy.device
        return Plan(
            anchors,
            ends,
            torch.from_numpy(own).to(device),
            self.target.keys(positives, places),
            torch.from_numpy(_digests(samples, places)).to(device),
        )

    def _augmented(self, sample: TrainingSample) -> TrainingSample:
        share, rng = self.config.augmentation, self.rng
        prompt, tokens = (augmented(each, share, self.ordinary, rng) for each in (sample.prompt, sample.tokens))
        return plain_sample(prompt, tokens)

    def _draw(self) -> list[tuple[TrainingSample, IntArray]]:
        """Programs of more than k lines, each with where its lines end."""
        kept: list[tuple[TrainingSample, IntArray]] = []
        missed = 0
        while len(kept) < self.config.batch_size:
            drawn = self._written() if self.config.programs == "policy" else self._references()
            long = [(sample, ends) for sample, ends in drawn if len(ends) > self.config.k]
            missed = 0 if long else missed + len(drawn)
            if missed >= PATIENCE:
                raise UsageError(
                    f"Expected programs of more than agent.k = {self.config.k} lines, got none in {missed} draws. Lower agent.k, "
                    "choose problems with longer references, or let the policy learn to write first."
                )
            kept += long
        return kept[: self.config.batch_size]

    def _references(self) -> list[tuple[TrainingSample, IntArray]]:
        drawn = draw_pairs(self.env, self.source, self.rng, self.config.batch_size)
        return [(sample, ends_of_lines(self.env.tokenizer.program(sample.tokens))) for sample in drawn]

    def _written(self) -> list[tuple[TrainingSample, IntArray]]:
        problems = [self.env.source.draw(self.rng) for _ in range(self.config.batch_size)]
        prompts = [self.env.encode_prompt(problem) for problem in problems]
        given = [self.env.encode_prefix(problem) for problem in problems]
        how = {"max_tokens": self.env.max_program_tokens, "generator": self.generator}
        written = parallel.current().from_first(lambda: self.config.sampling(self.policy, prompts, given, **how))
        return [
            (plain_sample(prompt, completion.tokens), ends_of_lines(program_of(self.env, completion)))
            for prompt, (completion,) in zip(prompts, written, strict=True)
        ]

    # ----------------------------------------------------------------------------------------------------------- state

    def state_dict(self) -> dict[str, Any]:
        """All that an exact continuation needs."""
        return {
            "learner": self.learner.state_dict(),
            "target": self.target.state_dict(),
            "rng": self.rng.bit_generator.state,
            "generator": self.generator.get_state(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` gave."""
        self.learner.load_state_dict(state["learner"])
        self.target.load_state_dict(state["target"])
        self.rng.bit_generator.state = state["rng"]
        self.generator.set_state(state["generator"])


def load(policy: Policy[Any], env: UnitTestEnv, *, seed: int, **options: Any) -> ATC:
    """The agent; `options` are the fields of `Config`."""
    return ATC(policy, env, build(Config, options, "agent"), seed)
