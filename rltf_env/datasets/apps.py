"""APPS (Hendrycks et al. 2021, arXiv 2105.09938): 5,000 problems to train and 5,000 to test, from programming contests.

Read from the original folders (`train/0001/question.txt`, `input_output.json`, `solutions.json`, `starter_code.py`,
`metadata.json`) or from the hub's rows (`train.jsonl`, fields `problem_id`, `question`, `solutions`, ...), which give the
same problems. A problem without tests cannot be judged, nor can one whose tests, references or notes are not what they should
be: it is in `Problems.skipped` with the reason, and a warning is logged. Rows may have a `time_limit` and a `memory_limit`.
How tests are read is told in `_apps_cases.py`, which samples of a statement become public examples in `_apps_examples.py`.

APPS's harness puts some twenty imports before every program. Programs that read standard input do without them here, as they
did where they come from. Problems from LeetCode (`class Solution`) rely on them: there they are the problem's `prefix`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from rltf_env.core import Limits, Problem, Problems
from rltf_env.datasets import _limits
from rltf_env.datasets._apps_cases import Decoded, Place, entry_point_of, from_file, from_text
from rltf_env.datasets._apps_examples import examples
from rltf_env.datasets._files import Root, check_split, locate, parse, read_rows, read_text
from rltf_env.errors import DataError, MissingData, UnknownName
from rltf_env.plain import as_object, field, strings

SPLITS = ("train", "test")
DIFFICULTIES = ("introductory", "interview", "competition")
REMEDY = (
    "Get the public dataset APPS (hendrycks/apps, MIT; or its rows as train.jsonl and test.jsonl, codeparrot/apps), and pass "
    "root=FOLDER or set RLTF_DATA to the folder that holds apps/train and apps/test."
)
PREFIX = """\
import collections, fractions, heapq, itertools, math, random, sys, time
from collections import ChainMap, Counter, OrderedDict, defaultdict, deque
from functools import lru_cache
from heapq import *
from itertools import accumulate, combinations, permutations, product
from math import ceil, cos, exp, fabs, floor, gcd, log, log2, sin, sqrt, tan
from typing import Dict, List, Optional, Set, Tuple
"""  # what APPS's harness imports, numpy aside, and three more names of typing

_log = logging.getLogger(__name__)


def load(
    split: str = "train",
    root: Root = None,
    *,
    difficulty: str | Collection[str] | None = None,
    python_factor: float = 1.0,
    recursion: int | None = None,
) -> Problems:
    """The problems of a split, `train` or `test`, by number.

    Args:
        root: the common data folder, APPS's own folder, one split's folder, or a JSON or JSON-lines file of the hub's rows;
            default: $RLTF_DATA.
        difficulty: keep only `introductory`, `interview` or `competition` problems, or several of these.
        python_factor: what the seconds of a stated time limit are multiplied by: contests have compiled languages in mind.
        recursion: frames that programs of a `class Solution` may have; LiveCodeBench's harness gives 600,000.

    Raises:
        UnknownName: no such split or difficulty.
        MissingData: nothing there.
        DataError: a file is no JSON (the message names it, and the line), a problem comes twice, or no problem is left.
    """
    check_split("apps", split, SPLITS)
    difficulties = _difficulties(difficulty)
    path = _find(split, root)
    _limits.check(python_factor, recursion)
    problems: dict[str, Problem] = {}
    skipped: dict[str, str] = {}
    for entry in _folders(path, split) if path.is_dir() else _rows(path, split):
        if entry.id in problems or entry.id in skipped:
            raise DataError(f"{entry.where}: expected each problem once, got {entry.id!r} again.")
        read = _read(entry, difficulties, python_factor, recursion)
        if isinstance(read, str):
            skipped[entry.id] = read
        elif read is not None:
            problems[entry.id] = read
    some = "; ".join(f"{id}: {reason.removeprefix(f'{id}: ')}" for id, reason in list(skipped.items())[:5])
    if skipped:
        _log.warning(
            "apps %s: %d of %d problems left out (%s)", split, len(skipped), len(problems) + len(skipped), some
        )
    if not problems:
        request = f"split {split!r}, difficulty {difficulty!r}"
        raise DataError(
            f"{path}: expected problems with tests ({request}), got none. Left out: {some.rstrip('.') or 'none'}."
        )
    return Problems(problems.values(), skipped.items())


def _read(entry: _Entry, difficulties: set[str], python_factor: float, recursion: int | None) -> Problem | str | None:
    """The problem of an entry; why it is left out; or None if its difficulty is not wanted."""
    try:
        raw = entry.read()
        if difficulties and raw.difficulty not in difficulties:
            return None
        tests = raw.read_tests()
        limits = _limits.stated(raw.stated, raw.where, python_factor=python_factor)
    except DataError as error:  # one odd row is no reason to lose the others
        return str(error)
    return tests.reason or _problem(raw, tests, limits, recursion)


def _difficulties(difficulty: str | Collection[str] | None) -> set[str]:
    names = {difficulty} if isinstance(difficulty, str) else set(difficulty or ())
    for name in names:
        if name not in DIFFICULTIES:
            raise UnknownName("difficulty of dataset 'apps':", name, DIFFICULTIES)
    return names


def _find(split: str, root: Root) -> Path:
    own = Path(root).expanduser() if root is not None else None
    if own is not None and own.is_dir() and own.name in SPLITS and any(own.glob("*/question.txt")):
        if own.name == split:
            return own
        raise MissingData(f"Expected split {split!r} of 'apps', got the folder of split {own.name!r}, {own}. {REMEDY}")
    relative = [f"{place}{split}{suffix}" for place in ("apps/", "") for suffix in ("", ".jsonl", ".jsonl.gz", ".json")]
    return locate("apps", root, relative, REMEDY)


# ------------------------------------------------------------------------------------------------- the two layouts


class _Entry(NamedTuple):
    """A problem that either layout has: its id, where it stands, and what reads it (DataError: it is odd)."""

    id: str
    where: str
    read: Callable[[], _Raw]


class _Raw(NamedTuple):
    """A problem as either layout gives it, its tests not yet read: a path to them, or their text and its place."""

    id: str
    where: str
    question: str
    solutions: Sequence[str]
    starter: str
    difficulty: str
    url: str
    stated: dict[str, Any]  # limits
    tests: Path | tuple[str, Place]

    def read_tests(self) -> Decoded:
        if isinstance(self.tests, Path):
            return from_file(self.tests, self.url)
        return from_text(*self.tests)


def _folders(root: Path, split: str) -> Iterator[_Entry]:
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        id = f"apps/{split}/{folder.name}"
        yield _Entry(id, str(folder), partial(_of_folder, id, folder))


def _of_folder(id: str, folder: Path) -> _Raw:
    question, starter = folder / "question.txt", folder / "starter_code.py"
    if not question.is_file():
        raise DataError(f"{folder}: expected a problem of APPS with a question.txt, got a folder without one.")
    where = str(folder / "metadata.json")
    notes = as_object(_json(folder / "metadata.json", {}), where)
    return _Raw(
        id=id,
        where=where,
        question=read_text(question),
        solutions=strings(_json(folder / "solutions.json", []), str(folder / "solutions.json")),
        starter=read_text(starter) if starter.is_file() else "",
        difficulty=_text(notes, "difficulty", where),
        url=_text(notes, "url", where),
        stated=_limits.notes(notes),
        tests=folder / "input_output.json",
    )


def _json(path: Path, default: Any) -> Any:
    text = read_text(path) if path.is_file() else ""
    return parse(text, str(path)) if text.strip() else default


def _rows(path: Path, split: str) -> Iterator[_Entry]:
    if path.suffix == ".json":
        rows = field({"file": parse(read_text(path), str(path))}, "file", list, str(path))
        for number, value in enumerate(rows):
            where = f"{path}[{number}]"
            yield _entry(as_object(value, where), split, Place(path, "", where))
        return
    for row in read_rows(path):
        length = 0 if path.suffix == ".gz" else row.length  # a packed file cannot be read from its middle
        yield _entry(row.value, split, Place(path.absolute(), "", row.where, row.offset, length))


def _entry(row: dict[str, Any], split: str, place: Place) -> _Entry:
    number = row.get("problem_id")
    id = f"apps/{split}/{number:04d}" if type(number) is int else place.where
    return _Entry(id, place.where, partial(_raw, id, row, place))


def _raw(id: str, row: dict[str, Any], place: Place) -> _Raw:
    where = place.where
    field(row, "problem_id", int, where)
    text, url = _text(row, "input_output", where), _text(row, "url", where)
    solutions = row.get("solutions")
    if isinstance(solutions, str):
        solutions = parse(solutions, f"{where}, field 'solutions'") if solutions.strip() else []
    return _Raw(
        id=id,
        where=where,
        question=field(row, "question", str, where),
        solutions=strings(solutions or [], where),
        starter=_text(row, "starter_code", where),
        difficulty=_text(row, "difficulty", where),
        url=url,
        stated=_limits.notes(row),
        tests=(text, place._replace(url=url)),
    )


def _text(row: dict[str, Any], name: str, where: str) -> str:
    """A text that may be missing, or null: then there is none."""
    return field(row, name, str, where) if row.get(name) is not None else ""


# --------------------------------------------------------------------------------------------------- Raw to Problem


def _problem(raw: _Raw, tests: Decoded, limits: Limits | None, recursion: int | None) -> Problem:
    entry_point = entry_point_of(tests.function, raw.starter, raw.solutions)
    prefix = PREFIX if entry_point and "." in entry_point else ""
    return Problem(
        id=raw.id,
        statement=raw.question,
        cases=tests.cases,
        entry_point=entry_point,
        examples=examples(raw.question, tests.cases),
        solutions=tuple(prefix + solution for solution in raw.solutions),
        difficulty=raw.difficulty,
        prefix=prefix,
        starter=raw.starter,
        meta={"style": "rltf", "url": raw.url, "source": _site(raw.url), "examples_in": "statement", **raw.stated},
        limits=_limits.with_recursion(limits, recursion, entry_point, raw.starter),
    )


def _site(url: str) -> str:
    """`codeforces.com`, `atcoder.jp`, ...: whose contest a problem is from."""
    match = re.match(r"https?://(?:www\.)?([^/:?#]+)", url)
    return match[1] if match else ""
