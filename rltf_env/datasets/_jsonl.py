"""Problems as lines of JSON: the project's own format, to keep, share and edit them. `read` gives back what `dump` was given.

One problem a line, one object a problem. `id`, `statement` and `cases` must be there; the rest may be left out:

    {"id": "double", "statement": "Return twice x.", "entry_point": "f",
     "cases":    [{"args": [2], "expected": 4}],               a call: args, expected, and perhaps kwargs
     "examples": [{"args": [3], "expected": 6}],               what may be shown; the same three kinds of case
     "solutions": ["f = lambda x: 2 * x"], "difficulty": "easy", "prefix": "", "starter": "",
     "meta": {"source": "mine", "tags": ["numbers"]},          notes; filters know source and tags
     "held_out": []}                                           cases kept from training

    {"stdin": "2\\n", "stdout": "4\\n"}                          run the program with this input
    {"script": "assert f(2) == 4", "setup": ""}                Python that asserts; setup may be left out

JSON has no word for some of Python's values. Those are objects of one key: {"$tuple": [...]}, {"$set": [...]},
{"$frozenset": [...]}, {"$bytes": "base64"}, {"$complex": [re, im]}, {"$int": "0x..."} for whole numbers of more than
4,000 bits, {"$dict": [[key, value], ...]} for keys that are no strings or that begin with "$". NaN and Infinity are written as
Python's json writes them. A file named `.gz` is packed.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from rltf_env.core import CallCase, Case, Problem, Problems, ScriptCase, StdinCase
from rltf_env.datasets._files import Root, as_object, field, read_rows, strings
from rltf_env.errors import DataError, MissingData, UnknownName, UsageError

SUFFIXES = (".jsonl", ".jsonl.gz")
KEYS = tuple(each.name for each in fields(Problem))
_TEXTS = ("difficulty", "prefix", "starter")
_BITS = 4000  # the lowest limit that an interpreter may set on the digits of a number lies above it

# -------------------------------------------------------------------------------------------------------------- files


def is_path(name: str | os.PathLike[str]) -> bool:
    """True if `name` is the path of a file or folder, not the name of a dataset: it has a slash or ends in .jsonl."""
    return not isinstance(name, str) or "/" in name or os.sep in name or name.endswith(SUFFIXES)


def dump(problems: Iterable[Problem], path: str | os.PathLike[str]) -> None:
    """Writes problems to a JSON-lines file, whole or not at all.

    Raises:
        UsageError: a case or a note holds something that is not plain data, or an id comes twice.
    """
    lines: dict[str, str] = {}
    for problem in problems:
        if problem.id in lines:
            raise UsageError(f"Expected problems with unique ids, got {problem.id!r} twice.")
        lines[problem.id] = json.dumps(to_row(problem), separators=(",", ":"))
    text = "".join(f"{line}\n" for line in lines.values()).encode()
    target = Path(path)
    write_whole(target, gzip.compress(text, mtime=0) if target.suffix == ".gz" else text)


def write_whole(path: Path, content: bytes) -> None:
    """Puts a file where it belongs in one move: whoever reads it, and whatever interrupts this, finds the old or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        new.write_bytes(content)
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


def read(path: Path) -> Problems:
    """The problems of a JSON-lines file, in order.

    Raises:
        DataError: a line is no problem, or an id comes twice; the message names the file and the line.
    """
    found: dict[str, Problem] = {}
    lines: dict[str, str] = {}
    for row in read_rows(path):
        problem = from_row(row.value, row.where)
        if problem.id in found:
            raise DataError(f"{row.where}: expected each id once, got {problem.id!r} again, after {lines[problem.id]}.")
        found[problem.id], lines[problem.id] = problem, row.where
    if not found:
        raise DataError(f"{path}: expected at least one problem, got an empty file.")
    return Problems(found.values())


