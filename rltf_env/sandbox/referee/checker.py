"""Checkers: a problem's own `check(given, expected, got)`, which runs here, on plain values or on text."""

from __future__ import annotations

from typing import Any

from rltf_env.sandbox.referee.execution import place_in_checker
from rltf_env.sandbox.referee.failures import PASSED, WRONG_ANSWER, BadProblem, failure


def load(source: str | None) -> Any:
    """The function `check` of a checker. Raises BadProblem where there is none, or where it could run what it is to check."""
    if source is None:
        return None
    namespace: dict[str, Any] = {"__name__": "checker"}
    try:
        if (line := place_in_checker(source)) is not None:
            raise BadProblem(
                f"its checker may run what a program answered (line {line}), and a checker is not caged. Read answers with int, "
                "float, json.loads or ast.literal_eval"
            )
        exec(compile(source, "<checker>", "exec"), namespace)
        return namespace["check"]
    except BadProblem:
        raise
    except Exception as error:
        raise BadProblem(f"its checker does not define check(given, expected, got): {error!r}") from error


def contrast(expected: Any, answer: Any) -> str:
    """What was expected and what came, for people."""
    return f"expected {_short(expected)}, got {_short(answer)}"


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__}"
    return text if len(text) <= 200 else text[:200] + "..."


def ask(checker: Any, args: Any, expected: Any, answer: Any) -> tuple[int, Any]:
    """The checker's verdict. Where it raises, it did not expect such an answer: that is not a right one."""
    why = contrast(expected, answer)
    try:
        if checker(args, expected, answer) is True:
            return PASSED, None
    except MemoryError:
        raise
    except Exception as error:
        why += f"; the checker raised {type(error).__name__}"
    return WRONG_ANSWER, failure("WrongAnswer", why)
