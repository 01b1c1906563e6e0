"""APPS (Hendrycks et al. 2021, arXiv 2105.09938): 5,000 problems to train and 5,000 to test, from programming contests.

Read from the original folders (`train/0001/question.txt`, `input_output.json`, `solutions.json`, `starter_code.py`,
`metadata.json`) or from the hub's rows (`train.jsonl`, fields `problem_id`, `question`, `solutions`, ...), which give the
same problems. A problem without tests cannot be judged: it is in `Problems.skipped` with the reason, and a warning is logged.
How tests are read is told in `_apps_cases.py`, which samples of a statement become public examples in `_apps_examples.py`.

APPS's harness puts some twenty imports before every program. Programs that read standard input do without them here, as they
did where they come from. Problems from LeetCode (`class Solution`) rely on them: there they are the problem's `prefix`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rltf_env.core import Problem, Problems
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


def load(split: str = "train", root: Root = None, *, difficulty: str | Collection[str] | None = None) -> Problems:
    """The problems of a split, `train` or `test`, by number.

    Args:
        root: the common data folder, APPS's own folder, one split's folder, or a JSON or JSON-lines file of the hub's rows;
            default: $RLTF_DATA.
        difficulty: keep only `introductory`, `interview` or `competition` problems, or several of these.

    Raises:
        UnknownName: no such split or difficulty.
        MissingData: nothing there.
        DataError: a file is malformed (the message names it, and the line), or no problem is left.
    """
    check_split("apps", split, SPLITS)
    wanted = _difficulties(difficulty)
    path = _find(split, root)
    raws = _folders(path, split) if path.is_dir() else _rows(path, split)
    problems: dict[str, Problem] = {}
    skipped: dict[str, str] = {}
    for raw in raws:
        if raw.id in problems or raw.id in skipped:
            raise DataError(f"{raw.where}: expected each problem once, got {raw.id!r} again.")
        if not wanted or raw.difficulty in wanted:
            found = raw.read_tests()
            if found.reason:
                skipped[raw.id] = found.reason
            else:
                problems[raw.id] = _problem(raw, found)
    if skipped:
        some = "; ".join(f"{id}: {reason}" for id, reason in list(skipped.items())[:5])
        _log.warning(
            "apps %s: %d of %d problems left out (%s)", split, len(skipped), len(problems) + len(skipped), some
        )
    if not problems:
        raise DataError(f"{path}: expected problems with tests (split {split!r}, difficulty {difficulty!r}), got none.")
    return Problems(problems.values(), skipped.items())


def _difficulties(wanted: str | Collection[str] | None) -> set[str]:
    chosen = {wanted} if isinstance(wanted, str) else set(wanted or ())
    for name in chosen:
        if name not in DIFFICULTIES:
            raise UnknownName("difficulty of dataset 'apps':", name, DIFFICULTIES)
    return chosen


def _find(split: str, root: Root) -> Path:
    own = Path(root).expanduser() if root is not None else None
    if own is not None and own.is_dir() and own.name in SPLITS and any(own.glob("*/question.txt")):
        if own.name == split:
            return own
        raise MissingData(f"Expected split {split!r} of 'apps', got the folder of split {own.name!r}, {own}. {REMEDY}")
    relative = [f"{place}{split}{suffix}" for place in ("apps/", "") for suffix in ("", ".jsonl", ".jsonl.gz", ".json")]
    return locate("apps", root, relative, REMEDY)


# ------------------------------------------------------------------------------------------------- the two layouts


class _Raw(NamedTuple):
    """A problem as either layout gives it, its tests not yet read: a path to them, or their text and its place."""

    id: str
    where: str
    question: str
    solutions: Sequence[str]
    starter: str
    difficulty: str
    url: str
    tests: Path | tuple[str, Place]

    def read_tests(self) -> Decoded:
        if isinstance(self.tests, Path):
            return from_file(self.tests, self.url)
        return from_text(*self.tests)


def _folders(root: Path, split: str) -> Iterator[_Raw]:
    for folder in sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith(".")):
        question = folder / "question.txt"
        if not question.is_file():
            raise DataError(f"{folder}: expected a problem of APPS with a question.txt, got a folder without one.")
        notes = as_object(_json(folder / "metadata.json", {}), str(folder / "metadata.json"))
        starter = folder / "starter_code.py"
        yield _Raw(
            id=f"apps/{split}/{folder.name}",
            where=str(folder),
            question=read_text(question),
            solutions=strings(_json(folder / "solutions.json", []), str(folder / "solutions.json")),
            starter=read_text(starter) if starter.is_file() else "",
            difficulty=field({"difficulty": ""} | notes, "difficulty", str, str(folder / "metadata.json")),
            url=field({"url": ""} | notes, "url", str, str(folder / "metadata.json")),
            tests=folder / "input_output.json",
        )


def _json(path: Path, default: Any) -> Any:
    text = read_text(path) if path.is_file() else ""
    return parse(text, str(path)) if text.strip() else default


def _rows(path: Path, split: str) -> Iterator[_Raw]:
    if path.suffix == ".json":
        rows = field({"file": parse(read_text(path), str(path))}, "file", list, str(path))
        for number, value in enumerate(rows):
            where = f"{path}[{number}]"
            yield _raw(as_object(value, where), split, Place(path, "", where))
        return
    for row in read_rows(path):
        length = 0 if path.suffix == ".gz" else row.length  # a packed file cannot be read from its middle
        yield _raw(row.value, split, Place(path.absolute(), "", row.where, row.offset, length))


def _raw(row: dict[str, Any], split: str, place: Place) -> _Raw:
    where = place.where
    question, solutions, text, difficulty, url, starter = (
        field(row, name, str, where)
        for name in ("question", "solutions", "input_output", "difficulty", "url", "starter_code")
    )
    return _Raw(
        id=f"apps/{split}/{field(row, 'problem_id', int, where):04d}",
        where=where,
        question=question,
        solutions=strings(parse(solutions, f"{where}, field 'solutions'"), where) if solutions.strip() else (),
        starter=starter,
        difficulty=difficulty,
        url=url,
        tests=(text, place._replace(url=url)),
    )


# --------------------------------------------------------------------------------------------------- Raw to Problem


def _problem(raw: _Raw, found: Decoded) -> Problem:
    entry_point = entry_point_of(found.function, raw.starter, raw.solutions)
    prefix = PREFIX if entry_point and "." in entry_point else ""
    return Problem(
        id=raw.id,
        statement=raw.question,
        cases=found.cases,
        entry_point=entry_point,
        examples=examples(raw.question, found.cases),
        solutions=tuple(prefix + solution for solution in raw.solutions),
        difficulty=raw.difficulty,
        prefix=prefix,
        starter=raw.starter,
        meta={"style": "rltf", "url": raw.url, "source": _site(raw.url), "examples_in": "statement"},
    )


def _site(url: str) -> str:
    """`codeforces.com`, `atcoder.jp`, ...: whose contest a problem is from."""
    found = re.match(r"https?://(?:www\.)?([^/:?#]+)", url)
    return found[1] if found else ""