def find(name: str | os.PathLike[str], root: Root) -> Path | Callable[..., Problems]:
    """The file `name` (below `root`, if given); of a folder, what loads one of its splits.

    Raises:
        MissingData: there is no such file or folder.
    """
    path = Path(root or "").expanduser() / Path(name).expanduser()
    if path.is_file():
        return path
    if not path.is_dir():
        raise MissingData(
            f"Expected a JSON-lines file of problems, or a folder of train.jsonl, test.jsonl and the like, at {path}. "
            "There is nothing. Name another path, or pass root=FOLDER to start from."
        )

    def load(split: str = "train") -> Problems:
        return read(_split_file(path, split))

    return load


def _split_file(folder: Path, split: str) -> Path:
    """The file `SPLIT.jsonl` of a folder, or `SPLIT.jsonl.gz`."""
    files = {file.name[: -len(suffix)]: file for suffix in SUFFIXES for file in sorted(folder.glob(f"*{suffix}"))}
    if not files:
        raise MissingData(
            f"Expected files such as {split}.jsonl in {folder}, one for each split, got none. Files of other forms are read with "
            f'dataset="hub:{folder}".'
        )
    if split not in files:
        raise UnknownName(f"split of {folder}:", split, files)
    return files[split]


# ---------------------------------------------------------------------------------------------------------- problems


def to_row(problem: Problem) -> dict[str, Any]:
    """The problem as JSON has it, without what it has not."""
    row: dict[str, Any] = {"id": problem.id, "statement": problem.statement}
    if problem.entry_point is not None:
        row["entry_point"] = problem.entry_point
    row["cases"] = [_case_row(case) for case in problem.cases]
    row |= {name: [_case_row(case) for case in getattr(problem, name)] for name in ("examples", "held_out")}
    row |= {"solutions": list(problem.solutions)} | {name: getattr(problem, name) for name in _TEXTS}
    row["meta"] = {name: _plain(value) for name, value in problem.meta.items()}
    return {name: value for name, value in row.items() if value or name in ("statement", "cases")}


def from_row(row: Mapping[str, Any], where: str) -> Problem:
    """The problem that a line describes; `where` it stands, for messages."""
    row = dict(row)
    _check_keys(row, KEYS, where)
    made: dict[str, Any] = {name: field(row, name, str, where) for name in ("id", "statement")}
    made |= {name: field(row, name, str, where) for name in _TEXTS if name in row}
    made["entry_point"] = field(row, "entry_point", str, where) if row.get("entry_point") is not None else None
    for name in ("cases", "examples", "held_out"):
        if name in row or name == "cases":
            made[name] = tuple(_cases(field(row, name, list, where), made["entry_point"], f"{where}, {name}"))
    made["solutions"] = strings(row.get("solutions", []), f"{where}, solutions")
    notes = as_object(row.get("meta", {}), f"{where}, meta")
    made["meta"] = {name: _value(value, f"{where}, meta.{name}") for name, value in notes.items()}
    try:
        return Problem(**made)
    except UsageError as error:  # no cases, no id
        raise DataError(f"{where}: {error}") from error


def _check_keys(row: Mapping[str, Any], known: Sequence[str], where: str) -> None:
    for key in row:
        if key not in known:
            raise DataError(f"{where}: {UnknownName('key', key, known)}")


def _cases(values: list[Any], entry_point: str | None, where: str) -> Iterator[Case]:
    for number, value in enumerate(values):
        case = read_case(value, f"{where}[{number}]")
        if isinstance(case, CallCase) and entry_point is None:
            raise DataError(
                f"{where}[{number}]: expected an 'entry_point', the name to call, with a case that is a call."
            )
        if isinstance(case, StdinCase) and entry_point is not None:
            raise DataError(f"{where}[{number}]: expected no 'entry_point' with standard input, got {entry_point!r}.")
        yield case


# -------------------------------------------------------------------------------------------------------------- cases

_CASES: dict[str, tuple[str, ...]] = {
    "stdin": ("stdin", "stdout"),
    "args": ("args", "expected", "kwargs"),
    "script": ("script", "setup"),
}


