"""From a policy and an environment to judged episodes.

A policy that writes whole programs has no use for `env.step`: it asks `env.submit`, which means the same (a test of the
environment proves it) and judges what has been written while the next programs are being written.

A verdict that the judge cannot give says nothing about the program. It is asked for once more; then the program is left out, and
the journal has the reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np
import torch

from agents.core import AnyDecoder, Completion, Episode, ExampleAwareDecoder, Policy
from agents.decoding.examples import bind_examples
from agents.running.journal import FOUND, UpdateLog
from rltf_env import prompts as wording
from rltf_env import tokenizers
from rltf_env._renamed import renamed
from rltf_env.core import Attempt, IntArray, Judgement, Outcome, Problem, Program, Verdict
from rltf_env.env import UnitTestEnv
from rltf_env.errors import SandboxError

Observe = Callable[[Attempt], None]


@dataclass
class PendingRollouts:
    """Programs in the hands of the judge of `env`, grouped by problem. See `write`."""

    env: UnitTestEnv
    problems: Sequence[Problem]
    prompts: list[IntArray]
    version: int
    journal: UpdateLog
    groups: list[dict[int, tuple[Completion, Program, Future[Judgement]]]]  # by number; they end in any order
    observe: Observe | None = None

    def judged(self) -> list[list[Episode]]:
        """The episodes, when the judge has done with the last of them; the journal is told how long that took.

        A group lacks the programs whose verdicts were lost.
        """
        total, work = sum(map(len, self.groups)), "waiting for the judge"
        with self.journal.timed("judge"):
            groups: list[list[Episode | None]] = []
            for i, group in enumerate(self.groups):
                self.journal.advance(work, sum(map(len, groups)), total)
                groups.append([self._episode(i, *group[k]) for k in sorted(group)])
        self.journal.advance(work, total, total)  # what comes now is no waiting
        return [[e for e in group if e is not None] for group in groups]

    def _episode(self, i: int, completion: Completion, program: Program, pending: Future[Judgement]) -> Episode | None:
        judgement = judged(self.env, self.problems[i], program, pending, self.journal)
        if judgement is None:
            return None
        verdict, feedback = judgement
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
    if isinstance(decoder, ExampleAwareDecoder):
        env.check_runs("a decoder that tries public examples")
    written = PendingRollouts(env, problems, prompts, version, journal, [{} for _ in problems], observe)
    decode = bind_examples(
        decoder,
        problems,
        encode=lambda problem: np.asarray(
            tokenizers.encode_prompt(env.tokenizer, wording.render(problem, env.prompt_style)), np.int64
        ),
        spell=lambda problem, completion: program_of(env, completion),
        judge=lambda pairs: verdicts(env, pairs, journal),
    )

    done = count(1)
    journal.advance("writing programs", 0, len(problems) * repeats)

    def hand_over(i: int, k: int, completion: Completion) -> None:
        program = program_of(env, completion)
        with journal.timed("judge"):
            judgement = _submitted(env, problems[i], program)
        written.groups[i][k] = (completion, program, judgement)
        journal.advance("writing programs", next(done), len(problems) * repeats)

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


def verdicts(
    env: UnitTestEnv, pairs: Iterable[tuple[Problem, Program]], journal: UpdateLog
) -> Iterator[Verdict | None]:
    """What the judge says of each program, in order; None, and a reason in the journal, of those that it lost."""
    asked = [(problem, program, _submitted(env, problem, program)) for problem, program in pairs]
    for each in asked:
        judgement = judged(env, *each, journal)
        yield judgement.verdict if judgement else None


def judged(
    env: UnitTestEnv, problem: Problem, program: Program, pending: Future[Judgement], journal: UpdateLog
) -> Judgement | None:
    """What `pending` comes to, or another try if that fails; None, and a reason in the journal, if that fails too."""
    try:
        return pending.result()
    except SandboxError:
        pass  # the judge may have been replaced meanwhile
    try:
        return env.submit(problem, program).result()
    except SandboxError as error:
        journal.lost.append(str(error))
        return None


def _submitted(env: UnitTestEnv, problem: Problem, program: Program) -> Future[Judgement]:
    """`env.submit`, which a judge may refuse at once as well as later."""
    try:
        return env.submit(problem, program)
    except SandboxError as error:
        refused: Future[Judgement] = Future()
        refused.set_exception(error)
        return refused


def program_of(env: UnitTestEnv, completion: Completion) -> Program:
    """What was written; the tokens of a stop string spell nothing of it, as the end token does."""
    program = env.tokenizer.program(completion.tokens, prefix_length=completion.given, truncated=completion.truncated)
    if completion.kept is None:
        return program
    starts = np.minimum(program.starts, completion.kept)
    return replace(program, text=program.text[: completion.kept], starts=starts)


EPSILON = 1e-6  # a weight below this is what rounding leaves of 0


def summary(episodes: Sequence[Episode], lost: int = 0) -> dict[str, float]:
    """Means over fresh programs: reward and its parts, pass rate, outcomes, length; and how many verdicts were lost beside.

    A judge that runs nothing gives no pass rate, and its outcomes have names of their own.
    """
    n = len(episodes)
    outcomes = Counter(e.verdict.outcome for e in episodes)
    parts: Counter[str] = Counter()
    for e in episodes:
        parts.update(e.feedback.parts)
    return {
        "reward": sum(e.feedback.total for e in episodes) / n,
        **{f"reward/{name}": value / n for name, value in sorted(parts.items())},
        **_became(episodes, outcomes),
        "program_tokens": sum(len(e.program) for e in episodes) / n,
        "truncated": sum(e.program.truncated for e in episodes) / n,
        "lost": float(lost),
    }


def _became(episodes: Sequence[Episode], outcomes: Mapping[Outcome, int]) -> dict[str, float]:
    """What became of the programs, as shares of them."""
    n = len(episodes)
    if not all(e.verdict.was_run for e in episodes):
        return {name: outcomes[o] / n for o, name in FOUND.items()}
    shares = {f"outcome/{o.name.lower()}": outcomes[o] / n for o in Outcome}
    return {**shares, "pass_ratio": sum(e.verdict.pass_ratio for e in episodes) / n}


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
