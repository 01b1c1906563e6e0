"""What a test looks at outside of its test functions: in helpers, fixtures, `setUp`, classes of its own, statements of the module.

`setUp` may hand a constant to the program, and a callback may return one. Then the program meets it, and gives it back with good
reason: what a test expects is no longer false there for every right program. Read from the syntax tree.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache

from rltf_env.sandbox.referee.asserting import name_of
from rltf_env.sandbox.referee.origins import Origins, own_attributes, path_of
from rltf_env.sandbox.referee.rows import Rows, is_fixture
from rltf_env.sandbox.referee.runners import DEFINITIONS
from rltf_env.sandbox.referee.suite import Function, methods_of


def looked_at(module: Origins) -> set[int]:
    """The ids of what is looked at there for more than to compare it.

    Args:
        module: names of the module, as the tests of one class have them.
    """
    statements = [node for tree in module.trees for node in tree.body if not isinstance(node, DEFINITIONS)]
    nodes = [part for node in statements for part in ast.walk(node)]
    rows = Rows(module.values, module.values, module.literals_within(statements), module.values.keys(), module.trees)
    handed = _handed(tuple(module.trees))
    found = rows.looked_at(nodes)
    for function, own in _functions(module):
        inside = [*ast.walk(function)]
        inner = rows.within(function)
        found |= inner.looked_at(inside)
        if not is_fixture(function) and (own or function.name in handed or function.decorator_list):
            found |= inner.ids(_answered(inside))
    shown = [value for owner in exposed(module) for _, value in own_attributes(owner)]
    return found | rows.ids(shown)


def handed_on(
    nodes: Sequence[ast.AST], arguments: Sequence[ast.expr], ours: Callable[[ast.AST], bool], rows: Rows
) -> set[int]:
    """The ids of what a test hands to the program: what names stand for, and what functions answer that are handed over, too.

    Args:
        nodes: of the test.
        arguments: what it hands over.
        ours: says what comes from the program, which may decorate a function.
        rows: where the test holds what its names stand for.
    """
    whole = [argument.value if isinstance(argument, ast.Starred) else argument for argument in arguments]
    handed = {path_of(argument) for argument in whole}
    functions = [node for node in nodes if isinstance(node, Function)]
    functions = [each for each in functions if each.name in handed or any(map(ours, each.decorator_list))]
    inside = [part for each in functions for part in ast.walk(each)]
    return rows.ids(_answered(inside)) | rows.given(handed)


def _answered(nodes: Sequence[ast.AST]) -> Iterator[ast.expr]:
    """What functions give back, of which these are the nodes."""
    return (node.value for node in nodes if isinstance(node, (ast.Return, ast.Yield)) and node.value)


def exposed(module: Origins) -> list[ast.ClassDef]:
    """The test's own classes that the program may look into: they are handed over, or made of others."""
    handed = _handed(tuple(module.trees))
    return [owner for owner in _classes(module) if owner.bases or owner.name in handed]


def _functions(module: Origins) -> Iterator[tuple[Function, bool]]:
    """Functions that are no tests, and whether they are methods of the test's own objects."""
    bodies = [(tree.body, False) for tree in module.trees]
    bodies += [(owner.body, False) for owner in module.classes if methods_of(owner)]
    bodies += [(owner.body, True) for owner in _classes(module)]
    for body, own in bodies:
        functions = [node for node in body if isinstance(node, Function)]
        yield from ((node, own) for node in functions if own or not node.name.startswith("test"))


def _classes(module: Origins) -> list[ast.ClassDef]:
    """The test's own classes that have no tests, and give none of those that do their methods."""
    classes = [node for tree in module.trees for node in tree.body if isinstance(node, ast.ClassDef)]
    given = {name_of(base) for node in classes if methods_of(node) for base in node.bases}
    return [node for node in classes if not methods_of(node) and node.name not in given]


@lru_cache(maxsize=1)
def _handed(trees: tuple[ast.AST, ...]) -> set[str]:
    """Names of what is handed over somewhere, and not only called, or asked for one of its attributes."""
    nodes = [node for tree in trees for node in ast.walk(tree)]
    no_more = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    no_more |= {id(node.value) for node in nodes if isinstance(node, ast.Attribute)}
    loads = [node for node in nodes if isinstance(node, (ast.Name, ast.Attribute)) and isinstance(node.ctx, ast.Load)]
    return {name_of(node) for node in loads if id(node) not in no_more}
