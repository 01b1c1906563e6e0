"""What is changed in a test to make an expectation in it false: `canaries.py` says where.

A change is made to a node of the syntax tree, at random, so that nothing tells the copy from a test as people write them.
"""

from __future__ import annotations

import ast
import random
from collections.abc import Callable
from typing import Any

Change = Callable[[Any, random.Random], None]  # makes a node say something else
_OPPOSITES = (
    "assertTrue assertFalse, assertEqual assertNotEqual, assertIs assertIsNot, assertIn assertNotIn, "
    "assertIsNone assertIsNotNone, assertIsInstance assertNotIsInstance, assertAlmostEqual assertNotAlmostEqual, "
    "assertGreater assertLessEqual, assertLess assertGreaterEqual, assertRegex assertNotRegex"
)
_PAIRS: list[Any] = [pair.split() for pair in _OPPOSITES.split(", ")]
OPPOSITE: dict[str, str] = dict(_PAIRS) | {b: a for a, b in _PAIRS}


def other_constant(node: ast.Constant, rng: random.Random) -> None:
    """A constant becomes another one."""
    node.value = other(node.value, rng)


def other(value: Any, rng: random.Random) -> Any:
    """Another value of the same type, as like it as can be; of None, zero."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + rng.choice((1, 2, 3, 4, 5, 6, 7))
    if isinstance(value, float):
        shift = value + rng.choice((1.0, 2.0, 3.0)) * max(abs(value), 1.0)
        return shift if shift == shift and shift not in (float("inf"), float("-inf")) else 1.0
    if isinstance(value, complex):
        return value + rng.choice((1, 2, 3))
    if isinstance(value, str):
        return _other_text(value, rng)
    if isinstance(value, bytes):
        return bytes([*value[:-1], (value[-1] + rng.choice((1, 2, 3))) % 256]) if value else b"x"
    return 0


def _other_text(text: str, rng: random.Random) -> str:
    if not text:
        return rng.choice("abcdefgxyz0123")
    letters = [i for i, c in enumerate(text) if c.isalnum()] or list(range(len(text)))
    at = rng.choice(letters)
    pool = (
        "0123456789"
        if text[at].isdigit()
        else "ABCDEFGHKLMNPRSTUVWXYZ"
        if text[at].isupper()
        else "abcdefghkmnprstuvwxyz"
    )
    return text[:at] + rng.choice([c for c in pool if c.lower() != text[at].lower()]) + text[at + 1 :]


def other_members(node: Any, rng: random.Random) -> None:
    """Each of several values that may be right becomes another, and none of them one of those."""
    known = {ast.dump(element) for element in node.elts}
    for element in node.elts:
        leaf = rng.choice([part for part in ast.walk(element) if isinstance(part, ast.Constant)])
        before = leaf.value
        for _ in range(20):
            leaf.value = other(before, rng)
            if ast.dump(element) not in known:
                break


def one_more(node: Any, rng: random.Random) -> None:
    """An empty container with something in it."""
    element = ast.Constant(rng.choice((0, 1, 2, 3)))
    if isinstance(node, ast.Dict):
        node.keys.append(element)
        node.values.append(ast.Constant(rng.choice((0, 1, 2, 3))))
    else:
        node.elts.append(element)


def negate(field: str) -> Change:
    """The condition in this field of a node becomes its opposite."""

    def change(node: ast.AST, rng: random.Random) -> None:
        test = getattr(node, field)
        positive = isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not)
        negated = ast.copy_location(ast.UnaryOp(ast.Not(), test), test)
        setattr(node, field, test.operand if positive else negated)  # type: ignore[attr-defined]

    return change


_OPERATORS: dict[Any, Any] = {ast.Is: ast.IsNot, ast.Lt: ast.GtE, ast.Gt: ast.LtE}
_OPERATORS |= {b: a for a, b in _OPERATORS.items()}


def other_operator(node: ast.Compare, rng: random.Random) -> None:
    """A comparison becomes its opposite."""
    number = rng.choice([i for i, op in enumerate(node.ops) if type(op) in _OPERATORS])
    node.ops[number] = _OPERATORS[type(node.ops[number])]()


def other_method(node: ast.Call, rng: random.Random) -> None:
    """An assert method becomes its opposite."""
    name = ast.unparse(node.func).rpartition(".")[2]
    if isinstance(node.func, ast.Attribute):
        node.func.attr = OPPOSITE[name]
    else:
        node.func = ast.copy_location(ast.Name(OPPOSITE[name], ast.Load()), node.func)


_ODD = ("BufferError", "ConnectionAbortedError", "BlockingIOError", "ChildProcessError", "FloatingPointError")
_USUAL = (
    "ValueError",
    "TypeError",
    "KeyError",
    "IndexError",
    "ZeroDivisionError",
    "AttributeError",
    "FileNotFoundError",
)


def other_exception(node: ast.Call, rng: random.Random) -> None:
    """An exception class that no right program raises where another was expected.

    Where a usual one was expected, another that is as usual: an odd one would give the copy away.
    """
    text = ast.unparse(node.args[0])
    others = _USUAL if text in _USUAL else _ODD
    name = ast.Name(rng.choice([name for name in others if name not in text]), ast.Load())
    node.args[0] = ast.copy_location(name, node.args[0])
