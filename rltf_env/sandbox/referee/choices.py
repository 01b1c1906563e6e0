"""Conditions of which one has to hold, and need not be the one that holds for another right answer. Read from the syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence

_CHOOSING = (ast.BoolOp, ast.IfExp, ast.Call)
_LOOPS = (ast.GeneratorExp, ast.ListComp, ast.SetComp)


def alternatives(scope: Sequence[ast.AST], wrong: set[int]) -> set[int]:
    """The ids of nodes of a test that hold for one right answer, and need not for another.

    One side of `or`, and what `any` looks for.

    `wrong`: ids of conditions that must not be true, where it is `and` that leaves a choice.
    """
    inner: list[ast.AST] = []
    for node in [node for part in scope for node in ast.walk(part)]:
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And if id(node) in wrong else ast.Or):
            inner += node.values
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "any":
            inner += node.args
    return {id(part) for node in inner for part in ast.walk(node)}


def branches(nodes: Sequence[ast.AST], ours: Callable[[ast.AST], bool]) -> set[int]:
    """The ids of nodes that a test comes to or not as an answer has it: in loops over it, and behind conditions on it.

    `ours`: says what comes from the program.
    """
    inner: list[ast.AST] = []
    for node in nodes:
        if isinstance(node, (ast.For, ast.AsyncFor)) and ours(node.iter):
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


def _closing(condition: ast.AST, wrong: bool) -> list[ast.Compare]:
    """Comparisons that, if none of them finds anything equal, keep a condition that leaves a choice from being met.

    None if something else may meet it, or if it leaves no choice. `wrong`: it must not be true.
    """
    if isinstance(condition, ast.BoolOp) and isinstance(condition.op, ast.And if wrong else ast.Or):
        return _all_of([_closed(part, wrong) for part in condition.values])
    if isinstance(condition, ast.IfExp):
        return _all_of([_closed(part, wrong) for part in (condition.body, condition.orelse)])
    if not isinstance(condition, ast.Call) or ast.unparse(condition.func) != "any" or wrong or not condition.args:
        return []
    looked_at = condition.args[0]
    return _closed(looked_at.elt, wrong) if isinstance(looked_at, (ast.GeneratorExp, ast.ListComp)) else []


def _closed(condition: ast.AST, wrong: bool) -> list[ast.Compare]:
    if isinstance(condition, ast.Compare):
        equal = ast.NotEq if wrong else ast.Eq
        return [condition] if len(condition.ops) == 1 and isinstance(condition.ops[0], equal) else []
    if isinstance(condition, ast.BoolOp) and isinstance(condition.op, ast.Or if wrong else ast.And):
        return next((parts for part in condition.values if (parts := _closed(part, wrong))), [])
    return _closing(condition, wrong)


def _all_of(parts: list[list[ast.Compare]]) -> list[ast.Compare]:
    return [each for part in parts for each in part] if all(parts) else []


Place = tuple[int, int]  # a comparison, by its number in the order of `ast.walk`, and which of its sides


def of(test: ast.expr, wrong: bool, ours: Callable[[ast.AST], bool]) -> Iterator[tuple[ast.expr, list[Place]]]:
    """Choices in a condition, outer ones and inner ones, each with the values of which an answer has to equal one.

    `ours`: says what comes from the program.
    """
    for node in [part for part in ast.walk(test) if isinstance(part, _CHOOSING)]:
        chosen, nodes = _closing(node, wrong), list(ast.walk(node))
        if chosen and all(map(ours, chosen)):
            yield node, [(nodes.index(n), int(ours(n.left) or not ours(n.comparators[0]))) for n in chosen]


def shows_patterns(node: ast.Match) -> bool:
    """True if all patterns have a value in them, but for a last one that matches the rest."""
    bare = [case for case in node.cases if not any(isinstance(n, ast.MatchValue) for n in ast.walk(case.pattern))]
    return bare in ([], node.cases[-1:])
