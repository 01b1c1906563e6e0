"""The tests of an APPS problem: `input_output.json`, eager or lazy, as cases.

What the file holds: `inputs` and `outputs`, lists of one length, and `fn_name` when a function is to be called. How each is
read follows APPS's own harness (hendrycks/apps, eval/testing_util.py), made to have one meaning per problem:

- standard input: a text, or a list of lines, which are joined with newlines;
- a call: a list of arguments, or (LiveCodeBench) a text that has each of them as JSON on a line of its own, the result
  being the JSON of a text. JSON has only text as keys, so an argument that is an object whose keys are all whole numbers
  has numbers for keys again (in a result, `matching.py` takes either for right);
- the result of a call: Codewars problems wrap it in a list of one (`[[9]]` for 9), LeetCode problems do not. The harness
  takes both the list and its first element as right, for every problem, so that 1 passes where `[1, 2]` is right. Here the
  results of a problem are unwrapped if every one of them is a list of one, unless the problem comes from LeetCode.

In place of the two lists there may be one of records, `{"input": ..., "output": ..., "testtype": "stdin"}`, as
LiveCodeBench and those who follow it have them; `"functional"` (or `"function_call"`) ones call a function.

What calls a class with the names of operations and their arguments (`["LRUCache", "put"]`, `[[2], [1, 1]]`) is left out: no
call of that class returns what is expected.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from rltf_env.core import CallCase, Case, StdinCase
from rltf_env.datasets._files import parse, read_text
from rltf_env.datasets._lazy import Lazy
from rltf_env.errors import DataError
from rltf_env.plain import as_object, field

LARGE = 1 << 20  # bytes; tests above this size are read at first use


class Decoded(NamedTuple):
    """Cases, the function to call (None: standard input), and why the problem has to be left out ("": it need not)."""

    cases: Sequence[Case]
    function: str | None = None
    reason: str = ""


class Place(NamedTuple):
    """Where a problem's tests lie: a file, or (`length` > 0) one line of a JSON-lines file of whole problems."""

    path: Path
    url: str
    where: str
    offset: int = 0
    length: int = 0

    def text(self) -> str | bytes:
        """What stands there: a whole file, or `length` bytes of it."""
        if not self.length:
            return read_text(self.path)
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            row = as_object(parse(file.read(self.length), self.where), self.where)
        return field(row, "input_output", str, self.where)


def from_file(path: Path, url: str) -> Decoded:
    """The tests in the file `path`."""
    if not path.is_file():
        return Decoded((), reason=f"no {path.name}")
    place = Place(path.absolute(), url, str(path))
    size = path.stat().st_size
    if size <= LARGE:
        text = place.text()
        return decode(text, url, place.where) if text.strip() else Decoded((), reason=f"{path.name} is empty")
    with open(path, "rb") as file, mmap.mmap(file.fileno(), size, access=mmap.ACCESS_READ) as view:
        return _lazy(view, place)


def from_text(text: str, place: Place, name: str | None = None) -> Decoded:
    """The tests in `text`, the field of a row that lies at `place`, from where a large one is read again at first use.

    Args:
        name: the function to call, where the row says so and the tests, which are records of calls, do not.
    """
    if not text.strip():
        return Decoded((), reason="no tests: input_output is empty")
    if place.length and len(text) > LARGE and not text.lstrip().startswith("["):
        return _lazy(text.encode("utf-8", "surrogatepass"), place)
    return decode(text, place.url, place.where, name) if name else decode(text, place.url, place.where)


def decode(text: str | bytes, url: str, where: str, name: str | None = None) -> Decoded:
    """The tests that the JSON `text` describes."""
    return of_value(parse(text, where), url, where, name)


def of_value(value: Any, url: str, where: str, name: str | None = None) -> Decoded:
    """The tests that a JSON value describes: two lists, or one of records; see the module's head."""
    tests = _lists(value, name, where) if isinstance(value, list) and value else as_object(value, where)
    inputs, outputs = field(tests, "inputs", list, where), field(tests, "outputs", list, where)
    function = (field(tests, "fn_name", str, where) if tests.get("fn_name") is not None else None) or None
    if len(inputs) != len(outputs):
        return Decoded((), function, f"{len(inputs)} inputs but {len(outputs)} outputs")
    if not inputs:
        return Decoded((), function, "no tests: inputs is an empty list")
    if not _is_name(function):
        return Decoded((), function, f"fn_name {function!r} is no name of a function")
    cases = tuple(_cases(inputs, outputs, function, url, where))
    if any(isinstance(case, CallCase) and _operates(function, case.args) for case in cases):
        return Decoded((), function, f"operations on the class {function}, not calls of a function")
    return Decoded(cases, function)


def entry_point_of(function: str | None, starter: str, solutions: Sequence[str]) -> str | None:
    """`Solution.f` if the first text that defines f (the starter, else a solution) defines a class Solution, else `f`."""
    if function is None:
        return None
    definition = re.compile(rf"\bdef\s+{re.escape(function)}\b")
    text = next((text for text in (starter, *solutions) if definition.search(text)), "")
    return f"Solution.{function}" if re.search(r"^class\s+Solution\b", text, re.MULTILINE) else function


# ------------------------------------------------------------------------------------------------------ JSON to cases

_CALLS = ("functional", "function_call")
_PRINTS = ("", "stdin", "stdin_stdout", "stdio")


