"""Problems, judge and reward of an adapter, opened once a process; and what an answer earned.

    env = opened("mbpp", split="train", reward="coarse")      again with equal arguments: the same one
    result = judge(env, env.source.find(id), answer)          raises SandboxError: nobody knows
    result.reward, result.passed, result.notes

Trainers build their reward workers in processes of their own and hand over nothing but plain data:
the name of a dataset, a problem's id, a text. So what is here takes names and opens the rest late.
No function of this file turns a judge's failure into a number. Each trainer has its own way of
saying "no verdict", and its adapter says it.
"""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from rltf_env import answers, datasets, prompts
from rltf_env.core import Judgement, Outcome, Problem, Program
from rltf_env.env import UnitTestEnv
from rltf_env.errors import DataError, UsageError
from rltf_env.sandbox import check_runs

USE = "an adapter, whose trainer counts programs that pass"  # what a judge must run programs for
Key = tuple[int, str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True)
class Result:
    """What the judge said of an answer.

    Args:
        problem, program: what was judged, on what.
        judgement: verdict and feedback.
    """

    problem: Problem
    program: Program
    judgement: Judgement

    @cached_property
    def reward(self) -> float:
        """`feedback.total`: one number for the whole program. Raises UsageError, see `number`."""
        return number(self.judgement, self.program)

    @property
    def passed(self) -> bool:
        """Whether the program passed every case. Raises UsageError if the judge ran nothing."""
        self.judgement.verdict.check_run(USE)
        return self.judgement.verdict.outcome is Outcome.PASSED

    @property
    def notes(self) -> dict[str, float]:
        """Numbers for a trainer's curves, the same keys for every program: `passed` and `pass_ratio`, both in [0, 1]."""
        return {"passed": float(self.passed), "pass_ratio": self.judgement.verdict.pass_ratio}

    @property
    def failure(self) -> str:
        """The kind of failure and its line, in words; "" of a program that passed. No expected value is in it."""
        failure = self.judgement.verdict.failure
        if failure is None:
            return ""
        return failure.kind if failure.line is None else f"{failure.kind} in line {failure.line}"


# ---------------------------------------------------------------------------------------------- opening

_opened: dict[Key, tuple[UnitTestEnv, dict[str, Any]]] = {}
_lock = threading.Lock()


def opened(dataset: str | UnitTestEnv | None = None, **options: Any) -> UnitTestEnv:
    """The environment of these arguments, one a process. Its judge starts at the first program.

    Args:
        dataset: the name of a dataset, or an environment, which is given back as it is. None is what a configuration
            says that names none, and an error.
        options: of `UnitTestEnv`. Plain data are compared by value, all else by identity.

    Raises:
        UsageError: no dataset, options with an environment that has its own, or a judge that runs no programs.
        MissingData: the data are not there.
    """
    if isinstance(dataset, UnitTestEnv):
        dataset.check_runs(USE)
        if options:
            raise UsageError(
                f"Expected no options with an environment, which has its own, got {', '.join(sorted(options))}. "
                "Give them to the environment, or pass the name of a dataset."
            )
        return dataset
    if not isinstance(dataset, str):
        came = "none" if dataset is None else type(dataset).__name__
        raise UsageError(f'Expected the name of a dataset, such as dataset="mbpp", or an environment, got {came}.')
    options = {name: _plain(value) for name, value in options.items()}
    check_runs(options.get("sandbox", "auto"), USE)
    key = (os.getpid(), dataset, tuple(sorted((name, _mark(value)) for name, value in options.items())))
    with _lock:
        if key not in _opened:
            _opened[key] = _opening(dataset, **options), options  # kept, so that no identity is used twice
        return _opened[key][0]


def _opening(
    dataset: str,
    split: str | None = None,
    root: str | None = None,
    dataset_options: Mapping[str, Any] | None = None,
    **options: Any,
) -> UnitTestEnv:
    """An environment over a dataset, without stand-ins for data that are missing: ids of theirs would mean nothing.

    Options of a dataset name a list of problems, also where it could go on for ever.
    """
    if dataset_options:
        return UnitTestEnv(datasets.load(dataset, split, root, **datasets.checked(dataset_options)), **options)
    return UnitTestEnv(source=datasets.source(dataset, split, root), **options)


