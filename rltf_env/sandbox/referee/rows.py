"""Where a test holds what its names stand for: in rows of cases, in fixtures, in what a function of its own returns.

A program can look for an expectation where it is held, as well as in the test's own function. Whatever is found here stands in
the text, so a copy can be false there. Everything is read from the syntax tree.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import TypeGuard

from rltf_env.sandbox.referee import looks
from rltf_env.sandbox.referee.asserting import name_of
from rltf_env.sandbox.referee.origins import (
    Item,
    elements_of,
    is_set,
    note_values,
    own_attributes,
    parameters_of,
    part_of,
    path_of,
    request_of,
)
from rltf_env.sandbox.referee.suite import Function

_SAME = frozenset("list tuple sorted reversed iter dict deepcopy copy".split())  # hold what they are handed
_METHODS = frozenset("values items get pop copy".split())
_SIZES = frozenset(
    "len range list tuple iter enumerate zip dict reversed items values get".split()
)  # nothing comes of what is in these


class Rows:
    """Where a test holds what its names stand for.

    Args:
        values: what each name of a test function is given.
        module: what names of its module are given.
        known: names that stand for one literal.
        bound: names that are given something in one place.
        trees: of the module.
    """

    def __init__(
        self,
        values: Mapping[str, Sequence[ast.expr]],
        module: Mapping[str, Sequence[ast.expr]],
        known: Mapping[str, ast.expr],
        bound: Collection[str],
        trees: Sequence[ast.AST],
    ) -> None:
        self._values, self._module, self._known = values, module, known
        self._bound, self._found = bound, dict[str, list[ast.expr]]()
        self._functions, self._fields = _read(tuple(trees))
        self._returns: dict[int, list[ast.expr]] = {}  # by the ids of functions
        self.open: set[int] = set()  # what need not be looked at, or is looked at for more than to compare it

    def within(self, function: Function, given: Mapping[str, Sequence[ast.expr]] = {}) -> Rows:
        """The same in a function of the test's own. `given`: what it is handed, by its parameters."""
        values: dict[str, list[ast.expr]] = defaultdict(list)
        note_values([function], values, set(), self._known)
        parameters = {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}
        for name, outer in self._module.items():
            if name not in parameters:
                values.setdefault(name, [*outer])
        inner = copy.copy(self)
        inner._bound = looks.settled([*ast.walk(function)], values) | {*self._known, "request.param"}
        inner._found = {}
        inner._values = {**values, **given, **dict(request_of(function))}
        return inner

    def parts(self, value: ast.AST) -> list[ast.expr]:
        """The expressions in the text that a value may be, as far as it says."""
        if not isinstance(value, ast.expr):
            return []
        name = path_of(value) if isinstance(value, (ast.Name, ast.Attribute)) else ""
        if name and name in self._values:
            return self._named(name)
        if isinstance(value, ast.Name):
            function = self._functions.get(name)
            return self._returned(function) if function is not None and is_fixture(function) else []
        if isinstance(value, ast.Call):
            return self._results(value)
        if not isinstance(value, (ast.Starred, ast.Subscript, ast.Attribute)):
            return [value]
        rows = self.parts(value.value)
        return self._all([part for row in rows for part in self._of_row(row, value)])

    def _named(self, name: str) -> list[ast.expr]:
        if name not in self._found:
            self._found[name] = []  # of `node = node.next` no more than what it was
            self._found[name] = self._note(self._all(self._values[name]), name not in self._bound)
        return self._found[name]

    def _note(self, parts: list[ast.expr], doubtful: bool) -> list[ast.expr]:
        """These parts. `doubtful`: a test may have another one instead."""
        self.open |= {id(node) for part in parts for node in ast.walk(part)} if doubtful else set()
        return parts

    def _all(self, values: Iterable[ast.expr]) -> list[ast.expr]:
        return [part for value in values for part in self.parts(value)]

    def _of_row(self, row: ast.expr, value: ast.expr) -> list[ast.expr]:
        """What of a row a value is: what stands where it looks, or any part where the place is computed."""
        if isinstance(value, Item):
            return _at(row, value.place)
        if isinstance(value, ast.Starred):
            return self._elements(row)
        part = part_of(row, value)
        if part is not None:
            return [part]
        if isinstance(value, ast.Attribute):
            fields = self._fields.get(path_of(row.func), []) if isinstance(row, ast.Call) else []
            return _at(row, fields.index(value.attr)) if value.attr in fields else []
        return self._looked_up(row, value) if isinstance(value, ast.Subscript) and not looks.is_fixed(value) else []

    def _looked_up(self, row: ast.expr, value: ast.Subscript) -> list[ast.expr]:
        """What stands in a row where the place is computed: of what a loop goes through each in its turn, or any of them."""
        places = self._values.get(path_of(value.slice), ())
        if path_of(value.slice) in self._bound and places and all(isinstance(place, ast.Constant) for place in places):
            parts = [part_of(row, ast.Subscript(row, place, ast.Load())) for place in places]
            return [part for part in parts if part is not None]
        every = [f"range(len({ast.unparse(value.value)}))"]
        parts = [*row.values] if isinstance(row, ast.Dict) else self._elements(row)
        return self._note(parts, [ast.unparse(place) for place in places] != [f"*{text}" for text in every])

    def _elements(self, row: ast.expr) -> list[ast.expr]:
        """What a loop over a part goes through."""
        if not isinstance(row, (ast.ListComp, ast.GeneratorExp)):
            return elements_of(row, self._known)
        return self._note(self.parts(row.elt), any(loop.ifs for loop in row.generators)) and [row.elt]

    def _results(self, call: ast.Call) -> list[ast.expr]:
        """What a call comes to: what it is handed, if that is only held in another way, or what a function of the test returns."""
        name = name_of(call.func)
        if name in self._functions and name not in self._fields:
            return self._returned(self._functions[name])
        if isinstance(call.func, ast.Attribute) and name in _METHODS:
            rows = self.parts(call.func.value)
            return self._all([part for row in rows for part in self._method(row, name, call)])
        if name == "zip":
            return self._zipped(call)
        if len(call.args) == 1 and (is_set(call) or (name in _SAME and not elements_of(call, self._known))):
            parts = self.parts(call.args[0]) or [call.args[0]]
            texts = [part for part in parts if isinstance(getattr(part, "value", None), str)]
            return self._note(parts, bool(texts))  # of letters that are sorted another text may have the same
        return [call]

    def _zipped(self, call: ast.Call) -> list[ast.expr]:
        """What `zip(inputs, wanted)` comes to, and `zip(*rows)`."""
        rows = self._all(call.args)
        shown = [elements for row in rows if (elements := self._elements(row))]
        tuples: list[ast.expr] = [ast.Tuple([*column], ast.Load()) for column in zip(*shown, strict=False)]
        return [ast.List(tuples, ast.Load())] if len(shown) == len(rows) else []

    def _method(self, row: ast.expr, name: str, call: ast.Call) -> list[ast.expr]:
        """What a method of a row gives."""
        if name == "copy" or (name == "items" and not isinstance(row, ast.Dict)):  # `dict(rows).items()`
            return [row]
        if not isinstance(row, ast.Dict):
            return self._note(self._elements(row), True) if name == "pop" else []
        if name == "values":
            return [ast.List(row.values, ast.Load())]
        if name == "items":
            pairs = zip(row.keys, row.values, strict=True)
            return [ast.List([ast.Tuple([k, v], ast.Load()) for k, v in pairs if k], ast.Load())]
        part = part_of(row, ast.Subscript(row, call.args[0], ast.Load())) if call.args else None
        return [part] if part is not None else []

    def _returned(self, function: Function) -> list[ast.expr]:
        """What a function returns, or a generator yields as its elements, or a fixture to its test."""
        if id(function) not in self._returns:
            self._returns[id(function)] = []  # of one that calls itself, no more than that
            self._returns[id(function)] = self._returns_of(function)
        return self._returns[id(function)]

    def _returns_of(self, function: Function) -> list[ast.expr]:
        inner, nodes = self.within(function), list(ast.walk(function))
        self.open |= inner.looked_at(nodes)
        returned = [n.value for n in nodes if isinstance(n, ast.Return) and n.value is not None]
        yielded = [n.value for n in nodes if isinstance(n, ast.Yield) and n.value is not None]
        if yielded and not is_fixture(function):
            return [ast.List(inner._all(yielded), ast.Load())]
        whole = [n.value for n in nodes if isinstance(n, ast.YieldFrom)]
        parts = inner._all([*returned, *yielded, *whole])
        return self._note(parts, len(returned) + len(yielded) + len(whole) > 1)

    def looked_at(self, nodes: list[ast.AST]) -> set[int]:
        """The ids of what a function looks at for more than to compare it, and to say what was compared."""
        quiet = looks.quiet_in(nodes)
        taken = {id(part) for node in nodes for part in self._taken_apart(node)}
        loads = [n for n in nodes if isinstance(getattr(n, "ctx", None), ast.Load) and isinstance(n, _PATHS)]
        return self.ids(n for n in loads if id(n) not in quiet and id(n) not in taken)

    def given(self, names: Iterable[str]) -> set[int]:
        """The same of the containers that these names, and what belongs to them (`x.foo` of `x`), stand for."""
        wanted = {*names} - {"self", "cls", ""}
        known = [each for name, each in self._values.items() if name in wanted or name.partition(".")[0] in wanted]
        values = [value for each in known for value in each]
        return {id(part) for value in values if isinstance(value, _CONTAINERS) for part in ast.walk(value)}

    def ids(self, values: Iterable[ast.AST]) -> set[int]:
        """The ids of all that these values may be, or are made of."""
        found: set[int] = set()
        todo = [*values]
        while todo:
            new = [node for node in self._walk(todo.pop()) if id(node) not in found]
            found |= set(map(id, new))
            todo += [
                part for node in new if isinstance(node, (*_PATHS, ast.Starred, ast.Call)) for part in self.parts(node)
            ]
        return found

    def _walk(self, node: ast.AST) -> Iterator[ast.AST]:
        """What is in a node; not a whole row of which it is a part that is known."""
        yield node
        inner = (
            node.ifs if isinstance(node, ast.comprehension) else ast.iter_child_nodes(node)
        )  # its names have the rest
        for part in inner if not self._is_part(node) else ():
            yield from self._walk(part)

    def _is_part(self, node: ast.AST) -> bool:
        """True for a part of a row, where the text shows which."""
        if isinstance(node, ast.Call):
            return path_of(node.func).endswith(".get") and self.parts(node) not in ([], [node])
        return isinstance(node, (ast.Subscript, ast.Attribute)) and bool(self.parts(node))

    def _taken_apart(self, node: ast.AST) -> Iterator[ast.AST]:
        """The parts of a statement that give names what they stand for, and rows of which an expression looks at a known part."""
        if isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr, ast.Return, ast.Yield, ast.YieldFrom)):
            yield from _held(node.value) if all(map(_names_own, getattr(node, "targets", ()))) else ()
        elif isinstance(node, (ast.For, ast.AsyncFor, ast.comprehension)):
            yield from _held(node.iter)
        elif isinstance(node, Function):
            for mark in filter(parameters_of, node.decorator_list):
                yield from ast.walk(mark)
        elif isinstance(node, (ast.Subscript, ast.Attribute, ast.Call)) and self._is_part(node):
            yield from _held(node) if isinstance(node, ast.Call) else [node.value]
        elif isinstance(node, ast.Call) and path_of(node.func).rpartition(".")[2] in _SIZES:
            for argument in node.args:
                yield from _held(argument)


