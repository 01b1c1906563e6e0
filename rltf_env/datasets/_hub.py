"""Problems from a dataset of the Hugging Face hub, or from files that its `datasets` library reads: parquet, JSON, CSV, Arrow.

    load("owner/name", "train", columns={"id": "task_id", "tests": "test_list", "solutions": "code", ...})
    load("/folder/of/parquet/files", "test")          needs no network
    load("mine.csv", columns={...})                   one file, whose split is train

A row becomes a problem by its columns. A field of ours takes the column that `columns` names, else the column of its own
name, else nothing. A name with dots goes into records (`public_tests.input`), also into those that are kept as JSON text
(`metadata.func_name`); a number there is a place in a list (`prompt.0.content`). Where `columns` says where cases come from,
columns of our names are no other cases. The fields:

    id, statement       what they are in `core.Problem`; without an id, the dataset's name, split and row number
    entry_point, prefix, starter, difficulty, source: a text each
    solutions, tags     a list of texts, or one text; a solution that does not begin with the prefix continues it (HumanEval)
    time_limit, memory_limit, memory_limit_bytes: the problem's limits, see `_limits.py`
    and the cases, in one of these ways:
    tests, setup        Python that asserts: a list, one case each, or one text; code to run before (MBPP), or a list of it.
                        A test that defines `check` and leaves the call to others is called on the entry point (HumanEval)
    stdin, stdout       lists of one length, one case each, or one text each for one case
    input_output        APPS's JSON: inputs, outputs and perhaps fn_name; or LiveCodeBench's list of tests; as `apps` reads them
    cases, examples     JSON as `_jsonl.py` has it: a list of objects, or the text of one

What a text means never depends on how it begins. Standard input and output are what they are. Of `solutions`, `tags`,
`tests` and `setup`, a text that is as a whole a list of texts, in JSON or in Python, is that list (TACO's tags are such):
as a program it would do nothing. Where `stdin` and `stdout` are such texts, `listed=("stdin", "stdout")` says so.

Where that is not enough, `convert` is a function of a row (a dict) to a `Problem`, or to None for a row to leave out. Rows
without cases, and rows that are no problem, are in `.skipped` with the reason.
"""

from __future__ import annotations

import ast
import json
import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rltf_env import plain, plugins
from rltf_env.core import CallCase, Case, Problem, Problems, ScriptCase, StdinCase
from rltf_env.datasets import _apps_cases, _cells, _limits, hub
from rltf_env.datasets._files import parse, parse_python
from rltf_env.errors import DataError, MissingData, UnknownName, UsageError

FIELDS = (
    "id", "statement", "entry_point", "prefix", "starter", "difficulty", "source", "solutions", "tags",
    "tests", "setup", "stdin", "stdout", "input_output", "cases", "examples", *_limits.FIELDS,
)  # fmt: skip
_TEXTS = ("prefix", "starter", "difficulty")
_WAYS = (("tests", "setup"), ("stdin", "stdout"), ("input_output",), ("cases",))  # in which a row has its cases
_NEEDED = ("id", "statement", "tests", "stdin", "stdout", "input_output", "cases")
CHECK = "check"  # what HumanEval's tests define
_LISTABLE = ("stdin", "stdout")
FORMS = {".csv": "csv", ".tsv": "csv", ".json": "json", ".jsonl": "json", ".parquet": "parquet", ".arrow": "arrow"}
_log = logging.getLogger(__name__)

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
    listed: Collection[str] = (),
    python_factor: float = 1.0,
    recursion: int | None = None,
) -> Problems:
    """The problems of a split.

    Args:
        path: `owner/name` on the hub, or a local folder or file.
        columns: our field -> their column, see the module's head.
        convert: a function of a row, or its `"module:attr"`, in place of columns.
        config, revision, data_files, cache: `name`, `revision`, `data_files` and `cache_dir` of `datasets.load_dataset`. Give a
            revision (a commit) to have the same data tomorrow.
        listed: `"stdin"` or `"stdout"` or both, if their texts are lists of texts, in JSON or in Python.
        python_factor: what the seconds of a stated time limit are multiplied by: contests have compiled languages in mind.
        recursion: frames that programs of a `class Solution` may have; LiveCodeBench's harness gives 600,000.

    Raises:
        UsageError: the `datasets` library is not installed; columns together with convert.
        UnknownName: no such field, column, or split.
        MissingData: no such dataset, or no network and nothing in the library's cache.
        DataError: no row is a problem; the message says why the first is none.
    """
    if columns is not None and not isinstance(columns, Mapping):
        raise UsageError(f'Expected columns as a table such as {{"statement": "question"}}, got {columns!r}.')
    if convert is not None and columns is not None:
        raise UsageError("Expected columns or convert, got both: a function of the row names its own columns.")
    for name in columns or {}:
        if name not in FIELDS:
            raise UnknownName("field of a problem", name, FIELDS)
    for name in listed:
        if name not in _LISTABLE:
            raise UnknownName("field that may be listed:", name, _LISTABLE)
    _limits.check(python_factor, recursion)
    rows = _rows(path, split, name=config, revision=revision, data_files=data_files, cache_dir=cache)
    if convert is not None:
        function = plugins.find("datasets", convert) if isinstance(convert, str) else convert
        return _converted(rows, function, f"{path}, {split}")
    reading = _Reading(frozenset(listed), python_factor, recursion)
    return _mapped(rows, _columns(columns or {}, rows.column_names, path), f"{path}/{split}", reading)


