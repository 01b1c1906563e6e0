"""rStar-Coder (Liu et al. 2025, arXiv 2505.21297): contest problems with tests that were made and agreed upon by programs.

Read from rows as the hub's `microsoft/rStar-Coder` has them, `config=` `seed_testcase` (collected
problems) or `synthetic_rl_testcase` (made from those). `inputs` and `outputs` are lists, or the JSON
of lists. The rows have tests and no references.
"""

from __future__ import annotations

from functools import partial

from rltf_env.core import Problem, Problems
from rltf_env.datasets import _contests, _limits, _tables
from rltf_env.datasets._apps_examples import examples
from rltf_env.datasets._files import Root
from rltf_env.datasets._tables import Row, Table, text
from rltf_env.errors import DataError, UnknownName

SPLITS = ("train",)
CONFIGS = ("seed_testcase", "synthetic_rl_testcase")
REMEDY = (
    "Get the rows of the public data set microsoft/rStar-Coder (CC BY 4.0) as parquet or JSON lines, and pass root=FOLDER or "
    "set RLTF_DATA to the folder that holds rstar_coder/seed_testcase/; or root='hub'."
)


def load(
    split: str = "train",
    root: Root = None,
    *,
    config: str = "seed_testcase",
    recursion: int | None = None,
    limit: int | None = None,
) -> Problems:
    """The problems of the only split, `train`.

    Args:
        root: the common data folder, the set's own, a file, or `"hub"`.
        config: `seed_testcase` or `synthetic_rl_testcase`.
        recursion: frames that programs of a `class Solution` may have.
        limit: look at the first so many rows only.
    """
    if config not in CONFIGS:
        raise UnknownName("config of dataset 'rstar_coder':", config, CONFIGS)
    _limits.check(1.0, recursion)
    table = Table("rstar_coder", "microsoft/rStar-Coder", {"train": "train"}, REMEDY, config=config)
    return _tables.collect(table, split, root, partial(_problem, recursion=recursion), limit=limit)


def _problem(row: Row, recursion: int | None) -> Problem | str:
    lists = {name: _tables.data(row, name) or [] for name in ("inputs", "outputs")}
    for name, value in lists.items():
        if not isinstance(value, list):
            raise DataError(
                f"{row.where}: expected {name!r} to be a list or the text of one, got {type(value).__name__}."
            )
    tests = _contests.decoded_tests(lists, row.where, name=text(row, "func_name", "") or None)
    statement = text(row, "question")
    made = bool(row.value.get("is_synthesized"))
    return _contests.problem(
        row,
        f"rstar_coder/{row.value.get('question_id') or row.number}",
        statement,
        tests,
        starter=text(row, "starter_code", ""),
        examples=examples(statement, tests.cases),
        recursion=recursion,
        meta={"source": "synthetic" if made else "seed", "test_case_type": _kind(row)},
    )


def _kind(row: Row) -> str | list[str]:
    """How the tests were made: a text for all of them, or a list. Raises DataError."""
    value = row.value.get("test_case_type")
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return value
    return text(row, "test_case_type", "")