def _case_row(case: Case) -> dict[str, Any]:
    match case:
        case StdinCase(stdin, stdout):
            return {"stdin": stdin, "stdout": stdout}
        case CallCase(args, expected, kwargs):
            row = {"args": [_plain(value) for value in args], "expected": _plain(expected)}
            return row | ({"kwargs": {name: _plain(value) for name, value in kwargs.items()}} if kwargs else {})
        case ScriptCase(script, setup):
            return {"script": script} | ({"setup": setup} if setup else {})
    raise UsageError(f"Expected a StdinCase, CallCase or ScriptCase, got {type(case).__name__}.")


def read_case(value: Any, where: str) -> Case:
    row = as_object(value, where)
    kinds = [kind for kind in _CASES if kind in row]
    if len(kinds) != 1:
        raise DataError(
            f"{where}: expected one of the keys {', '.join(map(repr, _CASES))}, which says what kind of case it is, got "
            f"{', '.join(map(repr, row)) or 'none'}."
        )
    _check_keys(row, _CASES[kinds[0]], where)
    if kinds == ["stdin"]:
        return StdinCase(field(row, "stdin", str, where), field(row, "stdout", str, where))
    if kinds == ["script"]:
        return ScriptCase(field(row, "script", str, where), field({"setup": ""} | row, "setup", str, where))
    if "expected" not in row:
        raise DataError(f"{where}: expected a field 'expected', the right result, beside 'args'.")
    args = tuple(_value(item, where) for item in field(row, "args", list, where))
    kwargs = as_object(row.get("kwargs", {}), f"{where}, kwargs")
    return CallCase(args, _value(row["expected"], where), {name: _value(v, where) for name, v in kwargs.items()})


# ------------------------------------------------------------------------------------------------------------- values


def _plain(value: Any) -> Any:
    """A Python value as JSON has it; see the module's head. Exact types: what only looks like a list is refused."""
    kind = type(value)
    if value is None or kind in (bool, float, str):
        return value
    if kind is int:
        return value if value.bit_length() <= _BITS else {"$int": hex(value)}
    if kind is list:
        return [_plain(item) for item in value]
    if kind is dict:
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: _plain(item) for key, item in value.items()}
        return {"$dict": [[_plain(key), _plain(item)] for key, item in value.items()]}
    if kind is tuple:
        return {"$tuple": [_plain(item) for item in value]}
    if kind in (set, frozenset):
        return {f"${kind.__name__}": sorted((_plain(item) for item in value), key=lambda item: json.dumps(item))}
    if kind is bytes:
        return {"$bytes": base64.b64encode(value).decode()}
    if kind is complex:
        return {"$complex": [value.real, value.imag]}
    raise UsageError(f"Expected plain data in a problem, got {kind.__name__}: JSON cannot hold it.")


_BUILD: dict[str, Callable[[Any], Any]] = {
    "$tuple": tuple,
    "$set": set,
    "$frozenset": frozenset,
    "$bytes": lambda text: base64.b64decode(text, validate=True),
    "$complex": lambda parts: complex(*parts),
    "$int": lambda text: int(text, 16),
    "$dict": dict,
}


def _value(value: Any, where: str) -> Any:
    """What `_plain` was given."""
    if isinstance(value, list):
        return [_value(item, where) for item in value]
    if not isinstance(value, dict):
        return value
    marks = [key for key in value if key.startswith("$")]
    if not marks:
        return {key: _value(item, where) for key, item in value.items()}
    if marks[0] not in _BUILD:
        raise DataError(f"{where}: {UnknownName('mark', marks[0], _BUILD)}")
    try:
        (content,) = value.values()
        return _BUILD[marks[0]](_value(content, where))
    except (TypeError, ValueError, binascii.Error) as error:
        raise DataError(f"{where}: expected {marks[0]!r} alone and with what it takes, got {error}.") from error
