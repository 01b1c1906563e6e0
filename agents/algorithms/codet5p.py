"""CodeT5+ (arXiv 2305.07922): a policy learns what text and code have to do with each other before it learns from tests.

    t2c, c2t    a program after its text, a text after its program: cross-entropy
    contrast    which of many programs is this text's, and which text this program's, by features of unit length
    match       whether a text and a program belong together, asked of a decoder that reads the one and looks at the other
    denoise     the missing spans of a program;  causal: a program's rest after its beginning, or all of it after nothing

The first four are the paper's second stage, on pairs, and weigh the same; the last two its first, on code alone, and are off
unless their weights say otherwise. Keys come from a slow copy of what reads (`momentum`), and a queue keeps the newest of them.
Pairs are problems with their references: no program is written or judged. Negatives of the match are drawn from the batch, the
likelier the more they look like the pair.

A run's policy is a plain folder, with `heads.pt` beside it for retrieval (`agents.embed`) and reranking (`decoding/matched.py`).
The match needs a decoder that looks at an encoder; a decoder alone learns the rest of it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from agents import functional
from agents.algorithms.supervised import draw_references, reference_source
from agents.batching import batch
from agents.core import Batch, Policy, TrainingSample, rngs
from agents.learning import contrast, corruption
from agents.learning.learner import Learner, OptimiserConfig
from agents.options import build, chosen
from agents.policies import _codet5p, pair_heads
from agents.policies.pair_heads import match_logits, plain_sample, sentence_states
from rltf_env.core import IntArray, Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError

LANGUAGE = ("t2c", "c2t", "denoise", "causal")  # losses that are cross-entropies of samples


@dataclass(frozen=True)
class Weights:
    """What each loss counts. `match` None: 1 where the policy has an encoder to look at, else 0."""

    t2c: float = 1.0
    c2t: float = 1.0
    contrast: float = 1.0
    match: float | None = None
    denoise: float = 0.0
    causal: float = 0.0

    def __post_init__(self) -> None:
        values = [value for value in asdict(self).values() if value is not None]
        if not all(0 <= value < float("inf") for value in values) or not any((*values, self.match is None)):
            raise UsageError(
                f"Expected finite agent.weights >= 0, of which one at least is above 0, got {chosen(self)}."
            )


@dataclass(frozen=True)
class Config:
    """Args:
    batch_size: pairs an update.
    references: dataset options that fix which problems are paired with their references; see `supervised.Config`.
    weights: of the losses.
    width: of a feature.
    queue: keys of earlier pairs that are remembered.
    momentum: the share of itself that the copy keeps in an update.
    temperature: of the similarities at first; it is learnt.
    pairs: "own" programs make a text's pair in contrast and match; those of "others", the next one's, are wrong: the control.
    heads: a folder that such a run has saved, whose heads are the first; empty: new ones.
    optimiser: with as many pairs a forward pass as its `micro_batch`; the losses are those of the whole batch all the same.
    """

    batch_size: int = 256
    references: dict[str, Any] = field(default_factory=dict)
    weights: Weights = field(default_factory=Weights)
    width: int = 256
    queue: int = 57600
    momentum: float = 0.995
    temperature: float = 0.07
    pairs: Literal["own", "others"] = "own"
    heads: str = ""
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(lr=1e-4, weight_decay=0.1))

    def __post_init__(self) -> None:
        if self.batch_size < 2:
            raise UsageError(f"Expected agent.batch_size >= 2, since a pair needs another, got {self.batch_size}.")
        if self.width < 1 or self.queue < 0:
            raise UsageError(f"Expected agent.width >= 1 and agent.queue >= 0, got {self.width} and {self.queue}.")
        if not 0 <= self.momentum < 1:
            raise UsageError(f"Expected agent.momentum in [0, 1), the share that a copy keeps, got {self.momentum}.")
        if not pair_heads.COLDEST <= self.temperature <= pair_heads.WARMEST:
            bounds = f"[{pair_heads.COLDEST}, {pair_heads.WARMEST}]"
            raise UsageError(f"Expected agent.temperature in {bounds}, got {self.temperature}.")


@dataclass(frozen=True, eq=False)
class Plan:
    """All that an update's losses are of, for each of N pairs, before any of them is read with a gradient.

    Args:
        text, code: tokens; a program with its end.
        language: a sample for each pair, by loss.
        keys: (N + Q, D) each, of texts and of programs, the batch's own first; None: nothing is contrasted.
        known: bool (N, N + Q) each, which program is a text's and which text a program's, so that it is no negative.
        judged: (text, program, label) of each pair, 1 if they belong together; empty: nothing is matched.
    """

    text: list[IntArray]
    code: list[IntArray]
    language: dict[str, list[TrainingSample]]
    keys: tuple[Tensor, Tensor] | None
    known: tuple[Tensor, Tensor]
    judged: list[list[tuple[IntArray, IntArray, int]]]

    @property
    def size(self) -> int:
        """N."""
        return len(self.text)


class CodeT5p:
    """See the head of this file and `agents.core.Agent`."""

    def __init__(self, policy: Policy[Any], env: UnitTestEnv, config: Config, seed: int) -> None:
        self.policy, self.env, self.config = policy, env, config
        self.weights = _weights(policy, config.weights)
        self.sentinels = _codet5p.sentinels(policy.tokenizer) if self.weights["denoise"] else []
        self.heads = (
            pair_heads.read(config.heads, policy)
            if config.heads
            else pair_heads.on(policy, config.width, config.temperature, seed)
        )
        pair_heads.attach(policy, self.heads)
        self.learner = Learner(policy, config.optimiser, {"model": policy.model, "heads": self.heads})
        self.compares = bool(self.weights["contrast"])
        self.momentum = contrast.Momentum(policy, self.heads, config.momentum) if self.compares else None
        self.queue = contrast.Queue(config.queue, self.heads.width, policy.device)
        self.references = reference_source(env, config.references)
        self.rng, _ = rngs(seed, policy.device)
        self.parts: dict[str, Callable[[Plan, list[int]], Tensor]] = {
            **{name: self._language(name) for name in LANGUAGE},
            "contrast": self._contrast,
            "match": self._match,
        }

    # ------------------------------------------------------------------------------------------------------- an update

    def update(self) -> dict[str, float]:
        drawn = draw_references(self.env, self.references, self.rng, self.config.batch_size)
        plan = self._plan(drawn)
        rows = [
            replace(sample, extra={"row": np.full(len(sample.tokens), i, np.float32)})
            for i, (_, sample) in enumerate(drawn)
        ]

        def loss(data: Batch, _: Any) -> tuple[Tensor, dict[str, Tensor]]:
            return self._loss(plan, data.extra["row"][:, 0].long().tolist())

        metrics = self.learner.step(rows, "seq_mean", loss, lambda data: None)
        if self.momentum and plan.keys:
            own = slice(0, plan.size)
            self.queue.push(plan.keys[0][own], plan.keys[1][own], _digests(plan.text, plan.code).to(self.policy.device))
            self.momentum.follow(self.policy, self.heads)
        return {"pretraining_loss": metrics.pop("loss"), **metrics, **self._state_of(plan)}

    def _state_of(self, plan: Plan) -> dict[str, float]:
        shown: dict[str, float] = {}
        if self.compares:
            shown = {"temperature": float(self.heads.temperature.detach()), "queue": float(len(self.queue))}
        if plan.judged:
            shown["negatives"] = (sum(map(len, plan.judged)) / plan.size - 1) / 2  # of two for each pair
        return shown

    def _loss(self, plan: Plan, rows: list[int]) -> tuple[Tensor, dict[str, Tensor]]:
        """The share of these pairs in each loss of the whole batch, N / n times: what a `Learner` reduces to a mean."""
        scale = plan.size / len(rows)
        losses = {name: self.parts[name](plan, rows) * scale for name, weight in self.weights.items() if weight}
        total = torch.stack([self.weights[name] * value for name, value in losses.items()]).sum()
        return total, {f"loss/{name}": value for name, value in losses.items()}

    # ----------------------------------------------------------------------------------------------------- three losses

    def _language(self, name: str) -> Callable[[Plan, list[int]], Tensor]:
        policy = pair_heads.starting(self.policy, name)

        def loss(plan: Plan, rows: list[int]) -> Tensor:
            samples = plan.language[name]
            data = batch([samples[i] for i in rows], policy.pad_id).to(policy.device)
            logprobs = functional.token_logprobs(policy.logits(data), data.tokens)
            return -(logprobs * data.loss_mask).sum() / sum(int(s.loss_mask.sum()) for s in samples)

        return loss

    def _contrast(self, plan: Plan, rows: list[int]) -> Tensor:
        assert plan.keys
        own = torch.tensor(rows, device=self.policy.device)
        sides = [plan.text[i] for i in rows], [plan.code[i][:-1] for i in rows]
        losses = [
            contrast.contrastive(
                self.heads.embed(sentence_states(self.policy, side)), keys, own, known[own], self.heads.temperature
            ).sum()
            for side, keys, known in zip(sides, reversed(plan.keys), plan.known, strict=True)
        ]
        return (losses[0] + losses[1]) / (2 * plan.size)

    def _match(self, plan: Plan, rows: list[int]) -> Tensor:
        policy = pair_heads.starting(self.policy, "match")
        asked = [each for i in rows for each in plan.judged[i]]
        data = batch([plain_sample(text, code) for text, code, _ in asked], policy.pad_id).to(policy.device)
        labels = torch.tensor([label for *_, label in asked], device=policy.device)
        losses = contrast.matching(match_logits(policy, self.heads, data), labels)
        return losses.sum() / sum(map(len, plan.judged))

    # ---------------------------------------------------------------------------------------------------------- a plan

    def _plan(self, drawn: Sequence[tuple[Problem, TrainingSample]]) -> Plan:
        text = [sample.prompt for _, sample in drawn]
        code = [sample.tokens for _, sample in drawn]
        for problem, sample in drawn:
            if not len(sample.prompt):
                raise UsageError(
                    f"Expected texts of at least one token, got none for {problem.id!r}. Choose another prompt style."
                )
        language = {name: self._samples(name, drawn) for name in LANGUAGE if self.weights[name]}
        if self.config.pairs == "others":
            code = [*code[1:], code[0]]
        digests = _digests(text, code).to(self.policy.device)
        among = torch.cat([digests, self.queue.digests])
        known = contrast.known(digests, among), contrast.known(digests.flip(1), among.flip(1))
        plan = Plan(text, code, language, None, known, [])
        plan = replace(plan, keys=self._keys(plan))
        return replace(plan, judged=self._judged(plan)) if self.weights["match"] else plan

    def _keys(self, plan: Plan) -> tuple[Tensor, Tensor] | None:
        if not self.momentum:
            return None
        size = self.config.optimiser.micro_batch
        text = self.momentum.features(plan.text, size)
        code = self.momentum.features([each[:-1] for each in plan.code], size)
        return torch.cat([text, self.queue.text]), torch.cat([code, self.queue.code])

    def _judged(self, plan: Plan) -> list[list[tuple[IntArray, IntArray, int]]]:
        """Each pair, its text with another's program that is like its own, and its program with such a text of another."""
        n = plan.size
        likeness = np.zeros((n, n))
        if plan.keys:
            texts, codes = (keys[:n].double() for keys in plan.keys)
            likeness = (texts @ codes.T / self.heads.temperature.detach()).cpu().numpy()
        of_text, of_code = (known[:, :n].cpu().numpy() for known in plan.known)
        other_code = contrast.hard_negatives(likeness, of_text, self.rng).tolist()
        other_text = contrast.hard_negatives(likeness.T, of_code, self.rng).tolist()
        return [
            [
                (plan.text[i], plan.code[i], 1),
                *([(plan.text[i], plan.code[j], 0)] if j >= 0 else []),
                *([(plan.text[k], plan.code[i], 0)] if k >= 0 else []),
            ]
            for i, (j, k) in enumerate(zip(other_code, other_text, strict=True))
        ]

    def _samples(self, name: str, drawn: Sequence[tuple[Problem, TrainingSample]]) -> list[TrainingSample]:
        return [self._sample(name, sample) for _, sample in drawn]

    def _sample(self, name: str, sample: TrainingSample) -> TrainingSample:
        """What a loss learns of a reference; a program in the place of a prompt has no end of its own."""
        code, end = sample.tokens[:-1], self.policy.eos_id
        if name == "t2c":
            return sample
        if name == "c2t":
            return plain_sample(code, np.append(sample.prompt, end).astype(np.int64))
        if name == "denoise":
            words = corruption.word_starts(self.env.tokenizer.program(code, truncated=True))
            missing = corruption.spans(words, len(code), self.rng)
            return corruption.denoising(code, missing, self.sentinels, end)
        mark = _codet5p.task_token(self.policy.tokenizer, "causal")
        asked = [end if mark is None else mark]
        return corruption.completion(code, corruption.pivot(len(code), self.rng), end, asked)

    # ----------------------------------------------------------------------------------------------------------- state

    def state_dict(self) -> dict[str, Any]:
        return {
            "learner": self.learner.state_dict(),
            "momentum": self.momentum.state_dict() if self.momentum else {},
            "queue": self.queue.state_dict(),
            "rng": self.rng.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.learner.load_state_dict(state["learner"])
        if self.momentum:
            self.momentum.load_state_dict(state["momentum"])
        self.queue.load_state_dict(state["queue"])
        self.rng.bit_generator.state = state["rng"]


def _weights(policy: Policy[Any], weights: Weights) -> dict[str, float]:
    """The weights, which the policy can bear."""
    can_look = bool(getattr(policy.model.config, "is_encoder_decoder", False))  # pyright: ignore[reportAttributeAccessIssue]
    match = float(can_look) if weights.match is None else weights.match
    if match and not can_look:
        raise UsageError(
            f"Expected a policy with an encoder for agent.weights.match = {match}, got a decoder, which cannot look at a text. Set "
            'it to 0, or choose policy.kind = "seq2seq".'
        )
    return {**asdict(weights), "match": match}


def _digests(text: Sequence[IntArray], code: Sequence[IntArray]) -> Tensor:
    """int64 (N, 2): of texts and of programs."""
    return torch.tensor([(_digest(t), _digest(c)) for t, c in zip(text, code, strict=True)], dtype=torch.int64)


def _digest(tokens: IntArray) -> int:
    found = hashlib.blake2b(np.ascontiguousarray(tokens, np.int64).tobytes(), digest_size=8)
    return int.from_bytes(found.digest(), "little", signed=True)


def load(policy: Policy[Any], env: UnitTestEnv, *, seed: int, **options: Any) -> CodeT5p:
    """The agent; `options` are the fields of `Config`."""
    return CodeT5p(policy, env, build(Config, options, "agent"), seed)
