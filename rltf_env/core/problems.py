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


@dataclass(frozen=True, slots=True)
class CallCase:
    """Call the problem's entry point with `args` and `kwargs`; the result must match `expected`."""

    args: tuple[Any, ...]
    expected: Any
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScriptCase:
    """Python that asserts something about the program's names (MBPP, HumanEval).

    `script` runs after `setup`, with the program's globals in scope, and passes when it ends without an exception.
    """

    script: str
    setup: str = ""


Case = StdinCase | CallCase | ScriptCase


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
        if self.limits is not None and not isinstance(self.limits, Limits):
            raise InvalidProblem(
                f"Problem {self.id!r}: expected limits to be core.Limits or None, got {type(self.limits).__name__}."
            )
        if self.limits == Limits():
            object.__setattr__(self, "limits", None)  # no limits are no limits, however they are said


class Problems(tuple[Problem, ...]):
    """What `datasets.load` returns: a tuple of problems that also remembers what had to be left out, and why."""

    skipped: tuple[tuple[str, str], ...]

    def __new__(cls, problems: Iterable[Problem], skipped: Iterable[tuple[str, str]] = ()) -> Problems:
        self = super().__new__(cls, problems)
        self.skipped = tuple(skipped)
        return self
