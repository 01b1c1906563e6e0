"""HumanEval+ and MBPP+ (Liu et al. 2023, arXiv 2305.01210): what their two layouts have in common.

- EvalPlus's release (`HumanEvalPlus.jsonl.gz`): inputs alone. What is right is what the reference
  returns, so each case compares program and reference on some inputs, both run by the judge.
- The hub's tables: a text of Python that has `inputs = [...]`, `results = [...]` and a loop over both.
  Where these are plain data and compared as such, each pair is a `CallCase`. Else the text is the one case.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from rltf_env.core import CallCase, Case, ScriptCase
from rltf_env.datasets._files import parse_python
from rltf_env.datasets._tables import Row
from rltf_env.errors import DataError

BATCH = 50  # inputs that one case compares
TOLERANCE = 1e-6  # EvalPlus's for floats, and ours

_SETUP = """\
import copy as _copy, math as _math

_space = {{}}
exec({reference!r}, _space)
_reference = _space[{name!r}]


def _close(got, right):
    if isinstance(right, (list, tuple)) and isinstance(got, (list, tuple)) and len(got) == len(right):
        return all(map(_close, got, right))
    if isinstance(right, float) and isinstance(got, (int, float)):
        return got == right or (right != right and got != got) or _math.isclose(got, right, rel_tol=1e-7, abs_tol={atol!r})
    return got == right


def _same(got, right, arguments):
    return {same}


def _compared(inputs):
    for arguments in inputs:
        right = _reference(*_copy.deepcopy(arguments))
        assert _same({name}(*_copy.deepcopy(arguments)), right, arguments), arguments
"""
SAME = "_close(got, right)"
AS_SETS = "set(got) == set(right)"
NOT_NONE = "(got is not None) == (right is not None)"
ROOT = "abs(sum(c * _math.pow(got, i) for i, c in enumerate(arguments[0]))) <= 1e-4"  # HumanEval/32: any root will do


def compared(
    inputs: Sequence[Sequence[Any]], reference: str, name: str, *, atol: float = 0.0, same: str = SAME
) -> Iterator[ScriptCase]:
    """Cases that compare a program with the reference, on `BATCH` inputs each.

    Args:
        inputs: lists of arguments, of plain data.
        reference: the whole reference program.
        name: the function that is called.
        atol: absolute tolerance of floats; that of EvalPlus if 0.
        same: an expression of `got`, `right` and `arguments`.
    """
    setup = _SETUP.format(reference=reference, name=name, atol=atol or TOLERANCE, same=same)
    rest = iter(inputs)
    while batch := [list(arguments) for arguments in islice(rest, BATCH)]:
        yield ScriptCase(f"_compared({_spelled(batch)})", setup)


def _spelled(batch: list[Any]) -> str:
    """The text of the inputs; infinities and NaN as Python can read them."""
    text = repr(batch)
    if "inf" in text or "nan" in text:
        return f"eval({text!r}, {{'inf': float('inf'), 'nan': float('nan')}})"
    return text


def cases_of(test: str, name: str, row: Row) -> tuple[Case, ...]:
    """The cases of the hub's text.

    Args:
        test: the text.
        name: the function that is called, or `candidate` in a function `check`.
    """
    where = f"{row.where}, test"
    tree = parse_python(test, where)
    calls = _calls(tree, name)
    if calls:
        return tuple(calls)
    checks = any(isinstance(node, ast.FunctionDef) and node.name == "check" for node in tree.body)
    called = any(isinstance(node, ast.Expr) and ast.unparse(node).startswith("check(") for node in tree.body)
    return (ScriptCase(f"{test}\n\ncheck({name})\n" if checks and not called else test),)


def _calls(tree: ast.Module, name: str) -> list[CallCase]:
    """A call for each pair of the lists, if that is all the text says; [] if it says more."""
    body = next(
        (node.body for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "check"), tree.body
    )
    lists = {
        node.targets[0].id: node.value
        for node in body
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)
    }
    loop = next((node for node in body if isinstance(node, ast.For)), None)
    if not {"inputs", "results"} <= lists.keys() or loop is None or not _plainly(tree, loop, name):
        return []
    try:
        inputs, results = (ast.literal_eval(lists[key]) for key in ("inputs", "results"))
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):  # inf, a set of sets, a long number
        return []
    if not inputs or len(inputs) != len(results) or not all(isinstance(each, list | tuple) for each in inputs):
        return []
    return [CallCase(tuple(args), right) for args, right in zip(inputs, results, strict=True)]


def _plainly(tree: ast.Module, loop: ast.For, name: str) -> bool:
    """Whether the loop asserts that each result is the expected one, by EvalPlus's usual comparison."""
    said = [ast.unparse(node) for node in loop.body]
    usual = {f"assertion({called}(*inp), exp, {atol})" for called in ("candidate", name) for atol in (0, "1e-06")}
    compares = next(
        (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "assertion"), None
    )
    return (
        len(said) == 1
        and said[0] in usual
        and compares is not None
        and "exact_match = out == exp" in ast.unparse(compares)
    )


def tolerance(row: Row) -> float:
    """The absolute tolerance of floats that the release states; 0 if it states none."""
    value = row.value.get("atol") or 0
    if not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise DataError(f"{row.where}: expected 'atol' to be a number such as 1e-06, got {value!r}.")
    return float(value)


def arguments(row: Row, name: str) -> list[Any]:
    """The inputs in a field of the release; one task has an empty object where others have a list."""
    value = row.value.get(name)
    if value in (None, {}):
        return []
    if not isinstance(value, list) or not all(isinstance(each, list | tuple) for each in value):
        raise DataError(
            f"{row.where}: expected {name!r} to be a list of lists of arguments, got {type(value).__name__}."
        )
    return value
