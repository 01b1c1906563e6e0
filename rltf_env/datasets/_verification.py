"""The rows of PrimeIntellect's collections of verifiable code: `verification_info` has language and tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rltf_env.core import Problem
from rltf_env.datasets import _contests, _tables
from rltf_env.datasets._apps_cases import Decoded
from rltf_env.datasets._apps_examples import examples
from rltf_env.datasets._tables import Row, text
from rltf_env.errors import DataError
from rltf_env.plain import as_object


def problem(row: Row, name: str, recursion: int | None, *, statement: str = "prompt") -> Problem | str:
    """The problem of a row of code in Python; why there is none.

    Args:
        name: of the data set, in the problem's id.
        statement: the field that it is read from.
    """
    kind = text(row, "task_type", "verifiable_code")
    if kind != "verifiable_code":
        return f"a task of another type, {kind}"
    info = as_object(_tables.data(row, "verification_info") or {}, f"{row.where}, verification_info")
    language = str(info.get("language") or "python").lower()
    if language not in ("python", "python3"):
        return f"a program in {language}"
    tests = decoded(info.get("test_cases"), row.where)
    words = text(row, statement)
    solution = text(row, "gold_standard_solution", "")
    return _contests.problem(
        row,
        f"{name}/{row.value.get('problem_id') or row.number}",
        words,
        tests,
        solutions=(_unfenced(solution),) if solution.strip() else (),
        examples=examples(words, tests.cases),
        recursion=recursion,
        meta={
            "source": text(row, "source", ""),
            "style": "statement",
            "in_source_id": str(row.value.get("in_source_id") or ""),
        },
    )


def decoded(tests: Any, where: str) -> Decoded:
    """Tests, or their text: two lists, or records whose calls have their arguments as values or as JSON, one a line."""
    where = f"{where}, test_cases"
    tests = _tables.literal(tests, where) if isinstance(tests, str) else tests
    if isinstance(tests, Sequence):
        tests = [_spelled(_without_nulls(as_object(test, where)), where) for test in tests]
    elif tests is not None and not isinstance(tests, Mapping):
        raise DataError(f"{where}: expected lists or records of tests, got {type(tests).__name__}.")
    return _contests.decoded_tests(tests, where)


def _without_nulls(test: dict[str, Any]) -> dict[str, Any]:
    """Tables give every record every key: those that a test does not have are None there."""
    return {key: value for key, value in test.items() if value is not None or key == "output"}


def _spelled(test: dict[str, Any], where: str) -> dict[str, Any]:
    """A call whose arguments are the text of a list becomes one whose arguments are a list, its result likewise."""
    if test.get("type") != "function_call" or not isinstance(test.get("input"), str):
        return test
    given = test["input"].strip()
    if given[:1] != "[" or "\n" in given:
        return test  # JSON, one a line
    right = test.get("output")
    return test | {
        "input": _tables.literal(given, where),
        "output": _tables.literal(right, where) if isinstance(right, str) else right,
    }


def _unfenced(solution: str) -> str:
    """A reference without the fence that some have around it."""
    lines = solution.strip().split("\n")
    if len(lines) > 2 and lines[0].startswith("```") and lines[-1].strip() == "```":
        return "\n".join(lines[1:-1]) + "\n"
    return solution
