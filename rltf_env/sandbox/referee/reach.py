"""Copies of a test that also fail where the test never comes to what is false in them. Made from the syntax tree.

A loop over an empty answer asserts nothing. A program that passes a copy for that has fooled nobody: it passes the test as it is
for the same reason. In these copies a name is bound where something is asserted, and looked at in the end.
"""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Callable, Iterable, Mapping, Sequence

from rltf_env.sandbox.referee.certainty import goes_round
from rltf_env.sandbox.referee.suite import Function

_LOOPS = (ast.GeneratorExp, ast.ListComp, ast.SetComp)


def branches(nodes: Sequence[ast.AST], ours: Callable[[ast.AST], bool], literals: Mapping[str, ast.expr]) -> set[int]:
    """The ids of nodes that a test comes to or not as an answer has it: in loops over it, and behind conditions on it.

    What is printed is an answer, too, so a loop need only be one of which the text does not say that it goes round.

    Args:
        nodes: of the test.
        ours: says what comes from the program.
        literals: names that stand for one literal.
    """
    inner: list[ast.AST] = []
    for node in nodes:
        if isinstance(node, (ast.For, ast.AsyncFor)) and (ours(node.iter) or not goes_round(node.iter, literals)):
            inner += node.body
        elif isinstance(node, (ast.If, ast.While)) and ours(node.test):
            inner += [*node.body, *node.orelse]
        elif isinstance(node, ast.IfExp) and ours(node.test):
            inner += [node.body, node.orelse]
        elif isinstance(node, ast.Match) and ours(node.subject):
            inner += node.cases
        elif isinstance(node, ast.Try) and any(map(ours, node.body)):
            inner += [*node.handlers, *node.orelse]
        elif isinstance(node, ast.BoolOp) and ours(node.values[0]):
            inner += node.values[1:]
        elif isinstance(node, _LOOPS) and any(ours(each.iter) for each in node.generators):
            inner += [part for part in ast.iter_child_nodes(node) if isinstance(part, ast.expr)]
    return {id(part) for node in inner for part in ast.walk(node)}


def demand(tree: ast.Module, target: ast.AST, places: Iterable[ast.AST], rng: random.Random) -> None:
    """Changes a test so that it fails unless it comes to one of the places where something is asserted about a node."""
    name = "".join(rng.choice("abcdefghkmnprstuvwxyz") for _ in range(7))
    tests: dict[int, ast.AST] = {}
    inside = False
    for place in places:
        around = [node for node in ast.walk(tree) if any(part is place for part in ast.walk(node))]
        test = next((node for node in around if isinstance(node, Function)), tree)
        tests[id(test)] = test
        if isinstance(target, ast.expr) and any(part is target for part in ast.walk(place)):
            inside = True
        else:
            _insert(tree, target, [node for node in around if isinstance(node, ast.stmt)][-1], _binding(name))
    if inside:
        _bind(target, name)
    for test in tests.values():
        test.body.append(ast.Expr(ast.Name(name, ast.Load())))  # type: ignore[attr-defined]


def _binding(name: str) -> ast.stmt:
    return ast.Assign([ast.Name(name, ast.Store())], ast.Constant(None))


def _bind(target: ast.AST, name: str) -> None:
    """An expression is kept under a name when it is evaluated."""
    inner = copy.copy(target)
    target.__class__ = ast.NamedExpr
    target.__dict__ = {**vars(inner), "target": ast.Name(name, ast.Store()), "value": inner}


def _insert(tree: ast.Module, target: ast.AST, place: ast.AST, binding: ast.stmt) -> None:
    """Puts a statement before another one; of what handles an exception, into it."""
    if isinstance(target, ast.ExceptHandler):
        target.body.insert(0, binding)
        return
    for node in ast.walk(tree):
        for field in ("body", "orelse", "finalbody"):
            body = getattr(node, field, None)
            if isinstance(body, list) and place in body:
                body.insert(body.index(place), binding)
                return
