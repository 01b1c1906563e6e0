"""Public contracts, in the manner of `gymnasium.utils.env_checker.check_env`.

A component of your own is right when its check passes: `check_dataset`, `check_source`, `check_reward`, `check_sandbox`.
Each raises `AssertionError` with what was expected and what came.
"""

from __future__ import annotations

import pickle
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rltf_env import datasets
from rltf_env.core import (
    Attempt,
    CallCase,
    Case,
    CaseResult,
    Outcome,
    Problem,
    Program,
    Sandbox,
    Source,
    StdinCase,
    Verdict,
)
from rltf_env.errors import UnknownName

# -------------------------------------------------------------------------------------------------- datasets, sources


def check_dataset(
    dataset: str | Sequence[Problem], sandbox: Sandbox | None = None, *, limit: int | None = None, **options: Any
) -> None:
    """Checks the problems of a dataset: what they hold and, given a sandbox, that their references solve them.

    Args:
        dataset: what `datasets.load` takes: a name, `"module:attr"`, or the problems themselves.
        sandbox: if given, every reference solution must pass every case, and every public example too.
        limit: look at the first so many problems only.
        options: passed to `datasets.load` (`split`, `root`, ...).
    """
    problems = datasets.load(dataset, **options)[:limit]
    assert problems, f"Expected at least one problem in {dataset!r}, got none."
    twice = [id for id, count in Counter(problem.id for problem in problems).items() if count > 1]
    assert not twice, f"Expected unique ids, got these more than once: {twice}."
    for problem in problems:
        _check_problem(problem)
    if sandbox is not None:
        _check_solutions(problems, sandbox)


def _check_problem(problem: Problem) -> None:
    name = f"problem {problem.id!r}"
    assert problem.statement.strip(), f"Expected {name} to have a statement, got {problem.statement!r}."
    assert len(problem.cases) > 0, f"Expected {name} to have cases, got none."
    for case in (*problem.cases, *problem.examples):
        assert isinstance(case, Case), f"Expected cases of {name}, got {type(case).__name__}."
        if isinstance(case, StdinCase):
            wanted, right = "None, since it reads standard input", problem.entry_point is None
        else:
            wanted, right = "the name to call", problem.entry_point or not isinstance(case, CallCase)
        assert right, f"Expected the entry_point of {name} to be {wanted}, got {problem.entry_point!r}."
    for number, solution in enumerate(problem.solutions):
        assert solution.startswith(problem.prefix), f"Expected solution {number} of {name} to begin with its prefix."
    copy = pickle.loads(pickle.dumps(problem))
    assert datasets.digest([copy]) == datasets.digest([problem]), f"Expected {name} to survive pickling unchanged."


def _check_solutions(problems: Iterable[Problem], sandbox: Sandbox) -> None:
    labels: list[str] = []

    def jobs() -> Iterator[tuple[str, Problem]]:
        for problem in problems:
            public = problem.examples if tuple(problem.examples) != tuple(problem.cases) else ()
            judged = [("cases", problem), *([("examples", replace(problem, cases=public))] if public else [])]
            for number, solution in enumerate(problem.solutions):
                for what, version in judged:
                    labels.append(f"{problem.id}, {what}, solution {number}")
                    yield solution, version

    verdicts = list(sandbox.map(jobs()))
    wrong = [
        f"{label}: {verdict.outcome.name}, {verdict.failure}"
        for label, verdict in zip(labels, verdicts, strict=True)
        if verdict.outcome is not Outcome.PASSED
    ]
    assert not wrong, f"Expected every reference to pass, got {len(wrong)} that do not:\n" + "\n".join(wrong)


def check_source(source: Source, *, draws: int = 20) -> None:
    """Checks a source: the same generator gives the same problems, what it gives it finds, and it touches nothing else."""
    assert isinstance(source, Source), f"Expected a Source with draw, find and observe, got {type(source).__name__}."
    before = random.getstate(), pickle.dumps(np.random.get_state())  # noqa: NPY002 (looked at, not used)
    first, second = pickle.loads(pickle.dumps(source)), pickle.loads(pickle.dumps(source))
    rng, again = np.random.default_rng(0), np.random.default_rng(0)
    for number in range(draws):
        problem, twin = first.draw(rng), second.draw(again)
        assert isinstance(problem, Problem), f"Expected draw to give a Problem, got {type(problem).__name__}."
        assert problem.id == twin.id, (
            f"Expected draw {number} to depend on its generator alone, got {problem.id}, {twin.id}."
        )
        assert first.find(problem.id).id == problem.id, f"Expected find to know {problem.id!r}, which was drawn."
        for each in (first, second):
            each.observe(_attempt(problem))
    after = random.getstate(), pickle.dumps(np.random.get_state())  # noqa: NPY002
    assert before == after, "Expected the global random generators to be left alone, got a changed state."
    _check_unknown(first)


def _attempt(problem: Problem) -> Attempt:
    """An attempt of one token that passed."""
    passed = Verdict(tuple(CaseResult(Outcome.PASSED) for _ in problem.cases))
    return Attempt(problem, Program(np.zeros(1, np.int64), "", np.zeros(1, np.int64)), passed)


def _check_unknown(source: Source) -> None:
    try:
        found = source.find("no such id")
    except UnknownName:
        return
    raise AssertionError(f"Expected find to raise UnknownName on an unknown id, got {found!r}.")


# ------------------------------------------------------------------------------------------------------------ rewards

# ---------------------------------------------------------------------------------------------------------- sandboxes
