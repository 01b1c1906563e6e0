"""Expectations that a test computes: what kind of value they are, as far as the text says, and how all of it is changed.

`assert total(xs) == reference(xs)` shows no constant that could be falsified. The whole side is changed instead, so that it is
never what it was: `reference(xs) + 3`. Where the change does not fit the value it raises, which no right program passes either.
"""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from rltf_env.sandbox.referee.asserting import dotted, name_of
from rltf_env.sandbox.referee.origins import path_of
from rltf_env.sandbox.referee.suite import Function

_RESULTS = {
    **dict.fromkeys("len ord hash index find rfind count bit_length randint randrange".split(), "int"),
    **dict.fromkeys(
        "str repr join upper lower title strip lstrip rstrip replace format chr hex bin capitalize".split(), "text"
    ),
    **dict.fromkeys("bool any all isinstance startswith endswith isdigit isalpha issubset callable".split(), "bool"),
    **dict.fromkeys("sum abs max min round pow float sqrt random uniform".split(), "number"),
}
_NODES = {ast.JoinedStr: "text", ast.Compare: "bool"}
_CONSTANTS = {bool: "bool", int: "int", str: "text", float: "number"}
_WHOLE = (ast.Add, ast.Sub, ast.Mult, ast.FloorDiv, ast.Mod)
Maker = Function | ast.Lambda
_DEEPEST = 6


class Kinds:
    """What the expressions of a test function come to.

    Args:
        values: what each name is given.
        functions: of the test's own.
    """

    def __init__(self, values: Mapping[str, Sequence[ast.expr]], functions: Sequence[Function]) -> None:
        self._values = values
        self._functions = {function.name: function for function in functions}

    def of(self, value: ast.AST) -> str:
        """What kind a value is of: "int", "text" or "bool", else "any"."""
        kind = self._kind(value, _DEEPEST)
        return kind if kind != "number" and kind else "any"

    def makers(self, value: ast.AST) -> list[Maker]:
        """The functions of the test's own that may compute a value, if they do nothing but return it."""
        found = {id(each): each for each in self._called(value.func, _DEEPEST)} if isinstance(value, ast.Call) else {}
        return [each for each in found.values() if isinstance(each, ast.Lambda) or _only_returns(each)]

    def _called(self, function: ast.AST, depth: int) -> Iterator[Maker]:
        """What an expression stands for that is called: by its name, as a method, or out of a table."""
        if isinstance(function, Maker):
            yield function
        if depth and isinstance(function, (ast.Name, ast.Attribute)):
            name = name_of(function)
            inner: list[ast.expr] = list(self._values.get(path_of(function), ()))
            yield from [self._functions[name]] if name in self._functions else []
        else:
            inner = [part for part in ast.iter_child_nodes(function) if depth and isinstance(part, ast.expr)]
        for part in inner if not isinstance(function, ast.Lambda) else ():
            yield from self._called(part, depth - 1)

    def is_called(self, name: str) -> bool:
        """True if a function of the test's own uses one of this name, itself perhaps."""
        nodes = [node for each in self._functions.values() for node in ast.walk(each)]
        return any(path_of(node).rpartition(".")[2] == name for node in nodes)

    def _kind(self, value: ast.AST, depth: int) -> str:
        if depth < 0:
            return ""
        if isinstance(value, ast.Constant):
            return _CONSTANTS.get(type(value.value), "")
        if type(value) in _NODES:
            return _NODES[type(value)]
        if isinstance(value, ast.UnaryOp):
            return "bool" if isinstance(value.op, ast.Not) else self._kind(value.operand, depth - 1)
        if isinstance(value, ast.Subscript):
            return self._kind(value.value, depth - 1) if isinstance(value.slice, ast.Slice) else ""
        if isinstance(value, ast.BinOp):
            return self._operation(value, depth)
        if isinstance(value, ast.IfExp):
            return self._same([value.body, value.orelse], depth)
        if isinstance(value, ast.Name):
            return self._same(self._values.get(value.id, ()), depth)
        return self._result(value, depth) if isinstance(value, ast.Call) else ""

    def _operation(self, value: ast.BinOp, depth: int) -> str:
        kinds = {self._kind(value.left, depth - 1), self._kind(value.right, depth - 1)}
        if kinds == {"int"}:
            return "int" if isinstance(value.op, _WHOLE) else "number"
        if "text" in kinds and isinstance(value.op, (ast.Add, ast.Mod, ast.Mult)):
            return "text"
        return "number" if kinds <= {"int", "number", "bool"} else ""

    def _result(self, call: ast.Call, depth: int) -> str:
        name = name_of(call.func)
        function = self._functions.get(name)
        if function is not None:
            returns = [n.value for n in ast.walk(function) if isinstance(n, ast.Return) and n.value is not None]
            return self._same(returns, depth) if returns else ""
        return _RESULTS.get(name, "")

    def _same(self, values: Sequence[ast.AST], depth: int) -> str:
        kinds = {self._kind(value, depth - 1) for value in values}
        return next(iter(kinds)) if len(kinds) == 1 else "number" if kinds and kinds <= {"int", "number"} else ""


