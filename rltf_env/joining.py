"""Code behind given code: one program, its `from __future__` imports where Python wants them.

    join("import math\n", "from __future__ import annotations\nx: y = 1\n").text

        from __future__ import annotations
        import math
        pass                              # and blanks, as long as the import was
        x: y = 1

Python takes such an import at the top of a file alone, and a program that begins with it begins a
file. Behind a problem's `prefix` it no longer does. So the import moves up, onto a line of its own,
and leaves as many characters as it had: every other character of the program stays as far from its
end, and `Joined.line` says which line of the plain text `prefix + program` a line of the joined
text is.

The program is only looked at, by patterns, as far as its first other statement; it is not parsed.
"""

from __future__ import annotations
import __future__ as features

import ast
import re
from dataclasses import dataclass, replace
from functools import lru_cache

from rltf_env.core import CaseResult, Facts, Verdict, line_starts
from rltf_env.parsing import tree

_END = r"(?:\r\n|\r|\n)"
_REST = re.compile(rf"[ \t\f]*+(?:\#[^\r\n]*+)?{_END}")  # of a line on which nothing stands any more
_STRING = re.compile(
    r"""[rRuU]?(?s:"{3}(?:\\.|[^\\])*?"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\r\n])*+"|'(?:\\.|[^'\\\r\n])*+')"""
)
_BLANK = rf"(?:[ \t\f]|\\{_END})"
_NAME = rf"\w++(?:{_BLANK}++as{_BLANK}++\w++)?"
_FUTURE = re.compile(
    rf"from{_BLANK}++__future__{_BLANK}++import"
    rf"(?:{_BLANK}*+\((?P<inside>(?:[^()#]|\#[^\r\n]*+)*+)\)"
    rf"|{_BLANK}++(?P<plain>{_NAME}(?:{_BLANK}*+,{_BLANK}*+{_NAME})*+))"
)
_AFTER = re.compile(r"[ \t\f]*+(?:(;)[ \t\f]*+|(?=[#\r\n]|\Z))")


@dataclass(frozen=True)
class Joined:
    """A program behind the code that is given.

    Args:
        text: what Python is to read.
        added: the line of `text` that was put in; 0 if none was.
        origin: the line of the plain text from which it comes.
    """

    text: str
    added: int = 0
    origin: int = 0

    def line(self, number: int) -> int:
        """The line of the plain text that line `number` of `text` is."""
        if not self.added or number < self.added:
            return number
        return self.origin if number == self.added else number - 1

    def as_written(self, verdict: Verdict) -> Verdict:
        """A verdict on `text`, told of the lines of the plain text."""
        if not self.added:
            return verdict
        return replace(
            verdict,
            results=tuple(map(self._result, verdict.results)),
            executed=self._lines(verdict.executed),
            code=self._lines(verdict.code),
            facts=verdict.facts and self._facts(verdict.facts),
        )

    def _lines(self, lines: frozenset[int] | None) -> frozenset[int] | None:
        return None if lines is None else frozenset(map(self.line, lines))

    def _facts(self, facts: Facts) -> Facts:
        return replace(facts, findings=tuple((kind, self.line(line)) for kind, line in facts.findings))

    def _result(self, result: CaseResult) -> CaseResult:
        failure, executed = result.failure, self._lines(result.executed)
        if failure is not None and failure.line is not None:
            failure = replace(failure, line=self.line(failure.line))
        return replace(result, failure=failure, executed=executed)


def join(prefix: str, program: str) -> Joined:
    """`program` behind `prefix`, which is Python; what both say together, with future imports at the top."""
    plain = prefix + program
    spans = _futures(program, fresh=not prefix or prefix[-1] in "\r\n")
    line = _first_line(prefix) if spans else None
    if line is None:
        return Joined(plain)
    at = line_starts(prefix)[line - 1]
    names = ", ".join(dict.fromkeys(name for _, _, names in spans for name in names))
    for start, end, _ in spans:
        program = program[:start] + _blank(program[start:end]) + program[end:]
    text = f"{prefix[:at]}from __future__ import {names}\n{prefix[at:]}{program}"
    return Joined(text, line, len(line_starts(plain[: len(prefix) + spans[0][0]])))


def full_text(prefix: str, text: str) -> Joined:
    """A whole program that begins with `prefix`, as it is to be judged; any other as it is."""
    return join(prefix, text[len(prefix) :]) if prefix and text.startswith(prefix) else Joined(text)


# ---------------------------------------------------------------------------------------------------- the program

Span = tuple[int, int, list[str]]  # where an import begins and ends, and what it imports


def _futures(program: str, fresh: bool) -> list[Span]:
    """The future imports that a program begins with, comments and a docstring aside."""
    if "__future__" not in program:
        return []
    spans: list[Span] = []
    at = _next_line(program, 0)
    if not fresh and not at:  # its first characters end a line that is given
        return []
    first = True
    while True:
        future = _FUTURE.match(program, at)
        names = _names(future) if future else []
        statement = future if names else _STRING.match(program, at) if first else None
        after = _AFTER.match(program, statement.end()) if statement else None
        if statement is None or after is None:
            return spans
        spans += [(statement.start(), statement.end(), names)] if names else []
        at, first = after.end(), False
        if not after[1] or _REST.match(program, at):
            at = _next_line(program, at)


def _next_line(program: str, at: int) -> int:
    """Where the next line begins that is neither empty nor a comment."""
    while rest := _REST.match(program, at):
        at = rest.end()
    return at


def _names(future: re.Match[str]) -> list[str]:
    """What an import imports; nothing if Python has no such features, and so will say what is wrong with it."""
    text = re.sub(rf"\#[^\r\n]*|\\(?={_END})", "", future["plain"] or future["inside"])
    names = [" ".join(name.split()) for name in text.split(",")]
    names = names[:-1] if future["inside"] and not names[-1] else names
    valid = all(re.fullmatch(r"\w+( as \w+)?", name) and name.split()[0] in _FEATURES for name in names)
    return names if valid else []


_FEATURES = frozenset(features.all_feature_names)


def _blank(statement: str) -> str:
    """As many characters and lines that do nothing."""
    return "pass" + "".join(c if c in "\r\n" else " " for c in statement[4:])


# ------------------------------------------------------------------------------------------------------- the prefix


@lru_cache(maxsize=1024)
def _first_line(prefix: str) -> int | None:
    """The line of the first statement that no future import may follow; None without one, or if this is no Python."""
    try:
        body = tree(prefix).body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    for index, node in enumerate(body):
        future = isinstance(node, ast.ImportFrom) and node.module == "__future__"
        if not future and not (index == 0 and _is_text(node)):
            return min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
    return None


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
