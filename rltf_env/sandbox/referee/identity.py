"""Scripts that can tell one object from another that is equal to it.

Apart from the program, what crosses is a copy: nothing that a script does to a result is seen by the program, and no result is
the program's own list any more. Where a script would notice, only Python's own objects will do. Whether it would is read from
its text, before a program is known: it asks what `is` what; it changes something that the program has returned or was handed;
or it looks at a result again after the program was called once more, which may have changed it.
"""

from __future__ import annotations

import ast
import builtins
from bisect import bisect_right
from typing import Any

from rltf_env.sandbox.referee.origins import assignments, is_of_program, path_of
from rltf_env.sandbox.referee.suite import Function, Suite

_CHANGING = frozenset(
    "append extend insert remove pop clear sort reverse update add discard setdefault popitem appendleft popleft extendleft "
    "rotate intersection_update difference_update symmetric_difference_update move_to_end subtract".split()
)
_PARTS = (ast.Name, ast.Attribute, ast.Subscript)
_INNER: dict[Any, tuple[str, ...]] = {  # what a value may be, or has in it
    ast.IfExp: ("body", "orelse"),
    ast.BoolOp: ("values",),
    ast.NamedExpr: ("value",),
    ast.Tuple: ("elts",),
    ast.List: ("elts",),
}
Place = tuple[int, int]  # line and column


def tells_copies(suite: Suite, program_names: set[str]) -> bool:
    """True if a script may come to another end where the program's values are copies."""
    nodes = [node for tree in suite.trees for node in ast.walk(tree)]
    objects = _Objects(nodes, program_names)
    told = any(map(objects.is_asked, nodes)) or any(map(objects.is_changed, nodes))
    return told or objects.is_kept(nodes) or objects.are_gathered(nodes)


class _Objects:
    """Which names of a script stand for objects of the program's, or were handed to it.

    Args:
        nodes: of the script.
        program_names: names that come from the program.
    """

    def __init__(self, nodes: list[ast.AST], program_names: set[str]) -> None:
        self.names = set(program_names)  # of the program's things: its functions and classes, what they made
        self.made: set[str] = set()  # objects of its classes, of which methods are calls of the program
        self.results: dict[str, Place] = {}  # what it returned, or a part of that, and where it did first
        self.handed: dict[str, Place] = {}
        self._note_parameters(nodes)
        pairs = [(name, value, node) for node in nodes for name, value in assignments(node) if value is not None]
        for _ in range(3):  # a chain of assignments is seldom longer
            for name, value, node in pairs:
                self._note(name, value, node)
        self.calls = [n for n in nodes if isinstance(n, ast.Call) and is_of_program(n.func, self.names)]
        for call in self.calls:
            for part in [part for arg in (*call.args, *call.keywords) for part in ast.walk(arg)]:
                if isinstance(part, ast.Name) and part.id not in program_names:
                    self.handed[part.id] = min(self.handed.get(part.id, _place(call)), _place(call))

    def _note_parameters(self, nodes: list[ast.AST]) -> None:
        """`check(f)` hands the program to a function of the script's own."""
        functions = {node.name: node for node in nodes if isinstance(node, Function)}
        for call in [n for n in nodes if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]:
            function = functions.get(path_of(call.func))
            for parameter, value in zip(function.args.args if function else (), call.args, strict=False):
                if path_of(value) in self.names:
                    self.names.add(parameter.arg)

    def _note(self, name: str, value: ast.expr, node: Any) -> None:
        if isinstance(value, ast.Call) and path_of(value.func)[:1].isupper() and is_of_program(value.func, self.names):
            self.made.add(name)
            self.names.add(name)
        elif self._may_be_part(value):
            place = _place(node)
            self.results[name] = min(self.results.get(name, place), place)
            self.names.add(name)

    def _may_be_part(self, value: ast.AST) -> bool:
        """True if a value may be an object of the program's, or something in one."""
        if isinstance(value, ast.Call):
            return is_of_program(value.func, self.names)
        if isinstance(value, ast.Starred):
            return self._may_be_part(value.value)
        if isinstance(value, _PARTS):
            return is_of_program(value, self.names)
        parts = [part for field in _INNER.get(type(value), ()) for part in _listed(getattr(value, field))]
        return any(map(self._may_be_part, parts))

    # ------------------------------------------------------------------------------------------------- what tells

    def is_asked(self, node: ast.AST) -> bool:
        """True for `x is y` of two objects, and for `id(x)`."""
        if isinstance(node, ast.Compare) and any(isinstance(op, (ast.Is, ast.IsNot)) for op in node.ops):
            sides = [node.left, *node.comparators]
            return not any(map(_is_known, sides)) and is_of_program(node, self.names)
        return isinstance(node, ast.Call) and path_of(node.func) == "id" and bool(node.args)

    def is_changed(self, node: ast.AST) -> bool:
        """True for what changes an object that the program may have, too."""
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGING:
            return path_of(node.func.value) not in self.made and self._is_shared(node.func.value, node)
        if isinstance(node, (ast.Subscript, ast.Attribute)) and not isinstance(node.ctx, ast.Load):
            own = node.value if isinstance(node, ast.Subscript) else _root(node)  # attributes are where the object is
            return path_of(own) not in self.made and self._is_shared(node.value, node)
        return isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and self._is_extended(node)

    def _is_extended(self, node: ast.AugAssign) -> bool:
        """True for `x += y`, unless `y` is a number or a text: such an `x` is none that could change."""
        return not isinstance(node.value, ast.Constant) and self._is_shared(node.target, node)

    def _is_shared(self, thing: ast.expr, node: Any) -> bool:
        while isinstance(thing, (ast.Subscript, ast.Attribute)):
            thing = thing.value
        name = path_of(thing)
        if isinstance(thing, ast.Call):
            return self._may_be_part(thing)
        places = [p for p in (self.results.get(name), self.handed.get(name)) if p is not None]
        return (bool(places) and _place(node) > min(places)) or name in self.made

    def is_kept(self, nodes: list[ast.AST]) -> bool:
        """True if a result is looked at after a later call. What is compared with a number or a text cannot have changed."""
        plain = {id(side) for node in nodes if isinstance(node, ast.Compare) for side in _beside_constants(node)}
        looks: dict[str, list[Place]] = {name: [] for name in self.results}
        bound: dict[str, list[Place]] = {name: [] for name in self.results}
        for node in nodes:
            if (
                isinstance(node, ast.Name)
                and node.id in looks
                and isinstance(node.ctx, ast.Load)
                and id(node) not in plain
            ):
                looks[node.id].append(_place(node))
            for name, _ in assignments(node) if isinstance(node, ast.stmt) else ():
                if name in bound:
                    bound[name].append(_end(node))
        called = {path_of(part) for call in self.calls for part in ast.walk(call.func)}
        calls = sorted(map(_end, self.calls))
        for name in [name for name, places in looks.items() if places]:
            others = calls  # than those of what the name itself stands for
            if name in called:
                others = sorted(_end(call) for call in self.calls if not is_of_program(call.func, {name}))
            if _is_called_between(sorted(bound[name]), looks[name], others):
                return True
        return False

    def are_gathered(self, nodes: list[ast.AST]) -> bool:
        """True if results of several calls are put together, and compared with lists in a list: they may all be one list."""
        nested = any(_is_nested(side) for n in nodes if isinstance(n, ast.Compare) for side in (n.left, *n.comparators))
        return nested and any(map(self._gathers, nodes))

    def _gathers(self, node: ast.AST) -> bool:
        if isinstance(node, (ast.ListComp, ast.SetComp, ast.GeneratorExp)):
            return self._may_be_part(node.elt)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "append":
            return any(isinstance(arg, ast.Call) and self._may_be_part(arg) for arg in node.args)
        parts = node.elts if isinstance(node, (ast.List, ast.Tuple)) else []
        return sum(isinstance(part, ast.Call) and self._may_be_part(part) for part in parts) > 1