class _Reading(NamedTuple):
    """How a row is read, beside its columns."""

    listed: frozenset[str]
    python_factor: float
    recursion: int | None


# --------------------------------------------------------------------------------------------------------------- rows


def _rows(path: str, split: str, **options: Any) -> Any:
    """The split as the library's `Dataset`."""
    try:
        import datasets as library
        from datasets.exceptions import DatasetGenerationError
    except ImportError as error:
        raise UsageError(
            f"The dataset 'hub:{path}' needs the datasets library: pip install 'rltf[hub]'. Without it there are JSON-lines "
            "files, dataset='FILE.jsonl'."
        ) from error
    local = _is_local(path)
    why = "" if local else hub.unreachable()
    options = (_local(path) if local else {"path": path}) | {
        name: value for name, value in options.items() if value is not None
    }
    try:
        with _offline(library, bool(why)):
            splits = library.load_dataset(**options)
    except DatasetGenerationError as error:  # a row that does not parse, files of unlike columns
        reason = " ".join(str(error.__cause__ or error).split())
        raise DataError(f"{path}: expected files that the datasets library reads, got {reason}") from error
    except (OSError, ValueError, RuntimeError) as error:  # ConnectionError, DatasetNotFoundError, no data files, ...
        if local:
            raise DataError(f"{path}: expected files that the datasets library reads, got {error}") from error
        reason = f"{why}, and it is not in the library's cache" if why else str(error)
        raise MissingData(
            f"Expected the dataset {path!r} on the hub, but {reason}. Or name a local folder or file."
        ) from error
    if split not in splits:
        raise UnknownName(f"split of hub:{path}:", split, map(str, splits))
    return splits[split]


def _is_local(path: str) -> bool:
    """Whether `path` is a folder or a file here; MissingData for one that is neither, and no name of the hub's either."""
    if Path(path).expanduser().exists():
        return True
    if path.startswith((".", "/", "~")) or Path(path).suffix in FORMS:
        raise MissingData(f"Expected a folder or a file of rows at {path}. There is nothing. Name another path.")
    return False


def _local(path: str) -> dict[str, Any]:
    """What `load_dataset` wants to know of a folder, or of a single file, whose only split is train."""
    place = Path(path).expanduser()
    if place.is_dir():
        return {"path": str(place)}
    form = place.with_suffix("").suffix if place.suffix == ".gz" else place.suffix
    if form not in FORMS:
        raise UnknownName(f"form of the file {path}:", form, FORMS, hint="The ending of its name says which it is.")
    return {"path": FORMS[form], "data_files": str(place)} | ({"sep": "\t"} if form == ".tsv" else {})


@contextmanager
def _offline(library: Any, offline: bool) -> Iterator[None]:
    """The library looks into its cache alone. It has no argument for that, only this switch, which is put back."""
    before = library.config.HF_HUB_OFFLINE
    library.config.HF_HUB_OFFLINE = before or offline
    try:
        yield
    finally:
        library.config.HF_HUB_OFFLINE = before


def _columns(mapping: Mapping[str, str], there: Iterable[str], path: str) -> dict[str, str]:
    """Our field -> the column that it is read from."""
    there = tuple(there)
    for column in mapping.values():
        if column.split(".")[0] not in there:
            raise UnknownName(f"column of hub:{path}:", column.split(".")[0], there)
    asked = [way for way in _WAYS if not mapping.keys().isdisjoint(way)]
    others = {name for way in _WAYS if asked and way not in asked for name in way}
    columns = {name: name for name in FIELDS if name in there and name not in others} | dict(mapping)
    if "statement" not in columns or not columns.keys() & {"tests", "stdin", "input_output", "cases"}:
        raise UsageError(
            f"Expected columns for 'statement' and for the cases ('tests', 'stdin' and 'stdout', 'input_output' or 'cases') of "
            f"hub:{path}, got {columns or 'none'} of its columns {', '.join(there)}. "
            'Name them with the option columns, a table such as {"statement": "question", "tests": "asserts"}.'
        )
    return columns


