"""Modules in which one sign, comparison, bound or choice is turned around."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from functools import partial
from types import ModuleType


class Sites(ast.NodeVisitor):
    """The places where a sign, a comparison, a bound or a choice can be turned around: `(node, what to do with it)`."""

    def __init__(self) -> None:
        self.ways: list[tuple[ast.AST, Callable[[], None]]] = []

    def visit_BinOp(self, node: ast.BinOp | ast.AugAssign) -> None:
        for old, new in ((ast.Add, ast.Sub), (ast.Sub, ast.Add), (ast.Mult, ast.Div)):
            if isinstance(node.op, old):
                self.ways.append((node, partial(setattr, node, "op", new())))
        self.generic_visit(node)

    visit_AugAssign = visit_BinOp

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.USub):
            self.ways.append((node, partial(setattr, node, "op", ast.UAdd())))
        self.generic_visit(node)

    def visit_Compare(self, node: ast.Compare) -> None:
        for old, new in ((ast.Gt, ast.Lt), (ast.Lt, ast.Gt), (ast.Eq, ast.NotEq), (ast.NotEq, ast.Eq)):
            if isinstance(node.ops[0], old):
                self.ways.append((node, partial(setattr, node, "ops", [new()])))
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.ways.append((node, partial(node.__dict__.update, body=node.orelse, orelse=node.body)))
        self.generic_visit(node)

    def visit_Call(self, node: ast.Call) -> None:
        if len(node.args) >= 2 and ast.unparse(node.func).startswith("functional."):  # which of two is the other
            self.ways.append((node, partial(setattr, node, "args", [node.args[1], node.args[0], *node.args[2:]])))
        self.generic_visit(node)


def mutants(module: ModuleType, functions: tuple[str, ...]) -> Iterator[tuple[str, ModuleType]]:
    """The module with one thing turned around in one of the functions, each in turn; and what then stands there."""
    assert module.__file__
    with open(module.__file__, encoding="utf-8") as file:
        whole = ast.parse(file.read())
    for name in functions:
        for i in range(len(sites(whole, name))):
            tree = copy.deepcopy(whole)
            node, turn_around = sites(tree, name)[i]
            turn_around()
            mutant = ModuleType(module.__name__)
            exec(compile(ast.fix_missing_locations(tree), f"<{name}, mutant {i}>", "exec"), mutant.__dict__)
            yield f"{name}: {ast.unparse(node)}", mutant


def sites(tree: ast.Module, name: str) -> list[tuple[ast.AST, Callable[[], None]]]:
    (function,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    visitor = Sites()
    for statement in function.body:
        visitor.visit(statement)
    return visitor.ways