_PATHS = (ast.Name, ast.Attribute, ast.Subscript)
_CONTAINERS = (ast.List, ast.Tuple, ast.Set, ast.Dict)


def _names_own(target: ast.expr) -> bool:
    """True for a name of a test's own, or several: not for a place in what others look at, as `os.environ["HOME"]`."""
    if isinstance(target, (ast.Tuple, ast.List)):
        return all(map(_names_own, target.elts))
    inner = target.value if isinstance(target, ast.Starred) else target
    return isinstance(inner, ast.Name) or path_of(inner).partition(".")[0] in ("self", "cls")


@lru_cache(maxsize=1)
def _read(trees: tuple[ast.AST, ...]) -> tuple[dict[str, Function], dict[str, list[str]]]:
    """The functions of a test that no other has the name of, and what classes have by position."""
    nodes = [node for tree in trees for node in ast.walk(tree)]
    functions = [node for node in nodes if isinstance(node, Function)]
    times = Counter(map(_called, functions))
    fields = dict(pair for node in nodes for pair in _fields(node))
    return {_called(node): node for node in functions if times[_called(node)] == 1}, fields


def _called(function: Function) -> str:
    """The name by which tests have a function: a fixture may have another one."""
    for decorator in function.decorator_list:
        for keyword in decorator.keywords if isinstance(decorator, ast.Call) and is_fixture(function) else ():
            if keyword.arg == "name" and isinstance(keyword.value, ast.Constant):
                return str(keyword.value.value)
    return function.name


