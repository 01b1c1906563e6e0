"""Retold: the procedural problems asked in other ways, so that one policy can learn several tasks one after another.

    generate     the statement, as `procedural` has it
    refine       the statement and a wrong program, to be put right
    translate    the reference in a small C-like language (`_clike.py`), to be written in Python
    complete     the statement; the program begins with the first half of the reference
    copy         the reference itself, to be written again: a task to warm a small model up on

The tasks differ in what is read. What is written is always the Python function, and the same cases
judge it. CodeTask-CL (arXiv 2307.02435) has a data set of its own for each of generation, refinement,
translation and summarisation, and compares texts; tasks that tests can judge are ours.

A wrong program is one change to the reference's syntax tree. A few per cent of such changes happen
to mean the same as the reference. Ids are those of `procedural` with the task: `retold/TASK/SPLIT/DEPTH/NUMBER`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from rltf_env.core import Attempt, Problem, Problems, Source
from rltf_env.datasets import procedural
from rltf_env.datasets._clike import print_clike
from rltf_env.datasets._files import Root
from rltf_env.datasets._mutants import mutants
from rltf_env.datasets._procedural_ops import SPLITS
from rltf_env.datasets._stream import share
from rltf_env.errors import UnknownName, UsageError

__all__ = ["SPLITS", "TASKS", "find", "load", "retell", "source"]

EVERY = 1 << 16  # more mutants than a reference has


def load(
    split: str = "train",
    root: Root = None,
    *,
    tasks: Sequence[str] = ("generate", "refine", "translate", "complete"),
    size: int = 256,
    seed: int = 0,
    depths: Sequence[int] | None = None,
) -> Problems:
    """`size` problems of a split, the tasks in turn; each procedural problem is retold once.

    Args:
        split, root, seed, depths: as in `procedural.load`.
        tasks: those of `TASKS` that take turns.
        size: of all tasks together.

    Raises:
        UnknownName: no such task or split.  UsageError: no such depth, or no task.
    """
    tasks = _tasks(tasks)
    problems = procedural.load(split, size=size, seed=seed, depths=depths)
    turn = len(depths) if depths else 1  # depths take turns too: each task gets all of them
    retold = (retell(problem, tasks[i // turn % len(tasks)]) for i, problem in enumerate(problems))
    return Problems(retold, problems.skipped)


def source(
    split: str = "train",
    root: Root = None,
    *,
    tasks: Sequence[str] = ("generate", "refine", "translate", "complete"),
    depths: Sequence[int] | None = None,
) -> Source:
    """Endless fresh problems, each of a task drawn at random. It finds any problem of its split by id."""
    return Endless(procedural.source(split, depths=depths), split, _tasks(tasks))


@dataclass(frozen=True)
class Endless:
    """The `Source` that `source` makes."""

    inner: Source
    split: str
    tasks: tuple[str, ...]

    def draw(self, rng: np.random.Generator) -> Problem:
        """A fresh procedural problem, retold."""
        problem = self.inner.draw(rng)
        return retell(problem, self.tasks[int(rng.integers(len(self.tasks)))])

    def find(self, id: str) -> Problem:
        """The problem with this id; raises `UnknownName`."""
        task, original = _parsed(id)
        return retell(self.inner.find(original), task)

    def observe(self, attempt: Attempt) -> None:
        """Nothing: each draw is independent of what came before."""


def find(id: str) -> Problem:
    """The problem `retold/TASK/SPLIT/DEPTH/NUMBER`; raises `UnknownName`."""
    task, original = _parsed(id)
    return retell(procedural.find(original), task)


def _parsed(id: str) -> tuple[str, str]:
    word, _, rest = id.partition("/")
    task, _, original = rest.partition("/")
    if word != "retold" or task not in TASKS:
        raise UnknownName("problem", id, (f"retold/{each}/SPLIT/DEPTH/NUMBER" for each in TASKS))
    return task, f"procedural/{original}"


def _tasks(tasks: Sequence[str]) -> tuple[str, ...]:
    if isinstance(tasks, str) or not tasks:
        raise UsageError(f'Expected tasks as a list such as ["refine"], got {tasks!r}.')
    for task in tasks:
        if task not in TASKS:
            raise UnknownName("task", str(task), TASKS)
    return tuple(tasks)


# ----------------------------------------------------------------------------------------------------------- retelling


def retell(problem: Problem, task: str) -> Problem:
    """A procedural problem as a problem of a task. The same problem is always retold in the same way."""
    told = TASKS[task](problem)
    tags = (task, *problem.meta.get("tags", ()))
    id = f"retold/{task}/{problem.id.removeprefix('procedural/')}"
    return replace(told, id=id, meta={**problem.meta, "task": task, "tags": tags})


def _generate(problem: Problem) -> Problem:
    return problem


def _refine(problem: Problem) -> Problem:
    text = f"{problem.statement}\nThis program is wrong:\n{wrong(problem)}Write it right."
    return replace(problem, statement=text)


def wrong(problem: Problem) -> str:
    """One change of the reference, chosen by the problem's id."""
    made = mutants(problem.solutions[0], EVERY, np.random.default_rng(0))
    texts = sorted(mutant.text for mutant in made)  # the order of draws is NumPy's, which may change
    return texts[int(share(f"retold {problem.id}") * len(texts))]


def _translate(problem: Problem) -> Problem:
    return replace(problem, statement=f"Write this in Python: {print_clike(problem.solutions[0])}")


def _complete(problem: Problem) -> Problem:
    lines = problem.solutions[0].splitlines(keepends=True)
    given = "".join(lines[: max(1, len(lines) // 2)])
    return replace(problem, statement=f"Finish the program. {problem.statement}", prefix=given)


def _copy(problem: Problem) -> Problem:
    return replace(problem, statement=f"Write this again:\n{problem.solutions[0].rstrip()}")


TASKS: dict[str, Callable[[Problem], Problem]] = {
    "generate": _generate,
    "refine": _refine,
    "translate": _translate,
    "complete": _complete,
    "copy": _copy,
}
