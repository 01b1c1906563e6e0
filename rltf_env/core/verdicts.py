"""A verdict: what became of a program on each case, and why a case was not passed."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any

from rltf_env._renamed import renamed_fields
from rltf_env.errors import UsageError
from rltf_env.facts import Facts


class Outcome(IntEnum):
    """What became of a program, worst first: the outcome of many cases is their minimum.

    The order is also that of CodeRL's four critic classes (arXiv 2207.01780, section 3.2).
    """

    SYNTAX_ERROR = 0
    RUNTIME_ERROR = 1
    WRONG_ANSWER = 2
    PASSED = 3

    def __str__(self) -> str:
        return self.name


class FailureKind:
    """Values of `Failure.kind` that are not the name of a Python exception class."""

    WRONG_ANSWER = "WrongAnswer"  # ran to its end; an output, a result or an assertion was not right
    TIMEOUT = "Timeout"  # detail: "wall" or "cpu"
    MEMORY_LIMIT = "MemoryLimit"
    OUTPUT_LIMIT = "OutputLimit"
    FILE_LIMIT = "FileLimit"
    PROCESS_LIMIT = "ProcessLimit"
    FORBIDDEN_CALL = "ForbiddenCall"
    KILLED = "Killed"  # detail: the signal's number
    EXITED = "Exited"  # ended the process before the case was answered; detail: the status
    MISSING_ENTRY_POINT = "MissingEntryPoint"
    UNREPRESENTABLE = "Unrepresentable"  # the result is not plain data, so it could not be compared
    FOOLED_TEST = (
        "FooledTest"  # passed a copy of the test in which an expectation is false, so it did not answer the test
    )
    NOT_RUN = "NotRun"  # an earlier case used up what the program had (one endless loop costs one time limit)
    # Findings of a text that was not run (`rltf_env.facts.Facts.findings`, `sandbox/static.py`):
    UNDEFINED_NAME = "UndefinedName"
    WRONG_ARITY = "WrongArity"
    UNBOUND_LOCAL = "UnboundLocal"
    NOT_RETURNED = "NotReturned"


STATIC = "static"  # `Verdict.judged_by` of the judge that runs nothing


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a case was not passed.

    `kind` is the class name of the exception that ended the program or one of `FailureKind`; `bases` the class names of its
    built-in ancestors, nearest first. `line` is 1-based in `Program.text`; None when no line is to blame. `message` is for
    people: nothing may be decided by its text. `detail` is for machines: `"triple_quote"` on a SyntaxError whose cause is
    an unterminated triple-quoted string, `"wall"` or `"cpu"` on a time-out, a signal number, an exit status.
    """

    kind: str
    message: str = ""
    line: int | None = None
    detail: str = ""
    bases: tuple[str, ...] = ()

    @property
    def identity(self) -> tuple[object, ...]:
        """What is the same whenever the program is judged again.

        Where a program was when it was stopped from outside, and by which limit of time, is evidence: an endless loop is
        stopped on one line today and on another tomorrow.
        """
        return (self.kind,) if self.stopped else (self.kind, self.message, self.line, self.detail, self.bases)

    @property
    def stopped(self) -> bool:
        """True if the program was ended from outside, wherever it was at that moment."""
        return self.kind in (FailureKind.TIMEOUT, FailureKind.MEMORY_LIMIT)

    def is_a(self, *names: str) -> bool:
        """True if the failure is, or derives from, one of these exception classes (or is of that `FailureKind`)."""
        return self.kind in names or any(base in names for base in self.bases)


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What one case gave.

    Args:
        outcome, failure: what became of the program; only one that passed has no failure.
        seconds: CPU time; not compared.
        stdout: what the program printed, cut at the sandbox's cap.
        executed: 1-based lines that ran in this case; None when that was not asked (`trace_cases`).
            Tests that run in one process have all lines of that process.
    """

    outcome: Outcome
    failure: Failure | None = None
    seconds: float = field(default=0.0, compare=False)
    stdout: str = ""
    executed: frozenset[int] | None = None

    def __post_init__(self) -> None:
        if (self.failure is None) != (self.outcome is Outcome.PASSED):
            raise UsageError(
                f"A failure must go with every outcome but PASSED, got {self.outcome!r}, {self.failure!r}."
            )


@renamed_fields(judge="judged_by")
@dataclass(frozen=True)
class Verdict:
    """The judgement on one program: one result per case of the problem, in order; of a test suite, one per test function.

    `executed` holds the 1-based lines that ran in at least one case, `code` those that have code at all: what is in `code`
    alone did not run, what is in neither had nothing to run. Both are None when that was not asked for (`trace`). `facts` are
    those of its text; None when not asked, and of a text that was not analysed. `judged_by` says who decided: backend and
    isolation level. `way` says how assertion scripts were run: `"apart"` from the program, `"together"` with it, or
    `"apart+together"`; `unguarded` how many tests ran together of which no expectation could be falsified. Two verdicts are
    equal when results, lines and facts agree; times, `judged_by` and way are not compared.
    """

    results: tuple[CaseResult, ...]
    executed: frozenset[int] | None = None
    judged_by: str = ""
    way: str = field(default="", compare=False)
    unguarded: int = field(default=0, compare=False)
    code: frozenset[int] | None = None
    facts: Facts | None = None

    def __post_init__(self) -> None:
        if not self.results:
            raise UsageError("A verdict needs the result of at least one case, got none.")

    def __deepcopy__(self, memo: dict[int, Any]) -> Verdict:
        """Itself, for nothing in it changes: Stable-Baselines3 copies every `info` deeply at every step."""
        return self

    @cached_property
    def outcome(self) -> Outcome:
        """The worst outcome of any case."""
        return min(result.outcome for result in self.results)

    @cached_property
    def pass_ratio(self) -> float:
        """Cases passed / cases, in [0, 1]."""
        return sum(result.outcome is Outcome.PASSED for result in self.results) / len(self.results)

    @cached_property
    def failure(self) -> Failure | None:
        """The failure of the first of the worst results; None when all passed."""
        return next(result.failure for result in self.results if result.outcome is self.outcome)

    @property
    def was_run(self) -> bool:
        """False if a judge read the program's text and ran nothing.

        PASSED then says "nothing found", not "right".
        """
        return runs_programs(self.judged_by)

    def check_run(self, use: str) -> None:
        """Raises UsageError, in whose words `use` is what the verdict is for, unless the program was run."""
        if not self.was_run:
            raise UsageError(nothing_ran(use))

    def same(self, other: Verdict) -> bool:
        """True if both say the same of the program (times, outputs and judge aside, and where it was stopped)."""
        if self._identity != other._identity:
            return False
        stopped = any(result.failure and result.failure.kind == FailureKind.TIMEOUT for result in self.results)
        return (stopped or self._lines == other._lines) and self.facts == other.facts

    @property
    def _lines(self) -> tuple[object, ...]:
        return self.executed, self.code, [result.executed for result in self.results]

    @property
    def _identity(self) -> list[tuple[object, ...]]:
        return [(r.outcome, r.failure and r.failure.identity) for r in self.results]


def runs_programs(judged_by: str) -> bool:
    """False if a judge of this name (`Verdict.judged_by`) runs nothing."""
    return judged_by.partition("/")[0] != STATIC


def nothing_ran(use: str) -> str:
    """What to say where `use` needs programs that were run, and the judge runs none."""
    return (
        f'Expected a judge that runs programs for {use}, got "{STATIC}", which runs none: its PASSED says that nothing '
        'was found in a text, not that the program is right. Choose another sandbox, such as "auto".'
    )
