"""LiveCodeBench (Jain et al. 2024, arXiv 2403.07974): contest problems with the day on which they were published.

Read from the files of the hub's `livecodebench/code_generation_lite`: `test.jsonl`, `test2.jsonl` ...
A release is all files up to a number (`version="release_v6"`, the default), `"v6"` the last file
alone. `start_date` and `end_date` choose a window: what was published after a model's training ended
cannot have been in it. Private tests are packed; they are unpacked without unpickling (`_packed.py`),
at first use, for all of them do not fit in memory.

As in the benchmark, a program is judged by the public tests and the private ones, and those of a
`class Solution` may have 600,000 frames. The public tests are the examples; the statement shows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from rltf_env.core import CallCase, Case, Problem, Problems, StdinCase
from rltf_env.datasets import _contests, _limits, _tables
from rltf_env.datasets._apps_cases import Decoded
from rltf_env.datasets._files import Root, parse
from rltf_env.datasets._lazy import Later
from rltf_env.datasets._packed import unpacked
from rltf_env.datasets._tables import Row, Table, Window, text
from rltf_env.errors import DataError, UnknownName
from rltf_env.plain import as_object

SPLITS = ("test",)
FILES = ("test.jsonl", "test2.jsonl", "test3.jsonl", "test4.jsonl", "test5.jsonl", "test6.jsonl")
VERSIONS = {f"release_v{n}": FILES[:n] for n in range(1, 7)} | {f"v{n}": FILES[n - 1 : n] for n in range(1, 7)}
REMEDY = (
    "Get the files test.jsonl to test6.jsonl of the public data set livecodebench/code_generation_lite, and pass root=FOLDER "
    "or set RLTF_DATA to the folder that holds livecodebench/; or root='hub:OWNER/NAME' for a copy in parquet on the hub."
)


def load(
    split: str = "test",
    root: Root = None,
    *,
    version: str = "release_v6",
    start_date: str | None = None,
    end_date: str | None = None,
    recursion: int | None = _limits.LIVECODEBENCH,
    limit: int | None = None,
) -> Problems:
    """The problems of a release that were published in a window.

    Args:
        root: the common data folder, LiveCodeBench's own, one of its files, or `"hub:OWNER/NAME"`.
        version: a release, `release_v1` to `release_v6`, or one file's, `v1` to `v6`.
        start_date, end_date: `YYYY-MM-DD`, both included.
        recursion: frames that programs of a `class Solution` may have; None: Python's own limit.
        limit: look at the first so many rows only.

    Raises:
        UnknownName: no such split or version.
        MissingData: nothing there.
        DataError: no row is a problem.
    """
    if version not in VERSIONS:
        raise UnknownName("version of dataset 'livecodebench':", version, VERSIONS)
    _limits.check(1.0, recursion)
    table = Table(
        "livecodebench",
        "livecodebench/code_generation_lite",
        {"test": "test"},
        REMEDY,
        config=version,
        files={"test": VERSIONS[version]},
    )
    read = partial(_problem, window=_tables.window(start_date, end_date), recursion=recursion)
    return _tables.collect(table, split, root, read, limit=limit)


def _problem(row: Row, window: Window, recursion: int | None) -> Problem | str | None:
    date = _tables.date(row.value.get("contest_date"))
    if (inside := window.holds(date)) is not True:
        return _tables.UNDATED if inside is None else None
    notes = as_object(_tables.data(row, "metadata") or {}, row.where)
    name = notes.get("func_name")
    public = _tests(_tables.data(row, "public_test_cases") or [], name, f"{row.where}, public_test_cases")
    tests = _all(row, public, name)
    return _contests.problem(
        row,
        f"livecodebench/{row.value.get('question_id') or row.number}",
        text(row, "question_content"),
        tests,
        starter=text(row, "starter_code", ""),
        examples=public.cases,
        difficulty=text(row, "difficulty", ""),
        recursion=recursion,
        meta={
            "source": text(row, "platform", ""),
            "date": date,
            "title": text(row, "question_title", ""),
            "contest": text(row, "contest_id", ""),
        },
    )


def _all(row: Row, public: Decoded, name: str | None) -> Decoded:
    """Public and private tests; of a large row the private ones are unpacked at first use."""
    if row.large and public.cases:
        kind = StdinCase if public.function is None else CallCase
        place = row._replace(value={})
        return Decoded(Later(partial(_cases_at, place, name), kind), public.function)
    private = _private(row, name)
    if public.function != private.function and public.cases and private.cases:
        raise DataError(f"{row.where}: expected public and private tests of one kind, got both kinds.")
    return Decoded(
        (*public.cases, *private.cases),
        public.function or private.function,
        "" if public.cases or private.cases else "no tests",
    )


def _cases_at(place: Row, name: str | None) -> Sequence[Case]:
    row = _tables.again(place)
    public = _tests(_tables.data(row, "public_test_cases") or [], name, f"{row.where}, public_test_cases")
    return (*public.cases, *_private(row, name).cases)


def _private(row: Row, name: str | None) -> Decoded:
    """The private tests: JSON as it is, or packed."""
    where = f"{row.where}, private_test_cases"
    value = row.value.get("private_test_cases") or []
    if isinstance(value, str):
        source = value if value.lstrip()[:1] == "[" else unpacked(value, where)
        value = parse(source, where)
    return _tests(value, name, where)


def _tests(value: Any, name: str | None, where: str) -> Decoded:
    return _contests.decoded_tests(value, where, name=name) if value else Decoded(())
