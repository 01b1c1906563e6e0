"""A problem: its statement, the cases that decide whether a program solves it, and the limits of a case."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rltf_env.errors import InvalidProblem


@dataclass(frozen=True, slots=True)
class StdinCase:
    """Run the program with `stdin`; its standard output must match `stdout`."""

    stdin: str
    stdout: str

    def __post_init__(self) -> None:
        _check_texts(self, "stdin", "stdout")


@dataclass(frozen=True, slots=True)
class CallCase:
    """Call the problem's entry point with `args` and `kwargs`; the result must match `expected`."""

    args: tuple[Any, ...]
    expected: Any
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not isinstance(self.args, list | tuple):
            raise InvalidProblem(
                f"Expected args of a CallCase as a tuple, got {_described(self.args)}. One argument is (x,)."
            )
        if not isinstance(self.kwargs, Mapping):
            raise InvalidProblem(f"Expected kwargs of a CallCase as a dict, got {_described(self.kwargs)}.")


@dataclass(frozen=True, slots=True)
class ScriptCase:
    """Python that asserts something about the program's names (MBPP, HumanEval).

    `script` runs after `setup`, with the program's globals in scope, and passes when it ends without an exception.
    """

    script: str
    setup: str = ""

    def __post_init__(self) -> None:
        _check_texts(self, "script", "setup")


Case = StdinCase | CallCase | ScriptCase
VERDICT_NOTES = ("order", "checker")
"""Of `Problem.meta`, the notes that a verdict depends on; the order "same" is that of none."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one case of a problem may use, where the problem says so itself. None: what the judge allows anyway.

    Args:
        seconds: of CPU time. A judge never allows more than its own `case_seconds`.
        memory_mb: address space in MiB, on top of the interpreter's; never more than the judge's `memory_mb`.
        recursion: frames that a program may have without asking for more (`sys.setrecursionlimit`). Python's own
            is 1,000; LiveCodeBench's is 600,000.
    """

    seconds: float | None = None
    memory_mb: int | None = None
    recursion: int | None = None

    def __post_init__(self) -> None:
        for name, kinds in (("seconds", int | float), ("memory_mb", int), ("recursion", int)):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value < _LARGEST_LIMIT:
                number = "number" if name == "seconds" else "whole number"
                raise InvalidProblem(f"Expected limit {name!r} to be a positive {number} or None, got {value!r}.")


_LARGEST_LIMIT = 1 << 31  # the interpreter's, for frames


@dataclass(frozen=True)
class Problem:
    """A task and the cases that decide whether a program solves it.

    `cases` may be any sequence, also one that reads its file at first use; it is never empty. `entry_point` is the name
    to call (`"f"`, or `"Solution.f"` for a method of a class built without arguments), or `None` for programs that read
    standard input. `examples` are public and may be shown; `cases` are not. `prefix` is code given for free: the program
    that is judged begins with it (a curriculum step is a Problem with a longer prefix). `held_out` are cases kept from
    training: no judgement of this problem runs them (`datasets.hold_out` sets them aside, `datasets.unseen` asks them).
    `limits` are the problem's own; a judge keeps to the smaller of them and of what it was told itself.

    Notes that the filters of `datasets.load` know: `meta["source"]`, where the problem comes from, and `meta["tags"]`.
    """

    id: str
    statement: str
    cases: Sequence[Case]
    entry_point: str | None = None
    examples: Sequence[Case] = ()
    solutions: Sequence[str] = ()
    difficulty: str = ""
    prefix: str = ""
    starter: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)  # notes; a plain dict, so that problems pickle
    held_out: Sequence[Case] = ()
    limits: Limits | None = None

    def __post_init__(self) -> None:
        if not self.id:
            raise InvalidProblem("Expected a problem with a non-empty id, got ''.")
        if not self.cases:  # not len(): cases that load lazily know that there are some before they know how many
            raise InvalidProblem(
                f"Problem {self.id!r} has no cases, so no program could be judged. Skip it, or give it at least one."
            )
        self._check_types()
        if self.limits == Limits():
            object.__setattr__(self, "limits", None)  # no limits are no limits, however they are said

    def _check_types(self) -> None:
        """Raises InvalidProblem for a field of another type: a text in place of a list would be read letter by letter."""
        for name in ("id", "statement", "difficulty", "prefix", "starter"):
            self._check(name, isinstance(getattr(self, name), str), "a text", getattr(self, name))
        self._check("limits", isinstance(self.limits, Limits | None), "core.Limits or None", self.limits)
        self._check("solutions", _holds(self.solutions, str), "a list of texts", self.solutions)
        for name in ("cases", "examples", "held_out"):
            self._check(name, _holds(getattr(self, name), Case), _CASES, getattr(self, name))
        named = not self.entry_point or all(part.isidentifier() for part in str(self.entry_point).split("."))
        self._check("entry_point", named, 'the name of a function ("f", "Solution.f") or None', self.entry_point)

    def _check(self, name: str, right: bool, expected: str, value: Any) -> None:
        if not right:
            raise InvalidProblem(f"Problem {self.id!r}: expected {name} to be {expected}, got {_described(value)}.")


_CASES = "a list of StdinCase, CallCase or ScriptCase"


def _check_texts(case: StdinCase | ScriptCase, *names: str) -> None:
    for name in names:
        if not isinstance(value := getattr(case, name), str):
            kind = type(case).__name__
            raise InvalidProblem(
                f"Expected {name} of a {kind} as a text, got {_described(value)}. A list is a case for each item."
            )


def _described(value: Any) -> str:
    return f"{type(value).__name__} {value!r:.60}"


def _holds(values: Any, kind: Any) -> bool:
    """Whether `values` is a sequence of `kind`. What is no list or tuple may read its file at first use, and is believed."""
    if isinstance(values, list | tuple):
        return all(isinstance(value, kind) for value in values)
    return isinstance(values, Sequence) and not isinstance(values, str | bytes)


class Problems(tuple[Problem, ...]):
    """What `datasets.load` returns: a tuple of problems that also remembers what had to be left out, and why."""

    skipped: tuple[tuple[str, str], ...]

    def __new__(cls, problems: Iterable[Problem], skipped: Iterable[tuple[str, str]] = ()) -> Problems:
        self = super().__new__(cls, problems)
        self.skipped = tuple(skipped)
        return self
