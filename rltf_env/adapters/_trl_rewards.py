"""Unit tests as a reward function of TRL that also keeps what each sampled token earned. Imports nothing of TRL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from rltf_env import answers
from rltf_env.adapters.completion import Choose, read
from rltf_env.adapters.judge import find, within
from rltf_env.core import Feedback, Judgement, Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import SandboxError, UsageError

PROBLEM = "problem"  # the column that holds a problem's id


class UnitTests:
    """A reward function that reads the ids which TRL sampled: the whole program's share as its number, the rest by token.

    Args:
        env: judges, and finds the problems by the ids in the column `problem`. Its tokenizer is the
            model's, so that the reward's tokens are the trainer's.
        choose: takes the program out of an answer; None: all of it is the program (`adapters.read`).
    """

    __name__ = "unit_tests"  # how TRL calls it in its logs

    def __init__(self, env: UnitTestEnv, choose: Choose | None = answers.choose) -> None:
        self.env, self.choose = within(env), choose
        self.feedback: list[Feedback | None] = []  # of the last batch, on all ids of each completion

    def __call__(self, completion_ids: Sequence[Sequence[int]], **columns: Any) -> list[float | None]:
        """`feedback.program_reward` of each completion (None: the judge failed twice); all of it is left in `feedback`."""
        problems = problems_of(self.env, columns, completion_ids)
        said = [
            read(ids, self.env.tokenizer, problem, choose=self.choose)
            for ids, problem in zip(completion_ids, problems, strict=True)
        ]
        futures = [self.env.submit(problem, each.program) for problem, each in zip(problems, said, strict=True)]
        judged = [result_of(future) for future in futures]
        self.feedback = [j and each.credit(j.feedback) for j, each in zip(judged, said, strict=True)]
        sums = [float(feedback.token_rewards.sum()) for feedback in self.feedback if feedback is not None]
        if "log_metric" in columns and sums:
            columns["log_metric"]("unit_tests/token_credit", sum(sums) / len(sums))
        return [feedback and feedback.program_reward for feedback in self.feedback]


def problems_of(env: UnitTestEnv, columns: Mapping[str, Any], completions: Sequence[Any]) -> list[Problem]:
    """The problems of a batch, by the ids in its column. Raises UsageError without one for each completion."""
    ids = columns.get(PROBLEM)
    if ids is None:
        raise UsageError(
            f"Expected a column {PROBLEM!r} with the ids of the problems. Build it with adapters.trl.dataset."
        )
    if completions is None or len(completions) != len(ids):
        got = "none" if completions is None else len(completions)
        raise UsageError(f"Expected a completion for each of {len(ids)} problems, got {got}.")
    return [find(env, id) for id in ids]


def result_of(future: Future[Judgement]) -> Judgement | None:
    """What was judged; None if the judge failed twice."""
    try:
        return future.result()
    except SandboxError:
        return None
