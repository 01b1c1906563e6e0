"""Whether a function that returns a value may come to its end without one."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from rltf_env.facts._scopes import Function, same_scope

_LEAVES = (ast.Return, ast.Raise, ast.Continue, ast.Break)


def forgotten(node: Function) -> int | None:
    """The line of a function's last statement, if its end can be reached and it returns a value elsewhere.

    A condition is taken to be true or false, a loop to end, `while True` without `break` not to. Functions that only
    return nothing, and generators, are none of it.
    """
    inside = list(same_scope(node.body))
    if any(isinstance(each, ast.Yield | ast.YieldFrom) for each in inside):
        return None
    values = any(isinstance(each, ast.Return) and _is_value(each.value) for each in inside)
    return node.body[-1].lineno if values and _can_end(node.body) else None


def _is_value(value: ast.expr | None) -> bool:
    return value is not None and not (isinstance(value, ast.Constant) and value.value is None)


def _can_end(body: Sequence[ast.stmt]) -> bool:
    """True if what stands behind these statements may be reached."""
    return not any(_stops(statement) for statement in body)


def _stops(node: ast.stmt) -> bool:
    """True if nothing behind a statement is reached."""
    if isinstance(node, _LEAVES):
        return True
    if isinstance(node, ast.If):
        return bool(node.orelse) and not _can_end(node.body) and not _can_end(node.orelse)
    if isinstance(node, ast.While):
        endless = isinstance(node.test, ast.Constant) and bool(node.test.value)
        return endless and not any(isinstance(each, ast.Break) for each in _of_loop(node.body))
    if isinstance(node, ast.With | ast.AsyncWith):
        return not _can_end(node.body)
    if isinstance(node, ast.Try | ast.TryStar):
        return not _can_end(node.finalbody) or not any(map(_can_end, _ways(node)))
    if isinstance(node, ast.Match):
        whole = any(isinstance(case.pattern, ast.MatchAs) and _any(case) for case in node.cases)
        return whole and not any(_can_end(case.body) for case in node.cases)
    return False


def _any(case: ast.match_case) -> bool:
    return case.guard is None and isinstance(case.pattern, ast.MatchAs) and case.pattern.pattern is None


def _ways(node: ast.Try | ast.TryStar) -> list[list[ast.stmt]]:
    """The ways through a `try`: its body with its `else`, or one of its handlers."""
    return [[*node.body, *node.orelse], *(handler.body for handler in node.handlers)]


def _of_loop(body: Sequence[ast.AST]) -> Iterator[ast.AST]:
    """The nodes of a loop's body, those of inner loops and functions left out."""
    for node in body:
        yield node
        if not isinstance(node, ast.For | ast.AsyncFor | ast.While | ast.ClassDef | ast.Lambda | Function):
            yield from _of_loop(list(ast.iter_child_nodes(node)))
