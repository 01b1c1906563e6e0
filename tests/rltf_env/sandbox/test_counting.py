"""A test may compare in functions of its own, and assert what these count: what is false there has to be what they compare."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import plain_cage
import pytest
from judged_suites import judged, share

from rltf_env import sandbox
from rltf_env.core import Sandbox
from rltf_env.sandbox.referee.canaries import Target
from rltf_env.sandbox.referee.changes import other_constant
from rltf_env.sandbox.referee.suite import read
from rltf_env.sandbox.referee.together import Together

RIGHT = "def f(x):\n    return x * x\ndef g(s):\n    return s.upper()"
WRONG = "def f(x):\n    return x * x if x < 3 else 0\ndef g(s):\n    return s.upper()"
LIAR = """
class Yes:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = None
def f(x): return Yes()
def g(s): return Yes()
"""
TESTS = {
    "points of a grader": """
class Grader:
    def __init__(self):
        self.points = self.total = 0
    def expect(self, got, want, points=1):
        self.total += points
        if got == want:
            self.points += points
grader = Grader()
grader.expect(f(2), 4)
grader.expect(f(3), 9, 2)
grader.expect(g("ab"), "AB")
assert grader.points == grader.total, f"{grader.points}/{grader.total}"
""",
    "points for what is tried": """
def grade_f():
    try:
        assert f(2) == 4
        assert f(3) == 9
        return 1
    except Exception:
        return 0
def grade_g():
    try:
        assert g("a") == "A"
    except Exception:
        return 0
    return 2
def test_points():
    total = grade_f() + grade_g()
    assert total == 3
""",
    "points of methods": """
import unittest
class TestAll(unittest.TestCase):
    def grade_f(self):
        points = 0
        if f(2) == 4:
            points += 5
        if f(3) == 9:
            points += 5
        return points
    def grade_g(self):
        return 5 if g("a") == "A" else 0
    def test_total(self):
        self.assertEqual(self.grade_f() + self.grade_g(), 15)
""",
    "attempts": """
def attempt(check):
    try:
        check()
    except AssertionError:
        return False
    return True
def check_f():
    assert f(3) == 9
def check_g():
    assert g("a") == "A"
def test_attempts():
    assert [attempt(check) for check in (check_f, check_g)] == [True, True]
""",
}


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1, cache=0) as judge:
        yield judge


@pytest.mark.parametrize("name", TESTS)
def test_who_is_equal_to_everything_is_paid_for_no_count(judge: Sandbox, name: str) -> None:
    test = f"from solution import f, g\n{TESTS[name]}"
    assert share(judged(judge, RIGHT, test, RIGHT)) == (1, 1)
    assert share(judged(judge, WRONG, test, RIGHT)) == (0, 1)
    liars = [judged(judge, f"{LIAR}# {number}", test, RIGHT) for number in range(3)]
    assert {verdict.failure and verdict.failure.kind for verdict in liars} == {"FooledTest"}


class Unlucky(random.SystemRandom):
    """Draws the values last that an object which is equal to everything is equal to, and directions wherever it may."""

    def choice(self, seq: Any) -> Any:
        return min(seq, key=lambda each: isinstance(each, Target) and each.change is other_constant)

    def random(self) -> float:
        return 0.9


def test_whatever_is_drawn_something_shows_who_is_equal_to_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "SystemRandom", Unlucky)
    suite = read([TESTS["points of a grader"]], "f", {"f", "g"}, [])
    together = Together(suite, "f", [RIGHT], plain_cage.OPTIONS)
    together.prove(plain_cage.run)
    assert together.guards is not None
    drawn = [copy.codes for copies in together.guards.rounds() for copy in copies]
    assert any(plain_cage.passes(LIAR, codes) for codes in drawn)
    assert not any(plain_cage.passes(RIGHT, codes) for codes in drawn)
