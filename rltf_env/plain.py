"""The values of `core` as plain data that JSON can hold, and back.

Files, pipes and networks share this one codec.

    encode_problem, decode_problem     a problem, as a line of a JSON-lines file has it
    encode_case, decode_case           a case of it
    encode_value, decode_value         any plain Python value
    spelled                            the same as Python has it, for people and for comparisons
    encode_program, decode_program     a program with its tokens
    encode_verdict, decode_verdict     all of a verdict, as the judge's own processes answer
    compact_verdict, expand_verdict    what a record keeps: no times, no outputs, each failure once

JSON has no word for some of Python's values. Those are objects of one key: {"$tuple": [...]},
{"$set": [...]}, {"$frozenset": [...]}, {"$bytes": "base64"}, {"$complex": [re, im]},
{"$int": "0x..."} for whole numbers of more than 4,000 bits, {"$dict": [[key, value], ...]} for keys
that are no strings or that begin with "$". NaN and Infinity are written as Python's json writes them.

What is wrong with data that are read is a `DataError` that says where they stand.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, fields
from typing import Any, TypeVar

import numpy as np

from rltf_env.core import (
    CallCase,
    Case,
    CaseResult,
    Facts,
    Failure,
    Limits,
    Outcome,
    Problem,
    Program,
    ScriptCase,
    StdinCase,
    Verdict,
)
from rltf_env.errors import DataError, RLTFError, UnknownName, UsageError

T = TypeVar("T")
KEYS = tuple(each.name for each in fields(Problem))
_LAYOUT = "For a file of another layout name it as hub:FILE, and its columns with the option columns."
_TEXTS = ("difficulty", "prefix", "starter")
_BITS = 4000  # the lowest limit that an interpreter may set on the digits of a number lies above it
# What data of another shape do to whoever takes them apart.
_MALFORMED = (KeyError, IndexError, TypeError, ValueError, UsageError)


@contextmanager
def not_too_deep(where: str, kind: type[RLTFError]) -> Iterator[None]:
    """Raises an error of this kind in the place of a RecursionError over nested data; `where` they stand, for its message."""
    try:
        yield
    except RecursionError as error:
        raise kind(f"{where}: expected plain data, got some that are nested too deeply.") from error


# ---------------------------------------------------------------------------------------- problems


def encode_problem(problem: Problem) -> dict[str, Any]:
    """The problem as JSON has it, without what it has not. Raises UsageError: it holds something that is not plain data."""
    with not_too_deep(f"Problem {problem.id!r}", UsageError):
        return _encoded_problem(problem)


def _encoded_problem(problem: Problem) -> dict[str, Any]:
    row: dict[str, Any] = {"id": problem.id, "statement": problem.statement}
    if problem.entry_point is not None:
        row["entry_point"] = problem.entry_point
    row["cases"] = [encode_case(case) for case in problem.cases]
    row |= {name: [encode_case(case) for case in getattr(problem, name)] for name in ("examples", "held_out")}
    row |= {"solutions": list(problem.solutions)} | {name: getattr(problem, name) for name in _TEXTS}
    if problem.limits is not None:
        row["limits"] = {name: value for name, value in asdict(problem.limits).items() if value is not None}
    row["meta"] = {name: encode_value(value) for name, value in problem.meta.items()}
    return {name: value for name, value in row.items() if value or name in ("statement", "cases")}


def decode_problem(row: Mapping[str, Any], where: str) -> Problem:
    """The problem that a line describes; `where` it stands, for messages. Raises DataError: it describes none."""
    with not_too_deep(where, DataError):
        return _decoded_problem(dict(row), where)


def _decoded_problem(row: dict[str, Any], where: str) -> Problem:
    _check_keys(row, KEYS, where, hint=_LAYOUT)
    fields: dict[str, Any] = {name: field(row, name, str, where) for name in ("id", "statement")}
    fields |= {name: field(row, name, str, where) for name in _TEXTS if name in row}
    fields["entry_point"] = field(row, "entry_point", str, where) if row.get("entry_point") is not None else None
    for name in ("cases", "examples", "held_out"):
        if name in row or name == "cases":
            fields[name] = tuple(_cases(field(row, name, list, where), fields["entry_point"], f"{where}, {name}"))
    fields["solutions"] = strings(row.get("solutions", []), f"{where}, solutions")
    fields["limits"] = _limits(row["limits"], f"{where}, limits") if row.get("limits") is not None else None
    notes = as_object(row.get("meta", {}), f"{where}, meta")
    fields["meta"] = {name: decode_value(value, f"{where}, meta.{name}") for name, value in notes.items()}
    try:
        return Problem(**fields)
    except UsageError as error:  # no cases, no id
        raise DataError(f"{where}: {error}") from error


def _limits(value: Any, where: str) -> Limits:
    row = as_object(value, where)
    _check_keys(row, [each.name for each in fields(Limits)], where)
    try:
        return Limits(**row)
    except UsageError as error:
        raise DataError(f"{where}: {error}") from error


def _check_keys(row: Mapping[str, Any], keys: Sequence[str], where: str, hint: str = "") -> None:
    for key in row:
        if key not in keys:
            raise DataError(f"{where}: {UnknownName('key', key, keys, hint=hint)}")


def _cases(values: list[Any], entry_point: str | None, where: str) -> Iterator[Case]:
    for number, value in enumerate(values):
        case = decode_case(value, f"{where}[{number}]")
        if isinstance(case, CallCase) and entry_point is None:
            raise DataError(
                f"{where}[{number}]: expected an 'entry_point', the name to call, with a case that is a call."
            )
        if isinstance(case, StdinCase) and entry_point is not None:
            raise DataError(f"{where}[{number}]: expected no 'entry_point' with standard input, got {entry_point!r}.")
        yield case


# ------------------------------------------------------------------------------------------- cases


_CASES: dict[str, tuple[str, ...]] = {
    "stdin": ("stdin", "stdout"),
    "args": ("args", "expected", "kwargs"),
    "script": ("script", "setup"),
}


def encode_case(case: Case) -> dict[str, Any]:
    """A case as an object whose keys say its kind: `stdin` and `stdout`, `args` and `expected`, or `script`."""
    match case:
        case StdinCase(stdin, stdout):
            return {"stdin": stdin, "stdout": stdout}
        case CallCase(args, expected, kwargs):
            row = {"args": [encode_value(value) for value in args], "expected": encode_value(expected)}
            return row | ({"kwargs": {name: encode_value(value) for name, value in kwargs.items()}} if kwargs else {})
        case ScriptCase(script, setup):
            return {"script": script} | ({"setup": setup} if setup else {})
    raise UsageError(f"Expected a StdinCase, CallCase or ScriptCase, got {type(case).__name__}.")


def decode_case(value: Any, where: str) -> Case:
    """The case that such an object stands for. Raises DataError, which names `where`, if it stands for none."""
    row = as_object(value, where)
    kinds = [kind for kind in _CASES if kind in row]
    if len(kinds) != 1:
        raise DataError(
            f"{where}: expected one of the keys {', '.join(map(repr, _CASES))}, which says what kind of case it is, got "
            f"{', '.join(map(repr, row)) or 'none'}. What a program reads and prints is stdin and stdout, what a call takes and "
            "returns args and expected."
        )
    _check_keys(row, _CASES[kinds[0]], where)
    if kinds == ["stdin"]:
        return StdinCase(field(row, "stdin", str, where), field(row, "stdout", str, where))
    if kinds == ["script"]:
        return ScriptCase(field(row, "script", str, where), field({"setup": ""} | row, "setup", str, where))
    if "expected" not in row:
        raise DataError(f"{where}: expected a field 'expected', the right result, beside 'args'.")
    args = tuple(decode_value(item, where) for item in field(row, "args", list, where))
    kwargs = as_object(row.get("kwargs", {}), f"{where}, kwargs")
    return CallCase(
        args, decode_value(row["expected"], where), {name: decode_value(v, where) for name, v in kwargs.items()}
    )


# ------------------------------------------------------------------------------------------ values


def encode_value(value: Any) -> Any:
    """A Python value as JSON has it; see the module's head. Exact types: what only looks like a list is refused."""
    kind = type(value)
    if value is None or kind in (bool, float, str):
        return value
    if kind is int:
        return value if value.bit_length() <= _BITS else {"$int": hex(value)}
    if kind is list:
        return [encode_value(item) for item in value]
    if kind is dict:
        if all(type(key) is str and not key.startswith("$") for key in value):
            return {key: encode_value(item) for key, item in value.items()}
        return {"$dict": [[encode_value(key), encode_value(item)] for key, item in value.items()]}
    if kind is tuple:
        return {"$tuple": [encode_value(item) for item in value]}
    if kind in (set, frozenset):
        return {f"${kind.__name__}": sorted((encode_value(item) for item in value), key=lambda item: json.dumps(item))}
    if kind is bytes:
        return {"$bytes": base64.b64encode(value).decode()}
    if kind is complex:
        return {"$complex": [value.real, value.imag]}
    raise UsageError(f"Expected plain data in a problem, got {kind.__name__}: JSON cannot hold it.")


