"""The fingerprint of a set of problems, so that every result can say what it was measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from typing import Any

from rltf_env.core import CallCase, Case, Limits, Problem, ScriptCase, StdinCase
from rltf_env.core.problems import VERDICT_NOTES
from rltf_env.errors import UsageError
from rltf_env.plain import not_too_deep


def digest(problems: Iterable[Problem]) -> str:
    """SHA-256 (64 hexadecimal digits) over the content of `problems`, in their order.

    Everything that a program can be shown, trained on or judged by counts: id, statement, cases, entry point, examples,
    solutions, difficulty, prefix, starter, held-out cases and limits. Of `meta`, which holds notes, only what a verdict depends
    on does (`VERDICT_NOTES`); nor does it count whether cases load lazily. The same on every machine, process and Python version.

    Raises:
        UsageError: a case holds something that is not plain data.
    """
    total = hashlib.sha256()
    for problem in problems:
        with not_too_deep(f"Problem {problem.id!r}", UsageError):
            for part in _encode(_content(problem)):
                total.update(part)
    return total.hexdigest()


def case_digest(case: Case) -> bytes:
    """SHA-256 (32 bytes) of the content of one case: equal cases have equal ones."""
    return hashlib.sha256(b"".join(_encode(_case(case)))).digest()


def _content(problem: Problem) -> tuple[Any, ...]:
    return (
        problem.id,
        problem.statement,
        tuple(map(_case, problem.cases)),
        problem.entry_point,
        tuple(map(_case, problem.examples)),
        tuple(problem.solutions),
        problem.difficulty,
        problem.prefix,
        problem.starter,
        *((tuple(map(_case, problem.held_out)),) if problem.held_out else ()),  # what is published has neither
        *((_limits(problem.limits),) if problem.limits is not None else ()),
        *(("note", name, note) for name in VERDICT_NOTES if (note := problem.meta.get(name)) not in (None, "same")),
    )


def _limits(limits: Limits) -> tuple[Any, ...]:
    seconds = None if limits.seconds is None else float(limits.seconds)
    return ("limits", seconds, limits.memory_mb, limits.recursion)


def _case(case: Any) -> tuple[Any, ...]:
    match case:
        case StdinCase():
            return ("stdin", case.stdin, case.stdout)
        case CallCase():
            return ("call", case.args, dict(case.kwargs), case.expected)
        case ScriptCase():
            return ("script", case.setup, case.script)
    raise UsageError(f"Expected a StdinCase, CallCase or ScriptCase, got {type(case).__name__}.")


def _encode(value: Any) -> Iterator[bytes]:
    """`value` as a type, a length and a content, so that no two different values give the same bytes."""
    if value is None or isinstance(value, bool | float | complex):
        yield from _frame(type(value).__name__, repr(value).encode())
    elif isinstance(value, int):
        yield from _frame("int", f"{value:x}".encode())  # hexadecimal has no limit on digits
    elif isinstance(value, str):
        yield from _frame("str", value.encode("utf-8", "surrogatepass"))
    elif isinstance(value, bytes | bytearray):
        yield from _frame(type(value).__name__, bytes(value))
    elif isinstance(value, Mapping):
        yield from _many("dict", (b"".join(_encode(pair)) for pair in value.items()))
    elif isinstance(value, Set):
        yield from _many(type(value).__name__, sorted(b"".join(_encode(item)) for item in value))
    elif isinstance(value, Sequence):
        yield from _many("tuple" if isinstance(value, tuple) else "list", (b"".join(_encode(item)) for item in value))
    else:
        raise UsageError(f"Expected plain data in a case, got {type(value).__name__}: it has no stable digest.")


def _many(kind: str, parts: Iterable[bytes]) -> Iterator[bytes]:
    yield from _frame(kind, b"".join(parts))


def _frame(kind: str, content: bytes) -> Iterator[bytes]:
    yield f"{kind}:{len(content)}:".encode()
    yield content
