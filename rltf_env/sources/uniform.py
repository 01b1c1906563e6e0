"""A problem at random, each time anew."""

from __future__ import annotations

import numpy as np

from rltf_env.core import Problem, Problems
from rltf_env.sources._finite import Finite


def load(problems: Problems) -> Uniform:
    """The source `"uniform"`."""
    return Uniform(problems)


class Uniform(Finite):
    """Every problem with the same chance, each draw on its own."""

    def draw(self, rng: np.random.Generator) -> Problem:
        """A problem chosen with `rng`."""
        return self.problems[int(rng.integers(len(self.problems)))]
