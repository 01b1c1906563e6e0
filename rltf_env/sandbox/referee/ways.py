"""How a script is judged: apart from the program, where its text or a reference shows that this gives the verdicts of plain
Python, else together with it. The choice is made for a problem, before a program is known that could profit by it.
"""

from __future__ import annotations

import ast
import builtins
from enum import StrEnum
from typing import Any

from rltf_env.sandbox.referee.execution import running
from rltf_env.sandbox.referee.failures import BadProblem, not_python
from rltf_env.sandbox.referee.identity import tells_copies
from rltf_env.sandbox.referee.imports import modules_needed, names_defined, statements_of
from rltf_env.sandbox.referee.origins import is_of_program
from rltf_env.sandbox.referee.script import helpers_given
from rltf_env.sandbox.referee.settings import sets_for_all
from rltf_env.sandbox.referee.suite import Suite, suite_of
from rltf_env.sandbox.referee.together import Run, Together


class Way(StrEnum):
    """Where a script runs."""

    APART = "apart"  # on the trusted side, against what the program answered
    TOGETHER = "together"  # in one process with the program, guarded by canaries


class Ways:
    """The ways of a problem's scripts.

    Args:
        data: the problem, as `pool/wire.py` makes it.
        options: of the judge.

    Raises BadProblem where a test cannot be judged as the options want it.
    """

    def __init__(self, data: dict[str, Any], options: dict[str, Any]) -> None:
        self.data, self.options = data, options
        self.entry_point = (data["entry_point"] or "").partition(".")[0]
        self.solutions: list[str] = data["solutions"]
        statements = [*statements_of([*self.solutions, data["prefix"], data.get("starter", "")])]
        self.defined, self.needed = names_defined(statements), modules_needed(statements)
        self.together: dict[int, Together] = {}
        self.unproven: set[int] = set()  # judged apart, until a program fails: then the reference has to pass
        self.proven: set[int] = set()  # it has
        self.paths: dict[int, frozenset[str]] = {}  # to objects of the references, where a program's calculated
        for index, case in enumerate(data["cases"]):
            if case[0] == "script":
                self._choose(index)

    def _suite(self, index: int) -> Suite:
        """A script, read anew: its syntax tree is large, and mostly not wanted again."""
        _, script, setup = self.data["cases"][index]
        texts = [text for text in (setup, script) if text.strip()]
        return suite_of(texts, self.entry_point, self.defined, self.options, self.needed)

    def _together(self, suite: Suite) -> Together:
        return Together(suite, self.entry_point, self.solutions, self.options)

    def _choose(self, index: int) -> None:
        try:
            suite = self._suite(index)
        except (SyntaxError, ValueError, RecursionError) as error:
            raise not_python(index, error) from error
        if suite.collected or suite.modules or suite.guarded or (not suite.bare and suite.looks_up):
            self._put_together(index, suite)
        elif not suite.bare:
            raise BadProblem(f"the test of case {index} uses nothing of the program")
        elif running([*suite.trees, *_parsed(self.data["prefix"])], {self.entry_point, *suite.bare} - {""}):
            self._put_together(index, suite)  # what a program answers runs in the cage, or not at all
        elif not (self.solutions and self.options["require_apart"]) and self._notices(suite):
            self._put_together(index, suite)
        elif self.solutions or crosses(
            suite, self.entry_point, helpers_given(self.data["prefix"], self.entry_point)[0]
        ):
            self.unproven.add(index)
        else:
            self._put_together(index, suite)

    def _notices(self, suite: Suite) -> bool:
        """True if apart from the program a script might come to another end than beside it, whatever a reference does."""
        names = {self.entry_point, *suite.bare} - {""}
        return tells_copies(suite, names) or sets_for_all(node for tree in suite.trees for node in ast.walk(tree))

    def _put_together(self, index: int, suite: Suite) -> None:
        if self.options["require_apart"]:
            raise BadProblem(
                f"the test of case {index} has to run in one process with the program, which require_apart=True rules out"
            )
        self.together[index] = self._together(suite)

    def settle(self, index: int, passes_apart: Any, run: Run, cannot_cross: bool = False) -> bool:
        """Decides about a script that a program has failed apart, once. True if it is judged together from now on.

        Raises BadProblem if the test fails whatever the program is.

        Args:
            passes_apart: says of a reference whether it passes apart.
            cannot_cross: it hands something to programs that cannot leave this side; with no reference, that decides.
        """
        self.unproven.discard(index)
        if any(map(passes_apart, self.solutions)):
            self.proven.add(index)
            return False
        together = self._together(self._suite(index))
        together.check_faults(run)
        passes = cannot_cross if not self.solutions else together.passes(run)
        if self.options["require_apart"] or not passes:
            return False
        self.together[index] = together
        return True