def _lists(records: list[Any], name: str | None, where: str) -> dict[str, Any]:
    """The two lists and the name that records of one test each amount to."""
    rows = [as_object(record, where) for record in records]
    stated = {str(row.get("testtype", row.get("type")) or "") for row in rows}
    if unknown := [kind for kind in stated if kind not in (*_CALLS, *_PRINTS)]:
        raise DataError(f"{where}: expected a testtype such as stdin or functional, got {unknown[0]!r}.")
    kinds = {kind in _CALLS for kind in stated}
    if len(kinds) > 1:
        raise DataError(f"{where}: expected tests of one kind, got calls and standard input together.")
    entry_points = {str(own) for row in rows if (own := row.get("fn_name"))} or ({name} if name else set())
    if kinds == {True} and len(entry_points) != 1:
        raise DataError(f"{where}: expected one name to call, got {', '.join(sorted(entry_points)) or 'none'}.")
    for row in rows:
        if not {"input", "output"} <= row.keys():
            raise DataError(f"{where}: expected each test to have input and output, got {', '.join(row) or 'neither'}.")
    lists: dict[str, Any] = {f"{key}s": [row[key] for row in rows] for key in ("input", "output")}
    return lists | ({"fn_name": entry_points.pop()} if kinds == {True} else {})


def _cases(inputs: list[Any], outputs: list[Any], function: str | None, url: str, where: str) -> Iterator[Case]:
    if function is None:
        for stdin, right in zip(inputs, outputs, strict=True):
            yield StdinCase(_lines(stdin, where), _lines(right, where))
        return
    if all(isinstance(text, str) for text in (*inputs, *outputs)):
        yield from _spelled_calls(inputs, outputs, where)
        return
    wrapped = "leetcode.com" not in url and all(isinstance(right, list) and len(right) == 1 for right in outputs)
    for stdin, right in zip(inputs, outputs, strict=True):
        if not isinstance(stdin, list):
            raise DataError(
                f"{where}: expected each input of a call to be a list of arguments, got {type(stdin).__name__}."
            )
        yield CallCase(tuple(map(_number_keys, stdin)), right[0] if wrapped else right)


def _spelled_calls(inputs: list[str], outputs: list[str], where: str) -> Iterator[Case]:
    """Calls whose arguments are JSON, one a line, and whose result is JSON."""
    for stdin, right in zip(inputs, outputs, strict=True):
        lines = [line for line in stdin.split("\n") if line.strip()]
        args = tuple(parse(line, f"{where}, arguments of a call") for line in lines)
        yield CallCase(args, parse(right, f"{where}, result of a call"))


def _is_name(function: str | None) -> bool:
    """False for what no program can define."""
    return function is None or all(part.isidentifier() for part in function.split("."))


def _operates(function: str | None, args: tuple[Any, ...]) -> bool:
    """True for names of operations, the first of them the class itself, and as many lists of their arguments."""
    names, arguments = args if len(args) == 2 else (None, None)
    if not (isinstance(names, list) and isinstance(arguments, list) and names[:1] == [function]):
        return False
    return len(names) == len(arguments) and all(isinstance(each, list) for each in arguments)


def _lines(value: Any, where: str) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return "\n".join(value)
    raise DataError(
        f"{where}: expected an input or output to be a text or a list of lines, got {type(value).__name__}."
    )


_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,300}")


def _number_keys(value: Any) -> Any:
    if isinstance(value, dict) and all(_NUMBER.fullmatch(key) for key in value):
        return {int(key): item for key, item in value.items()}
    return value


# --------------------------------------------------------------------------------------------------------------- lazy


class LazyCases(Lazy):
    """The cases of a large file. They pickle as the place they lie at, and the few used last are kept in memory."""

    def __init__(self, place: Place, function: str | None) -> None:
        self._place, self._function = place, function

    @property
    def kind(self) -> type[Case]:
        """The class of the cases, known without reading them."""
        return StdinCase if self._function is None else CallCase

    def _read(self) -> Sequence[Case]:
        tests = _decode_place(self._place)
        if tests.reason or tests.function != self._function:
            reason = tests.reason or f"fn_name {tests.function!r} where {self._function!r} was found first"
            raise DataError(f"{self._place.where}: expected tests that can be judged, got {reason}.")
        return tests.cases

    def __eq__(self, other: object) -> bool:
        if isinstance(other, LazyCases) and self._place == other._place:
            return True
        return super().__eq__(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"LazyCases({self._place.where!r})"


# The twenty programs of one problem are judged one after the other; all of APPS does not fit in memory.
@lru_cache(maxsize=8)
def _decode_place(place: Place) -> Decoded:
    return decode(place.text(), place.url, place.where)


def _lazy(text: bytes | mmap.mmap, place: Place) -> Decoded:
    """What `decode` would give, by a look at two keys alone."""
    inputs = _value_of(text, b"inputs", rb"\[\s*\]")
    if inputs:
        return Decoded((), reason="no tests: inputs is an empty list")
    name = _value_of(text, b"fn_name", rb'"(?:[^"\\]|\\.)*"')
    function = (parse(name, place.where) if name else None) or None
    if not _is_name(function):
        return Decoded((), function, f"fn_name {function!r} is no name of a function")
    return Decoded(LazyCases(place, function), function)


def _value_of(text: bytes | mmap.mmap, key: bytes, pattern: bytes) -> bytes | None:
    """The value of the first key `key`, if it looks like `pattern`."""
    quoted = b'"' + key + b'"'
    colon, value = re.compile(rb"\s*:\s*"), re.compile(pattern)
    at = text.find(quoted)
    while at >= 0:
        after = colon.match(text, at + len(quoted))
        if after and text[at - 1 : at] != b"\\":  # inside a JSON string, a backslash stands before a quote
            match = value.match(text, after.end())
            return match[0] if match else None
        at = text.find(quoted, at + 1)
    return None
