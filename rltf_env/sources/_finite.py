"""Problems by position and by id: what sources over a list share."""

from __future__ import annotations

from collections.abc import Iterable

from rltf_env.core import Attempt, Problem, Problems
from rltf_env.errors import UnknownName, UsageError


class Finite:
    """Problems by position and by id."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = problems if isinstance(problems, Problems) else Problems(problems)
        self._by_id = _index(self.problems)

    def __len__(self) -> int:
        return len(self.problems)

    def find(self, id: str) -> Problem:
        """The problem with this id; raises `UnknownName`, which names the nearest."""
        if not isinstance(id, str) or id not in self._by_id:
            raise UnknownName("problem", id, self._by_id)
        return self._by_id[id]

    def observe(self, attempt: Attempt) -> None:
        """Nothing: these sources do not learn."""


def _index(problems: Problems) -> dict[str, Problem]:
    by_id: dict[str, Problem] = {}
    for problem in problems:
        if problem.id in by_id:
            raise UsageError(f"Expected problems with unique ids, got {problem.id!r} twice.")
        by_id[problem.id] = problem
    if not by_id:
        raise UsageError("Expected at least one problem to draw from, got none.")
    return by_id
