"""What a test lacked beside a stand-in for the program, and may have beside a program: read from its syntax tree."""

from __future__ import annotations

import ast
import re
from typing import Any

from rltf_env.sandbox.referee.computed import own_nodes
from rltf_env.sandbox.referee.suite import Function, Suite

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
    if kind == "SystemExit":
        return not any(node.lineno == row.get("at") for node in _certain_ends(suite))
    name = re.search(r"'(\w+)'", message)
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    if kind == "NameError" and suite.looks_up:
        return True
    return kind in ("NameError", "UnboundLocalError") and name is not None and name[1] in bound


def ends_itself(suite: Suite) -> bool:
    """True if a test ends its own process, so that no runner is left to say what became of it, whatever the program is."""
    return any(ast.unparse(each).startswith(("os._exit(", "os.abort(")) for each in _certain_ends(suite))


def _certain_ends(suite: Suite) -> list[ast.stmt]:
    """Statements that end a test, or the whole, whatever was before them, and say so themselves; not what a helper does."""
    nodes = [node for tree in suite.trees for node in ast.walk(tree)]
    bodies = [
        node.body for node in nodes if isinstance(node, ast.Module) or (isinstance(node, Function) and _is_run(node))
    ]
    firsts = [next((part for part in body if _may_end(part)), None) for body in bodies]
    return [part for part in firsts if part is not None and _ENDS.fullmatch(ast.unparse(part))]


def _may_end(statement: ast.stmt) -> bool:
    """True if a function, or the whole, may end there; not for what is only defined there."""
    inner = [statement, *own_nodes(statement)] if not isinstance(statement, (Function, ast.ClassDef)) else []
    ends = [n.exc if isinstance(n, ast.Raise) else n.func for n in inner if isinstance(n, (ast.Raise, ast.Call))]
    return any(isinstance(n, ast.Return) for n in inner) or any(
        each and _ENDING.search(ast.unparse(each)) for each in ends
    )


def _is_run(function: Function) -> bool:
    is_fixture = any("fixture" in ast.unparse(decorator) for decorator in function.decorator_list)
    return is_fixture or function.name.startswith(("test", "setUp", "setup_", "tearDown", "teardown_"))


_ENDING = re.compile(r"\b(_exit|abort|exit|quit|SystemExit)\b")
_ENDS = re.compile(r"(os\._exit|os\.abort|sys\.exit|exit|quit|raise SystemExit)(\((-?\d+|'[^']*')?\))?")


def _divides_by_constant(node: ast.AST) -> bool:
    return isinstance(node, ast.BinOp) and isinstance(node.op, _DIVISIONS) and isinstance(node.right, ast.Constant)
