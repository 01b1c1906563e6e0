"""Which problem comes next: `Uniform` draws at random, `Cycle` goes round in order.

A source hands out problems and is told of every finished attempt; one that learns from them is a curriculum. Randomness is
the caller's: the same generator gives the same problems. Sources are plain objects that pickle.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rltf_env.core import Attempt, Problem, Problems, Source
from rltf_env.errors import UnknownName, UsageError


class _Finite:
    """Problems by position and by id."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = problems if isinstance(problems, Problems) else Problems(problems)
        self._by_id = _index(self.problems)

    def __len__(self) -> int:
        return len(self.problems)

    def find(self, id: str) -> Problem:
        """The problem with this id; raises `UnknownName`, which names the nearest."""
        if id not in self._by_id:
            raise UnknownName("problem", id, self._by_id)
        return self._by_id[id]

    def observe(self, attempt: Attempt) -> None:
        """Nothing: these sources do not learn."""


def _index(problems: Problems) -> dict[str, Problem]:
    by_id: dict[str, Problem] = {}
    for problem in problems:
        if problem.id in by_id:
            raise UsageError(f"Expected problems with unique ids, got {problem.id!r} twice.")
        by_id[problem.id] = problem
    if not by_id:
        raise UsageError("Expected at least one problem to draw from, got none.")
    return by_id


class Uniform(_Finite):
    """Every problem with the same chance, each draw on its own."""

    def draw(self, rng: np.random.Generator) -> Problem:
        """A problem chosen with `rng`."""
        return self.problems[int(rng.integers(len(self.problems)))]


class Cycle(_Finite):
    """The problems in their order, again and again: an evaluation that meets each exactly once."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        super().__init__(problems)
        self._next = 0

    def draw(self, rng: np.random.Generator) -> Problem:
        """The next problem in order; `rng` is left untouched."""
        problem = self.problems[self._next]
        self._next = (self._next + 1) % len(self.problems)
        return problem

    def get_state(self) -> int:
        """The position of the problem that comes next."""
        return self._next

    def set_state(self, saved: int) -> None:
        """Goes back, or ahead, to a position."""
        self._next = saved


@dataclass(frozen=True)
class Mapped:
    """Another source's problems, each through a function: held-out cases, a longer prefix. `change` must keep the id."""

    source: Source
    change: Callable[[Problem], Problem]

    def draw(self, rng: np.random.Generator) -> Problem:
        """The other's next problem, changed."""
        return self.change(self.source.draw(rng))

    def find(self, id: str) -> Problem:
        """The other's problem with this id, changed; raises `UnknownName`."""
        return self.change(self.source.find(id))

    def observe(self, attempt: Attempt) -> None:
        """The other is told of every attempt."""
        self.source.observe(attempt)

    def get_state(self) -> Any:
        """The other's state; None if it does not change as it goes."""
        return state_of(self.source)

    def set_state(self, saved: Any) -> None:
        """Takes the other back to a state of it."""
        restore(self.source, saved)


def state_of(source: Source) -> Any:
    """The state of a source that changes as it goes; None for others."""
    return source.get_state() if hasattr(source, "get_state") else None  # type: ignore[attr-defined]


def restore(source: Source, saved: Any) -> None:
    """Takes a source back to what `state_of` said, if it has a state."""
    if hasattr(source, "set_state"):
        source.set_state(saved)  # type: ignore[attr-defined]
