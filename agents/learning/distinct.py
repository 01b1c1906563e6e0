"""A buffer that takes no program twice: by text, or by syntax tree ("Automatic unit test data generation and actor-critic
reinforcement learning for code synthesis", arXiv 2310.13669).

    none     every program enters
    text     one of a problem's programs with the same text
    tree     one with the same tree: names that a program binds are numbered, comments, docstrings, annotations gone
    random   as many enter as with "tree", but chosen at random: the control, which says whether it is the repeats

The tree's key is a fact of the program (`rltf_env.facts.Facts.key`), made where programs are compiled ahead, in the judge: nothing
of a program is parsed here. A program without facts, such as one that is no Python, goes by its text. What has entered
is remembered first in, first out, as long as the buffer would hold it; a repeat refreshes nothing. What a program
weighs is settled before: a group's mean counts its repeats.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from agents.core import Episode, TrainingSample
from rltf_env.env import UnitTestEnv

By = Literal["none", "text", "tree", "random"]


class Distinct:
    """Lets the first of equal samples through.

    Args:
        by: see the module's head.
        memory: keys that are remembered, at the most.
    """

    def __init__(self, by: By, memory: int) -> None:
        self.by, self.memory = by, memory
        self._seen: dict[str, None] = {}  # oldest first

    @classmethod
    def opened(cls, by: By, memory: int, env: UnitTestEnv) -> Distinct | None:
        """One for an agent, whose environment then has the judge give facts where they are needed; None for "none"."""
        if by in ("tree", "random"):
            env.require("facts", f'distinct = "{by}"')
        return None if by == "none" else cls(by, memory)

    def key(self, e: Episode) -> str:
        """What this episode has in common with its repeats."""
        facts = e.verdict.facts if self.by != "text" else None
        what = f"text {e.program.text}" if facts is None else f"tree {facts.key}"
        return hashlib.blake2b(f"{e.problem}\0{what}".encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()

    def __call__(self, samples: Sequence[TrainingSample], rng: np.random.Generator) -> list[TrainingSample]:
        """The samples that are new, in order; with "random" as many of them, whichever."""
        new = [self._is_new(sample.key) for sample in samples]
        if self.by == "random":
            new = rng.permutation(new).tolist()
        return [sample for sample, is_new in zip(samples, new, strict=True) if is_new]

    def _is_new(self, key: str) -> bool:
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > self.memory:
            del self._seen[next(iter(self._seen))]
        return True

    def state_dict(self) -> dict[str, Any]:
        """The keys, oldest first."""
        return {"seen": list(self._seen)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self._seen = dict.fromkeys(state["seen"])


def key_of(e: Episode, distinct: Distinct | None) -> str:
    """The key of a sample; "" where nothing looks for repeats."""
    return "" if distinct is None else distinct.key(e)
