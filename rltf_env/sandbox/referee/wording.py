"""What a test says of its expectations besides: messages of assertions, docstrings, names of sets of parameters.

`assert add(2, 3) == 5, "2 + 3 should be 5"`: a copy in which only the number was falsified would still have the right one in
its message, for a program that reads there. So the words are changed with the value. Nothing but people reads them, and no
right program passes a copy for what they say.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from typing import Any

from rltf_env.sandbox.referee.asserting import arguments_of, dotted, name_of
from rltf_env.sandbox.referee.changes import OPPOSITE

# What these ask about is their first argument
_ONE = frozenset("assertTrue assertFalse assertIsNone assertIsNotNone".split())
_NAMING = frozenset(("parametrize", "param"))
_MADE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_CAUGHT = frozenset(("print", "AssertionError"))
_AS_IT_IS = (ast.Name, ast.Attribute, ast.Subscript)
_TELLING = frozenset(("fail", "AssertionError", "subTest", "print"))


def values(node: ast.AST) -> list[Any]:
    """What a piece of a test shows, in order: constants, and names as texts."""
    parts = [part for part in ast.walk(node) if isinstance(part, (ast.Constant, ast.Name))]
    return [part.value if isinstance(part, ast.Constant) else part.id for part in parts]


def scopes(tree: ast.Module) -> dict[int, list[ast.AST]]:
    """Where a node's value may be told of, by its id: in its own function or statement, and in docstrings of what is around."""
    places: dict[int, list[ast.AST]] = {}
    bodies: list[tuple[list[ast.stmt], list[ast.AST]]] = [(tree.body, [])]
    for body, around in bodies:
        around = [*around, *(s for s in body[:1] if isinstance(s, ast.Expr))]
        for statement in body:
            if isinstance(statement, ast.ClassDef):
                bodies.append((statement.body, around))
            places |= {id(node): [statement, *around] for node in ast.walk(statement)}
    return places


def reword(places: list[ast.AST], before: list[Any], after: list[Any]) -> None:
    """Has what tells of `before` tell of `after`, where they differ. Lists of different lengths say not which became which."""
    if len(before) != len(after):
        return
    pairs = {str(old): new for old, new in zip(before, after, strict=True) if old != new and str(old)}
    if not pairs:
        return
    longest = sorted(pairs, key=len, reverse=True)
    pattern = re.compile("|".join(rf"(?<!\w){re.escape(old)}(?!\w)" for old in longest))
    for node in [node for place in places for node in _told(place)]:
        if isinstance(node.value, str):
            node.value = pattern.sub(lambda match: str(pairs[match[0]]), node.value)
        elif str(node.value) in pairs and type(pairs[str(node.value)]) is type(node.value):
            node.value = pairs[str(node.value)]


def _told(scope: ast.AST) -> Iterator[ast.Constant]:
    """The constants in a piece of a test that are there to be read."""
    data, nodes = _data(scope), list(ast.walk(scope))
    told = [each for node in nodes if id(node) not in data for each in words(node)]
    return (part for each in (*told, *said(nodes)) for part in _constants(each))


def _data(scope: ast.AST) -> set[int]:
    """What looks like words and may reach the program, by its id.

    A function that a test makes, and hands to a decorator, has its docstring with it. What such a function prints or raises
    may be caught, and so may what is printed or raised in a `with`.
    """
    parts = list(ast.walk(scope))
    made = [part for part in parts if isinstance(part, _MADE) and part is not scope]
    made = made if isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef)) else []  # a class has tests
    inner = [part for part in parts if isinstance(part, (ast.Lambda, ast.With, ast.AsyncWith))]
    calls = [part for each in (*made, *inner) for part in ast.walk(each) if isinstance(part, ast.Call)]
    docstrings = [each.body[0] for each in made if isinstance(each.body[0], ast.Expr)]
    return set(map(id, docstrings)) | {id(call) for call in calls if dotted(call.func) in _CAUGHT}


def caught(nodes: list[ast.AST]) -> set[int]:
    """The ids of calls that say something, and that the program may hear: in a `with`, and in functions that are no tests.

    Or between `tee.start()` and `tee.stop()`: what is printed there is printed as it is, and by itself.
    """
    around = [n for n in nodes if isinstance(n, (ast.Lambda, ast.With, ast.AsyncWith)) or _is_helper(n)]
    calls = [part for each in around for part in ast.walk(each) if isinstance(part, ast.Call)]
    alone = [n for n in nodes if isinstance(n, ast.Call) and len(n.args) == 1 and isinstance(n.args[0], _AS_IT_IS)]
    return {id(call) for call in [*calls, *alone] if dotted(call.func) in _CAUGHT}


def _is_helper(node: ast.AST) -> bool:
    return isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("test")


def said(nodes: list[ast.AST]) -> list[ast.expr]:
    """What names are given that only go into words, as `text = f"expected {want}"` where `text` is the message of an assertion."""
    heard = caught(nodes)
    spoken = {id(part) for node in nodes if id(node) not in heard for each in words(node) for part in ast.walk(each)}
    loads = [node for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)]
    silent = {node.id for node in loads} - {node.id for node in loads if id(node) not in spoken}
    given = [node for node in nodes if isinstance(node, ast.Assign)]
    return [node.value for node in given if all(isinstance(t, ast.Name) and t.id in silent for t in node.targets)]


def words(node: ast.AST) -> list[ast.expr]:
    """What a node holds that only says something."""
    if isinstance(node, ast.Assert) and node.msg is not None:
        return [node.msg]
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return [node.value]
    return _words(node) if isinstance(node, ast.Call) else []


def _words(call: ast.Call) -> list[ast.expr]:
    """The arguments of a call that only say something."""
    name = name_of(call.func)
    if name in _TELLING:
        return arguments_of(call)
    named = ("msg", "err_msg") if name.startswith("assert") else ("id", "ids") if name in _NAMING else ()
    more = call.args[1 if name in _ONE else 2 :] if name in OPPOSITE else []
    texts = [arg for arg in more if not isinstance(arg, ast.Constant) or isinstance(arg.value, str)]  # no `places`
    return [*texts, *(keyword.value for keyword in call.keywords if keyword.arg in named)]


def _constants(node: ast.AST) -> Iterator[ast.Constant]:
    return (part for part in ast.walk(node) if isinstance(part, ast.Constant))
