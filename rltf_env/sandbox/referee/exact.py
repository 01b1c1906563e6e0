"""Whether a test wants one answer and no other: what the program answers is compared with what it is to be, and with nothing else.

Where it may be one of several, is only to be small enough, or is searched for something, a right program need not answer what a
reference answers. Read from the syntax tree; what is not understood is not exact.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Callable, Sequence

from rltf_env.sandbox.referee import asserting, certainty, computed, looks, tolerance, wording
from rltf_env.sandbox.referee.asserting import arguments_of, name_of
from rltf_env.sandbox.referee.origins import is_of_program, note_values
from rltf_env.sandbox.referee.suite import Function

# These make the same of equal values, and say nothing else of them.
_PURE = frozenset(
    "abs all bool dict enumerate float frozenset int isinstance iter len list map repr reversed round set sorted "
    "str sum tuple type zip print".split()
)
_SAME = asserting.EQUAL | asserting.ARRAYS
_LAX = (ast.BoolOp, ast.IfExp, ast.Match, ast.Try, ast.TryStar)
_EQUALITY = ("__eq__", "__ne__", "__contains__")
_DATA = (str, list, tuple, dict, set, int, float)


def is_exact(scope: Sequence[ast.AST], program_names: set[str]) -> bool:
    """True for a function, or statements, that compare the program's answers with one value each, and do nothing else with them.

    `program_names`: names that come from the program, or use it.
    """
    names = {*program_names}
    note_values(scope, defaultdict(list), names)
    return _Reading(lambda node: is_of_program(node, names)).is_exact([n for each in scope for n in ast.walk(each)])


class _Reading:
    """Looks at what a test does with what is the program's: `ours` says what that is."""

    def __init__(self, ours: Callable[[ast.AST], bool]) -> None:
        self._ours = ours

    def is_exact(self, nodes: Sequence[ast.AST]) -> bool:
        """True if all of these nodes are so."""
        self._said = {id(part) for node in nodes for each in wording.words(node) for part in ast.walk(each)}
        ifs = [n for n in nodes if isinstance(n, ast.If) and certainty.complains(n.body, self._ours(n.test))]
        self._turned = {id(node.test) for node in ifs}
        conditions = [node.test for node in nodes if isinstance(node, (ast.Assert, ast.If))]
        conditions += [
            n.args[0] for n in nodes if isinstance(n, ast.Call) and name_of(n.func) == "assertTrue" and n.args
        ]
        self._asked = {id(part) for each in conditions for part in (each, *_each_of(each))}
        return all(map(self._is_condition, conditions)) and all(map(self._is_plain, nodes))

    def _is_condition(self, test: ast.expr) -> bool:
        """True for a condition that compares, or asks the program."""
        named = isinstance(test, ast.Call) and name_of(test.func) in ("all", "isinstance", *tolerance.NAMES)
        asks = named or (isinstance(test, ast.Call) and self._ours(test.func) and self._is_alone(test))
        return asks or isinstance(test, ast.Compare) or not self._ours(test)

    def _is_plain(self, node: ast.AST) -> bool:
        if id(node) in self._said:
            return True
        if isinstance(node, ast.Compare) and self._ours(node):
            alone = len(node.ops) == 1 and id(node) in self._asked
            return alone and self._of_one(self._compared(node, id(node) in self._turned))
        if isinstance(node, ast.Call):
            handed = [each for each in arguments_of(node) if id(each) not in self._said and self._ours(each)]
            return not handed or self._is_handed_on(node)
        if isinstance(node, Function) and node.name in _EQUALITY:
            return False
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and self._ours(node.value):
            return False  # an input that no call is handed
        return not self._ours(node) or not self._chooses(node)

    def _compared(self, node: ast.Compare, turned: bool) -> list[ast.expr]:
        """What has to be equal, or as good as equal, where a comparison holds, or where it does not; nothing of another one."""
        left, right, kind = node.left, node.comparators[0], type(node.ops[0])
        if kind in ((ast.NotEq, ast.IsNot) if turned else (ast.Eq, ast.Is)):
            return [_meant(left), _meant(right)]
        size = tolerance.difference(left) if kind in ((ast.Gt, ast.GtE) if turned else (ast.Lt, ast.LtE)) else None
        return [size.left, size.right] if size is not None and tolerance.below(right).small else []

    def _chooses(self, node: ast.AST) -> bool:
        """True for a statement that does one thing or another, or looks something up, as an answer has it."""
        if isinstance(node, (ast.If, ast.While)):
            return id(node.test) not in self._turned and self._ours(node.test)
        if isinstance(node, ast.Subscript):
            return self._ours(node.slice)
        return isinstance(node, _LAX) or (isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not))

    def _is_handed_on(self, call: ast.Call) -> bool:
        """True if a call makes of what is the program's no more than what is compared."""
        name = name_of(call.func)
        limits = tolerance.of(call)
        if name in _SAME or (limits is not None and limits.small):
            return self._of_one(call.args[:2])
        return name == "assertTrue" or self._ours(call.func) or (isinstance(call.func, ast.Name) and name in _PURE)

    def _of_one(self, sides: Sequence[ast.expr]) -> bool:
        """True if one of two sides is the program's alone, and the other none of its."""
        own = [side for side in sides if self._ours(side)]
        alone = len(sides) == 2 and len(own) == 1 and self._is_alone(own[0])
        return alone and all(map(computed.can_change, sides))

    def _is_alone(self, side: ast.AST, bound: frozenset[str] = frozenset()) -> bool:
        """True if nothing but the program, and what it is handed, has a part in a value. `bound`: names of loops around it."""
        if isinstance(side, ast.Call) and self._ours(side.func):
            owner = side.func.value if isinstance(side.func, ast.Attribute) else None
            of_data = owner is not None and any(hasattr(kind, name_of(side.func)) for kind in _DATA)
            inner = [*([owner] if owner is not None else []), *(arguments_of(side) if of_data else ())]
            return all(self._is_alone(each, bound) for each in inner)
        if isinstance(side, ast.Call) and looks.maps(side):
            return self._is_alone(side.args[0], bound)  # the rest is input
        if isinstance(side, ast.Lambda):
            return self._is_alone(side.body, bound | {argument.arg for argument in side.args.args})
        if isinstance(side, ast.Name):
            return self._ours(side) or side.id in _PURE or side.id in bound
        if isinstance(side, (ast.ListComp, ast.SetComp, ast.GeneratorExp, ast.DictComp)):
            if any(self._ours(test) for loop in side.generators for test in loop.ifs):
                return False
            inner = [side.key, side.value] if isinstance(side, ast.DictComp) else [side.elt]
            names = {n.id for loop in side.generators for n in ast.walk(loop.target) if isinstance(n, ast.Name)}
            return all(self._is_alone(each, bound | names) for each in inner)
        return all(self._is_alone(part, bound) for part in ast.iter_child_nodes(side))


def _each_of(condition: ast.expr) -> list[ast.expr]:
    """What is asked of each element: `all(f(x) == y for x, y in rows)`."""
    elements = condition.args[0] if isinstance(condition, ast.Call) and name_of(condition.func) == "all" else None
    return [elements.elt] if isinstance(elements, (ast.GeneratorExp, ast.ListComp)) else []


def _meant(side: ast.expr) -> ast.expr:
    """What `approx(...)` stands for, if little may be off."""
    limits = tolerance.of(side) if tolerance.is_approx(side) else None
    return side.args[0] if limits is not None and limits.small and isinstance(side, ast.Call) and side.args else side