def spelled(value: Any) -> str:
    """`repr(value)`, in which whole numbers that have too many digits for this interpreter are hexadecimal."""
    try:
        return repr(value)
    except ValueError:
        if isinstance(value, int):
            return hex(value)
        if isinstance(value, dict):
            return "{" + ", ".join(f"{spelled(key)}: {spelled(item)}" for key, item in value.items()) + "}"
        opening, closing = {list: "[]", tuple: "()", set: "{}", frozenset: ("frozenset({", "})")}[type(value)]
        after = "," if type(value) is tuple and len(value) == 1 else ""
        return opening + ", ".join(map(spelled, value)) + after + closing


_BUILD: dict[str, Callable[[Any], Any]] = {
    "$tuple": tuple,
    "$set": set,
    "$frozenset": frozenset,
    "$bytes": lambda text: base64.b64decode(text, validate=True),
    "$complex": lambda parts: complex(*parts),
    "$int": lambda text: int(text, 16),
    "$dict": dict,
}


def decode_value(value: Any, where: str) -> Any:
    """What `encode_value` was given."""
    if isinstance(value, list):
        return [decode_value(item, where) for item in value]
    if not isinstance(value, dict):
        return value
    marks = [key for key in value if key.startswith("$")]
    if not marks:
        return {key: decode_value(item, where) for key, item in value.items()}
    if marks[0] not in _BUILD:
        raise DataError(f"{where}: {UnknownName('mark', marks[0], _BUILD)}")
    try:
        (content,) = value.values()
        return _BUILD[marks[0]](decode_value(content, where))
    except (TypeError, ValueError, binascii.Error) as error:
        raise DataError(f"{where}: expected {marks[0]!r} alone and with what it takes, got {error}.") from error


