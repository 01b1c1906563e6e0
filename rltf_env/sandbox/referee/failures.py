"""How a failure is told: from what a program reported of itself, all of which may be forged, and from how its process ended."""

from __future__ import annotations

import builtins
import contextlib
import json
import os
import re
from typing import Any

from rltf_env.sandbox.values import FILENAME, MESSAGE

SYNTAX_ERROR, RUNTIME_ERROR, WRONG_ANSWER, PASSED = range(4)  # core.Outcome


LONGEST_NAME = 100  # of an exception's class
RESERVED = frozenset(
    "WrongAnswer Timeout MemoryLimit OutputLimit FileLimit ProcessLimit ForbiddenCall Killed Exited MissingEntryPoint "
    "Unrepresentable NotRun FooledTest Passed UndefinedName WrongArity UnboundLocal NotReturned".split()
)
_FRAME = re.compile(rb'^  File "' + re.escape(FILENAME).encode() + rb'", line (\d+) in', re.MULTILINE)


class BadProblem(Exception):
    """No program can be judged on this problem."""


class NotApart(BadProblem):
    """A script that cannot be judged apart from the program."""


class CannotCross(NotApart):
    """It hands something to the program that cannot leave this side."""


class NothingUsed(NotApart):
    """It came to its end and had used nothing of the program's."""


class NoCode(Exception):
    """The program is not Python, as `record` says."""

    def __init__(self, record: dict[str, Any]) -> None:
        self.record = record


def not_python(index: int, error: Exception) -> BadProblem:
    """The problem whose test, of case `index`, is no Python."""
    why = f"{error.msg} in line {error.lineno}" if isinstance(error, SyntaxError) and error.lineno else str(error)
    return BadProblem(f"the test of case {index} is not Python: {why}")


def failure(kind: str, message: str = "", line: int | None = None, detail: str = "", bases: Any = ()) -> list[Any]:
    """A failure as the caller gets it. The message may be the program's: of limited length, and fit for a terminal."""
    message = message[:MESSAGE]
    if not message.isprintable():
        message = "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in message)
    return [kind, message, line, detail, list(bases)]


def unfinished(lines: list[Any], count: int, record: dict[str, Any]) -> list[Any] | None:
    """Why there are fewer than `count` results: the program raised or left."""
    first = lines[0] if lines else {}
    if "e" in first or "x" in first:
        return raised(first)
    if len(lines) >= count:
        return None
    return failure("Exited", "ended before it was asked", None, str(os.waitstatus_to_exitcode(record["status"])))


def raised(reply: dict[str, Any]) -> list[Any]:
    """The failure of an operation. All of it may be forged, so nothing is believed to be of the right type, or short."""
    if "x" in reply:
        status = reply["x"] if type(reply["x"]) is int else 1
        return failure("Exited", "left with exit()", _line(reply), str(status & 0xFF))
    record = reply["e"] if isinstance(reply.get("e"), dict) else {}
    bases = [base for base in as_list(record.get("bases")) if _is_exception(base)]
    kind, message = str(record.get("kind")), str(record.get("message") or "")
    if record.get("limit") == "processes":
        return failure("ProcessLimit", message, _line(record), bases=(kind, *bases))
    if record.get("limit") == "memory" or (kind == "MemoryError" and record.get("own")):
        return failure("MemoryLimit", message, _line(record), bases=(kind, *bases))
    own = record.get("own") and _is_exception(kind)
    if not own and (kind in RESERVED or hasattr(builtins, kind) or len(kind) > LONGEST_NAME or not kind.isidentifier()):
        kind = bases[0] if bases else "Exception"
    return failure(kind, message, _line(record), bases=bases)


def as_list(value: Any) -> list[Any]:
    """A list that may be forged: of limited length, or empty if it is none."""
    return value[:50] if isinstance(value, list) else []


def _is_exception(name: Any) -> bool:
    builtin = getattr(builtins, name, None) if isinstance(name, str) else None
    return isinstance(builtin, type) and issubclass(builtin, BaseException)


def _line(record: dict[str, Any]) -> int | None:
    line = record.get("line")
    return line if type(line) is int and 0 < line < 1 << 31 else None


def stuck_line(data: bytes) -> int | None:
    """The line that a killed process was in, from the stack that it left behind its results, innermost frame first."""
    stack = data.rfind(b"(most recent call first):\n  File ")  # not C's, which later Pythons may add
    match = _FRAME.search(data, max(stack, 0))
    return int(match[1]) if match and len(match[1]) < 9 else None


def results_of(data: bytes, most: int) -> list[dict[str, Any]]:
    """The first lines of what a program's operations came to, at most so many; those behind them are forged, or none."""
    lines, results = data.split(b"\n", most)[:most], []
    if lines and not lines[-1]:
        lines.pop()
    with contextlib.suppress(ValueError, RecursionError):
        results = json.loads(b"[" + b",".join(lines) + b"]")
    if len(results) == len(lines) and all(type(result) is dict for result in results):
        return results
    return _one_by_one(lines)


def _one_by_one(lines: list[bytes]) -> list[dict[str, Any]]:
    """The results up to the first line that is none."""
    results = []
    for line in lines:
        if not line.startswith(b"{"):
            break
        try:
            results.append(json.loads(line))
        except (ValueError, RecursionError):
            break
    return results


# ------------------------------------------------------------------------------------------------------ syntax errors

_OPENING = re.compile(r"[rRbBuUfFtT]{0,3}(\"\"\"|''')")


def syntax_failure(record: dict[str, Any], source: str) -> list[Any]:
    """The row of a text that does not compile: its failure with line and cause, from the compiler's record."""
    line, kind = record.get("line"), str(record.get("kind"))
    if kind in ("ValueError", "UnicodeEncodeError"):  # a NUL or a lone surrogate: no version of Python reads it
        kind, record["bases"] = "SyntaxError", ["Exception", "BaseException"]
    detail = "triple_quote" if kind == "SyntaxError" and _opens_triple_quote(source, line, record.get("offset")) else ""
    line = max(line, 1) if type(line) is int else None
    return failure(kind, str(record.get("message")), line, detail, record.get("bases") or ())


def _opens_triple_quote(source: str, line: Any, offset: Any) -> bool:
    """True if at this position a triple-quoted string begins that nothing ends. Looks at the program, not at the message."""
    if type(line) is not int or type(offset) is not int or offset < 1:
        return False
    text = source.removeprefix("\ufeff")
    starts = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", text))]
    if not 1 <= line <= len(starts):
        return False
    opening = _OPENING.match(text, starts[line - 1] + offset - 1)
    if opening is None:
        return False
    return re.compile(rf"(?s)(?:\\.|(?!{opening[1]})[^\\])*+{opening[1]}").match(text, opening.end()) is None
