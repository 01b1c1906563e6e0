"""Marks that give a test parameters and stand elsewhere: at its class, as `pytestmark`, under a name, in `metafunc.parametrize`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from contextlib import contextmanager

from rltf_env.sandbox.referee.origins import own_attributes, parameters_of, path_of
from rltf_env.sandbox.referee.suite import Function, Suite, classes_of


@contextmanager
def lent(suite: Suite) -> Iterator[None]:
    """Has them stand at each of the tests that have such parameters, while the text is read."""
    loans = [(test, marks) for tree in suite.trees for test, marks in _loans(tree) if marks]
    for test, marks in loans:
        test.decorator_list[:0] = marks
    try:
        yield
    finally:
        for test, marks in loans:
            del test.decorator_list[: len(marks)]


def _loans(tree: ast.Module) -> Iterator[tuple[Function, list[ast.expr]]]:
    named = dict(_assigned(tree.body))
    module = [*_marks(named), *_generated(tree)]
    places = [(tree.body, module)]
    places += [
        (node.body, [*module, *node.decorator_list, *_marks(dict(own_attributes(node)))])
        for _, node in classes_of(tree)
    ]
    for body, marks in places:
        for test in [node for node in body if isinstance(node, Function) and node.name.startswith("test")]:
            parameters = {argument.arg for argument in test.args.args}
            own = [named[path_of(d)] for d in test.decorator_list if path_of(d) in named]
            yield test, [mark for mark in (*marks, *own) if parameters.intersection(parameters_of(mark))]


def _assigned(body: list[ast.stmt]) -> Iterator[tuple[str, ast.expr]]:
    for node in body:
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            yield path_of(node.targets[0]), node.value


def _marks(named: dict[str, ast.expr]) -> list[ast.expr]:
    """What `pytestmark` is, if there is one."""
    mark = named.get("pytestmark")
    marks = mark.elts if isinstance(mark, (ast.List, ast.Tuple)) else [mark] if mark is not None else []
    return [named.get(path_of(each), each) for each in marks]


def _generated(tree: ast.Module) -> list[ast.expr]:
    """What pytest is asked for where it collects tests."""
    hooks = [node for node in tree.body if isinstance(node, Function) and node.name == "pytest_generate_tests"]
    return [node for hook in hooks for node in ast.walk(hook) if isinstance(node, ast.Call)]
