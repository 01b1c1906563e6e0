"""Checkers: a problem's own `check(given, expected, got)`, which runs here, on plain values or on text.

What is wrong with a checker itself is the problem's fault, and never a program's. The function is made anew for each program, so
that none meets what another has left in it.
"""

from __future__ import annotations

import ast
import inspect
import sys
import traceback
import types
from collections.abc import Iterable
from typing import Any

from rltf_env.sandbox.cage.seeds import seed
from rltf_env.sandbox.referee.deadline import Deadline, Leave, Stuck
from rltf_env.sandbox.referee.execution import place_in_checker, words_of
from rltf_env.sandbox.referee.failures import PASSED, WRONG_ANSWER, BadProblem, failure
from rltf_env.sandbox.referee.recursion import as_at_start
from rltf_env.sandbox.referee.suite import is_guard

_MODULE = "<checker>"
_LACKING = "its checker does not define check(given, expected, got)"


class Checker:
    """A checker, compiled. Raises BadProblem if it is no Python, never says True, or could run what it is to check."""

    def __init__(self, source: str) -> None:
        try:
            tree = _unguarded(ast.parse(source))
            place = place_in_checker(tree)
            self._code = compile(tree, _MODULE, "exec", dont_inherit=True)
        except Exception as error:
            raise BadProblem(f"{_LACKING}: {error!r}") from error
        if place is not None:
            raise BadProblem(
                f"its checker hands what a program answered to {words_of(place)}, which may run it or open it as a file, and a "
                "checker is not caged. Read answers with int, float, json.loads or ast.literal_eval"
            )
        if any(
            isinstance(node, ast.FunctionDef) and node.name == "check" and _says_nothing(node) for node in tree.body
        ):
            raise BadProblem(
                "its checker returns nothing, where True says that an answer is right. End it with return True"
            )
        self._check: Any = None

    def renew(self, seconds: float) -> None:
        """Makes the function for a program, in so many seconds of CPU time. Raises BadProblem where there is none."""
        module = sys.modules[_MODULE] = types.ModuleType(_MODULE)  # where data classes look for their own
        seed()
        try:
            with Deadline(seconds), as_at_start():
                exec(self._code, vars(module))
            if self._check is None:
                _check_arguments(module.check)
        except Leave:
            raise
        except Stuck:
            raise BadProblem("its checker takes too long before it defines check(given, expected, got)") from None
        except BaseException as error:
            raise BadProblem(f"{_LACKING}: {error!r}") from error
        self._check = module.check

    def ask(self, args: Any, expected: Any, answer: Any) -> tuple[int, Any]:
        """The checker's verdict. Where it raises, it did not expect such an answer: that is not a right one.

        Raises BadProblem where it lacks a name or a module, leaves the process, or says neither yes nor no.
        """
        why, detail = contrast(expected, answer), ""
        try:
            with as_at_start():
                said = self._check(args, expected, answer)
            if said is True:
                return PASSED, None
            if said:
                raise BadProblem(
                    f"its checker returned {type(said).__name__}, where True says that an answer is right. Return bool(...)"
                )
        except (MemoryError, BadProblem, Stuck, Leave):
            raise
        except Exception as error:
            if isinstance(error, ImportError) or type(error) is NameError:
                raise BadProblem(f"its checker lacks what it uses: {error}") from error
            if type(error) is RuntimeError and _place(error) == "threading":
                raise BadProblem(
                    f"its checker uses threads, which may not be started where it runs: {error}"
                ) from error
            why, detail = f"{why}; the checker raised {_short(error)}", "check"
        except BaseException as error:
            raise BadProblem(f"its checker ends the process: {type(error).__name__}. Return True or False") from error
        return WRONG_ANSWER, failure("WrongAnswer", why, None, detail)


def compare(results: list[Any], references: Iterable[list[Any]]) -> None:
    """Raises BadProblem if the checker raises or comes to no end for a program, and for every reference as well.

    Args:
        results: of the program's cases.
        references: the results of each reference, which are asked for one by one.
    """
    faults = [next(map(_fault, filter(_fault, each)), "") for each in references] if any(map(_fault, results)) else []
    if faults and all(faults):
        raise BadProblem(f"its checker fails for every reference: {faults[0]}")


def _fault(result: Any) -> str:
    """What is said of a case in which it is the checker that failed."""
    return result[1][1] if result[1] and result[1][3] == "check" else ""


def _place(error: BaseException) -> str:
    """The module in which an exception was raised."""
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return frame.f_globals.get("__name__", "")


def load(source: str | None) -> Checker | None:
    """The checker of a problem that has one. Raises BadProblem."""
    return None if source is None else Checker(source)


def _unguarded(tree: ast.Module) -> ast.Module:
    """The checker without what it does where it is a program of its own."""
    parts = [part.orelse if isinstance(part, ast.If) and is_guard(part) else [part] for part in tree.body]
    return ast.Module([node for part in parts for node in part], tree.type_ignores)


def _says_nothing(function: ast.FunctionDef) -> bool:
    """True for a function that returns no value anywhere, nor is a generator, which shows when it is asked."""
    said = (ast.Return, ast.Yield, ast.YieldFrom)
    return not any(isinstance(node, said) and node.value is not None for node in ast.walk(function))


def _check_arguments(check: Any) -> None:
    """Raises TypeError for what cannot be called with three arguments, or does not answer when it is."""
    if not callable(check) or inspect.iscoroutinefunction(check):
        raise TypeError(f"expected check to be a plain function, got {check!r}")
    try:
        signature = inspect.signature(check)
    except ValueError:  # a function in C that does not say
        return
    signature.bind(None, None, None)


def contrast(expected: Any, answer: Any) -> str:
    """What was expected and what came, for people."""
    return f"expected {_short(expected)}, got {_short(answer)}"


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__}"
    return text if len(text) <= 200 else text[:200] + "..."
