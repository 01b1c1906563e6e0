"""The problems in order."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from rltf_env.core import Problem, Problems
from rltf_env.sources._finite import Finite


def load(problems: Problems) -> Cycle:
    """The source `"cycle"`."""
    return Cycle(problems)


class Cycle(Finite):
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
