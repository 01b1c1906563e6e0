"""Problems as plain data for the workers, and verdicts back from it."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rltf_env import plain
from rltf_env.core import CallCase, Case, Problem, ScriptCase, StdinCase, Verdict
from rltf_env.errors import InvalidProblem, UsageError
from rltf_env.sandbox.messages import Judged
from rltf_env.sandbox.values import Unrepresentable, dump

MARK = "\ufeff"  # that some editors put in front of a file; Python passes over it
REFERENCES = (
    3  # that show how a script is judged, and whether a checker works; more cost time, and the first mostly does
)


def unjudgeable(problem: Problem, reason: str) -> InvalidProblem:
    """The error that a program gets whose problem cannot be judged, whatever the program is."""
    return InvalidProblem(f"{problem.id!r} cannot be judged: {reason}.")


def encoded_problem(problem: Problem) -> dict[str, Any]:
    """What the referee has to know of a problem. Raises InvalidProblem if that cannot leave this process."""
    order, checker = problem.meta.get("order", "same"), problem.meta.get("checker")
    if order not in ("same", "any"):
        raise InvalidProblem(f'{problem.id!r}: expected meta["order"] to be "same" or "any", got {order!r}.')
    if checker is not None and not isinstance(checker, str):
        raise InvalidProblem(
            f'{problem.id!r}: expected meta["checker"] to be Python source that defines check(given, expected, got), '
            f"got {type(checker).__name__}."
        )
    has_code = checker is not None or any(isinstance(case, ScriptCase) for case in problem.cases)
    return {
        "cases": [_encoded_case(problem, index, case) for index, case in enumerate(problem.cases)],
        "entry_point": problem.entry_point,
        "prefix": problem.prefix,
        "solutions": list(problem.solutions[:REFERENCES]) if has_code else [],
        "any_order": order == "any",
        "checker": checker and checker.removeprefix(MARK),
        "limits": None if problem.limits is None else asdict(problem.limits),
    }


def _encoded_case(problem: Problem, index: int, case: Case) -> list[Any]:
    if isinstance(case, StdinCase):
        _check_stream(problem, index, "input", case.stdin)
        if problem.meta.get("checker") is None:  # which may be told anything
            _check_stream(problem, index, "output", case.stdout)
        return ["stdin", case.stdin, case.stdout]
    if isinstance(case, ScriptCase):
        return ["script", *(text.removeprefix(MARK) for text in (case.script, case.setup))]
    if not isinstance(case, CallCase):
        raise InvalidProblem(f"{problem.id!r}: expected case {index} to be a Case, got {type(case).__name__}.")
    if not problem.entry_point:
        raise InvalidProblem(f"{problem.id!r}: case {index} is a call, so the problem needs an entry_point, got none.")
    try:
        return ["call", dump(list(case.args)), dump(dict(case.kwargs)), dump(case.expected)]
    except (Unrepresentable, RecursionError) as error:
        raise InvalidProblem(
            f"{problem.id!r}: expected plain data in case {index}, got something else ({error})."
        ) from None


def _check_stream(problem: Problem, index: int, name: str, text: str) -> None:
    """Raises InvalidProblem for text that no stream can hold: surrogates other than those that stand for a byte."""
    try:
        if not text.isascii():
            text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError as error:
        raise InvalidProblem(
            f"{problem.id!r}: expected the {name} of case {index} to be text, got half a character at {error.start} "
            f"({text[error.start]!a}). Mend the case or leave the problem out."
        ) from None


def verdict(reply: Judged, judge: str) -> Verdict:
    """The verdict of a reply, whose fields are those of `plain.encode_verdict`. Raises DataError.

    Args:
        judge: who gave it, as `Verdict.judged_by` has it.
    """
    return plain.decode_verdict({**reply._asdict(), "judge": judge}, "the reply")


def check_job(source: Any, problem: Any) -> None:
    """Raises UsageError on what is no program's text, or no Problem."""
    if not isinstance(source, str) or not isinstance(problem, Problem):
        raise UsageError(
            f"Expected a program's text and a Problem, got {type(source).__name__}, {type(problem).__name__}."
        )
