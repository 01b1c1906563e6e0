"""Functions of a test's own that use the program: what they are handed goes to it, or is what its answer is compared with.

Both are constants in the test. Only the latter are expectations: a program that does not look at its input answers the
same to another one, and need not be wrong for that. Everything is read from the syntax tree.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

from rltf_env.sandbox.referee.asserting import arguments_of, name_of
from rltf_env.sandbox.referee.origins import Item, is_of_program, note_values
from rltf_env.sandbox.referee.rows import Rows
from rltf_env.sandbox.referee.suite import Function, Suite, classes_of

_COMPARING = frozenset("approx isclose allclose array_equal".split())  # beside what is called assert...


def functions_of(suite: Suite) -> list[Function]:
    """Functions, fixtures and methods of a test that no runner calls as tests."""
    places = [tree.body for tree in suite.trees]
    places += [node.body for tree in suite.trees for _, node in classes_of(tree)]
    functions = [node for body in places for node in body if isinstance(node, Function)]
    return [node for node in functions if not (suite.collected and node.name.startswith("test"))]


class Helpers:
    """The functions of a test, or of all its tests, that use the program.

    Args:
        functions: in which they are looked for.
        program_names: names that come from the program.
    """

    def __init__(self, functions: list[Function], program_names: set[str]) -> None:
        self.all, self.program_names = functions, program_names
        self.names: set[str] = set()  # by which they are called: what they return is the program's
        self._functions: dict[str, Function] = {}
        for _ in functions:  # they may call each other
            new = [f for f in functions if f.name not in self._functions and self._uses(f, program_names)]
            if not new:
                break
            for function in new:
                self._functions[function.name] = function
                self.names |= {prefix + function.name for prefix in ("", "self.", "cls.")}
        known = {*program_names, *self.names}
        self._expected = {name: _expected(function, known) for name, function in self._functions.items()}

    def within(self, scope: Sequence[ast.AST]) -> Helpers:
        """These, with the functions that one test function has inside it."""
        inner = [n for part in scope for n in ast.walk(part) if isinstance(n, Function) and n is not part]
        inner = [function for function in inner if function not in self.all]
        return Helpers([*self.all, *inner], self.program_names) if inner else self

    def _uses(self, function: Function, program_names: set[str]) -> bool:
        return any(is_of_program(part, {*program_names, *self.names}) for part in function.body)

    def expected(self, call: ast.Call) -> list[ast.expr] | None:
        """The arguments that a helper compares with what the program answers; None if this is no call of a helper."""
        name = name_of(call.func)
        function = self._functions.get(name)
        if function is None:
            return None
        return [value for parameter, value in _handed(call, function) if parameter in self._expected[name]]

    def held(self, calls: Sequence[ast.Call], rows: Rows) -> tuple[list[tuple[ast.Call, ast.expr]], set[int]]:
        """Calls of helpers, each with something that it compares with an answer, where a test holds that; and the ids of inputs.

        Args:
            calls: of the program and of helpers.
            rows: of the function that has them.
        """
        functions = [(call, self._functions.get(name_of(call.func))) for call in calls]
        direct = [arg for call, function in functions if function is None for arg in arguments_of(call)]
        found = [(call, *self._inside(call, function, rows)) for call, function in functions if function is not None]
        given = rows.ids(direct).union(*(ids for *_, ids in found))
        return [(call, part) for call, parts, _ in found for part in parts if id(part) not in given], given

    def _inside(self, call: ast.Call, function: Function, rows: Rows) -> tuple[list[ast.expr], set[int]]:
        inner = rows.within(function, {name: rows.parts(value) for name, value in _handed(call, function)})
        nodes, names = list(ast.walk(function)), {*self.program_names, *self.names}
        note_values([function], defaultdict(list), names)
        calls = [node for node in nodes if isinstance(node, ast.Call) and is_of_program(node.func, names)]
        sides = [side for node in nodes for side in _sides(node) if not is_of_program(side, names)]
        given = inner.ids(argument for each in calls for argument in arguments_of(each))
        return [part for side in sides for part in inner.parts(side)], given

    def beside(self, call: ast.Call, ours: Callable[[ast.AST], bool]) -> list[ast.expr]:
        """What a function of the test's own is handed beside an answer: it may be what the answer is compared with.

        `ours`: says what comes from the program.
        """
        name = name_of(call.func)
        values = arguments_of(call)
        is_handed = any(function.name == name for function in self.all) and any(map(ours, values))
        return [value for value in values if not ours(value)] if is_handed else []


def _handed(call: ast.Call, function: Function) -> Iterator[tuple[str, ast.expr]]:
    """The parameters of a function, and what a call hands over for each; of a row, what stands at its place."""
    parameters = [part.arg for part in (*function.args.posonlyargs, *function.args.args)]
    del parameters[: isinstance(call.func, ast.Attribute) and parameters[:1] in (["self"], ["cls"])]
    for number, value in enumerate(call.args):
        if isinstance(value, ast.Starred):
            rest = enumerate(parameters[number:])
            yield from ((name, Item(value.value, place)) for place, name in rest)
            break
        yield from ((name, value) for name in parameters[number : number + 1])
    for keyword in call.keywords:
        if keyword.arg is not None:
            yield keyword.arg, keyword.value
            continue
        for name in parameters:
            yield name, ast.Subscript(keyword.value, ast.Constant(name), ast.Load())


def _expected(function: Function, program_names: set[str]) -> set[str]:
    """Names that a function compares with something of the program's, and does not hand to the program."""
    names, values = set(program_names), defaultdict(list)
    note_values([function], values, names)
    handed: set[str] = set()
    compared: set[str] = set()
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and is_of_program(node.func, names):
            handed |= {name for arg in (*node.args, *node.keywords) for name in _names(arg)}
        for side in _sides(node):
            if not is_of_program(side, names):
                compared |= _names(side)
    for name in list(compared):
        compared |= {inner for value in values.get(name, ()) for inner in _names(value)}
    return compared - handed


def _sides(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, ast.Compare):
        return [node.left, *node.comparators]
    if isinstance(node, ast.Call):
        name = name_of(node.func)
        return node.args if name.startswith("assert") or name in _COMPARING else []
    return []


def _names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}