def is_array(value: ast.AST) -> TypeGuard[ast.Call]:
    """True for an array that is made of what is there to see."""
    return isinstance(value, ast.Call) and len(value.args) == 1 and dotted(value.func) in _MAKING


_MAKING = frozenset("np.array numpy.array np.asarray numpy.asarray".split())


def is_made_of_constants(side: ast.expr) -> bool:
    """True if no name in a value stands for anything but what is called."""
    nodes = list(ast.walk(side))
    called = {id(part) for node in nodes if isinstance(node, ast.Call) for part in ast.walk(node.func)}
    names = [node for node in nodes if isinstance(node, ast.Name) and id(node) not in called]
    return not names and any(isinstance(node, ast.Constant) and id(node) not in called for node in nodes)


def own_nodes(function: ast.AST) -> Iterator[ast.AST]:
    """What is in a function, and in no other one inside it."""
    for part in ast.iter_child_nodes(function):
        if not isinstance(part, (Maker, ast.ClassDef)):
            yield part
            yield from own_nodes(part)


def _only_returns(function: Function) -> bool:
    inner = list(own_nodes(function))
    yields = any(isinstance(node, (ast.Yield, ast.YieldFrom)) for node in inner)
    return any(isinstance(node, ast.Return) for node in inner) and not yields and isinstance(function, ast.FunctionDef)


def can_change(side: ast.AST) -> bool:
    """True unless the side is something that equals more than itself, as the calls that mocks remember, or a NaN."""
    names = {name_of(part.func) for part in ast.walk(side) if isinstance(part, ast.Call)}
    names |= {part.id for part in ast.walk(side) if isinstance(part, ast.Name)}
    is_number = re.search(r"\bnan\b", ast.unparse(side), re.IGNORECASE) is None  # of a NaN nothing makes another one
    return names.isdisjoint(("call", "ANY", "mock", "approx")) and not isinstance(side, ast.Starred) and is_number


def changed(side: ast.expr, kind: str, rng: random.Random) -> ast.expr:
    """An expression that is never equal to this one, of the same kind if that is one of those above.

    "near" is farther away than rounding, and goes through arrays element by element; "nearby" is that of one thing in a container.
    "far" is farther than what may be near where the text does not say how near that is.
    "filled" leaves empty containers as they are; else that is "any".
    """
    number = rng.choice((2, 3, 4, 5, 6, 7))
    if kind == "int":
        return ast.BinOp(side, ast.Add(), ast.Constant(number))
    if kind == "text":
        return ast.BinOp(side, ast.Add(), ast.Constant(rng.choice(_LETTERS)))
    if kind == "bool":
        return ast.UnaryOp(ast.Not(), side)
    if kind in ("near", "far"):
        times, more = (rng.choice((2, 3)), 0) if kind == "near" else (rng.choice((4, 5)), rng.randrange(60, 90))
        factor = ast.UnaryOp(ast.USub(), ast.Constant(times))
        return ast.BinOp(ast.BinOp(side, ast.Mult(), factor), ast.Sub(), ast.Constant(more + rng.choice(_FAR)))
    return _inside(side, kind, number, rng)


_FIRST, _LAST = ("v[:1]", "v[1:]"), ("v[-1:]", "v[:-1]")  # the part that changes, and the rest
_LETTERS = "abcdefghkmnprstuvwxyz"
_FAR = (1.37, 2.71, 3.19)
_LIKE = "if {}.__class__ in v.__class__.__mro__ else"


def _inside(side: ast.expr, kind: str, number: int, rng: random.Random) -> ast.expr:
    """Of a container with as much in it one thing that is another; of what holds nothing, something else.

    Were more in it, or less, an answer would be of another length before anybody asks whether what is in it equals everything.
    `(v or 3) * -2` is right for whatever can be multiplied: it is neither v nor, for an infinite v, the same infinity.
    """
    at_first = rng.random() < 0.5
    part, rest = _FIRST if at_first else _LAST
    more, item = ("[]", "[]") if kind == "filled" else ("[0]", "[('abc', 0)]")
    other = f"*[f(f, e) for e in {part} or {more}]"
    far = f"v * -3 - {rng.choice(_FAR)}" if kind == "nearby" else f"(v or {number}) * -{rng.choice((2, 3))}"
    items = f"{other}, *{rest}" if at_first else f"*{rest}, {other}"
    text = (
        f"(lambda f, v: f(f, v))(lambda f, v: v + {rng.choice(_LETTERS)!r} {_LIKE.format(repr(''))} "
        f"[{items}] {_LIKE.format('[]')} ({items},) {_LIKE.format('()')} "
        f"{{**v, **{{k: f(f, e) for k, e in [*v.items()]{part[1:]} or {item}}}}} {_LIKE.format('{}')} "
        f"v ^ {{{number}}} {_LIKE.format('{0}')} {far} "
        f"if [c for c in v.__class__.__mro__ if '__mul__' in c.__dict__] else {''.join(rng.sample(_LETTERS, 9))!r}, side)"
    )
    call: Any = ast.parse(text, mode="eval").body
    for node in ast.walk(call):
        for place in ("lineno", "end_lineno", "col_offset", "end_col_offset"):
            vars(node).pop(place, None)
    call.args[1] = side
    return call
