"""A falsified copy of a test, and what is known of it."""

from __future__ import annotations

import ast
import marshal
from typing import Any, NamedTuple

from rltf_env.sandbox.referee.canaries import Falsehood, Target
from rltf_env.sandbox.referee.tally import base
from rltf_env.sandbox.values import TEST


class Copy(NamedTuple):
    """A falsified copy of a test.

    Args:
        codes: the copy, compiled.
        tests: those that a reference passes, and fails in it; and others that no right program passes in it.
        falsehoods: what is false in each test function.
        noticed: of the functions of these tests those in which the comparison came to another end, and not the test to none.
    """

    codes: bytes
    tests: set[str]
    falsehoods: dict[str, Falsehood]
    noticed: set[str] = frozenset()  # type: ignore[assignment]

    @property
    def falsifies_value(self) -> bool:
        """True if something in it is a value that is compared."""
        return any(falsehood.target.value for falsehood in self.falsehoods.values())

    @property
    def worth(self) -> tuple[int, int]:
        """That of what is worth most in it, and of what is worth least: who lies about values alone need not know the rest."""
        each = [worth(falsehood.target) for falsehood in self.falsehoods.values()] or [0]
        return max(each), min(each)

    def compares_own(self, name: str) -> bool:
        """True if what is false in a test is one of two values of the program's, of which its own classes say what is equal.

        An honest class may find too much equal. It costs a program the tests that rely on that, and no other.
        """
        falsehood = self.falsehoods.get(base(name))
        return falsehood is not None and falsehood.target.own


def worth(target: Target) -> int:
    """How much a falsehood shows: most, if it is a value, and no right program passes for all that."""
    return target.value + (target.value and target.sound)


def compiled(trees: list[ast.Module]) -> bytes:
    """A test as code: a list of what marshal makes of each of its texts.

    Code says of each instruction in which columns its text stands. A number of two digits in the room of one would give a
    falsified copy away, so that is left out. Lines stay.
    """
    nodes: list[Any] = [node for tree in trees for node in ast.walk(tree)]
    for node in nodes:
        if hasattr(node, "end_col_offset"):
            node.col_offset, node.end_col_offset, node.end_lineno = 0, 0, node.lineno
    return marshal.dumps([marshal.dumps(compile(tree, TEST, "exec", dont_inherit=True)) for tree in trees])
