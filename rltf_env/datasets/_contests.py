"""From a contest's row to a problem: what the data sets that follow APPS and LiveCodeBench have in common.

Programs of a `class Solution` rely on imports that LeetCode makes for them. There they are the
problem's `prefix`, as in `apps`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from rltf_env.core import Case, Limits, Problem
from rltf_env.datasets import _limits
from rltf_env.datasets._apps_cases import Decoded, entry_point_of, of_value
from rltf_env.datasets._tables import Row
from rltf_env.datasets.apps import PREFIX
from rltf_env.errors import DataError

Tests = Mapping[str, Any] | Sequence[Mapping[str, Any]]


def decoded_tests(value: Any, where: str, *, name: str | None = None, url: str = "") -> Decoded:
    """The tests that data describe: two lists with perhaps a function's name, or records of one test each.

    Args:
        name: the function that is called, where the tests do not say so.
        url: of the contest; LeetCode's results are not wrapped in a list.
    """
    if not value:
        return Decoded((), reason="no tests")
    if not isinstance(value, Mapping | list | tuple):
        raise DataError(f"{where}: expected lists or records of tests, got {type(value).__name__}.")
    if isinstance(value, Mapping):
        lists = dict(value)
        if name and not lists.get("fn_name"):
            lists["fn_name"] = name
        return of_value(lists, url, where)
    return of_value(list(value), url, where, name)


def problem(
    row: Row,
    id: str,
    statement: str,
    tests: Decoded,
    *,
    starter: str = "",
    solutions: Sequence[str] = (),
    examples: Sequence[Case] = (),
    difficulty: str = "",
    limits: Limits | None = None,
    recursion: int | None = None,
    meta: Mapping[str, Any] | None = None,
) -> Problem | str:
    """The problem of a row; why there is none, if its tests say so."""
    if tests.reason:
        return tests.reason
    if not statement.strip():
        raise DataError(f"{row.where}: expected a statement, got an empty one.")
    entry_point = entry_point_of(tests.function, starter, solutions)
    prefix = PREFIX if entry_point and "." in entry_point else ""
    return Problem(
        id=id,
        statement=statement,
        cases=tests.cases,
        entry_point=entry_point,
        examples=examples,
        solutions=tuple(prefix + solution for solution in solutions),
        difficulty=difficulty,
        prefix=prefix,
        starter=starter,
        meta={"style": "rltf", "examples_in": "statement", **noted(meta or {})},
        limits=_limits.with_recursion(limits, recursion, entry_point, starter),
    )


def noted(meta: Mapping[str, Any]) -> dict[str, Any]:
    """Notes, without those that say nothing."""
    return {name: value for name, value in meta.items() if value not in (None, "", (), [])}


def limits_of(row: Row, python_factor: float) -> Limits | None:
    """The limits that a row states, see `_limits.py`; a number of seconds above 60 is one of milliseconds."""
    stated = dict(row.value)
    value = stated.get("time_limit")
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value > 60:
        stated["time_limit"] = value / 1000
    return _limits.stated(stated, row.where, python_factor=python_factor)
