"""Codeforces (open-r1, 2025): contest problems with official tests, editorials and checkers in Python.

Read from rows as the hub's `open-r1/codeforces` has them (`config="verifiable"`: those that can be
judged). Left out, with the reason: interactive problems, those that use files, those that are not to be
run, and those whose official tests are cut off (`official_tests_complete` false). Where several answers are
right, `generated_checker` decides: a Python program that is given input, right output and output as
three files and prints 1. It runs in the judge, never beside the program.
"""

from __future__ import annotations

from functools import partial

from rltf_env.core import Problem, Problems, StdinCase
from rltf_env.datasets import _contests, _limits, _tables
from rltf_env.datasets._apps_cases import Decoded
from rltf_env.datasets._files import Root, parse_python
from rltf_env.datasets._tables import Row, Table, Window, text
from rltf_env.errors import DataError, UnknownName

SPLITS = ("train", "test")
CONFIGS = ("default", "verifiable", "verifiable-prompts")
REMEDY = (
    "Get the rows of the public data set open-r1/codeforces (CC BY 4.0) as parquet or JSON lines, and pass root=FOLDER or set "
    "RLTF_DATA to the folder that holds codeforces/verifiable/; or root='hub'."
)


def load(
    split: str = "train",
    root: Root = None,
    *,
    config: str = "verifiable",
    start_date: str | None = None,
    end_date: str | None = None,
    python_factor: float = 1.0,
    limit: int | None = None,
) -> Problems:
    """The problems of a split, `train` or `test`.

    Args:
        root: the common data folder, the set's own, a file, or `"hub"`.
        config: `verifiable`, `default` (more are left out) or `verifiable-prompts`.
        start_date, end_date: of the contest, `YYYY-MM-DD`, both included.
        python_factor: what the seconds of a stated time limit are multiplied by.
        limit: look at the first so many rows only.
    """
    if config not in CONFIGS:
        raise UnknownName("config of dataset 'codeforces':", config, CONFIGS)
    _limits.check(python_factor, None)
    table = Table("codeforces", "open-r1/codeforces", {"train": "train", "test": "test"}, REMEDY, config=config)
    read = partial(_problem, window=_tables.window(start_date, end_date), factor=python_factor)
    return _tables.collect(table, split, root, read, limit=limit)


def _problem(row: Row, window: Window, factor: float) -> Problem | str | None:
    date = _tables.date(row.value.get("contest_start"))
    if (inside := window.holds(date)) is not True:
        return _tables.UNDATED if inside is None else None
    if why := _unfit(row):
        return why
    tests, samples = (tuple(_cases(row, name)) for name in ("official_tests", "examples"))
    checker = text(row, "generated_checker", "")
    return _contests.problem(
        row,
        f"codeforces/{text(row, 'id')}",
        _statement(row),
        Decoded(tests, reason="" if tests else "no tests"),
        examples=samples,
        difficulty=str(row.value.get("rating") or ""),
        limits=_contests.limits_of(row, factor),
        meta={
            "source": "codeforces.com",
            "title": text(row, "title", ""),
            "date": date,
            "rating": row.value.get("rating"),
            "tags": _tables.names(row, "tags"),
            "checker": _checker(checker, row.where) if checker.strip() else None,
            **_limits.notes(row.value),
        },
    )


def _unfit(row: Row) -> str:
    """Why a problem cannot be judged here; "" if it can."""
    if text(row, "interaction_format", "").strip():
        return "interactive"
    if (mode := text(row, "input_mode", "stdio")) != "stdio":
        return f"input by {mode}: programs here use standard input and output"
    if row.value.get("executable") is False:
        return "marked as not to be run"
    if row.value.get("official_tests_complete") is False:
        return "its official tests are cut off"
    return ""


def _cases(row: Row, name: str) -> list[StdinCase]:
    tests = _tables.records(row, name)
    for test in tests:
        if not all(isinstance(test.get(key), str) for key in ("input", "output")):
            raise DataError(
                f"{row.where}, {name}: expected tests with an input text and an output text, got {list(test)}."
            )
    return [StdinCase(test["input"], test["output"]) for test in tests]


def _statement(row: Row) -> str:
    """The parts of a statement under APPS's headings."""
    parts = [text(row, "description")]
    named = (("input_format", "Input"), ("output_format", "Output"), ("note", "Note"))
    parts += [f"-----{title}-----\n\n{said}" for name, title in named if (said := text(row, name, "").strip())]
    shown = [f"Input\n{case.stdin.strip()}\n\nOutput\n{case.stdout.strip()}" for case in _cases(row, "examples")]
    if shown:
        parts.insert(len(parts) - bool(text(row, "note", "").strip()), "-----Examples-----\n\n" + "\n\n".join(shown))
    return "\n\n".join(part.strip() for part in parts)


_WRAPPED = '''\
import contextlib, io, sys

SOURCE = {source!r}


def check(given, expected, got):
    """What the problem's checker says: it prints 1 for a right output."""
    files = {{"input.txt": given, "correct_output.txt": expected, "solution_output.txt": got}}

    def opened(file, mode="r", *rest, newline=None, **options):
        if str(file) not in files or set(mode) - set("rbtU"):
            raise FileNotFoundError(file)
        data = io.BytesIO(files[str(file)].encode("utf-8", "surrogateescape"))
        return data if "b" in mode else io.TextIOWrapper(data, "utf-8", "surrogateescape", newline)

    printed, before = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True), (sys.argv, sys.__stdout__)
    sys.argv, sys.__stdout__ = ["checker.py", *files], printed
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(io.StringIO()):
            exec(compile(SOURCE, "checker.py", "exec"), {{"__name__": "__main__", "open": opened}})
    except SystemExit as error:
        if error.code not in (None, 0):
            return False
    finally:
        sys.argv, sys.__stdout__ = before
    return printed.buffer.getvalue().split()[-1:] in ([b"1"], [b"1.0"])
'''


def _checker(source: str, where: str) -> str:
    """A checker of files as `meta["checker"]` has one: `check(given, expected, got)`."""
    parse_python(source, f"{where}, generated_checker")
    return _WRAPPED.format(source=source)
