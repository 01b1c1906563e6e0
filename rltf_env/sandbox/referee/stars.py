"""What a test takes from modules of the standard library: by `from module import *`, or where the program has the name of one."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import sys
from collections.abc import Container, Iterable, Sequence

_SHOWING = frozenset(("antigravity", "this"))  # modules that do something to be seen
_RUNNING = frozenset(sys.modules)  # that every runner needs itself: where it has them, a test gets them


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


def meant(nodes: Sequence[ast.AST], defined: Container[str]) -> set[str]:
    """Modules of the library by whose names a test means the program: it takes what that defines, and the library has not.

    Of a file `profile.py` beside its test, `from profile import get_profile`. Modules that are loaded before the test stay.
    """
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    taken = [(node.module or "", alias.name) for node in imports for alias in node.names]
    whole = {a.name for node in nodes if isinstance(node, ast.Import) for a in node.names if not a.asname}
    parts = [n for n in nodes if isinstance(n, ast.Attribute) and isinstance(n.value, ast.Name) and n.value.id in whole]
    taken += [(ast.unparse(part.value), part.attr) for part in parts]
    wanted = {pair for pair in taken if pair[1] in defined and pair[0] in sys.stdlib_module_names - _SHOWING - _RUNNING}
    return {module for module, name in wanted if not _has(module, name)}


def _has(module: str, name: str) -> bool:
    try:
        return hasattr(importlib.import_module(module), name) or bool(importlib.util.find_spec(f"{module}.{name}"))
    except Exception:  # not on this system, or no package
        return False
