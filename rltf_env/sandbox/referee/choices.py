"""Conditions of which one has to hold, and need not be the one that holds for another right answer. Read from the syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from rltf_env.sandbox.referee import certainty
from rltf_env.sandbox.referee.asserting import dotted, name_of

_ENDING = (ast.Return, ast.Break, ast.Continue)
_CHOOSING = (ast.BoolOp, ast.IfExp, ast.Call)


def turned(nodes: Sequence[ast.AST], complaints: Sequence[ast.If]) -> set[int]:
    """The ids of nodes of conditions of which the truth would be wrong: they are complaints, or in `not` or `assertFalse`."""
    places: list[ast.AST] = [node.test for node in complaints]
    places += [node.operand for node in nodes if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)]
    for node in nodes:
        if isinstance(node, ast.Call) and node.args and name_of(node.func) == "assertFalse":
            places.append(node.args[0])
    wrong: set[int] = set()
    for place in {id(place): place for place in places}.values():
        wrong ^= {id(part) for part in ast.walk(place)}
    return wrong


def alternatives(scope: Sequence[ast.AST], wrong: set[int], ours: Callable[[ast.AST], bool]) -> set[int]:
    """The ids of nodes of a test that hold for one right answer, and need not for another.

    One side of `or`, what `any` looks for, the conditions of `if` and `elif`, those under which a test is over,
    and what is tried before something else is asserted.

    Args:
        scope: the test.
        wrong: ids of conditions that must not be true, where it is `and` that leaves a choice.
        ours: says what comes from the program.
    """
    inner: list[ast.AST] = []
    nodes = [node for part in scope for node in ast.walk(part)]
    sure = {id(node.test) for node in nodes if isinstance(node, ast.If) and id(node.test) in wrong}
    for node in nodes:
        if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.And if id(node) in wrong else ast.Or):
            inner += node.values
        elif isinstance(node, ast.Call) and dotted(node.func) == ("all" if id(node) in wrong else "any"):
            inner += node.args
        elif isinstance(node, (ast.If, ast.IfExp)):
            others: list[Any] = node.orelse if isinstance(node, ast.If) else [node.orelse]
            inner += [part for other in others if type(other) is type(node) for part in (node.test, other.test)]
        elif isinstance(node, ast.BinOp) and not isinstance(node.op, ast.BitAnd):
            sides = [node.left, node.right]
            inner += sides if all(isinstance(side, ast.Compare) for side in sides) else []
        elif isinstance(node, ast.AugAssign) and isinstance(node.op, ast.BitOr):
            inner += [n.value for n in nodes if ast.unparse(node.target) in _assigned(n)]  # type: ignore[attr-defined]
        elif isinstance(node, ast.Try) and any(_asserts(h) and not certainty.fails(h) for h in node.handlers):
            inner += node.body
    inner += [*_leaving(nodes), *_one_with_several(nodes, ours)]
    inner = [node for node in inner if id(node) not in sure]
    return {id(part) for node in inner for part in ast.walk(node)}


def equalities(nodes: Sequence[ast.AST], alternatives: set[int]) -> list[ast.Compare]:
    """Of these the comparisons of two values that have to be equal, or must not be, and are no alternatives."""
    compared = [node for node in nodes if isinstance(node, ast.Compare) and id(node) not in alternatives]
    return [node for node in compared if len(node.ops) == 1 and isinstance(node.ops[0], (ast.Eq, ast.NotEq))]


def _names(node: ast.AST) -> list[ast.Name]:
    return [part for part in ast.walk(node) if isinstance(part, ast.Name)]


def _assigned(node: ast.AST) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AugAssign) else []
    return list(map(ast.unparse, targets))


def _asserts(node: ast.AST) -> bool:
    names = [name_of(n.func) for n in ast.walk(node) if isinstance(n, ast.Call)]
    return any(isinstance(n, ast.Assert) for n in ast.walk(node)) or any(name.startswith("assert") for name in names)


def _leaving(nodes: Sequence[ast.AST]) -> list[ast.AST]:
    """Conditions under which a test is over, if there are several: in a loop, or one after another."""
    ifs = [node for node in nodes if isinstance(node, ast.If) and isinstance(node.body[-1], _ENDING)]
    looped = {id(part) for loop in nodes if isinstance(loop, (ast.For, ast.While)) for part in ast.walk(loop)}
    return [node.test for node in ifs if len(ifs) > 1 or id(node) in looped]


def _one_with_several(nodes: Sequence[ast.AST], ours: Callable[[ast.AST], bool]) -> Iterator[ast.AST]:
    """Comparisons of one answer with each of several values, as in `[want for want in (4, 5) if answer == want]`."""
    for node in [node for node in nodes if isinstance(node, (ast.ListComp, ast.GeneratorExp, ast.SetComp))]:
        loop = node.generators[0]
        bound = {part.id for part in _names(loop.target)}
        for part in [part for part in (node.elt, *loop.ifs) if isinstance(part, ast.Compare)]:
            fixed = [s for s in (part.left, *part.comparators) if bound.isdisjoint(n.id for n in _names(s)) and ours(s)]
            yield from [part] if fixed else []


def _closing(condition: ast.AST, wrong: bool) -> list[ast.Compare]:
    """Comparisons that, if none of them finds anything equal, keep a condition that leaves a choice from being met.

    None if something else may meet it, or if it leaves no choice. `wrong`: it must not be true.
    """
    if isinstance(condition, ast.BoolOp) and isinstance(condition.op, ast.And if wrong else ast.Or):
        return _all_of([_closed(part, wrong) for part in condition.values])
    if isinstance(condition, ast.IfExp):
        return _all_of([_closed(part, wrong) for part in (condition.body, condition.orelse)])
    if not isinstance(condition, ast.Call) or not condition.args:
        return []
    if dotted(condition.func) != ("all" if wrong else "any"):
        return []
    looked_at = condition.args[0]
    return _closed(looked_at.elt, wrong) if isinstance(looked_at, (ast.GeneratorExp, ast.ListComp)) else []


def _closed(condition: ast.AST, wrong: bool) -> list[ast.Compare]:
    if isinstance(condition, ast.Compare):
        equal = (ast.NotEq, ast.NotIn) if wrong else (ast.Eq, ast.In)
        return [condition] if len(condition.ops) == 1 and isinstance(condition.ops[0], equal) else []
    if isinstance(condition, ast.BoolOp) and isinstance(condition.op, ast.Or if wrong else ast.And):
        return next((parts for part in condition.values if (parts := _closed(part, wrong))), [])
    return _closing(condition, wrong)


def _all_of(parts: list[list[ast.Compare]]) -> list[ast.Compare]:
    return [each for part in parts for each in part] if all(parts) else []


def shown(containers: Sequence[ast.expr]) -> list[ast.expr]:
    """These containers, if the values are there to see of which an answer has to be one; else nothing."""
    elements = [getattr(each, "elts", []) for each in containers]
    constants = [[n for n in ast.walk(part) if isinstance(n, ast.Constant)] for parts in elements for part in parts]
    return [*containers] if elements and all(elements) and all(constants) else []


Place = tuple[int, int]  # a comparison, by its number in the order of `ast.walk`, and which of its sides


def of(test: ast.expr, wrong: set[int], ours: Callable[[ast.AST], bool]) -> Iterator[tuple[ast.expr, list[Place]]]:
    """Choices in a condition, outer ones and inner ones, each with the values of which an answer has to equal one.

    Args:
        test: the condition.
        wrong: ids of conditions that must not be true.
        ours: says what comes from the program.
    """
    for node in [part for part in ast.walk(test) if isinstance(part, _CHOOSING)]:
        chosen, nodes = _closing(node, id(node) in wrong), list(ast.walk(node))
        if chosen and all(map(ours, chosen)):
            yield node, [(nodes.index(n), int(ours(n.left) or not ours(n.comparators[0]))) for n in chosen]


def shows_patterns(node: ast.Match) -> bool:
    """True if all patterns have a value in them, but for a last one that matches the rest."""
    bare = [case for case in node.cases if not any(isinstance(n, ast.MatchValue) for n in ast.walk(case.pattern))]
    return bare in ([], node.cases[-1:])
