"""From a policy and an environment to judged episodes, and from episodes to rectangular batches: the only place that pads.

A policy that writes whole programs has no use for `env.step`: it asks `env.judge_many`, which means the same (a test of the
environment proves it) and lets the judge's workers overlap.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.core import Batch, Completion, Episode, Policy
from agents.journal import Journal
from agents.policies.causal import pad_left
from agents.public import AnyDecoder, inform
from rltf_env import prompts as wording
from rltf_env.core import BoolArray, FloatArray, IntArray, Outcome, Problem, Program
from rltf_env.env import UnitTestEnv


def collect(
    policy: Policy[Any],
    env: UnitTestEnv,
    problems: Sequence[Problem],
    decoder: AnyDecoder,
    *,
    repeats: int,
    generator: torch.Generator,
    version: int = 0,
    journal: Journal | None = None,
) -> list[list[Episode]]:
    """`repeats` judged programs for each problem, grouped by problem, in order. `journal` is told how long what took."""
    journal = journal or Journal()
    prompts = [env.encode_prompt(problem) for problem in problems]
    given = [encode_prefix(env, problem) for problem in problems]
    limit = env.max_program_tokens
    decode = inform(
        decoder,
        problems,
        encode=lambda problem: np.asarray(env.tokenizer.encode(wording.render(problem, env.prompt_style)), np.int64),
        spell=lambda problem, completion: _program(env, completion),
        judge=lambda pairs: (judgement.verdict for judgement in env.judge_many(pairs)),
    )
    with journal.timed("generate"):
        groups = decode(policy, prompts, given, repeats=repeats, max_tokens=limit, generator=generator)
    journal.tokens += sum(len(c.tokens) - c.given for group in groups for c in group)
    programs = [[_program(env, completion) for completion in group] for group in groups]
    jobs = ((problem, p) for problem, group in zip(problems, programs, strict=True) for p in group)
    judgements = env.judge_many(jobs)

    def episodes(i: int) -> Iterator[Episode]:
        for completion, program in zip(groups[i], programs[i], strict=True):
            verdict, feedback = next(judgements)
            yield Episode(
                problems[i].id,
                prompts[i],
                program,
                completion.logprobs,
                completion.behaviour,
                verdict,
                feedback,
                version,
            )

    with journal.timed("judge"):
        return [list(episodes(i)) for i in range(len(problems))]


def encode_prefix(env: UnitTestEnv, problem: Problem) -> IntArray:
    """The tokens that `problem` gives for free, int64."""
    return np.array(env.tokenizer.encode(problem.prefix) if problem.prefix else [], np.int64)


def _program(env: UnitTestEnv, completion: Completion) -> Program:
    """What was written; the tokens of a stop string spell nothing of it, as the end token does."""
    program = env.tokenizer.program(completion.tokens, given=completion.given, truncated=completion.truncated)
    if completion.kept is None:
        return program
    starts = np.minimum(program.starts, completion.kept)
    return replace(program, text=program.text[: completion.kept], starts=starts)


@dataclass(frozen=True, eq=False)
class Sample:
    """What an update needs of an episode: plain arrays. `weights` multiply the log-probability of each token."""

    prompt: IntArray  # (P,)
    tokens: IntArray  # (T,)
    learn: BoolArray  # (T,)
    weights: FloatArray  # (T,)
    logprobs: FloatArray  # (T,), when sampled
    version: int = 0
    extra: Mapping[str, FloatArray] = field(default_factory=dict)  # (T,) each; see `Batch.extra`


def batch(samples: Sequence[Sample], pad_id: int) -> Batch:
    """Pads prompts on the left and programs on the right; see `agents.core.Batch`."""
    prompt, prompt_mask = pad_left([s.prompt for s in samples], pad_id)
    return Batch(
        prompt=prompt,
        prompt_mask=prompt_mask,
        tokens=pad_right([s.tokens for s in samples], pad_id),
        token_mask=pad_right([np.ones(len(s.tokens), bool) for s in samples], False),
        learn=pad_right([s.learn for s in samples], False),
        weights=pad_right([s.weights for s in samples], 0.0),
        logprobs=pad_right([s.logprobs for s in samples], 0.0),
        extra={name: pad_right([s.extra[name] for s in samples], 0.0) for name in samples[0].extra},
    )


def pad_right(rows: Sequence[np.ndarray], value: float) -> Tensor:
    """(B, T): rows of different length, filled up with `value`."""
    out = np.full((len(rows), max(map(len, rows))), value, rows[0].dtype)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return torch.from_numpy(out)


def summary(episodes: Sequence[Episode]) -> dict[str, float]:
    """Means over fresh programs: reward and its parts, pass rate, outcomes, length."""
    n = len(episodes)
    outcomes = Counter(e.verdict.outcome for e in episodes)
    parts: Counter[str] = Counter()
    for e in episodes:
        parts.update(e.feedback.parts)
    return {
        "reward": sum(e.feedback.total for e in episodes) / n,
        **{f"reward/{name}": value / n for name, value in sorted(parts.items())},
        **{f"outcome/{o.name.lower()}": outcomes[o] / n for o in Outcome},
        "pass_ratio": sum(e.verdict.pass_ratio for e in episodes) / n,
        "program_tokens": sum(len(e.program) for e in episodes) / n,
        "truncated": sum(e.program.truncated for e in episodes) / n,
    }