# ---------------------------------------------------------------------------------------- programs


def encode_program(program: Program) -> dict[str, Any]:
    """A program with its tokens and their offsets; what has its default is left out."""
    row: dict[str, Any] = {"text": program.text, "tokens": program.tokens.tolist(), "starts": program.starts.tolist()}
    return (
        row
        | ({"given": program.prefix_length} if program.prefix_length else {})
        | ({"truncated": True} if program.truncated else {})
    )


def decode_program(row: Mapping[str, Any], where: str) -> Program:
    """The program that `encode_program` was given; `where` it stands, for messages. Raises DataError."""
    row = as_object(row, where)
    _check_keys(row, ("text", "tokens", "starts", "given", "truncated"), where)
    ids, starts = (_integers(field(row, name, list, where), f"{where}, {name}") for name in ("tokens", "starts"))
    given, truncated = (field({"given": 0, "truncated": False} | row, name, kind, where) for name, kind in _FLAGS)
    try:
        return Program(ids, field(row, "text", str, where), starts, given, truncated)
    except UsageError as error:
        raise DataError(f"{where}: {error}") from error


_FLAGS: tuple[tuple[str, type], ...] = (("given", int), ("truncated", bool))


def _integers(values: list[Any], where: str) -> np.ndarray:
    if any(type(value) is not int for value in values):
        raise DataError(f"{where}: expected a list of integers, got {_describe(values)}.")
    return np.array(values, np.int64)


# ---------------------------------------------------------------------------------------- verdicts


def encode_verdict(verdict: Verdict) -> dict[str, Any]:
    """All of a verdict: for each result outcome, failure or None, seconds, output, and the lines that ran if they were
    asked for; the lines of all cases; judge and way; lines with code and facts if they were asked for.
    """
    lines = None if verdict.executed is None else sorted(verdict.executed)
    row = {
        "results": [_encoded_result(result) for result in verdict.results],
        "lines": lines,
        "judge": verdict.judged_by,
    }
    code = {} if verdict.code is None else {"code": sorted(verdict.code)}
    facts = {} if verdict.facts is None else {"facts": encode_facts(verdict.facts)}
    return row | _way(verdict) | code | facts


def _encoded_result(result: CaseResult) -> list[Any]:
    lines = [] if result.executed is None else [sorted(result.executed)]
    failure = result.failure and encode_failure(result.failure)
    return [int(result.outcome), failure, result.seconds, result.stdout, *lines]


def _decoded_result(row: Sequence[Any]) -> CaseResult:
    outcome, failure, seconds, stdout, *lines = row
    executed = _lines(*lines) if lines else None
    return CaseResult(Outcome(outcome), None if failure is None else decode_failure(failure), seconds, stdout, executed)


def _lines(lines: Iterable[int] | None) -> frozenset[int] | None:
    return None if lines is None else frozenset(lines)


