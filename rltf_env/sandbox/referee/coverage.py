"""Which lines of a program ran in which case, gathered from all of its runs. Standard library only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rltf_env.sandbox.cage.trace import Traced


class Coverage:
    """The lines of one program, from any number of runs.

    Args:
        traced: the runs are traced.
        by_case: and the cases told apart.
    """

    def __init__(self, options: dict[str, Any]) -> None:
        self.traced, self.by_case = options["trace"], options["trace_cases"]
        self.code: set[int] = set()
        self.executed: set[int] = set()
        self._cases: dict[int, set[int]] = {}

    def add(self, lines: Traced | None, cases: Sequence[int]) -> None:
        """Takes down a run of these cases."""
        if lines is None:
            return
        self.code.update(lines.code)
        for row in lines.rows:
            self.executed.update(row)
        for case, row in zip(cases, lines.rows, strict=False):  # fewer rows where the cases share one
            self._cases.setdefault(case, set()).update(row)

    def join(self, other: Coverage) -> None:
        """Takes down all the lines of another part of the program's judgement, of no case in particular."""
        self.code |= other.code
        self.executed |= other.executed

    def on(self, results: Iterable[list[Any]]) -> list[list[Any]]:
        """The results of the cases, each with the lines that ran in it, where that is asked."""
        if not self.by_case:
            return list(results)
        return [[*result, sorted(self._cases.get(case, ()))] for case, result in enumerate(results)]

    def everywhere(self, results: Iterable[list[Any]]) -> list[list[Any]]:
        """The results of cases that share a process: each with all the lines that ran in it."""
        executed = sorted(self.executed)
        return [[*result, executed] for result in results] if self.by_case else list(results)

    def summary(self) -> dict[str, Any]:
        """The lines that ran and those that have code, for the reply."""
        executed, code = (sorted(self.executed), sorted(self.code)) if self.traced else (None, None)
        return {"lines": executed, "code": code}
