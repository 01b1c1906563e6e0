"""Expectations that are exchanged for each other, so that a false one is as likely an answer as the true one.

A program that reads what is expected of it may give it back only if it looks like an answer: "Evem" is no word, and 1.5 no
share. `"Odd"` where `"Even"` is right looks like one, and all the more if the test expects it elsewhere.
"""

from __future__ import annotations

import ast
import random
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from rltf_env.sandbox.referee.tolerance import Tolerance

_OFTEN = 0.6  # of the times that there is another expectation of the type
_NUMBERS = (int, float)


class Peers:
    """The constants that answers of a test have to be equal to.

    Args:
        constants: where they stand.
        trees: of the test.
    """

    def __init__(self, constants: Iterable[ast.Constant], trees: Iterable[ast.Module]) -> None:
        signs = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.UnaryOp)]
        self._negative = {id(node.operand) for node in signs if isinstance(node.op, ast.USub)}
        self._values: dict[type, list[Any]] = defaultdict(list)  # each once
        for node in constants:
            value = self._signed(node, node.value)
            if value not in self._values[type(value)]:
                self._values[type(value)].append(value)

    def _signed(self, node: ast.Constant, value: Any) -> Any:
        """What an expression comes to whose number is `value`, and the reverse."""
        return -value if id(node) in self._negative and type(value) in _NUMBERS else value

    def draw(self, node: ast.Constant, limits: Tolerance, rng: random.Random) -> ast.Constant | None:
        """What is to stand in the place of an expectation, if one of the others is that is farther off than these limits."""
        value = self._signed(node, node.value)
        others = [each for each in self._values[type(value)] if _differs(each, value, limits)]
        if not others or rng.random() > _OFTEN:
            return None
        return ast.Constant(self._signed(node, rng.choice(others)))


def _differs(one: Any, other: Any, limits: Tolerance) -> bool:
    """True if no answer is near to both. Whole numbers are so only where the tolerance is no small one."""
    if isinstance(one, float) or (type(one) is int and not limits.small):
        return abs(one - other) > 2 * (limits.most + limits.share * max(abs(one), abs(other)))
    return one != other
