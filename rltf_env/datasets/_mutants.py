"""Wrong programs from right ones: small changes of a reference's syntax tree, drawn with a seed. Prints text and runs nothing.

Most mutants are wrong, some are equivalent to the reference (`<` for `<=` where the two never differ). Tests that let one
pass are *candidates* for weak tests, to be looked at; a person, or a stronger set of tests, has to tell which.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from rltf_env.datasets._files import parse_python
from rltf_env.errors import DataError

SWAPS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.Div: ast.Mult, ast.FloorDiv: ast.Div, ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult, ast.USub: ast.UAdd, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}  # fmt: skip


class Mutant(NamedTuple):
    """A changed program: what was changed, on which line of the reference, and its text."""

    change: str
    line: int
    text: str


def mutants(source: str, count: int, rng: np.random.Generator) -> list[Mutant]:
    """Up to `count` different mutants of a program, in the order in which `rng` draws them.

    Raises:
        DataError: the program is no Python, or has a number that Python reads and does not write.
    """
    tree = parse_python(source, "a reference solution")
    seen = {_text(tree)}
    sites = list(_sites(tree))
    result: list[Mutant] = []
    for i in rng.permutation(len(sites)).tolist():
        if len(result) == count:
            break
        place, change, apply = sites[i]
        copied = copy.deepcopy(tree)
        node = list(ast.walk(copied))[place]
        apply(node)
        text = _text(ast.fix_missing_locations(copied)) + "\n"
        if text.rstrip("\n") not in seen:
            seen.add(text.rstrip("\n"))
            result.append(Mutant(change, getattr(node, "lineno", 0), text))
    return result


def _text(tree: ast.Module) -> str:
    try:
        return ast.unparse(tree)
    except ValueError as error:  # hexadecimal, of more digits than a decimal number may have
        raise DataError(f"a reference solution: expected numbers that Python can write, got {error}.") from error


Site = tuple[int, str, Callable[[ast.AST], None]]  # the node's place in `ast.walk`, what is done to it, and how


def _sites(tree: ast.Module) -> Iterator[Site]:
    quiet = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}  # docstrings
    for place, node in enumerate(ast.walk(tree)):
        if id(node) not in quiet:
            yield from ((place, change, apply) for change, apply in _changes(node))


def _changes(node: ast.AST) -> Iterator[tuple[str, Callable[[ast.AST], None]]]:
    match node:
        case ast.Compare(ops=ops):
            for at, op in enumerate(ops):
                if type(op) in SWAPS:
                    yield _name_of(op), lambda n, at=at: _swap_in(n, at)
        case ast.BinOp(op=op) | ast.BoolOp(op=op) | ast.AugAssign(op=op) | ast.UnaryOp(op=op):
            if type(op) in SWAPS:
                yield _name_of(op), _swap
        case ast.Constant(value=bool()):
            yield "constant flipped", lambda n: setattr(n, "value", not n.value)  # type: ignore[attr-defined]
        case ast.Constant(value=int() | float()):
            yield "constant + 1", lambda n: setattr(n, "value", n.value + 1)  # type: ignore[attr-defined]
            yield "constant - 1", lambda n: setattr(n, "value", n.value - 1)  # type: ignore[attr-defined]
        case ast.Constant(value=str()):
            yield "text changed", lambda n: setattr(n, "value", n.value + "x")  # type: ignore[attr-defined]
        case ast.If() | ast.IfExp():
            yield "condition negated", lambda n: setattr(n, "test", ast.UnaryOp(ast.Not(), n.test))  # type: ignore[attr-defined]
        case ast.Return(value=ast.expr()):
            yield "returns None", lambda n: setattr(n, "value", ast.Constant(None))
    for at, statement in enumerate(getattr(node, "body", ()) if isinstance(getattr(node, "body", None), list) else ()):
        if isinstance(statement, ast.Assign | ast.AugAssign | ast.If | ast.For):
            yield "statement left out", lambda n, at=at: _leave_out(n, at)


def _name_of(op: ast.AST) -> str:
    return f"{type(op).__name__} -> {SWAPS[type(op)].__name__}"


def _swap(node: ast.AST) -> None:
    node.op = SWAPS[type(node.op)]()  # type: ignore[attr-defined]


def _swap_in(node: ast.AST, at: int) -> None:
    node.ops[at] = SWAPS[type(node.ops[at])]()  # type: ignore[attr-defined]


def _leave_out(node: ast.AST, at: int) -> None:
    node.body[at] = ast.Pass()  # type: ignore[attr-defined]