def _at(row: Any, path: str) -> Any:
    """What lies at a path with dots. Of a list of records, the list of what lies there; a number is one of them. Text on the way
    is JSON."""
    for key in path.split("."):
        if row is None or (isinstance(row, str) and not row.strip()):
            return None
        row = parse(row, path) if isinstance(row, str) else row
        row = _step(row, key)
    return row


def _step(row: Any, key: str) -> Any:
    if not isinstance(row, list):
        return row[key]
    return row[int(key)] if key.isdecimal() else [item[key] for item in row]


# ----------------------------------------------------------------------------------------------------------- problems


def _converted(rows: Iterable[dict[str, Any]], function: Callable[..., Problem | None], where: str) -> Problems:
    problems: list[Problem] = []
    skipped: list[tuple[str, str]] = []
    for number, row in enumerate(rows):
        problem = function(row)
        if problem is None:
            skipped.append((f"{where}, row {number}", "convert gave None"))
        elif isinstance(problem, Problem):
            problems.append(problem)
        else:
            raise DataError(f"{where}, row {number}: expected convert to give a Problem, got {type(problem).__name__}.")
    return Problems(problems, skipped)


def _mapped(rows: Iterable[dict[str, Any]], columns: Mapping[str, str], name: str, reading: _Reading) -> Problems:
    problems: dict[str, Problem] = {}
    skipped: list[tuple[str, str]] = []
    for number, row in enumerate(rows):
        where, fields = f"{name}, row {number}", {"id": f"{name}/{number}"}
        try:
            fields |= _fields(row, columns, where)
            problem = _problem(str(fields["id"]), fields, reading, where)
            if problem.id in problems:
                raise DataError(f"{where}: expected each id once, got {problem.id!r} again.")
            problems[problem.id] = problem
        except (DataError, _NoCases) as error:  # one odd row is no reason to lose the others
            skipped.append((str(fields["id"]), str(error)))
    if skipped and not problems:
        raise DataError(f"{name}: expected rows that are problems, got none of {len(skipped)}: {skipped[0][1]}")
    if skipped:
        some = "; ".join(f"{id}: {reason}" for id, reason in skipped[:5])
        _log.warning("hub:%s: %d of %d rows left out (%s)", name, len(skipped), len(skipped) + len(problems), some)
    if problems and not reading.listed and all(map(_seems_listed, problems.values())):
        _log.warning("hub:%s: stdin and stdout of every row are texts of lists. %s", name, _LISTED)
    return Problems(problems.values(), skipped)


_LISTED = 'Where each item is a case, pass listed=["stdin", "stdout"].'


def _seems_listed(problem: Problem) -> bool:
    """Whether the only case is an input and an output that are texts of lists, as many texts in each."""
    case = problem.cases[0]
    if len(problem.cases) > 1 or not isinstance(case, StdinCase):
        return False
    inputs, outputs = map(_cells.as_list, (case.stdin, case.stdout))
    return bool(inputs) and len(inputs) == len(outputs or ())


class _NoCases(Exception):
    """A row that no program can be judged by, and why."""


