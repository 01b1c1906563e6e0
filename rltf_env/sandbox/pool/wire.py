"""Problems as plain data for the workers, and verdicts back from it."""

from __future__ import annotations

from typing import Any

from rltf_env import plain
from rltf_env.core import CallCase, Case, Problem, ScriptCase, StdinCase, Verdict
from rltf_env.errors import InvalidProblem, UsageError
from rltf_env.sandbox.values import Unrepresentable, dump

REFERENCES = 3  # that show how a script is to be judged; more cost time, and the first mostly does


def problem(given: Problem) -> dict[str, Any]:
    """What the referee has to know of a problem. Raises InvalidProblem if that cannot leave this process."""
    order, checker = given.meta.get("order", "same"), given.meta.get("checker")
    if order not in ("same", "any"):
        raise InvalidProblem(f'{given.id!r}: expected meta["order"] to be "same" or "any", got {order!r}.')
    if checker is not None and not isinstance(checker, str):
        raise InvalidProblem(
            f'{given.id!r}: expected meta["checker"] to be Python source that defines check(given, expected, got), '
            f"got {type(checker).__name__}."
        )
    return {
        "cases": [_case(given, index, case) for index, case in enumerate(given.cases)],
        "entry_point": given.entry_point,
        "prefix": given.prefix,
        "solutions": list(given.solutions[:REFERENCES]) if any(isinstance(c, ScriptCase) for c in given.cases) else [],
        "any_order": order == "any",
        "checker": checker,
    }


def _case(given: Problem, index: int, case: Case) -> list[Any]:
    if isinstance(case, StdinCase):
        return ["stdin", case.stdin, case.stdout]
    if isinstance(case, ScriptCase):
        return ["script", case.script, case.setup]
    if not isinstance(case, CallCase):
        raise InvalidProblem(f"{given.id!r}: expected case {index} to be a Case, got {type(case).__name__}.")
    if not given.entry_point:
        raise InvalidProblem(f"{given.id!r}: case {index} is a call, so the problem needs an entry_point, got none.")
    try:
        return ["call", dump(list(case.args)), dump(dict(case.kwargs)), dump(case.expected)]
    except (Unrepresentable, RecursionError) as error:
        raise InvalidProblem(
            f"{given.id!r}: expected plain data in case {index}, got a value of which {error}."
        ) from None


def verdict(reply: dict[str, Any], judge: str) -> Verdict:
    """The verdict of a reply, whose fields are those of `plain.encode_verdict`. Raises DataError."""
    return plain.decode_verdict({**reply, "judge": judge}, "the reply")


def check_job(source: Any, given: Any) -> None:
    if not isinstance(source, str) or not isinstance(given, Problem):
        raise UsageError(
            f"Expected a program's text and a Problem, got {type(source).__name__}, {type(given).__name__}."
        )
