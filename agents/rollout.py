"""From a policy and an environment to judged episodes.

A policy that writes whole programs has no use for `env.step`: it asks `env.submit`, which means the same (a test of the
environment proves it) and judges what has been written while the next programs are being written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from agents.core import AnyDecoder, Completion, Episode, Policy
from agents.decoding.examples import bind_examples
from agents.running.journal import UpdateLog
from rltf_env import prompts as wording
from rltf_env import tokenizers
from rltf_env._renamed import renamed
from rltf_env.core import Attempt, IntArray, Judgement, Outcome, Problem, Program
from rltf_env.env import UnitTestEnv

Observe = Callable[[Attempt], None]


@dataclass
class PendingRollouts:
    """Programs in the hands of the judge, grouped by problem. See `write`."""

    problems: Sequence[Problem]
    prompts: list[IntArray]
    version: int
    journal: UpdateLog
    groups: list[dict[int, tuple[Completion, Program, Future[Judgement]]]]  # by number; they end in any order
    observe: Observe | None = None

    def judged(self) -> list[list[Episode]]:
        """The episodes, when the judge has done with the last of them; the journal is told how long that took."""
        with self.journal.timed("judge"):
            return [[self._episode(i, *group[k]) for k in sorted(group)] for i, group in enumerate(self.groups)]

    def _episode(self, i: int, completion: Completion, program: Program, judgement: Future[Judgement]) -> Episode:
        verdict, feedback = judgement.result()
        if self.observe:
            self.observe(Attempt(self.problems[i], program, verdict))
        said = (completion.logprobs, completion.behaviour_logprobs, verdict, feedback)
        return Episode(self.problems[i].id, self.prompts[i], program, *said, self.version)


def write(
    policy: Policy[Any],
    env: UnitTestEnv,
    problems: Sequence[Problem],
    decoder: AnyDecoder,
    *,
    repeats: int,
    generator: torch.Generator,
    version: int = 0,
    journal: UpdateLog | None = None,
    observe: Observe | None = None,
) -> PendingRollouts:
    """`repeats` programs for each problem, in order, each handed to the judge as soon as it is written.

    `journal` is told how long writing took, less what the judge made it wait when too much was pending; `observe`, which may be
    that of the problems' source, of each attempt.
    """
    journal = journal or UpdateLog()
    prompts = [env.encode_prompt(problem) for problem in problems]
    given = [env.encode_prefix(problem) for problem in problems]
    written = PendingRollouts(problems, prompts, version, journal, [{} for _ in problems], observe)
    decode = bind_examples(
        decoder,
        problems,
        encode=lambda problem: np.asarray(
            tokenizers.encode_prompt(env.tokenizer, wording.render(problem, env.prompt_style)), np.int64
        ),
        spell=lambda problem, completion: _program(env, completion),
        judge=lambda pairs: (judgement.verdict for judgement in env.judge_many(pairs)),
    )

    def hand_over(i: int, k: int, completion: Completion) -> None:
        program = _program(env, completion)
        with journal.timed("judge"):
            judgement = env.submit(problems[i], program)
        written.groups[i][k] = (completion, program, judgement)

    waited = journal.seconds.get("judge", 0.0)
    with journal.timed("generate"):
        groups = decode(
            policy, prompts, given, repeats=repeats, max_tokens=env.max_program_tokens, generator=generator,
            done=hand_over,
        )  # fmt: skip
    journal.seconds["generate"] -= journal.seconds.get("judge", 0.0) - waited
    journal.tokens += sum(len(c.tokens) - c.given for group in groups for c in group)
    return written


def collect(
    policy: Policy[Any],
    env: UnitTestEnv,
    problems: Sequence[Problem],
    decoder: AnyDecoder,
    *,
    repeats: int,
    generator: torch.Generator,
    version: int = 0,
    journal: UpdateLog | None = None,
    observe: Observe | None = None,
) -> list[list[Episode]]:
    """`repeats` judged programs for each problem, grouped by problem, in order: `write`, and wait for the judge."""
    return write(
        policy, env, problems, decoder, repeats=repeats, generator=generator, version=version, journal=journal,
        observe=observe,
    ).judged()  # fmt: skip


def _program(env: UnitTestEnv, completion: Completion) -> Program:
    """What was written; the tokens of a stop string spell nothing of it, as the end token does."""
    program = env.tokenizer.program(completion.tokens, prefix_length=completion.given, truncated=completion.truncated)
    if completion.kept is None:
        return program
    starts = np.minimum(program.starts, completion.kept)
    return replace(program, text=program.text[: completion.kept], starts=starts)


EPSILON = 1e-6  # a weight below this is what rounding leaves of 0


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


__getattr__ = renamed(
    __name__,
    {
        "Sample": "agents.core.TrainingSample",
        "batch": "agents.batching.batch",
        "pad_right": "agents.batching.pad_right",
        "NOTHING": "agents.rollout.EPSILON",
        "Written": "agents.rollout.PendingRollouts",
    },
)
