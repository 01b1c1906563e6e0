"""Another source's problems, changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from rltf_env.core import Attempt, Problem, Source
from rltf_env.sources._state import restore, state_of


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