def encode_facts(facts: Facts) -> dict[str, Any]:
    """Facts as lists and texts."""
    return {
        "tree": list(facts.tree),
        "flow": list(facts.flow),
        "key": facts.key,
        "defines": sorted(facts.defines),
        "findings": [list(finding) for finding in facts.findings],
    }


def decode_facts(row: Mapping[str, Any]) -> Facts:
    """The facts that `encode_facts` was given."""
    findings = tuple((str(kind), int(line)) for kind, line in row["findings"])
    return Facts(tuple(row["tree"]), tuple(row["flow"]), row["key"], frozenset(row["defines"]), findings)


def decode_verdict(row: Mapping[str, Any], where: str) -> Verdict:
    """The verdict that `encode_verdict` was given; `where` it stands, for messages. Raises DataError."""
    try:
        results, facts = tuple(map(_decoded_result, row["results"])), row.get("facts")
        way, unguarded, code = row.get("way", ""), row.get("unguarded", 0), _lines(row.get("code"))
        facts = None if facts is None else decode_facts(facts)
        return Verdict(results, _lines(row["lines"]), row["judge"], way, unguarded, code, facts)
    except _MALFORMED as error:
        raise DataError(f"{where}: expected a verdict, got one that is none ({error!r}).") from error


def compact_verdict(verdict: Verdict, *, message: int) -> dict[str, Any]:
    """What a record keeps: an outcome's digit for each case, the distinct failures, and which case has which.

    Args:
        verdict: times, outputs, lines and judge are not kept.
        message: characters of a failure's message that are kept.
    """
    failures: list[list[Any]] = []
    why: list[int] = []
    for result in verdict.results:
        if result.failure is not None:
            plain = encode_failure(result.failure, message)
            if plain not in failures:
                failures.append(plain)
            why.append(failures.index(plain))
    outcomes = "".join(str(int(result.outcome)) for result in verdict.results)
    way = _way(verdict) if "together" in verdict.way else {}
    return {"outcomes": outcomes} | ({"failures": failures, "why": why} if failures else {}) | way


def _way(verdict: Verdict) -> dict[str, Any]:
    """How scripts were run, of a verdict on some."""
    way: dict[str, Any] = {"way": verdict.way} if verdict.way else {}
    return way | ({"unguarded": verdict.unguarded} if verdict.unguarded else {})


def expand_verdict(row: Mapping[str, Any], where: str) -> Verdict:
    """The verdict of which `compact_verdict` made this; `where` it stands, for messages. Raises DataError."""
    try:
        reasons = iter(row.get("why", ()))
        outcomes = [Outcome(int(digit)) for digit in row["outcomes"]]
        results = tuple(
            CaseResult(o, None if o is Outcome.PASSED else decode_failure(row["failures"][next(reasons, None)]))
            for o in outcomes
        )
        return Verdict(results, way=row.get("way", ""), unguarded=row.get("unguarded", 0))
    except _MALFORMED as error:
        raise DataError(f"{where}: expected a verdict, got one that is none ({error!r}).") from error


def encode_failure(failure: Failure, message: int | None = None) -> list[Any]:
    """A failure as a list; of its message the first `message` characters, or all if None."""
    return [failure.kind, failure.message[:message], failure.line, failure.detail, list(failure.bases)]


def decode_failure(plain: Sequence[Any]) -> Failure:
    """The failure that `encode_failure` was given."""
    kind, message, line, detail, bases = plain
    return Failure(kind, message, line, detail, tuple(bases))


# ------------------------------------------------------------------------------------------ fields


def as_object(value: Any, where: str) -> dict[str, Any]:
    """`value`, which must be a JSON object."""
    if not isinstance(value, dict):
        raise DataError(f"{where}: expected a JSON object, got {_describe(value)}.")
    return value


def field(row: dict[str, Any], name: str, kind: type[T], where: str) -> T:
    """`row[name]`, which must be there and of type `kind`."""
    if name not in row:
        raise DataError(f"{where}: expected a field {name!r}, got only {', '.join(map(repr, row)) or 'none'}.")
    value = row[name]
    if type(value) is not kind:  # exactly: true is no number
        raise DataError(f"{where}: expected {name!r} to be of type {kind.__name__}, got {_describe(value)}.")
    return value


def strings(value: Any, where: str) -> tuple[str, ...]:
    """`value`, which must be a list of strings."""
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise DataError(f"{where}: expected a list of strings, got {_describe(value)}.")
    return tuple(value)


def _describe(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return "int"  # of any length: the interpreter refuses to write a long one
    return f"{type(value).__name__} {json.dumps(value, default=str)[:60]}"
