"""Problems from a dataset of the Hugging Face hub, or from files that its `datasets` library reads: parquet, JSON, CSV, Arrow.

    load("owner/name", "train", columns={"id": "task_id", "tests": "test_list", "solutions": "code", ...})
    load("/folder/of/parquet/files", "test")          needs no network

A row becomes a problem by its columns. A field of ours takes the column that `columns` names, else the column of its own
name, else nothing. A name with dots goes into records (`public_tests.input`). The fields:

    id, statement       what they are in `core.Problem`; without an id, the dataset's name, split and row number
    entry_point, prefix, starter, difficulty, source: a text each
    solutions, tags     a text, a list of texts, or such a list as JSON
    and the cases, in one of these ways:
    tests, setup        Python that asserts: a list, one case each, or one text; code to run before (MBPP)
    stdin, stdout       lists of one length, one case each
    input_output        APPS's JSON: inputs, outputs and perhaps fn_name, read as `apps` reads it
    cases, examples     JSON as `_jsonl.py` has it: a list of objects, or the text of one

Where that is not enough, `convert` is a function of a row (a dict) to a `Problem`, or to None for a row to leave out. Rows without
cases are in `.skipped` with the reason.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rltf_env import plain, plugins
from rltf_env.core import Case, Problem, Problems, ScriptCase, StdinCase
from rltf_env.datasets import _apps_cases, hub
from rltf_env.datasets._files import parse
from rltf_env.errors import DataError, MissingData, UnknownName, UsageError

FIELDS = (
    "id", "statement", "entry_point", "prefix", "starter", "difficulty", "source", "solutions", "tags",
    "tests", "setup", "stdin", "stdout", "input_output", "cases", "examples",
)  # fmt: skip
_TEXTS = ("prefix", "starter", "difficulty")

Row = Mapping[str, Any]


def load(
    path: str,
    split: str = "train",
    *,
    columns: Mapping[str, str] | None = None,
    convert: str | Callable[[dict[str, Any]], Problem | None] | None = None,
    config: str | None = None,
    revision: str | None = None,
    data_files: Any = None,
    cache: str | os.PathLike[str] | None = None,
) -> Problems:
    """The problems of a split.

    Args:
        path: `owner/name` on the hub, or a local folder.
        columns: our field -> their column, see the module's head.
        convert: a function of a row, or its `"module:attr"`, in place of columns.
        config, revision, data_files, cache: `name`, `revision`, `data_files` and `cache_dir` of `datasets.load_dataset`. Give a
            revision (a commit) to have the same data tomorrow.

    Raises:
        UsageError: the `datasets` library is not installed; columns together with convert.
        UnknownName: no such field, column, or split.
        MissingData: no such dataset, or no network and nothing in the library's cache.
        DataError: a row that is no problem; the message says which.
    """
    if convert is not None and columns is not None:
        raise UsageError("Expected columns or convert, got both: a function of the row names its own columns.")
    for name in columns or {}:
        if name not in FIELDS:
            raise UnknownName("field of a problem", name, FIELDS)
    rows = _rows(path, split, name=config, revision=revision, data_files=data_files, cache_dir=cache)
    if convert is not None:
        function = plugins.find("datasets", convert) if isinstance(convert, str) else convert
        return _converted(rows, function, f"{path}, {split}")
    return _mapped(rows, _columns(columns or {}, rows.column_names, path), f"{path}/{split}")


# --------------------------------------------------------------------------------------------------------------- rows


def _rows(path: str, split: str, **options: Any) -> Any:
    """The split as the library's `Dataset`."""
    try:
        import datasets as library
    except ImportError as error:
        raise UsageError(
            f"The dataset 'hub:{path}' needs the datasets library: pip install 'rltf[hub]'. Without it there are JSON-lines "
            "files, dataset='FILE.jsonl'."
        ) from error
    local = Path(path).expanduser().is_dir()
    why = "" if local else hub.unreachable()
    options = {name: value for name, value in options.items() if value is not None}
    try:
        with _offline(library, bool(why)):
            splits = library.load_dataset(str(Path(path).expanduser()) if local else path, **options)
    except (OSError, ValueError, RuntimeError) as error:  # ConnectionError, DatasetNotFoundError, no data files, ...
        if local:
            raise DataError(f"{path}: expected files that the datasets library reads, got {error}") from error
        reason = f"{why}, and it is not in the library's cache" if why else str(error)
        raise MissingData(f"Expected the dataset {path!r} on the hub, but {reason}. Or name a local folder.") from error
    if split not in splits:
        raise UnknownName(f"split of hub:{path}:", split, map(str, splits))
    return splits[split]


@contextmanager
def _offline(library: Any, offline: bool) -> Iterator[None]:
    """The library looks into its cache alone. It has no argument for that, only this switch, which is put back."""
    before = library.config.HF_HUB_OFFLINE
    library.config.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        library.config.HF_HUB_OFFLINE = before


def _columns(asked: Mapping[str, str], there: Iterable[str], path: str) -> dict[str, str]:
    """Our field -> the column that it is read from."""
    there = tuple(there)
    for column in asked.values():
        if column.split(".")[0] not in there:
            raise UnknownName(f"column of hub:{path}:", column.split(".")[0], there)
    found = {name: name for name in FIELDS if name in there} | dict(asked)
    if "statement" not in found or not found.keys() & {"tests", "stdin", "input_output", "cases"}:
        raise UsageError(
            f"Expected columns for 'statement' and for the cases ('tests', 'stdin' and 'stdout', 'input_output' or 'cases') of "
            f"hub:{path}, got {found or 'none'} of its columns {', '.join(there)}. "
            'Name them: dataset_options={"columns": {"statement": "question", ...}}.'
        )
    return found


