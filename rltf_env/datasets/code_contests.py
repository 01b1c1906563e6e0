"""CodeContests (Li et al. 2022, arXiv 2203.07814): contest problems with public, private and generated tests.

Read from rows as the hub's `deepmind/code_contests` has them. Public tests are the examples; a program
is judged by all. Generated tests come from mutated inputs, some of which are no valid input, and have
as answers what right programs printed: `generated=False` leaves them out. Answers are compared as text,
so where several are right, `rltf check code_contests` finds references that fail. Problems that read or
write files are left out. Python 3 programs that were judged wrong are in `meta["incorrect"]`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from rltf_env.core import Problem, Problems, StdinCase
from rltf_env.datasets import _contests, _limits, _tables
from rltf_env.datasets._apps_cases import Decoded
from rltf_env.datasets._files import Root
from rltf_env.datasets._tables import Row, Table, text
from rltf_env.errors import DataError
from rltf_env.plain import as_object

SPLITS = ("train", "validation", "test")
PYTHON3 = 3  # of the data set's languages
SOURCES = ("", "codechef", "codeforces", "hackerearth", "codejam", "atcoder", "aizu")
DIFFICULTIES = ("", "easy", "medium", "hard", "harder", "hardest", "external", *"ABCDEFGHIJKLMNOPQRSTUV")
TABLE = Table(
    "code_contests",
    "deepmind/code_contests",
    {"train": "train", "validation": "valid", "test": "test"},
    "Get the rows of the public data set deepmind/code_contests (CC BY 4.0) as parquet or JSON lines, and pass root=FOLDER "
    "or set RLTF_DATA to the folder that holds code_contests/; or root='hub'.",
)


def load(
    split: str = "train",
    root: Root = None,
    *,
    generated: bool = True,
    python_factor: float = 1.0,
    references: int = 5,
    limit: int | None = None,
) -> Problems:
    """The problems of a split, `train`, `validation` or `test`.

    Args:
        root: the common data folder, the set's own, a file, or `"hub"`.
        generated: judge by the generated tests too.
        python_factor: what the seconds of a stated time limit are multiplied by.
        references: right and wrong programs of a problem that are kept, of each so many.
        limit: look at the first so many rows only.
    """
    _limits.check(python_factor, None)
    read = partial(_problem, generated=generated, factor=python_factor, references=references)
    return _tables.collect(TABLE, split, root, read, limit=limit)


def _problem(row: Row, generated: bool, factor: float, references: int) -> Problem | str:
    for name in ("input_file", "output_file"):
        if file := text(row, name, ""):
            return f"{name.replace('_', ' ')} {file!r}: programs here use standard input and output"
    parts = ("public_tests", "private_tests", *(("generated_tests",) if generated else ()))
    public, *hidden = (tuple(_cases(row, name)) for name in parts)
    cases = (*public, *(case for part in hidden for case in part))
    return _contests.problem(
        row,
        f"code_contests/{text(row, 'name')}",
        text(row, "description"),
        Decoded(cases, reason="" if cases else "no tests"),
        solutions=_programs(row, "solutions", references),
        examples=public,
        difficulty=_named(row, "difficulty", DIFFICULTIES),
        limits=_contests.limits_of(row, factor),
        meta={
            "source": _named(row, "source", SOURCES),
            "tags": tuple(tag for tag in _tables.names(row, "cf_tags") if tag),
            "rating": row.value.get("cf_rating"),
            "incorrect": _programs(row, "incorrect_solutions", references),
            **_limits.notes(row.value),
        },
    )


def _cases(row: Row, name: str) -> Iterator[StdinCase]:
    tests = as_object(_tables.data(row, name) or {}, f"{row.where}, {name}")
    given, right = (tests.get(key) or [] for key in ("input", "output"))
    lists = isinstance(given, list) and isinstance(right, list) and len(given) == len(right)
    if not lists or not all(isinstance(item, str) for item in (*given, *right)):
        raise DataError(f"{row.where}, {name}: expected as many input texts as output texts, got others.")
    return map(StdinCase, given, right)


def _programs(row: Row, name: str, count: int) -> tuple[str, ...]:
    programs = as_object(_tables.data(row, name) or {}, f"{row.where}, {name}")
    languages, sources = (programs.get(key) or [] for key in ("language", "solution"))
    lists = isinstance(languages, list) and isinstance(sources, list) and len(languages) == len(sources)
    if not lists or not all(isinstance(source, str) for source in sources):
        raise DataError(f"{row.where}, {name}: expected as many languages as texts of programs, got others.")
    pairs = zip(languages, sources, strict=True)
    return tuple(source for language, source in pairs if language in (PYTHON3, "PYTHON3"))[:count]


def _named(row: Row, name: str, known: tuple[str, ...]) -> str:
    """A number of an enumeration, as its name; a name as it is."""
    value = row.value.get(name) or 0
    if isinstance(value, str):
        return value.lower()
    return known[value] if isinstance(value, int) and 0 <= value < len(known) else ""
