"""SYNTHETIC-1 (PrimeIntellect): its rows of `task_type` "verifiable_code"; all others are left out.

Read from rows as the hub's `PrimeIntellect/SYNTHETIC-1` has them. It has many answers to one problem,
a row each: the first gives the problem, and the others are left out as having come before.
"""

from __future__ import annotations

from functools import partial

from rltf_env.core import Problems
from rltf_env.datasets import _limits, _tables, _verification
from rltf_env.datasets._files import Root
from rltf_env.datasets._tables import Table

SPLITS = ("train",)
TABLE = Table(
    "synthetic_1",
    "PrimeIntellect/SYNTHETIC-1",
    {"train": "train"},
    "Get the rows of the public data set PrimeIntellect/SYNTHETIC-1 as parquet or JSON lines, and pass root=FOLDER or set "
    "RLTF_DATA to the folder that holds synthetic_1/; or root='hub'.",
)


def load(
    split: str = "train", root: Root = None, *, recursion: int | None = None, limit: int | None = None
) -> Problems:
    """The coding problems of the only split, `train`.

    Args:
        root: the common data folder, the set's own, a file, or `"hub"`.
        recursion: frames that programs of a `class Solution` may have.
        limit: look at the first so many rows only.
    """
    _limits.check(1.0, recursion)
    read = partial(_verification.problem, name="synthetic_1", recursion=recursion)
    return _tables.collect(TABLE, split, root, read, limit=limit)
