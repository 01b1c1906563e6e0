"""Tests that a request brings along, as SandboxFusion and its relatives write them: what `config.provided_data` holds.

    {"test": [{"input": {"stdin": "1 2"}, "output": {"stdout": "3"}}]}                   SandboxFusion's CommonOJDataset
    {"test_cases": {"type": "stdin_stdout", "input": ["1 2"], "output": ["3"]}}          ScaleBox, `/common_evaluate_batch`
    {"test_cases": {"type": "function_call", "fn_name": "add", "input": [[1, 2]], "output": [[3]]}}
    {"test_cases": {"type": "assert", "entry_point": "add", "test": "def check(candidate): ..."}}
    {"test_cases": [{"type": "stdin_stdout", "input": "1 2", "output": "3"}]}            ScaleBox, `/common_evaluate`

Everything becomes cases of one problem, so that a program is judged once, and outputs are compared
as our judge compares them. Python alone; a program of the request that judges outputs is refused.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from rltf_env import plain
from rltf_env.core import CallCase, Case, ScriptCase, StdinCase
from rltf_env.errors import DataError

LONG = 1000  # characters of an input or an output that a reply repeats
_TYPES = ("stdin_stdout", "function_call", "assert")


class Tests(NamedTuple):
    """The cases of a request, the function that they call, and what a reply says of each."""

    cases: tuple[Case, ...]
    function: str | None
    shown: tuple[dict[str, Any] | None, ...]


def read(row: Mapping[str, Any], *, whole: bool) -> Tests:
    """The tests of a row of `provided_data`.

    Args:
        whole: long inputs and outputs are repeated without a cut.

    Raises:
        DataError: they are in none of the shapes above.
    """
    if "test_cases" in row:
        return _unified(_loaded(row["test_cases"], "test_cases"), whole)
    if "test" not in row:
        raise DataError("config.provided_data: expected 'test' or 'test_cases', got neither.")
    return _streams(_loaded(row["test"], "test"), whole)


def _loaded(value: Any, name: str) -> Any:
    """A field that may be JSON text."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as error:
        raise DataError(f"config.provided_data.{name}: expected JSON, got another text.") from error


def _streams(value: Any, whole: bool) -> Tests:
    """SandboxFusion's list of input and output streams."""
    pairs = []
    for number, each in enumerate(_filled(value, "test")):
        where = f"config.provided_data.test[{number}]"
        row = plain.as_object(each, where)
        given = plain.field(row, "input", dict, where), plain.field(row, "output", dict, where)
        names = tuple(given[0]), tuple(given[1])
        if names != (("stdin",), ("stdout",)):
            raise DataError(f"{where}: expected 'stdin' and 'stdout', got other names: files are not read.")
        pairs.append((plain.field(given[0], "stdin", str, where), plain.field(given[1], "stdout", str, where)))
    return _of_streams(pairs, whole)


def _of_streams(pairs: list[tuple[str, str]], whole: bool) -> Tests:
    cases = tuple(StdinCase(*pair) for pair in pairs)
    shown = [{"input": {"stdin": _cut(i, whole)}, "output": {"stdout": _cut(o, whole)}} for i, o in pairs]
    return Tests(cases, None, tuple(shown))


def _cut(text: str, whole: bool) -> str:
    if whole or len(text) <= LONG:
        return text
    return f"{text[: LONG // 2]}...{text[-LONG // 2 :]}"


def _unified(value: Any, whole: bool) -> Tests:
    """ScaleBox's cases: lists side by side in one object, or a list of objects."""
    where = "config.provided_data.test_cases"
    filled = _filled(value if isinstance(value, list) else [value], "test_cases")
    rows = [plain.as_object(each, where) for each in filled]
    first, kinds = rows[0], list(map(_kind, rows))
    kind = kinds[0][0]
    if kind not in _TYPES:
        raise DataError(f"{where}: expected a type of {', '.join(_TYPES)}, got another.")
    if any(other != kinds[0] for other in kinds):
        raise DataError(f"{where}: expected cases of one type that call one function, got several.")
    if kind == "assert":
        return _asserts(rows, where)
    pairs = _listed(rows, where) if isinstance(value, list) else _side_by_side(first, where)
    if kind == "stdin_stdout":
        if not all(isinstance(part, str) for pair in pairs for part in pair):
            raise DataError(f"{where}: expected inputs and outputs that are text, got others.")
        return _of_streams(pairs, whole)
    function = plain.field(first, "fn_name", str, where)
    calls = [_call(*pair, bool(first.get("json_input")), where) for pair in pairs]
    shown = [{"type": kind, "fn_name": function, "input": i, "output": [o]} for i, o in calls]
    return Tests(tuple(CallCase(tuple(i), o) for i, o in calls), function, tuple(shown))


def _kind(row: dict[str, Any]) -> tuple[Any, ...]:
    """What all cases of a problem have in common: how they are judged, and which function they call."""
    kind = row.get("type") or ("function_call" if row.get("fn_name") else "stdin_stdout")
    if kind == "function_call":
        return kind, row.get("fn_name"), bool(row.get("json_input"))
    return (kind, row.get("entry_point")) if kind == "assert" else (kind,)


def _listed(rows: list[dict[str, Any]], where: str) -> list[tuple[Any, Any]]:
    pairs = []
    for row in rows:
        if "input" not in row or "output" not in row:
            raise DataError(f"{where}: expected cases with 'input' and 'output', got one without.")
        pairs.append((row["input"], row["output"]))
    return pairs


def _side_by_side(row: dict[str, Any], where: str) -> list[tuple[Any, Any]]:
    inputs, outputs = (plain.field(row, name, list, where) for name in ("input", "output"))
    if len(inputs) != len(outputs):
        raise DataError(f"{where}: expected as many outputs as inputs, got {len(outputs)} and {len(inputs)}.")
    _filled(inputs, "test_cases.input")
    return list(zip(inputs, outputs, strict=True))


def _call(given: Any, expected: Any, is_json: bool, where: str) -> tuple[list[Any], Any]:
    """Arguments and result: a list each, or JSON text, an argument on each line."""
    if is_json and isinstance(given, str) and isinstance(expected, str):
        try:
            return [json.loads(line) for line in given.split("\n")], json.loads(expected)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{where}: expected an argument in JSON on each line, got another text.") from error
    if not isinstance(given, list) or not isinstance(expected, list) or len(expected) != 1:
        raise DataError(f"{where}: expected a list of arguments and a list of one result, got others.")
    return given, expected[0]


def _asserts(rows: list[dict[str, Any]], where: str) -> Tests:
    """HumanEval's tests: a function `check`, which is handed the program's."""
    function = plain.field(rows[0], "entry_point", str, where)
    if not function.isidentifier():
        raise DataError(f"{where}: expected 'entry_point' to be a name, got another text.")
    tests = [plain.field(row, "test", str, where) for row in rows]
    cases = tuple(ScriptCase(f"{test}\ncheck({function})\n") for test in tests)
    return Tests(cases, function, (None,) * len(cases))


def _filled(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list) or not value:
        raise DataError(f"config.provided_data.{name}: expected a list of cases, got none.")
    return value
