"""A task on which an agent learns in minutes on a CPU: say in Python what the prompt says in words.

    prompt      add 3
    given       def f(x):⏎    return x
    to write     + 3

Eight procedural problems, add and multiply by 2 to 5; a vocabulary of some twenty words (`tokenizers.Words`); two tokens to
choose, after which the program is cut off and judged. Choosing at random solves one in hundreds; whoever does not read the
prompt solves one problem of the eight at best; reading it solves them all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from typing import Any

import gymnasium

from rltf_env import sandbox
from rltf_env.core import Attempt, Feedback, Outcome, Problem, Sandbox, Verdict
from rltf_env.datasets import procedural
from rltf_env.env import UnitTestEnv
from rltf_env.tokenizers import Words
from rltf_env.wrappers.action_mask import ActionMask

GIVEN = "def f(x):\n    return x"
CHOSEN = 2  # tokens
NUMBERS = (795, 118, 955, 84, 51, 1150, 57, 247)  # of the problems: add 2 to 5, multiply by 2 to 5


def problems() -> list[Problem]:
    """The problems, with the code that is given."""
    return [replace(procedural.find(f"procedural/train/1/{number}"), prefix=GIVEN) for number in NUMBERS]


def prompt(problem: Problem) -> str:
    """What is asked for, and nothing else: `add 3`."""
    return problem.statement.split(", ")[1]


def vocabulary() -> Words:
    """The words of the prompts and of the reference solutions."""
    chosen = problems()
    return Words.of([text for problem in chosen for text in (prompt(problem), problem.solutions[0])])


def environment(*, masked: bool = False, judge: Sandbox | None = None, **options: Any) -> gymnasium.Env[Any, Any]:
    """The task. A judge that is passed in is left open; `options` are those of `UnitTestEnv`."""
    words, chosen = vocabulary(), problems()
    env: gymnasium.Env[Any, Any] = UnitTestEnv(
        chosen,
        tokenizer=words,
        prompt_style=prompt,
        reward=pass_ratio,
        sandbox=Remembering(sandbox.load("auto")) if judge is None else judge,
        max_prompt_tokens=max(len(words.encode(prompt(problem))) for problem in chosen),
        max_program_tokens=len(words.encode(GIVEN)) + CHOSEN,
        **options,
    )
    return ActionMask(env) if masked else env


def pass_ratio(attempt: Attempt) -> Feedback:
    """The share of passed cases. With RLTF's rewards a program that does nothing wrong beats a daring one, and at this size
    an agent stays there."""
    return Feedback.build(attempt.program, "pass_ratio", program_reward=attempt.verdict.pass_ratio)


Act = Callable[[Any, dict[str, Any]], int]


def solved(env: gymnasium.Env[Any, Any], act: Act) -> float:
    """The share of the problems that `act(observation, info)`, a token, solves at one try each."""
    passed = [_outcome(env, problem.id, act) is Outcome.PASSED for problem in problems()]
    return sum(passed) / len(passed)


def _outcome(env: gymnasium.Env[Any, Any], problem: str, act: Act) -> Outcome:
    observation, info = env.reset(options={"problem": problem})
    over = False
    while not over:
        observation, _, terminated, truncated, info = env.step(act(observation, info))
        over = terminated or truncated
    return info["verdict"].outcome


class Remembering:
    """A judge that is asked once for each program and problem: here programs are few and come often. It owns the one inside."""

    def __init__(self, inner: Sandbox) -> None:
        self.inner = inner
        self._known: dict[tuple[str, str], Verdict] = {}

    def run(self, source: str, problem: Problem) -> Verdict:
        """The verdict, from memory if this program was judged on this problem before."""
        key = source, problem.id
        if key not in self._known:
            self._known[key] = self.inner.run(source, problem)
        return self._known[key]

    def submit(self, source: str, problem: Problem) -> Future[Verdict]:
        """The same as a future."""
        known = self._known.get((source, problem.id))
        if known is None:
            return self.inner.submit(source, problem)
        future: Future[Verdict] = Future()
        future.set_result(known)
        return future

    def map(self, jobs: Iterable[tuple[str, Problem]]) -> Iterator[Verdict]:
        """Verdicts in the order of `jobs`, one at a time."""
        return (self.run(source, problem) for source, problem in jobs)

    def close(self) -> None:
        """Closes the sandbox that was wrapped."""
        self.inner.close()
