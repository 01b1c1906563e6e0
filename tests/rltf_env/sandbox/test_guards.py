"""The copies that guard a test, whatever is drawn."""

from __future__ import annotations

import ast
import random

import plain_cage
import pytest

from rltf_env.sandbox.referee import canaries
from rltf_env.sandbox.referee.suite import read
from rltf_env.sandbox.referee.together import Together

RIGHT = "def f(x):\n    return x * x"
TEST = "assert f(2) == 4\nassert f(3) == 9\nassert f(4) == 16\nassert [f(5)] == [25]"


@pytest.mark.parametrize("solutions", [[RIGHT], []], ids=["a reference", "none"])
def test_what_makes_no_python_of_a_copy_is_left_out(monkeypatch: pytest.MonkeyPatch, solutions: list[str]) -> None:
    """A change that does not fit where it was made must not end a run of training: other values are false then."""
    change = canaries.Canaries._draw

    def spoil(self: canaries.Canaries, node: ast.AST, falsehood: canaries.Falsehood, rng: random.Random) -> None:
        if getattr(node, "value", None) in (4, 9):
            node.value = object()  # type: ignore[attr-defined]
        else:
            change(self, node, falsehood, rng)

    monkeypatch.setattr(canaries.Canaries, "_draw", spoil)
    for _ in range(8):
        together = Together(read([TEST], "f", {"f"}, []), "f", solutions, plain_cage.OPTIONS)
        together.prove(plain_cage.run)
        assert together.guards is not None
        assert together.unguarded == set()
        codes = [copy.codes for copies in together.guards.rounds() for copy in copies]
        assert codes
        assert not any(plain_cage.passes(RIGHT, each) for each in codes)