def _at(row: Any, path: str) -> Any:
    """What lies at a path with dots; of a list of records, the list of what lies there."""
    for key in path.split("."):
        row = [item[key] for item in row] if isinstance(row, list) else row[key]
    return row


# ----------------------------------------------------------------------------------------------------------- problems


def _converted(rows: Iterable[dict[str, Any]], function: Callable[..., Problem | None], where: str) -> Problems:
    found: list[Problem] = []
    skipped: list[tuple[str, str]] = []
    for number, row in enumerate(rows):
        problem = function(row)
        if problem is None:
            skipped.append((f"{where}, row {number}", "convert gave None"))
        elif isinstance(problem, Problem):
            found.append(problem)
        else:
            raise DataError(f"{where}, row {number}: expected convert to give a Problem, got {type(problem).__name__}.")
    return Problems(found, skipped)


def _mapped(rows: Iterable[dict[str, Any]], columns: Mapping[str, str], name: str) -> Problems:
    found: list[Problem] = []
    skipped: list[tuple[str, str]] = []
    for number, row in enumerate(rows):
        where = f"{name}, row {number}"
        try:
            fields = {ours: _at(row, theirs) for ours, theirs in columns.items()}
        except (KeyError, TypeError, IndexError) as error:
            raise DataError(f"{where}: expected a record with the columns {dict(columns)}, got {error!r}.") from error
        fields = {ours: value for ours, value in fields.items() if value is not None}
        id = str(fields.get("id", f"{name}/{number}"))
        cases, function, reason = _cases(fields, where)
        if reason:
            skipped.append((id, reason))
        else:
            found.append(_problem(id, fields, cases, function, where))
    return Problems(found, skipped)


def _problem(id: str, fields: Row, cases: Iterable[Case], function: str | None, where: str) -> Problem:
    notes = {"source": _text(fields["source"], where)} if "source" in fields else {}
    solutions = _texts(fields.get("solutions", []), f"{where}, solutions")
    texts: dict[str, Any] = {name: _text(fields[name], f"{where}, {name}") for name in _TEXTS if name in fields}
    called = _apps_cases.entry_point_of(function, texts.get("starter", ""), solutions)
    try:
        return Problem(
            id,
            _text(fields.get("statement", ""), f"{where}, statement"),
            tuple(cases),
            entry_point=_text(fields["entry_point"], where) if fields.get("entry_point") else called,
            examples=_own(fields["examples"], where) if "examples" in fields else (),
            solutions=solutions,
            meta=notes | ({"tags": _texts(fields["tags"], f"{where}, tags")} if "tags" in fields else {}),
            **texts,
        )
    except UsageError as error:
        raise DataError(f"{where}: {error}") from error


def _cases(fields: Row, where: str) -> tuple[Iterable[Case], str | None, str]:
    """The cases of a row, the function that they call if they say so, and why the row must be left out ("": it need not)."""
    if "input_output" in fields:
        text = _text(fields["input_output"], f"{where}, input_output")
        return _apps_cases.from_text(text, _apps_cases.Place(Path(), str(fields.get("source", "")), where))
    cases: tuple[Case, ...] = ()
    if "tests" in fields:
        setup = _text(fields.get("setup", ""), f"{where}, setup")
        cases = tuple(ScriptCase(test, setup) for test in _texts(fields["tests"], f"{where}, tests"))
    elif "stdin" in fields:
        stdin, stdout = (_texts(fields.get(name, []), f"{where}, {name}") for name in ("stdin", "stdout"))
        if len(stdin) != len(stdout):
            raise DataError(f"{where}: expected as many stdout as stdin, got {len(stdout)} and {len(stdin)}.")
        cases = tuple(map(StdinCase, stdin, stdout))
    elif "cases" in fields:
        cases = _own(fields["cases"], where)
    return cases, None, "" if cases else "no cases"


def _own(value: Any, where: str) -> tuple[Case, ...]:
    """Cases in the project's own format, as objects or as the text of them."""
    value = parse(value, where) if isinstance(value, str) else value
    if not isinstance(value, list):
        raise DataError(f"{where}: expected a list of cases, got {type(value).__name__}.")
    return tuple(plain.decode_case(_without_none(item), f"{where}, cases[{i}]") for i, item in enumerate(value))


def _without_none(item: Any) -> Any:
    """Tables give every record every key: those that a case does not have are None there. A call may expect None."""
    if not isinstance(item, dict):
        return item
    call = item.get("args") is not None
    return {key: value for key, value in item.items() if value is not None or (call and key == "expected")}


def _text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise DataError(f"{where}: expected a text, got {type(value).__name__}.")
    return value


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if isinstance(value, str):
        listed = parse(value, where) if value.lstrip().startswith('["') else [value] if value.strip() else []
    else:
        listed = value
    if not isinstance(listed, list) or not all(isinstance(item, str) for item in listed):
        raise DataError(f"{where}: expected a text or a list of texts, got {type(value).__name__}.")
    return tuple(listed)
