"""A falsified copy of a test, and what is known of it."""

from __future__ import annotations

from typing import NamedTuple

from rltf_env.sandbox.referee.canaries import Falsehood
from rltf_env.sandbox.referee.tally import base


class Copy(NamedTuple):
    """A falsified copy of a test.

    Args:
        codes: the copy, compiled.
        tests: those that a reference fails in it.
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

    def compares_own(self, name: str) -> bool:
        """True if what is false in a test is one of two values of the program's, of which its own classes say what is equal.

        An honest class may find too much equal. It costs a program the tests that rely on that, and no other.
        """
        falsehood = self.falsehoods.get(base(name))
        return falsehood is not None and falsehood.target.own
