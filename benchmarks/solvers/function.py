"""Answers of a Python function: `module:function(problem, samples, seed)` returns that many programs.

A program is its whole text, the problem's prefix included, or a `core.Program`, whose tokens the record then knows.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.core import Answer
from benchmarks.suites import Suite
from rltf_env import plugins
from rltf_env.core import Problem, Program
from rltf_env.errors import UsageError


class Function:
    """See the module's head."""

    batch = side_by_side = 1

    def __init__(self, spec: str, function: Callable[..., Sequence[str | Program]]) -> None:
        self.name, self.spec, self.function = spec, spec, function

    def describe(self) -> dict[str, Any]:
        """What a record says of the solver."""
        return {"kind": "function", "function": self.spec}

    def write(self, problems: Sequence[Problem], samples: int, seed: int) -> list[list[Answer]]:
        """Programs for problems, in order."""
        return [self._write(problem, samples, seed) for problem in problems]

    def _write(self, problem: Problem, samples: int, seed: int) -> list[Answer]:
        began = time.perf_counter()
        try:
            programs = list(self.function(problem, samples, seed))
        except Exception as error:  # it is not our code: its own words and place say more than a traceback through us
            raise UsageError(
                f"Expected {self.spec}(problem, samples, seed) to give programs for {problem.id!r}, got "
                f"{type(error).__name__}: {error}{_place(error)}."
            ) from error
        seconds = (time.perf_counter() - began) / samples
        if len(programs) != samples or not all(isinstance(each, str | Program) for each in programs):
            raise UsageError(
                f"Expected {samples} programs (str or Program) of {self.spec} for {problem.id!r}, got {programs!r:.200}."
            )
        return [
            Answer.of(each, seconds=seconds) if isinstance(each, Program) else Answer(each, seconds=seconds)
            for each in programs
        ]


def _place(error: BaseException) -> str:
    """Where an exception was raised: file and line."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""


def load(spec: str, suite: Suite) -> Function:
    """The solver of `"module:function"`."""
    attribute: Any = plugins.find("solvers", spec)
    if not callable(attribute):
        raise UsageError(f"Expected {spec!r} to be a function, got {type(attribute).__name__}.")
    function: Any = attribute
    return Function(spec, function)