def close() -> None:
    """Closes what `opened` has opened in this process."""
    with _lock:
        for env, _ in _opened.values():
            env.close()
        _opened.clear()


def _plain(value: Any) -> Any:
    """Mappings and lists of a library for configurations, as dicts and lists."""
    if isinstance(value, Mapping):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_plain(each) for each in value]
    return value


def _mark(value: Any) -> str:
    try:
        return json.dumps(value, sort_keys=True)
    except TypeError:
        return f"object {id(value)}"


def problems(
    dataset: str, split: str | None = None, root: str | None = None, digest: str = "", **options: Any
) -> tuple[Problem, ...]:
    """The problems of a dataset, after a look at their digest.

    Args:
        dataset, split, root, options: of `datasets.load`.
        digest: the first digits, eight at least, of what `datasets.digest` must give; "" asks nothing.

    Raises:
        DataError: they are others.
    """
    loaded = datasets.load(dataset, split, root, **options)
    if digest:
        check_digest(loaded, digest, dataset)
    return loaded


def check_digest(loaded: Iterable[Problem], digest: str, name: str) -> None:
    """Raises DataError unless problems have a digest that begins with these digits, UsageError of fewer than eight."""
    if not isinstance(digest, str) or len(digest) < 8:
        raise UsageError(f"Expected at least 8 digits of a digest, got {digest!r}.")
    actual = datasets.digest(loaded)
    if not actual.startswith(digest):
        raise DataError(
            f"Expected the problems of {name!r} to have the digest {digest}, got {actual}. Fetch the files that the figure "
            "is about, ask for the same split and options, or leave the digest out."
        )


def messages(problem: Problem) -> list[dict[str, str]]:
    """The prompt as a conversation of one message, as trainers keep it in their rows (`prompts.message`)."""
    return [prompts.message(problem)]


# ---------------------------------------------------------------------------------------------- judging


def find(env: UnitTestEnv, id: Any) -> Problem:
    """The problem that a trainer's row names. Raises UnknownName, or UsageError of what is no id."""
    if not isinstance(id, str):
        raise UsageError(
            f"Expected the id of a problem, a text, got {type(id).__name__}: {str(id)[:60]!r}. Make rows with the adapter's own "
            "function, and leave that column as it is."
        )
    return env.source.find(id)


def within(env: Any) -> UnitTestEnv:
    """The environment in the wrappers that `gymnasium.make` puts around it, or `env` itself.

    Raises:
        UsageError: something else, or one whose judge runs no programs.
    """
    inner = getattr(env, "unwrapped", env)
    if not isinstance(inner, UnitTestEnv):
        raise UsageError(f'Expected an environment that judges, such as UnitTestEnv("mbpp"), got {inner!r}.')
    inner.check_runs(USE)
    return inner


def ask(env: UnitTestEnv, problem: Problem, answer: str | Program) -> tuple[Program, Future[Judgement]]:
    """The program of an answer, and its judgement to come. A `Program` is judged as it is."""
    program = answer if isinstance(answer, Program) else env.program_of(problem, answers.whole(problem, answer))
    return program, env.submit(problem, program)


def judge(env: UnitTestEnv, problem: Problem, answer: str | Program) -> Result:
    """What the judge says of an answer. Raises SandboxError if it failed twice."""
    program, future = ask(env, problem, answer)
    return Result(problem, program, future.result())


async def judged(env: UnitTestEnv, problem: Problem, answer: str | Program) -> Result:
    """`judge`, while the event loop goes on."""
    program, future = await asyncio.to_thread(ask, env, problem, answer)
    return Result(problem, program, await asyncio.wrap_future(future))


def number(judgement: Judgement, program: Program) -> float:
    """`feedback.total`.

    Raises:
        UsageError: the reward leaves tokens out of learning, which one number for a program cannot say, or the judge ran
            nothing.
    """
    judgement.verdict.check_run(USE)
    if not np.array_equal(judgement.feedback.loss_mask, program.generated_mask):
        raise UsageError(
            "Expected a reward that learns from all that a program's writer chose, got one that leaves tokens out, as "
            '"executed" does. Here is one number for a program: choose a reward without it, or a trainer whose losses '
            "can leave out tokens (TokenCreditTrainer of TRL)."
        )
    return judgement.feedback.total
