"""Problems of several sources, each with a weight of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rltf_env.core import Attempt, Problem, Problems, Source
from rltf_env.errors import UnknownName, UsageError
from rltf_env.sources._state import restore, state_of


class Mixture:
    """Each draw is of one of the sources, chosen with a chance in proportion to its weight.

    Where all of them have a list of problems, `problems` is their union.

    Args:
        parts: (source, weight) pairs; a weight of 0 is for problems that are found but never drawn.

    Raises:
        UsageError: no parts, or weights of which none is above 0.
    """

    def __init__(self, parts: Sequence[tuple[Source, float]]) -> None:
        self.sources = tuple(source for source, _ in parts)
        weights = np.array([weight for _, weight in parts], np.float64)
        if not len(weights) or not np.isfinite(weights).all() or weights.min() < 0 or weights.sum() <= 0:
            raise UsageError(f"Expected finite weights >= 0 of which one is above 0, got {weights.tolist()}.")
        self._bounds = weights.cumsum() / weights.sum()
        lists = [getattr(source, "problems", None) for source in self.sources]
        if None not in lists:  # what has no such list must not seem to have one
            self.problems = Problems(p for many in lists for p in (many or ()))

    def draw(self, rng: np.random.Generator) -> Problem:
        """The next problem of a source chosen with `rng`."""
        place = int(np.searchsorted(self._bounds, rng.random(), side="right"))
        return self.sources[min(place, len(self.sources) - 1)].draw(rng)

    def find(self, id: str) -> Problem:
        """The problem with this id, of the first source that knows it; raises `UnknownName`."""
        refusals: list[UnknownName] = []
        for source in self.sources:
            try:
                return source.find(id)
            except UnknownName as error:
                refusals.append(error)
        raise refusals[0]

    def observe(self, attempt: Attempt) -> None:
        """Every source is told of every attempt; one that learns ignores those on problems of others."""
        for source in self.sources:
            source.observe(attempt)

    def get_state(self) -> list[Any]:
        """The state of each source; None for those that do not change as they go."""
        return [state_of(source) for source in self.sources]

    def set_state(self, saved: Sequence[Any]) -> None:
        """Takes the sources back to states of theirs."""
        for source, state in zip(self.sources, saved, strict=True):
            restore(source, state)