# ----------------------------------------------------------------------------------------------------- what can cross

_PURE = frozenset(
    "abs all any bool dict divmod enumerate filter float frozenset int isinstance len list map max min pow range repr "
    "reversed round set sorted str sum tuple type zip print chr ord hash complex".split()
)
_NUMBERS = frozenset(("math", "cmath"))
_STRANGE = (
    *(ast.ClassDef, ast.With, ast.AsyncWith, ast.AsyncFor, ast.AsyncFunctionDef, ast.Await, ast.Yield, ast.YieldFrom),
    *(ast.Delete, ast.Global, ast.Nonlocal, ast.Match),
)


def _parsed(prefix: str) -> list[ast.Module]:
    """The code that a problem gives, whose helpers are the test's; nothing if it is only a beginning."""
    try:
        return [ast.parse(prefix)]
    except (SyntaxError, ValueError, RecursionError):
        return []


def crosses(suite: Suite, entry_point: str, helpers: set[str]) -> bool:
    """True if a script does nothing but hand plain values to the program's functions and compare what they return.

    Where no reference shows that judging apart is right, the text has to. `helpers` are helpers that come with the problem.
    """
    nodes = [node for tree in suite.trees for node in ast.walk(tree)]
    own = {node.name for node in nodes if isinstance(node, ast.FunctionDef)}
    program_names = {entry_point, *suite.bare}
    if entry_point and set(suite.bare) - {entry_point, *helpers}:  # where it comes from is not plain from the text
        return False
    if any(name[:1].isupper() for name in program_names) or any(isinstance(node, _STRANGE) for node in nodes):
        return False
    if any(_goes_its_own_way(node, program_names) for node in nodes):
        return False
    ours = {id(arg) for node in nodes if isinstance(node, ast.Call) and _name(node.func) in _PURE for arg in node.args}
    if any(isinstance(node, ast.Lambda) and id(node) not in ours for node in nodes):  # handed to the program, or kept
        return False
    return all(_plain(node, own, program_names) for node in nodes)


_SILENT = frozenset(("StopIteration", "StopAsyncIteration", "GeneratorExit"))  # others would end a loop, too


def _goes_its_own_way(node: ast.AST, program_names: set[str]) -> bool:
    """True for what a copy of a value would not do.

    It leaves a loop over what may have no end, expects an exception that no loop may come across, or makes a NaN, which is
    equal to itself only as the same object in a list.
    """
    if isinstance(node, ast.For):
        leaves = any(isinstance(part, (ast.Break, ast.Return)) for part in ast.walk(node))
        return leaves and is_of_program(node.iter, program_names)
    if isinstance(node, ast.Call) and _name(node.func) == "zip":
        return any(is_of_program(arg, program_names) for arg in node.args)
    if isinstance(node, ast.Name):
        return node.id in _SILENT
    if isinstance(node, ast.Attribute):
        return node.attr == "nan"
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.strip(" +-").lower() == "nan"


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else ""


def _plain(node: ast.AST, own: set[str], program_names: set[str]) -> bool:
    if isinstance(node, ast.Import):
        return all(alias.name in _NUMBERS for alias in node.names)
    if isinstance(node, ast.ImportFrom):
        return node.module in _NUMBERS or node.module == "typing"
    if isinstance(node, ast.FunctionDef):
        return not node.decorator_list
    if isinstance(node, ast.ExceptHandler):
        return node.name is None and (node.type is None or _is_builtin(node.type))
    if isinstance(node, ast.Attribute):
        return isinstance(node.value, ast.Name) and node.value.id in _NUMBERS
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name):
            return _callable(node.func.id, own, program_names)
        return isinstance(node.func, ast.Attribute)
    return True


def _callable(name: str, own: set[str], program_names: set[str]) -> bool:
    """True for what a plain script calls: the program's functions, its own, their parameters, and pure built-ins."""
    return name in own or name in program_names or name in _PURE or not hasattr(builtins, name) or _is_error(name)


def _is_builtin(node: ast.expr) -> bool:
    parts = node.elts if isinstance(node, ast.Tuple) else [node]
    return all(isinstance(part, ast.Name) and hasattr(builtins, part.id) for part in parts)


def _is_error(name: str) -> bool:
    thing = getattr(builtins, name, None)
    return isinstance(thing, type) and issubclass(thing, BaseException)
