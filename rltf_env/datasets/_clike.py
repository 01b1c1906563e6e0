"""Python programs printed in a small C-like language of our own: the other side of a translation.

    def f(x):                          f(x) { n = 0; for (v : x) { if (v > 2) { n = n + v; } }
        n = 0                          return n; }
        for v in x: ...

Braces and semicolons stand for indentation, and calls for methods, slices and comprehensions. It is
printed from the syntax tree and never read back: what a text means is what the Python that it was
printed from means. Two programs with one text would be two answers to one question; a test looks for
such pairs among the procedural references.
"""

from __future__ import annotations

import ast
import json

from rltf_env.datasets._files import parse_python
from rltf_env.errors import DataError

_BINARY: dict[type, str] = {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Mod: "%", ast.FloorDiv: "/", ast.Div: "/."}
_COMPARED: dict[type, str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!=", ast.In: "in",
    ast.NotIn: "!in",
}  # fmt: skip
_WORDS = {True: "true", False: "false", None: "null"}


def print_clike(source: str) -> str:
    """One line of the C-like language for a Python program.

    Raises:
        DataError: the program is not Python, or has syntax that this language has no words for.
    """
    return " ".join(_statement(node) for node in parse_python(source, "a program to be translated").body)


def _statement(node: ast.stmt) -> str:
    match node:
        case ast.FunctionDef(name=name, args=arguments, body=body):
            return f"{name}({', '.join(each.arg for each in arguments.args)}) {_block(body)}"
        case ast.Assign(targets=[target], value=value):
            return f"{_expression(target)} = {_expression(value)};"
        case ast.Return(value=ast.expr() as value):
            return f"return {_expression(value)};"
        case ast.If(test=test, body=body, orelse=orelse):
            return f"if ({_expression(test)}) {_block(body)}" + (f" else {_block(orelse)}" if orelse else "")
        case ast.While(test=test, body=body, orelse=[]):
            return f"while ({_expression(test)}) {_block(body)}"
        case ast.For(target=target, iter=many, body=body, orelse=[]):
            return f"for ({_expression(target)} : {_expression(many)}) {_block(body)}"
        case ast.Expr(value=value):
            return f"{_expression(value)};"
        case ast.Break():
            return "break;"
        case ast.Pass():
            return ";"
    raise _no_words(node)


def _block(body: list[ast.stmt]) -> str:
    return "{ " + " ".join(map(_statement, body)) + " }"


def _expression(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Constant(value=bool() | None as value):
            return _WORDS[value]
        case ast.Constant(value=int() | float() | str() as value):
            return json.dumps(value)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _BINARY:
            return f"{_inner(left)} {_BINARY[type(op)]} {_inner(right)}"
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return f"-{_inner(operand)}"
        case ast.Compare(left=left, ops=[op], comparators=[right]) if type(op) in _COMPARED:
            return f"{_inner(left)} {_COMPARED[type(op)]} {_inner(right)}"
        case ast.List(elts=items) | ast.Tuple(elts=items):
            opening, closing = "[]" if isinstance(node, ast.List) else "()"
            return opening + ", ".join(map(_expression, items)) + closing
        case ast.Subscript(value=value, slice=ast.Slice(lower=lower, upper=upper, step=step)):
            ends = [_expression(each) if each else "null" for each in (lower, upper, step)]
            return f"slice({', '.join([_expression(value), *ends])})"
        case ast.ListComp(elt=item, generators=[ast.comprehension(target=target, iter=many, ifs=tests)]):
            where = "".join(f" | {_expression(test)}" for test in tests)
            return f"collect({_expression(target)} : {_expression(many)}{where}) {{ {_expression(item)} }}"
        case ast.Call(func=function, args=arguments, keywords=keywords):
            name, first = _called(function)
            named = [f"{each.arg} = {_expression(each.value)}" for each in keywords]
            return f"{name}({', '.join([*first, *map(_expression, arguments), *named])})"
    raise _no_words(node)


def _called(function: ast.expr) -> tuple[str, list[str]]:
    """The name of what is called; of a method also what it belongs to, as its first argument."""
    match function:
        case ast.Name(id=name):
            return name, []
        case ast.Attribute(value=value, attr=name):
            return f".{name}", [_expression(value)]
    raise _no_words(function)


def _inner(node: ast.expr) -> str:
    """In brackets where it is made of parts itself."""
    text = _expression(node)
    return f"({text})" if isinstance(node, ast.BinOp | ast.Compare | ast.UnaryOp) else text


def _no_words(node: ast.AST) -> DataError:
    return DataError(
        f"Expected a program of assignments, loops, conditions and calls to print in the C-like language, got "
        f"{type(node).__name__} in line {getattr(node, 'lineno', '?')}."
    )
