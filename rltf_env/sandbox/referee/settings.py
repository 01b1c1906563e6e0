"""Scripts that set what a process has only once, for the program to find: limits, contexts, parts of modules.

In plain Python the program shares the process. So a test that raises the limit of recursion or patches a function of the library
may change what a program does, though a reference that has no use for it passes apart as well. What such a script sets would
also stay for the scripts of other problems. All of it is read from the syntax tree. (Files are no settings: a test that writes
one does so for every program, and a reference shows it.)
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from functools import lru_cache

from rltf_env.sandbox.referee.asserting import arguments_of

# Random numbers are none: they are the same in every run, and a reference shows what depends on them.
_SETTERS = frozenset(
    "sys.setrecursionlimit sys.set_int_max_str_digits threading.stack_size decimal.getcontext decimal.setcontext "
    "decimal.localcontext os.chdir os.umask os.putenv os.unsetenv os.environ.update os.environ.pop os.environ.setdefault "
    "os.environ.clear locale.setlocale time.tzset importlib.reload".split()
)
PATCHING = ("monkeypatch", "mocker")  # fixtures
_PATCH = "unittest.mock.patch"  # and all that begins so


def sets_for_all(nodes: Iterable[ast.AST]) -> bool:
    """True if a script sets something that a program in the same process could find."""
    nodes = list(nodes)
    names = _imported(nodes)
    return any(_stores(node, names) or _calls(node, names) for node in nodes)


def set_by(nodes: Sequence[ast.AST], trees: Iterable[ast.AST]) -> list[ast.expr]:
    """What a test sets for the program to find: inputs that no call of the program's is handed.

    Args:
        nodes: of a test function.
        trees: of the whole test.
    """
    names = _imported([*_imports(tuple(trees)), *nodes])
    calls = [n for n in nodes if isinstance(n, ast.Call) and (_calls(n, names) or _is_fixture(n))]
    found = [part for call in calls for part in arguments_of(call)]
    pairs = [(node.targets, node.value) for node in nodes if isinstance(node, ast.Assign)]
    return found + [value for targets, value in pairs if any(_stores(target, names) for target in targets)]


@lru_cache(maxsize=1)
def _imports(trees: tuple[ast.AST, ...]) -> list[ast.AST]:
    return [n for tree in trees for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom))]


def _is_fixture(call: ast.Call) -> bool:
    """True for a method of a fixture that patches."""
    return ast.unparse(call.func).partition(".")[0] in PATCHING


def _imported(nodes: list[ast.AST]) -> dict[str, str]:
    """What the script's names of modules, and of what they hold, stand for: `np` for `numpy`, `patch` for `unittest.mock.patch`."""
    names = {name: f"builtins.{name}" for name in ("setattr", "delattr")}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                names[name] = alias.name if alias.asname else name
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
            if node.names[0].name == "*":
                names |= {each.rpartition(".")[2]: each for each in _SETTERS if each.startswith(f"{node.module}.")}
    return names


def _path(node: ast.AST, names: dict[str, str]) -> str:
    """The full name of what an expression stands for, `sys.argv`; empty if it does not come from an import."""
    if isinstance(node, ast.Name):
        return names.get(node.id, "")
    if isinstance(node, ast.Attribute):
        path = _path(node.value, names)
        return f"{path}.{node.attr}" if path else ""
    return _path(node.value, names) if isinstance(node, ast.Subscript) else ""


def _stores(node: ast.AST, names: dict[str, str]) -> bool:
    """True for an assignment to a part of a module, or a deletion."""
    if not isinstance(node, (ast.Attribute, ast.Subscript)) or isinstance(node.ctx, ast.Load):
        return False
    return _path(node.value, names) != ""


def _calls(node: ast.AST, names: dict[str, str]) -> bool:
    if not isinstance(node, ast.Call):
        return False
    path = _path(node.func, names)
    if path in ("builtins.setattr", "builtins.delattr"):
        return bool(node.args) and _path(node.args[0], names) != ""
    return path in _SETTERS or path.startswith(_PATCH)