def _fields(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> dict[str, Any]:
    """What a row has for our fields; null is nothing, and so is what an optional record has not."""
    fields = {}
    for ours, theirs in columns.items():
        try:
            fields[ours] = _at(row, theirs)
        except (KeyError, TypeError, IndexError, DataError) as error:
            if ours in _NEEDED or isinstance(error, DataError):
                raise DataError(
                    f"{where}: expected a record with the columns {dict(columns)}, got {error!r} for {ours!r}."
                ) from error
    return {ours: value for ours, value in fields.items() if value is not None}


def _problem(id: str, fields: Row, reading: _Reading, where: str) -> Problem:
    prefix = _cells.text(fields.get("prefix", ""), f"{where}, prefix")
    solutions = tuple(
        text if text.startswith(prefix) else prefix + text
        for text in _cells.texts(fields.get("solutions", []), f"{where}, solutions")
    )
    cases, function = _cases(fields, reading, where)
    notes: dict[str, Any] = {"source": _cells.text(fields["source"], where)} if "source" in fields else {}
    notes |= {"tags": _cells.texts(fields["tags"], f"{where}, tags")} if "tags" in fields else {}
    texts: dict[str, Any] = {name: _cells.text(fields[name], f"{where}, {name}") for name in _TEXTS if name in fields}
    starter = texts.get("starter", "")
    named = _entry_point(fields, where)
    entry_point = _apps_cases.entry_point_of(function, starter, solutions) or named
    if not entry_point and any(isinstance(case, CallCase) for case in cases):
        raise DataError(f"{where}: expected an 'entry_point', which the cases call, got none.")
    limits = _limits.stated(fields, where, python_factor=reading.python_factor)
    try:
        return Problem(
            id,
            _cells.text(fields.get("statement", ""), f"{where}, statement"),
            tuple(cases),
            entry_point=entry_point,
            examples=_own(fields["examples"], where) if "examples" in fields else (),
            solutions=solutions,
            meta=notes | _limits.notes(fields),
            limits=_limits.with_recursion(limits, reading.recursion, entry_point, starter),
            **texts,
        )
    except UsageError as error:
        raise DataError(f"{where}: {error}") from error


def _entry_point(fields: Row, where: str) -> str | None:
    """The function that is asked for. A method may be spelt as a call of its class, `Solution().f`."""
    name = _cells.text(fields.get("entry_point") or "", f"{where}, entry_point")
    return name.strip().replace("().", ".") or None


def _cases(fields: Row, reading: _Reading, where: str) -> tuple[Sequence[Case], str | None]:
    """The cases of a row, and the function that they call if they say so. Raises _NoCases."""
    if "input_output" in fields:
        return _apps(fields, where)
    cases: tuple[Case, ...] = ()
    if "tests" in fields:
        setup = "\n".join(_cells.texts(fields.get("setup", []), f"{where}, setup"))
        name = _entry_point(fields, where)
        cases = tuple(
            ScriptCase(_with_call(test, name or ""), setup) for test in _cells.texts(fields["tests"], f"{where}, tests")
        )
    elif "stdin" in fields:
        stdin, stdout = (
            _cells.streams(fields.get(name, []), name in reading.listed, f"{where}, {name}")
            for name in ("stdin", "stdout")
        )
        if len(stdin) != len(stdout):
            raise DataError(f"{where}: expected as many stdout as stdin, got {len(stdout)} and {len(stdin)}.")
        cases = tuple(map(StdinCase, stdin, stdout))
    elif "cases" in fields:
        cases = _own(fields["cases"], where)
    if not cases:
        raise _NoCases("no cases")
    return cases, None


def _with_call(test: str, entry_point: str) -> str:
    """The test with the call `check(entry_point)`, if it defines such a function and does not call it.

    A method is that of an instance: `check(Solution().f)`. One that takes nothing looks at the program's names: `check()`.
    """
    try:
        body = parse_python(test, "").body
    except DataError:  # whoever judges by it says so
        return test
    defined = [node for node in body if isinstance(node, ast.FunctionDef) and node.name == CHECK]
    outside = [node for top in body if not isinstance(top, ast.FunctionDef | ast.ClassDef) for node in ast.walk(top)]
    uses = any(isinstance(node, ast.Name) and node.id == CHECK for node in outside)
    owner, _, name = entry_point.rpartition(".")
    takes = len(defined[0].args.args) if len(defined) == 1 and not uses else -1
    if takes != 0 and (takes != 1 or not name.isidentifier()):
        return test
    candidate = f"{owner}().{name}" if owner else name
    return f"{test}\n{CHECK}({candidate if takes else ''})\n"


def _apps(fields: Row, where: str) -> tuple[Sequence[Case], str | None]:
    value, name = fields["input_output"], fields.get("entry_point")
    try:
        text = value if isinstance(value, str) else json.dumps(_without_nulls(value))
    except (TypeError, ValueError) as error:  # a column of bytes, of dates
        raise DataError(f"{where}, input_output: expected tests as plain data, got {error}.") from error
    place = _apps_cases.Place(Path(), str(fields.get("source", "")), f"{where}, input_output")
    tests = _apps_cases.from_text(text, place, name.rpartition(".")[2] if isinstance(name, str) else None)
    if tests.reason:
        raise _NoCases(tests.reason)
    return tests.cases, tests.function


def _without_nulls(value: Any) -> Any:
    """Tables give every record every key: those that a test does not have are None there."""
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return {key: item for key, item in value.items() if item is not None} if isinstance(value, dict) else value


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
