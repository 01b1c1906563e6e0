"""TACO (Li et al. 2023, arXiv 2312.14852): 25,443 contest problems to train and 1,000 to test, with tags and limits.

Read from rows as the hub's `BAAI/TACO` or its checked subset `likaixin/TACO-verified` have them. Tests
are those of APPS (`input_output`), and read as there. `tags`, `raw_tags` and `skill_types` are texts of
Python lists. Its references are scraped: `rltf check taco` says which problems they do not solve.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from rltf_env.core import Problem, Problems
from rltf_env.datasets import _contests, _limits, _tables
from rltf_env.datasets._apps_examples import examples
from rltf_env.datasets._files import Root
from rltf_env.datasets._tables import Row, Table, Window, text

SPLITS = ("train", "test")
TABLE = Table(
    "taco",
    "BAAI/TACO",
    {"train": "train", "test": "test"},
    "Get the rows of the public data set BAAI/TACO (or likaixin/TACO-verified) as train.jsonl and test.jsonl or as parquet, "
    "and pass root=FOLDER or set RLTF_DATA to the folder that holds taco/; or root='hub:likaixin/TACO-verified'.",
)


def load(
    split: str = "train",
    root: Root = None,
    *,
    python_factor: float = 1.0,
    recursion: int | None = None,
    start_date: str | None = None,
    end_date: str | None = None,
    references: int = 5,
    limit: int | None = None,
) -> Problems:
    """The problems of a split, `train` or `test`.

    Args:
        root: the common data folder, TACO's own, a file, or `"hub"`.
        python_factor: what the seconds of a stated time limit are multiplied by.
        recursion: frames that programs of a `class Solution` may have.
        start_date, end_date: `YYYY-MM-DD`, both included; most rows state no date.
        references: solutions of a problem that are kept.
        limit: look at the first so many rows only.
    """
    _limits.check(python_factor, recursion)
    window = _tables.window(start_date, end_date)
    read = partial(
        _problem, split=split, window=window, factor=python_factor, recursion=recursion, references=references
    )
    return _tables.collect(TABLE, split, root, read, limit=limit)


def _problem(
    row: Row, split: str, window: Window, factor: float, recursion: int | None, references: int
) -> Problem | str | None:
    date = _tables.date(row.value.get("date"))
    if (inside := window.holds(date)) is not True:
        return _tables.UNDATED if inside is None else None
    tests: Any = _tables.data(row, "input_output")
    url = text(row, "url", "")
    decoded = _contests.decoded_tests(tests, f"{row.where}, input_output", url=url)
    statement = text(row, "question")
    return _contests.problem(
        row,
        f"taco/{split}/{row.number}",
        statement,
        decoded,
        starter=text(row, "starter_code", ""),
        solutions=_tables.names(row, "solutions")[:references],
        examples=examples(statement, decoded.cases),
        difficulty=text(row, "difficulty", "").lower(),
        limits=_contests.limits_of(row, factor),
        recursion=recursion,
        meta={
            "source": text(row, "source", ""),
            "url": url,
            "date": date,
            "title": text(row, "name", ""),
            "tags": tuple(dict.fromkeys((*_tables.names(row, "tags"), *_tables.names(row, "skill_types")))),
            **_limits.notes(row.value),
        },
    )
