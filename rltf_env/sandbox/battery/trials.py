"""The public battery: hostile, odd and honest programs, each with the verdict that a right judge gives, and why.

`rltf_env.testing.check_sandbox` runs it against any sandbox. The programs are in `programs.txt` (honest, odd, wrong,
endless, greedy, cheating) and `intruders.txt` (those that turn on the judge itself). One entry is

    === name | problem | verdict | what it does, and why that is the verdict
    the program

`problem` is `add` (a function, judged by calls and again by assertions) or `square` (standard input). `verdict` lists what is
right: `Passed`, a `Failure.kind`, a kind with its line (`ZeroDivisionError@2`); several with `/`; `fail` is anything but a pass.
The programs are for cages: do not run them elsewhere.
"""

from __future__ import annotations

import re
from importlib import resources
from typing import NamedTuple

from rltf_env.core import CallCase, Problem, ScriptCase, StdinCase, Verdict

FILES = ("programs.txt", "intruders.txt")
ADD = Problem(
    "add", "Write add(a, b).", [CallCase((1, 2), 3), CallCase((-4, 1004), 1000)], "add", solutions=["def add(a, b): return a + b"]
)  # fmt: skip
ADD_SCRIPT = Problem(
    "add/script", "Write add(a, b).", [ScriptCase("assert add(1, 2) == 3\nassert add(-4, 1004) == 1000")], "add"
)
SQUARE = Problem("square", "Print the square.", [StdinCase("3\n", "9\n"), StdinCase("31623\n", "1000014129\n")])
PROBLEMS = {"add": (ADD, ADD_SCRIPT), "square": (SQUARE,)}


class Trial(NamedTuple):
    """A program, the problems it is judged on, and the verdicts that are right."""

    name: str
    problems: tuple[Problem, ...]
    right: tuple[str, ...]
    why: str
    source: str

    def complaint(self, verdict: Verdict) -> str:
        """What is wrong with the verdict; empty if nothing is.

        The kernel counts processes for each user. Without all walls a judge may have no user to itself, and a program that
        floods it dies of something else: there, not being paid is what counts.
        """
        failure = verdict.failure
        got = "Passed" if failure is None else failure.kind
        if failure and "ProcessLimit" in self.right and "/full:" not in verdict.judged_by:
            return ""
        for right in self.right:
            kind, _, line = right.partition("@")
            kinds_agree = (kind == "fail" and got != "Passed") or kind == got
            if kinds_agree and (not line or (failure is not None and str(failure.line) == line)):
                return ""
        where = "" if failure is None else f"@{failure.line} ({failure.message[:80]})"
        return f"{self.name} ({self.why}): expected {' or '.join(self.right)}, got {got}{where}"


def trials() -> tuple[Trial, ...]:
    """All of them, those that a text cannot hold included."""
    folder = resources.files(__name__.rpartition(".")[0])
    text = "".join((folder / name).read_text("utf-8") for name in FILES)
    entries = re.split(r"^=== ", text, flags=re.MULTILINE)[1:]
    ordinary = [_trial(*entry.split("\n", 1)) for entry in entries]
    return (*ordinary, *(_trial(head, source) for head, source in SPECIAL))


def _trial(head: str, source: str) -> Trial:
    name, problem, right, why = (part.strip() for part in head.split("|", 3))
    return Trial(name, PROBLEMS[problem], tuple(right.split("/")), why, source)


_ADD = "def add(a, b):\n    return a + b\n"
SPECIAL = (
    ("crlf | add | Passed | DOS line ends", _ADD.replace("\n", "\r\n")),
    ("cr_only | add | Passed | old Macintosh line ends", _ADD.replace("\n", "\r")),
    (
        "crlf_line | add | ZeroDivisionError@2 | lines are counted the same with DOS line ends",
        "def add(a, b):\r\n  return 1//0",
    ),
    ("no_final_newline | square | Passed | the file just ends", "print(int(input()) ** 2)"),
    ("byte_order_mark | square | Passed | an editor's mark in front", "\ufeffprint(int(input()) ** 2)\n"),
    ("bom_line | square | SyntaxError@2 | and it shifts no line", "\ufeffx = 1\nprint((\n"),
    ("form_feed | add | Passed | a page break before a definition", "\x0c" + _ADD),
    ("nul_in_source | add | SyntaxError | Python reads no NUL", "x = 1\n\0" + _ADD),
    ("surrogate_in_source | add | SyntaxError@2 | a lone surrogate is no text", "# ok\nx = '\udc80'\n" + _ADD),
    ("tab_error | add | TabError@3 | tabs and blanks mixed", "def add(a, b):\n        c = a\n\treturn c + b\n"),
    ("deep_brackets | add | fail | too deeply nested for the parser", "x = " + "(" * 5000 + ")" * 5000 + "\n" + _ADD),
    ("deep_unary | add | fail | a tree too deep to compile", "x = " + "-" * 50000 + "1\n" + _ADD),
    ("long_source | add | Passed | a third of a megabyte of assignments", "x = 12345678\n" * 25000 + _ADD),
    ("long_line | square | Passed | one long line", "x = '" + "y" * 100_000 + "'; print(int(input()) ** 2)"),
    ("empty | add | MissingEntryPoint | no program at all", ""),
    ("empty_stdin | square | WrongAnswer | no program at all prints nothing", ""),
    ("tabs | add | Passed | tabs for indentation", "def add(a, b):\n\tif a:\n\t\treturn a + b\n\treturn b\n"),
    ("trailing_backslash | add | SyntaxError | ends in a continuation", _ADD + "\\"),
)
