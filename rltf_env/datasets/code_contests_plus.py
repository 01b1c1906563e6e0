"""CodeContests+ (Wang et al. 2025, arXiv 2506.05817): CodeContests' problems with tests made by generators, and checked.

Read from rows as the hub's `ByteDance-Seed/Code-Contests-Plus` has them, `config="1x"` to `"5x"` for
more and more tests. A checker there is a C++ program for testlib, which is not run here: to compare
text in its place would refuse right programs, so problems that have one are left out. Python
submissions that were judged wrong are in `meta["incorrect"]`.
"""

from __future__ import annotations

from functools import partial

from rltf_env.core import Problem, Problems
from rltf_env.datasets import _contests, _limits, _tables
from rltf_env.datasets._apps_examples import examples
from rltf_env.datasets._files import Root
from rltf_env.datasets._tables import Row, Table, text
from rltf_env.errors import UnknownName

SPLITS = ("train",)
CONFIGS = ("default", "1x", "2x", "3x", "4x", "5x")
PYTHON = ("py3", "python3", "python", "PYTHON3")
REMEDY = (
    "Get the rows of the public data set ByteDance-Seed/Code-Contests-Plus (CC BY 4.0) as parquet or JSON lines, and pass "
    "root=FOLDER or set RLTF_DATA to the folder that holds code_contests_plus/1x/; or root='hub'."
)


def load(
    split: str = "train",
    root: Root = None,
    *,
    config: str = "1x",
    python_factor: float = 1.0,
    references: int = 5,
    limit: int | None = None,
) -> Problems:
    """The problems of the only split, `train`.

    Args:
        root: the common data folder, the set's own, a file, or `"hub"`.
        config: how many tests: `1x` to `5x`, or `default`.
        python_factor: what the seconds of a stated time limit are multiplied by.
        references: right and wrong programs of a problem that are kept, of each so many.
        limit: look at the first so many rows only.
    """
    if config not in CONFIGS:
        raise UnknownName("config of dataset 'code_contests_plus':", config, CONFIGS)
    _limits.check(python_factor, None)
    table = Table("code_contests_plus", "ByteDance-Seed/Code-Contests-Plus", {"train": "train"}, REMEDY, config=config)
    return _tables.collect(
        table, split, root, partial(_problem, factor=python_factor, references=references), limit=limit
    )


def _problem(row: Row, factor: float, references: int) -> Problem | str:
    if text(row, "checker", "").strip():
        return "its checker is a C++ program, which is not run here"
    tests = _contests.decoded_tests(_tables.records(row, "test_cases"), f"{row.where}, test_cases")
    statement = text(row, "description")
    return _contests.problem(
        row,
        f"code_contests_plus/{text(row, 'id')}",
        statement,
        tests,
        solutions=_programs(row, "correct_submissions", references),
        examples=examples(statement, tests.cases),
        limits=_contests.limits_of(row, factor),
        meta={
            "source": text(row, "source", ""),
            "title": text(row, "title", ""),
            "incorrect": _programs(row, "incorrect_submissions", references),
            **_limits.notes(row.value),
        },
    )


def _programs(row: Row, name: str, count: int) -> tuple[str, ...]:
    found = (each.get("code") for each in _tables.records(row, name) if each.get("language") in PYTHON)
    return tuple(source for source in found if isinstance(source, str))[:count]
