"""Copies of a test that also fail where the test never comes to what is false in them. Made from the syntax tree.

A loop over an empty answer asserts nothing. A program that passes a copy for that has fooled nobody: it passes the test as it is
for the same reason. In these copies a name is bound where something is asserted, and looked at in the end.
"""

from __future__ import annotations

import ast
import copy
import random
from collections.abc import Iterable

from rltf_env.sandbox.referee.suite import Function


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
