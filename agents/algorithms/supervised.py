"""Supervised learning on reference programs (RLTF eq. 7): the warm start, the control of every experiment, and the half of
RLTF's updates that keeps it from forgetting.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from functools import partial
from math import inf
from typing import Any

import numpy as np
from torch import Tensor

from agents import functional, repairs
from agents.core import Batch, Policy, TrainingSample, rngs
from agents.learning.learner import Learner, OptimiserConfig
from agents.learning.logits import Logits, token_logprobs
from agents.options import build, chosen
from rltf_env import datasets, tokenizers
from rltf_env.core import Problem, Source
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError
from rltf_env.sources import Uniform

PATIENCE = 1000  # draws in a row without a usable reference before we say that there are none


@dataclass(frozen=True)
class Config:
    """`batch_size` pairs (problem, reference) an update; mean over tokens, as in CodeRL's and RLTF's code.

    `reduction = "seq_sum"` is RLTF's eq. 7, the sum over a reference's tokens, mean over references.
    `references` are dataset options that fix which problems of the environment's dataset and split have references, such as
    `{size = 500}`; without them, all that the environment draws. `repairs`, a folder of `python -m agents.repair_pairs`, puts
    pairs of a wrong and a right program in the place of half of them, or of `repair_share`.
    """

    batch_size: int = 32
    references: dict[str, Any] = field(default_factory=dict)
    reduction: functional.Reduction = "token_mean"
    constant: float = 512.0  # with reduction="constant": tokens by which a reference's sum is divided
    optimiser: OptimiserConfig = field(default_factory=lambda: OptimiserConfig(lr=2e-5))

    def __post_init__(self) -> None:
        if self.batch_size < 1 or not 0 < self.constant < inf:
            raise UsageError(f"Expected agent.batch_size >= 1 and a finite constant > 0, got {chosen(self)}.")


class Supervised:
    """Cross-entropy on random references of random problems. See `agents.core.Agent`."""

    def __init__(self, policy: Policy[Any], env: UnitTestEnv, config: Config, seed: int) -> None:
        self.policy, self.env, self.config = policy, env, config
        self.learner = Learner(policy, config.optimiser)
        self.references = reference_source(env, config.references)
        self.rng, _ = rngs(seed, policy.device)

    def update(self) -> dict[str, float]:
        """One step on references, and what it was like."""
        pairs = draw_pairs(self.env, self.references, self.rng, self.config.batch_size)
        how, constant = self.config.reduction, self.config.constant
        metrics = self.learner.step(pairs, how, partial(supervised_loss, how=how, constant=constant))
        return {"supervised_loss": metrics.pop("loss"), **metrics}

    def state_dict(self) -> dict[str, Any]:
        """All that an exact continuation needs."""
        return {"learner": self.learner.state_dict(), "rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Takes over what `state_dict` gave."""
        self.learner.load_state_dict(state["learner"])
        self.rng.bit_generator.state = state["rng"]


def supervised_loss(
    data: Batch, logits: Logits, how: functional.Reduction = "token_mean", constant: float = 1.0
) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross-entropy of the tokens to learn (RLTF eq. 7), by default their mean; see `functional.reduce`."""
    logprobs = token_logprobs(logits, data.tokens)
    return functional.cross_entropy(logprobs, data.loss_mask, how, constant), {}


def reference_source(env: UnitTestEnv, options: Mapping[str, Any]) -> Source:
    """Where pairs come from: the environment's own source, or the problems that `options` pick of its dataset and split, on top
    of what the environment's own `dataset_options` pick; with `repairs`, repair pairs besides (`agents.repairs`)."""
    rest = dict(options)
    folder, share = rest.pop("repairs", None), rest.pop("repair_share", None)
    picked = {**env.dataset_options, **rest}
    source = Uniform(datasets.load(env.dataset_name, split=env.split, root=env.root, **picked)) if rest else env.source
    if folder is not None:
        return repairs.source(
            source,
            folder,
            env,
            lambda p, i: reference(env, p, i) is not None,
            repairs.SHARE if share is None else share,
        )
    if share is not None:
        raise UsageError("Expected references.repairs, a folder of repair pairs, with repair_share, got none.")
    return source


def draw_pairs(
    env: UnitTestEnv, source: Source, rng: np.random.Generator, count: int, without: Container[str] = ()
) -> list[TrainingSample]:
    """`count` random (problem, reference) pairs from `source`, as samples: see `draw_references`."""
    return [sample for _, sample in draw_references(env, source, rng, count, without)]


def draw_references(
    env: UnitTestEnv, source: Source, rng: np.random.Generator, count: int, without: Container[str] = ()
) -> list[tuple[Problem, TrainingSample]]:
    """`count` random problems from `source`, each with one of its references as a sample.

    Problems without a reference, and references that do not fit the program's token limit, are passed over: a cut-off
    target would teach never to end. So are the problems whose ids are in `without`.
    """
    pairs: list[tuple[Problem, TrainingSample]] = []
    missed = 0
    while len(pairs) < count:
        problem = source.draw(rng)
        usable = problem.solutions and problem.id not in without
        sample = reference(env, problem, int(rng.integers(len(problem.solutions)))) if usable else None
        missed = 0 if sample else missed + 1
        if sample:
            pairs.append((problem, sample))
        elif missed == PATIENCE:
            raise UsageError(
                f"Expected problems with a reference of at most {env.max_program_tokens} tokens"
                f"{', besides those held out' if without else ''}, got none in {PATIENCE} draws. Raise "
                "env.max_program_tokens, or train without supervised updates."
            )
    return pairs


def reference(env: UnitTestEnv, problem: Problem, index: int) -> TrainingSample | None:
    """One reference of `problem` as a target, ended by the end token; None if it does not fit.

    Line ends become `\\n` and trailing blank lines one line end: MBPP's references carry `\\r\\n`, which a policy should
    not learn to write. This changes no meaning except inside string literals that hold a raw carriage return.
    """
    text = re.sub(r"\r\n?", "\n", problem.solutions[index]).rstrip() + "\n"
    given = env.encode_prefix(problem)
    if not text.startswith(problem.prefix):
        raise UsageError(
            f"Expected solution {index} of {problem.id!r} to begin with the problem's prefix; it does not."
        )
    rest = env.tokenizer.encode(text[len(tokenizers.fitting_prefix(env.tokenizer, problem.prefix)) :])
    tokens = np.array([*given, *rest, env.tokenizer.eos_id], np.int64)
    if len(tokens) > env.max_program_tokens:
        return None
    if (spelled := env.tokenizer.program(tokens, prefix_length=len(given)).text) != text:
        raise UsageError(
            f"Expected a tokenizer that spells references as they are, but solution {index} of {problem.id!r}, {text[:60]!r}, "
            f"comes back as {spelled[:60]!r}. Choose a model whose tokenizer keeps line ends and indentation."
        )
    learn = np.arange(len(tokens)) >= len(given)
    nothing = np.zeros(len(tokens), np.float32)
    return TrainingSample(env.encode_prompt(problem), tokens, learn, nothing, nothing)


def load(policy: Policy[Any], env: UnitTestEnv, *, seed: int, **options: Any) -> Supervised:
    """The agent; `options` are the fields of `Config`."""
    return Supervised(policy, env, build(Config, options, "agent"), seed)
