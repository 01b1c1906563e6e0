"""The public battery of scripts: right and wrong programs under tests of every kind, with what plain Python makes of each.

`scripts.txt` has one entry for each script:

    === name | kind of test | who runs it | entry point or - | reference or no reference | packages it needs, if any
    the script
    --- right 3/3
    a program
    --- wrong 1/3
    another program

The numbers are the tests that a plain run passes, of all that it neither skips nor expects to fail: `python -m pytest`,
`python -m unittest` or `python file`, as the head says. unittest counts a failure that was expected as a pass. The first
program is the problem's reference solution, if it is to have one. The programs are honest: they may run anywhere.
"""

from __future__ import annotations

import re
from fractions import Fraction
from importlib import resources
from typing import NamedTuple

from rltf_env.core import Problem, ScriptCase, Verdict

FILE = "scripts.txt"
RUNNERS = ("pytest", "unittest", "python")


class Attempt(NamedTuple):
    """A program under a script.

    Args:
        script: the name of the script's entry.
        name: that of the script, with the program's number.
        kind: what kind of test it is.
        runner: one of `RUNNERS`.
        problem: the script as a problem.
        right: the program solves it.
        passed, total: tests that a plain run passes, and all that count.
        packages: what the script imports beside the standard library and its runner.
        source: the program.
    """

    script: str
    name: str
    kind: str
    runner: str
    problem: Problem
    right: bool
    passed: int
    total: int
    packages: tuple[str, ...]
    source: str

    @property
    def share(self) -> Fraction:
        """Tests passed of all, in [0, 1]."""
        return Fraction(self.passed, self.total)

    def complaint(self, verdict: Verdict) -> str:
        """What is wrong with the verdict; empty if nothing is: the share of tests passed has to be that of the plain run."""
        passed = sum(result.failure is None for result in verdict.results)
        if Fraction(passed, len(verdict.results)) == self.share:
            return ""
        failure = verdict.failure
        why = "" if failure is None else f": {failure.kind} at line {failure.line}, {failure.message[:120]}"
        what = "refused" if passed * self.total < self.passed * len(verdict.results) else "paid"
        return (
            f"{self.name} ({self.kind}, {verdict.way}) was {what}: expected {self.passed} of {self.total} tests passed, "
            f"got {passed} of {len(verdict.results)}{why}"
        )


def attempts(text: str | None = None) -> tuple[Attempt, ...]:
    """All of them, in the order of the file, or of a text of that kind."""
    if text is None:
        text = (resources.files(__name__.rpartition(".")[0]) / FILE).read_text("utf-8")
    entries = re.split(r"^=== ", text, flags=re.MULTILINE)[1:]
    return tuple(attempt for entry in entries for attempt in _attempts(*entry.split("\n", 1)))


def _attempts(head: str, body: str) -> list[Attempt]:
    name, kind, runner, entry_point, reference, *packages = (part.strip() for part in head.split("|"))
    script, *programs = re.split(r"^--- ", body, flags=re.MULTILINE)
    parts = [program.split("\n", 1) for program in programs]
    solutions = [parts[0][1]] if reference == "reference" else []
    problem = Problem(
        f"battery/{name}", kind, [ScriptCase(script)], "" if entry_point == "-" else entry_point, solutions=solutions
    )
    return [
        _attempt(f"{name}/{number}", kind, runner, problem, packages, *part) for number, part in enumerate(parts, 1)
    ]


def _attempt(
    name: str, kind: str, runner: str, problem: Problem, packages: list[str], label: str, source: str
) -> Attempt:
    right, _, share = label.partition(" ")
    passed, _, total = share.partition("/")
    script = name.partition("/")[0]
    return Attempt(
        script, name, kind, runner, problem, right == "right", int(passed), int(total), tuple(packages), source
    )
