"""Sets and dictionaries as a test writes them down, without what stands in them twice: `{1, 2, 1}`, `{"a": 1, "a": 2}`.

They mean the same without it. Where one of two equal elements were changed, a copy of the test would not be false, and right
programs would pass it.
"""

from __future__ import annotations

import ast
from typing import Any


def simplify(node: ast.AST) -> None:
    """Leaves out of a display what is equal to another of its literals; of a dictionary, the values that are not the last."""
    if not isinstance(node, (ast.Set, ast.Dict)):
        return
    keys: list[Any] = node.elts if isinstance(node, ast.Set) else node.keys
    names = [*map(_name, keys)]
    order = [*dict.fromkeys(names)]
    if len(order) == len(names) or None in keys:  # `**other` may have any key
        return
    firsts = dict(zip(reversed(names), reversed(keys), strict=True))
    if isinstance(node, ast.Set):
        node.elts = [firsts[name] for name in order]
    elif None not in [*map(_literal, node.values)]:  # else something may be called there
        lasts = dict(zip(names, node.values, strict=True))
        node.keys, node.values = [firsts[name] for name in order], [lasts[name] for name in order]


def _literal(node: ast.AST | None) -> tuple[object] | None:
    """What a literal stands for; None for anything else."""
    try:
        return (ast.literal_eval(node),)  # type: ignore[arg-type]
    except (TypeError, ValueError, RecursionError):
        return None


def _name(key: ast.AST | None) -> object:
    """What is the same for literals that are equal; of anything else, the node itself."""
    literal = _literal(key)
    try:
        hash(literal)
    except TypeError:
        return key
    return key if literal is None else literal
