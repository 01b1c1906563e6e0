"""The contract of curricula can fail: what `check_curriculum` says of bad ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from rltf_env.core import Attempt, Problem
from rltf_env.testing import check_curriculum


class Wrapped:
    """A curriculum that does nothing, to be broken."""

    def __init__(self, source: Any) -> None:
        self.source = source

    @property
    def problems(self) -> Any:
        return self.source.problems

    def draw(self, rng: np.random.Generator) -> Problem:
        return self.source.draw(rng)

    def find(self, id: str) -> Problem:
        return self.source.find(id)

    def observe(self, attempt: Attempt) -> None:
        self.source.observe(attempt)

    def get_state(self) -> Any:
        return self.source.get_state()

    def set_state(self, saved: Any) -> None:
        self.source.set_state(saved)


class Forgetful(Wrapped):
    def get_state(self) -> Any:
        return {}

    def set_state(self, saved: Any) -> None:
        pass


class Renaming(Wrapped):
    def draw(self, rng: np.random.Generator) -> Problem:
        drawn = self.source.draw(rng)
        return replace(drawn, id=drawn.id.replace("/3/", "/2/") + "0")

    def find(self, id: str) -> Problem:
        if "procedural" not in id:
            return self.source.find(id)
        return replace(self.source.problems[0], id=id)


class Foreign(Wrapped):
    def draw(self, rng: np.random.Generator) -> Problem:
        return replace(self.source.draw(rng), prefix="def g(x):\n")


class Counting(Wrapped):
    seen = 0

    def observe(self, attempt: Attempt) -> None:
        self.seen += 1

    def get_state(self) -> Any:
        return [self.seen, self.source.get_state()]

    def set_state(self, saved: Any) -> None:
        self.seen = saved[0]
        self.source.set_state(saved[1])


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Forgetful, "a restored curriculum to draw"),
        (Renaming, "the id of one of the source's problems"),
        (Foreign, "to begin with 'def g"),
        (Counting, "after an attempt at a foreign problem"),
    ],
)
def test_check_curriculum_tells_a_bad_one(kind: type, message: str) -> None:
    check_curriculum(Wrapped)
    with pytest.raises(AssertionError, match=message):
        check_curriculum(kind)
