"""RLTF that learns from its failures in hindsight, where a prompt is nothing but examples (after HER, arXiv 1707.01495).

A program that fails `f(3) == 7` because it gives 6 is a right answer to the question `f(3) == 6`. So a failed program is run on the
inputs of the public examples once more, in the judge (`rltf_env/synthesis/results.py`), and what it gives makes a prompt to which
it is the reference. Such pairs are a share of the supervised updates' batch; all else is RLTF (`rltf.py`).

Only with `prompt_style = "examples"`: a statement in the prompt would become a lie. A program whose outputs are all the same,
or no plain data, or of which an example raises, asks no question worth learning. While programs rarely pass there is much to
gain; once they do, nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from agents import parallel
from agents.algorithms import rltf
from agents.core import Episode, Policy, TrainingSample
from agents.learning.replay import ReplayBuffer
from agents.options import build
from rltf_env import prompts, tokenizers
from rltf_env.core import CallCase, Outcome, Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError
from rltf_env.synthesis.results import Call, ask

Outputs = Literal["own", "others"]
LARGEST = 200  # characters of an output, as JSON
STYLE = "examples"


@dataclass(frozen=True)
class Config(rltf.Config):
    """RLTF's, and

    Args:
        share: of a supervised batch, pairs made in hindsight, as far as there are some.
        pairs: that are remembered, first in, first out.
        outputs: "own" ones make a program's prompt; those of "others", the next one's, are wrong: the control.
    """

    share: float = 0.25
    pairs: int = 2048
    outputs: Outputs = "own"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.share <= 1 or self.pairs < 1:
            raise UsageError(f"Expected share in (0, 1] and pairs >= 1, got {self.share} and {self.pairs}.")


class Hindsight(rltf.RLTF):
    """See the head of this file."""

    config: Config

    def __init__(self, policy: Policy[Any], env: UnitTestEnv, config: Config, seed: int) -> None:
        super().__init__(policy, env, config, seed)
        self.relabelled = ReplayBuffer(config.pairs)
        self.parts = {**self.parts, "relabelled": self.relabelled}

    def refill(self, step: int) -> None:
        """Fills the buffer, as RLTF does. Refuses to be fed by generators, which send no programs to look back at."""
        if self.fill_from_actors:
            raise UsageError(
                "Expected a run that writes its own programs with kind = 'hindsight', got generators, which send no programs "
                "to look back at. Remove [scale]."
            )
        super().refill(step)

    def pairs(self, count: int) -> list[TrainingSample]:
        """References, and in their place a share of pairs made in hindsight."""
        wanted = min(round(self.config.share * count), len(self.relabelled))
        made = self.relabelled.draw(wanted, self.collector.rng) if wanted else []
        return [*made, *super().pairs(count - wanted)]

    def log_samples(
        self, problems: Sequence[Problem], groups: Sequence[Sequence[Episode]], samples: Sequence[TrainingSample]
    ) -> None:
        """Besides, looks back at the newest programs: what `BufferedAgent.collect` does last."""
        super().log_samples(problems, groups, samples)
        with self.journal.timed("judge"):
            outputs = self.config.outputs
            pairs = parallel.current().from_first(lambda: list(look_back(self.env, problems, groups, outputs)))
        self.relabelled.extend(pairs)
        self.sampled = {**self.sampled, "relabelled": float(len(pairs))}


def look_back(
    env: UnitTestEnv, problems: Sequence[Problem], groups: Sequence[Sequence[Episode]], outputs: Outputs = "own"
) -> Iterator[TrainingSample]:
    """For each failed program that asks a question of its own, that question with the program as its reference.

    Args:
        env: whose judge runs them again.
        problems: (N,).
        groups: (N,), the programs for each.
        outputs: whose answers make a program's prompt.

    Raises:
        UsageError: the prompts hold more than examples.
    """
    failed = [
        (problem, episode)
        for problem, group in zip(problems, groups, strict=True)
        for episode in group
        if _calls(problem) and not episode.program.truncated and episode.verdict.outcome is Outcome.WRONG_ANSWER
    ]
    if failed and env.prompt_style != STYLE:
        raise UsageError(
            f"Expected env.prompt_style = {STYLE!r} for hindsight, got {env.prompt_style!r}: a prompt that says what is asked "
            "would say something else than the program does."
        )
    jobs = [(e.program.text, str(problem.entry_point), _calls(problem)) for problem, e in failed]
    asking: list[tuple[Problem, Episode, list[Any]]] = []
    for (problem, e), answers in zip(failed, ask(env.sandbox, jobs, LARGEST), strict=True):
        different = len({answer.spelled for answer in answers}) > 1 or len(answers) == 1
        if different and not any(answer.why for answer in answers):
            asking.append((problem, e, [answer.value for answer in answers]))
    for i, (problem, e, own) in enumerate(asking):
        answered = own if outputs == "own" else asking[(i + 1) % len(asking)][2]
        pair = _pair(env, relabelled(problem, answered), e) if len(answered) == len(own) else None
        if pair is not None:
            yield pair


def _calls(problem: Problem) -> list[Call]:
    """The public examples as calls; none where one is something else."""
    calls = [
        Call(tuple(case.args), tuple(case.kwargs.items())) for case in problem.examples if isinstance(case, CallCase)
    ]
    plain = len(calls) == len(problem.examples) and "." not in (problem.entry_point or ".")
    return calls if plain else []


def relabelled(problem: Problem, outputs: Sequence[Any]) -> Problem:
    """The problem with these outputs on the inputs of its examples."""
    pairs = zip(problem.examples, outputs, strict=True)
    return replace(
        problem, examples=tuple(replace(case, expected=value) for case, value in pairs if isinstance(case, CallCase))
    )


def _pair(env: UnitTestEnv, problem: Problem, e: Episode) -> TrainingSample | None:
    """The program as the reference of a problem; None if the prompt does not fit."""
    prompt = tokenizers.encode_prompt(env.tokenizer, prompts.render(problem, STYLE))
    if len(prompt) > env.max_prompt_tokens:
        return None
    nothing = np.zeros(len(e.program), np.float32)
    return TrainingSample(np.array(prompt, np.int64), e.program.tokens, e.program.generated_mask, nothing, nothing)


def load(policy: Policy[Any], env: UnitTestEnv, *, seed: int, **options: Any) -> Hindsight:
    """The agent; `options` are the fields of `Config`."""
    return Hindsight(policy, env, build(Config, options, "agent"), seed)
