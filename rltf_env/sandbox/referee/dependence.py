"""What a test lacked beside a stand-in for the program, and may have beside a program: read from its syntax tree."""

from __future__ import annotations

import ast
import re
from typing import Any

from rltf_env.sandbox.referee.suite import Suite

_DIVISIONS = (ast.Div, ast.FloorDiv, ast.Mod)


def may_depend(row: dict[str, Any], suite: Suite) -> bool:
    """True if what looks like a fault of a test's own may be none with a program that does something else.

    A name may come from a text, or be bound where a program raises (`except ValueError as e: message = str(e)`); a divisor
    may be made of answers.

    Args:
        row: what became of the test.
        suite: the test.
    """
    record = row.get("raised") or {}
    kind, message = record.get("kind"), str(record.get("message"))
    nodes = [node for tree in suite.trees for node in ast.walk(tree)]
    if kind == "ZeroDivisionError":
        return not any(_divides_by_constant(node) for node in nodes if getattr(node, "lineno", 0) == row.get("at"))
    name = re.search(r"'(\w+)'", message)
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    if kind == "NameError" and suite.looks_up:
        return True
    return kind in ("NameError", "UnboundLocalError") and name is not None and name[1] in bound


def _divides_by_constant(node: ast.AST) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, _DIVISIONS) and isinstance(node.right, ast.Constant)