def is_fixture(function: Function) -> bool:
    """True for a fixture of pytest's."""
    names = [ast.unparse(d.func if isinstance(d, ast.Call) else d) for d in function.decorator_list]
    return any(name.rpartition(".")[2] == "fixture" for name in names)


def _at(row: ast.expr, place: int) -> list[ast.expr]:
    """What stands in a row at a place."""
    parts = row.elts if isinstance(row, (ast.Tuple, ast.List)) else row.args if isinstance(row, ast.Call) else []
    return [parts[place]] if -len(parts) <= place < len(parts) else []


def _fields(node: ast.AST) -> Iterator[tuple[str, list[str]]]:
    """The names of classes whose objects are rows, and what they have by position."""
    if isinstance(node, ast.ClassDef):
        makers = [part for part in node.body if isinstance(part, Function) and part.name == "__init__"]
        yield node.name, [part.arg for part in makers[0].args.args[1:]] if makers else _declared(node)
    elif isinstance(node, ast.Assign) and _is_namedtuple(node.value):
        words = [
            n.value for n in ast.walk(node.value.args[1]) if isinstance(n, ast.Constant) and isinstance(n.value, str)
        ]
        yield path_of(node.targets[0]), " ".join(words).replace(",", " ").split()


def _is_namedtuple(value: ast.expr) -> TypeGuard[ast.Call]:
    return isinstance(value, ast.Call) and len(value.args) > 1 and path_of(value.func).endswith("namedtuple")


def _declared(node: ast.ClassDef) -> list[str]:
    own = [
        part.target.id for part in node.body if isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name)
    ]
    return own or [name for name, _ in own_attributes(node)]


def _held(value: ast.expr | None) -> Iterator[ast.AST]:
    yield from [value] if value is not None else []
    parts: list[ast.expr] = value.elts if isinstance(value, (ast.Tuple, ast.List)) else []
    if isinstance(value, ast.Starred):
        parts = [value.value]
    if isinstance(value, ast.Call) and name_of(value.func) in _SIZES:
        parts = [*value.args, *([value.func, value.func.value] if isinstance(value.func, ast.Attribute) else [])]
    for part in parts:
        yield from _held(part)
