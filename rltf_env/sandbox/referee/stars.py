"""What `from module import *` brings to a test, where the module is one of the standard library's."""

from __future__ import annotations

import ast
import importlib
import sys
from collections.abc import Iterable

_SHOWING = frozenset(("antigravity", "this"))  # modules that do something to be seen


def brought(nodes: Iterable[ast.AST]) -> set[str]:
    """Names that a test has from such imports, and so need not be a program's.

    The modules are imported here, as they are when the test runs.
    """
    modules = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and node.names[0].name == "*"}
    return {name for module in modules for name in _public(module)}


def _public(module: str) -> list[str]:
    top = module.partition(".")[0]
    if top not in sys.stdlib_module_names or top in _SHOWING:
        return []
    try:
        space = vars(importlib.import_module(module))
    except Exception:  # not on this system: then the test cannot have it either, and says so when it runs
        return []
    return space.get("__all__") or [name for name in space if name[0] != "_"]