def _is_called_between(bound: list[Place], looks: list[Place], calls: list[Place]) -> bool:
    """True if one of the calls ends between where a name is bound and a look at it. The places are in order, but for looks."""
    for look in looks:
        at = bisect_right(bound, look)
        if at and bisect_right(calls, bound[at - 1]) < bisect_right(calls, look):
            return True
    return False


def _root(node: ast.expr) -> ast.expr:
    while isinstance(node, ast.Attribute):
        node = node.value
    return node


def _listed(value: Any) -> list[ast.AST]:
    return value if isinstance(value, list) else [value]


def _place(node: Any) -> Place:
    return getattr(node, "lineno", 0), getattr(node, "col_offset", 0)


def _end(node: Any) -> Place:
    if isinstance(node, (ast.For, ast.AsyncFor, ast.With, ast.AsyncWith)):  # what it binds is bound before its body
        return _place(node.body[0])
    return getattr(node, "end_lineno", 0), getattr(node, "end_col_offset", 0)


def _is_known(side: ast.expr) -> bool:
    """True for a constant, a built-in class, and what class something is of."""
    if isinstance(side, ast.Call):
        return path_of(side.func) == "type"
    return isinstance(side, ast.Constant) or (isinstance(side, ast.Name) and hasattr(builtins, side.id))


def _is_nested(side: ast.expr) -> bool:
    """True for lists, sets or dictionaries in a list or a tuple."""
    parts = side.elts if isinstance(side, (ast.List, ast.Tuple)) else []
    return any(isinstance(part, (ast.List, ast.Set, ast.Dict, ast.ListComp)) for part in parts)


def _beside_constants(node: ast.Compare) -> list[ast.expr]:
    sides = [node.left, *node.comparators]
    others = [side for side in sides if not isinstance(side, (ast.Constant, ast.UnaryOp))]
    return others if len(others) == 1 else []
