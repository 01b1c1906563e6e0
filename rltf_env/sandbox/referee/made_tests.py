"""Tests that a script makes while it runs, instead of writing each down: read from its syntax tree.

A runner finds them by their names, in the script's namespace. A script that were taken for a test in itself would make its
tests, call none of them, and pass every program.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator

from rltf_env.sandbox.referee.asserting import dotted

Function = ast.FunctionDef | ast.AsyncFunctionDef
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_SPACES = frozenset("globals() vars() locals() sys.modules[__name__].__dict__ vars(sys.modules[__name__])".split())
_TEST = re.compile(r"[Tt]est[\w{}%:.]*")  # the name of a test, or the beginning of one
_TEXT = re.compile(r"^\s*(async )?def test|^\s*class Test", re.MULTILINE)  # a text that has tests in it


def in_script(top: list[ast.stmt], nodes: list[ast.AST]) -> bool:
    """True if a script puts tests into its own namespace by other means than `def` and `class`."""
    loaded = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    makers = {node.name for node in top if isinstance(node, Function) and _returns_function(node)}
    if any(_assigns(statement, makers, loaded) for statement in top):
        return True
    if any(_executes(node) for node in nodes) and not any(name.startswith("test") for name in loaded):
        return any(_TEXT.search(text) for text in _texts(nodes))
    names = [name for node in nodes for name in _put(node)]
    if any(_is_test(name) for name in names):
        return True
    # Where the text does not show the name: it is likely one of a test in a script that asserts nothing else by itself.
    unknown = any(_is_test(name) is None for name in names) and not _acts(top)
    return unknown and any(_TEST.fullmatch(text) for text in _texts(nodes))


def of_pytest(nodes: Iterable[ast.AST]) -> bool:
    """True if classes that a script makes can only be pytest's: it calls `type` and knows no TestCase."""
    nodes = list(nodes)
    calls = [node for node in nodes if isinstance(node, ast.Call) and dotted(node.func) == "type"]
    classes = any(len(call.args) == 3 for call in calls) or any(
        text.startswith("Test") and _TEST.fullmatch(text) for text in _texts(nodes)
    )
    names = {node.id if isinstance(node, ast.Name) else node.attr for node in nodes if isinstance(node, _NAMES)}
    return classes and not any(name.endswith("TestCase") for name in names)


_NAMES = (ast.Name, ast.Attribute)


def _texts(nodes: Iterable[ast.AST]) -> list[str]:
    return [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]


def _put(node: ast.AST) -> Iterator[ast.expr]:
    """The names under which a node puts something into the script's namespace."""
    if isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) in _SPACES:
        yield node.slice
    elif isinstance(node, ast.Call):
        place, _, method = ast.unparse(node.func).rpartition(".")
        if method == "setattr" and len(node.args) == 3 and ast.unparse(node.args[0]) == "sys.modules[__name__]":
            yield node.args[1]
        elif place in _SPACES and method in ("update", "setdefault", "__setitem__"):
            yield from (key for argument in node.args[:1] for key in _keys(argument))
            yield from (ast.Constant(keyword.arg) for keyword in node.keywords)


def _keys(argument: ast.expr) -> list[ast.expr]:
    if isinstance(argument, ast.Dict):
        return [key for key in argument.keys if key is not None]
    return [argument.key] if isinstance(argument, ast.DictComp) else [argument]


def _is_test(name: ast.expr) -> bool | None:
    """Whether a name is that of a test, by its beginning. None where the text does not show it."""
    if isinstance(name, ast.JoinedStr) and name.values:
        return _is_test(name.values[0])
    if isinstance(name, ast.BinOp):
        return _is_test(name.left)
    if isinstance(name, ast.Call) and isinstance(name.func, ast.Attribute) and name.func.attr == "format":
        return _is_test(name.func.value)
    return bool(_TEST.match(str(name.value))) if isinstance(name, ast.Constant) else None


def _returns_function(maker: Function) -> bool:
    inner = {node.name for node in ast.walk(maker) if isinstance(node, Function) and node is not maker}
    returned = [node.value for node in ast.walk(maker) if isinstance(node, ast.Return)]
    return any(isinstance(v, ast.Lambda) or (isinstance(v, ast.Name) and v.id in inner) for v in returned)


def _assigns(statement: ast.stmt, makers: set[str], loaded: set[str]) -> bool:
    """True for `test_small = make(1, 2)`, `test_small = lambda: check(1, 2)` and their like, if nobody but a runner calls it."""
    if not isinstance(statement, ast.Assign) or not all(isinstance(t, ast.Name) for t in statement.targets):
        return False
    names = {target.id for target in statement.targets if isinstance(target, ast.Name)}
    if not any(name.startswith("test") for name in names - loaded):
        return False
    value = statement.value
    if isinstance(value, ast.Call):
        return dotted(value.func) in {*makers, "partial", "functools.partial"}
    return isinstance(value, ast.Lambda) and not value.args.args


def _executes(node: ast.AST) -> bool:
    """True for `exec(text)`, which puts what the text defines into the script's namespace."""
    if not isinstance(node, ast.Call) or dotted(node.func) != "exec" or node.keywords:
        return False
    return len(node.args) == 1 or (len(node.args) == 2 and ast.unparse(node.args[1]) == "globals()")


def _acts(top: list[ast.stmt]) -> bool:
    """True if a script asserts something, or calls a function of its own, by itself."""
    own = [statement for statement in top if not isinstance(statement, DEFINITIONS)]
    names = {statement.name for statement in top if isinstance(statement, Function)}
    called = [node.value for node in own if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)]
    asserts = any(isinstance(node, ast.Assert) for statement in own for node in ast.walk(statement))
    return asserts or any(dotted(call.func) in names for call in called)


def in_blocks(body: Iterable[ast.stmt]) -> list[ast.stmt]:
    """The functions and classes that a script defines in a condition, a loop, a `try` or a `with`."""
    found: list[ast.stmt] = []
    for statement in body:
        if isinstance(statement, DEFINITIONS):
            continue
        inner = [part for part in ast.iter_child_nodes(statement) if isinstance(part, (ast.stmt, ast.ExceptHandler))]
        parts = [each for part in inner for each in (part.body if isinstance(part, ast.ExceptHandler) else [part])]
        found += [part for part in parts if isinstance(part, DEFINITIONS)] + in_blocks(parts)
    return found
