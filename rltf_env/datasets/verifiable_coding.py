"""Verifiable coding problems (PrimeIntellect, open-r1): contest problems in Python with a reference each.

Read from rows as the hub's `open-r1/verifiable-coding-problems-python` (and `_decontaminated`) or
`PrimeIntellect/verifiable-coding-problems` have them. Call arguments that are no data, and programs
in other languages, are left out with the reason.
"""

from __future__ import annotations

from functools import partial

from rltf_env.core import Problem, Problems
from rltf_env.datasets import _limits, _tables, _verification
from rltf_env.datasets._files import Root
from rltf_env.datasets._tables import Row, Table

SPLITS = ("train",)
TABLE = Table(
    "verifiable_coding",
    "open-r1/verifiable-coding-problems-python",
    {"train": "train"},
    "Get the rows of the public data set open-r1/verifiable-coding-problems-python as parquet or JSON lines, and pass root=FOLDER "
    "or set RLTF_DATA to the folder that holds verifiable_coding/; or root='hub'.",
)


def load(
    split: str = "train", root: Root = None, *, recursion: int | None = None, limit: int | None = None
) -> Problems:
    """The problems of the only split, `train`.

    Args:
        root: the common data folder, the set's own, a file, `"hub"` or `"hub:OWNER/NAME"`.
        recursion: frames that programs of a `class Solution` may have.
        limit: look at the first so many rows only.
    """
    _limits.check(1.0, recursion)
    return _tables.collect(TABLE, split, root, partial(_problem, recursion=recursion), limit=limit)


def _problem(row: Row, recursion: int | None) -> Problem | str:
    statement = "problem_statement" if row.value.get("problem_statement") else "prompt"
    return _verification.problem(row, "verifiable_coding", recursion, statement=statement)
