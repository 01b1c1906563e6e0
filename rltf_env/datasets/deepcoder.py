"""DeepCoder's preview data: the problems that DeepCoder-14B was trained on, from four sources.

Read from rows as the hub's `agentica-org/DeepCoder-Preview-Dataset` has them, `config=` one of
`primeintellect`, `taco`, `lcbv5` (train and test) and `codeforces` (test). `tests` is JSON: two lists
with perhaps a function's name, or records of one test each. The name may stand in a `metadata` of the
row or of a test.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from rltf_env.core import Problem, Problems
from rltf_env.datasets import _contests, _limits, _tables
from rltf_env.datasets._apps_examples import examples
from rltf_env.datasets._files import Root
from rltf_env.datasets._tables import Row, Table, text
from rltf_env.errors import UnknownName

SPLITS = ("train", "test")
CONFIGS = ("primeintellect", "taco", "lcbv5", "codeforces")
REMEDY = (
    "Get the rows of the public data set agentica-org/DeepCoder-Preview-Dataset as parquet or JSON lines, and pass root=FOLDER "
    "or set RLTF_DATA to the folder that holds deepcoder/primeintellect/ and the others; or root='hub'."
)


def load(
    split: str = "train",
    root: Root = None,
    *,
    config: str | None = None,
    recursion: int | None = None,
    limit: int | None = None,
) -> Problems:
    """The problems of one source.

    Args:
        split: `train`, or `test` (of `lcbv5` and `codeforces`).
        root: the common data folder, the set's own, a file, or `"hub"`.
        config: the source; without it `primeintellect` to train and `codeforces` to test.
        recursion: frames that programs of a `class Solution` may have.
        limit: look at the first so many rows only.
    """
    config = config or ("codeforces" if split == "test" else "primeintellect")
    if config not in CONFIGS:
        raise UnknownName("config of dataset 'deepcoder':", config, CONFIGS)
    _limits.check(1.0, recursion)
    table = Table(
        "deepcoder",
        "agentica-org/DeepCoder-Preview-Dataset",
        {"train": "train", "test": "test"},
        REMEDY,
        config=config,
    )
    read = partial(_problem, name=f"deepcoder/{config}/{split}", recursion=recursion)
    return _tables.collect(table, split, root, read, limit=limit)


def _problem(row: Row, name: str, recursion: int | None) -> Problem | str:
    tests: Any = _tables.data(row, "tests")
    function = _function(_tables.data(row, "metadata")) or _function(tests)
    decoded = _contests.decoded_tests(tests, f"{row.where}, tests", name=function)
    statement = text(row, "problem")
    return _contests.problem(
        row,
        f"{name}/{row.number}",
        statement,
        decoded,
        starter=text(row, "starter_code", ""),
        solutions=_tables.names(row, "solutions"),
        examples=examples(statement, decoded.cases),
        recursion=recursion,
        meta={"source": name.split("/")[1]},
    )


def _function(value: Any) -> str | None:
    """The name to call: in notes, or in those of a first test."""
    if isinstance(value, list):
        value = value[0].get("metadata") if value and isinstance(value[0], Mapping) else None
    if isinstance(value, str):
        value = _tables.literal(value, "metadata")
    name = value.get("func_name") if isinstance(value, Mapping) else None
    return name if isinstance(name, str) and name else None
