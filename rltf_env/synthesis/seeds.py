"""The inputs that a problem's own cases give: arguments of calls, and of calls that its assertions make on plain data."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence

from rltf_env.core import CallCase, Case, Problem, ScriptCase
from rltf_env.datasets._files import parse_python
from rltf_env.errors import UsageError
from rltf_env.plain import spelled
from rltf_env.synthesis.inputs import Arguments


def inputs_of(problem: Problem, name: str) -> list[Arguments]:
    """The different arguments with which the problem's cases and examples call `name`.

    Raises:
        UsageError: none is a call on plain data.
        DataError: an assertion is no Python.
    """
    cases = (*problem.cases, *problem.examples)
    inputs = {spelled(args): args for case in cases for args in _calls(case, name, f"a case of {problem.id}")}
    if not inputs:
        raise UsageError("its cases call nothing on plain data")
    return list(inputs.values())


def _calls(case: Case, name: str, where: str) -> Iterator[Arguments]:
    if isinstance(case, CallCase) and not case.kwargs:
        yield tuple(case.args)
    elif isinstance(case, ScriptCase):
        for node in ast.walk(parse_python(case.script, where)):
            match node:
                case ast.Call(func=ast.Name(id=called), args=args, keywords=[]) if called == name:
                    yield from _literal(args)


def _literal(nodes: Sequence[ast.expr]) -> Iterator[Arguments]:
    """The values that a call's arguments spell; nothing where they are more than literals."""
    try:
        yield tuple(ast.literal_eval(node) for node in nodes)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return
