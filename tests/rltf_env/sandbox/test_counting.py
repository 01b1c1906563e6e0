"""A test may compare in functions of its own, and assert what these count: what is false there has to be what they compare."""

from __future__ import annotations

import random
from collections.abc import Iterator

import plain_cage
import pytest
from judged_suites import holds, judged, share

from rltf_env import sandbox
from rltf_env.core import Sandbox
from rltf_env.sandbox.referee.suite import read
from rltf_env.sandbox.referee.together import Together

DRAWS = 40
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
TYPED = """
class Int(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = int.__hash__
class Text(str):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = str.__hash__
def f(x): return Int()
def g(s): return Text()
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


def test_who_is_equal_to_everything_and_of_the_right_type_is_paid_for_no_count(judge: Sandbox) -> None:
    test = """
from solution import f, g
def points(got, want, most):
    assert isinstance(got, type(want))
    return most if got == want else 0
def test_points():
    total = points(f(2), 4, 2) + points(f(3), 9, 3) + points(g("ab"), "AB", 5)
    assert total == 10
"""
    verdicts = [judged(judge, program, test, RIGHT).failure for program in (RIGHT, WRONG, LIAR, TYPED)]
    assert [each and each.kind for each in verdicts] == [None, "WrongAnswer", "WrongAnswer", "FooledTest"]


COUNTED = {
    "points of a grader": TESTS["points of a grader"],
    "points in a dictionary": """
scores = {}
def grade(name, got, want, points):
    scores[name] = points if got == want else 0
grade("two", f(2), 4, 2)
grade("three", f(3), 9, 3)
grade("up", g("ab"), "AB", 5)
assert sum(scores.values()) == 10
""",
    "names of what is good and bad": """
class Checker:
    def __init__(self):
        self.good, self.bad = [], []
    def equal(self, name, got, want):
        (self.good if got == want else self.bad).append(name)
    def counts(self):
        return len(self.good), len(self.bad)
checker = Checker()
checker.equal("two", f(2), 4)
checker.equal("three", f(3), 9)
checker.equal("up", g("ab"), "AB")
assert checker.counts() == (3, 0)
""",
    "records": """
class Report:
    def __init__(self):
        self.rows = []
    def add(self, name, got, want):
        self.rows.append({"name": name, "good": got == want})
report = Report()
report.add("two", f(2), 4)
report.add("three", f(3), 9)
report.add("up", g("ab"), "AB")
assert [row["name"] for row in report.rows if not row["good"]] == []
assert len(report.rows) == 3
""",
    "types": """
scores = {}
def grade(name, got, want, points):
    if isinstance(got, (int, str)):
        scores[name] = points if got == want else 0
grade("two", f(2), 4, 2)
grade("three", f(3), 9, 3)
grade("up", g("ab"), "AB", 5)
assert sum(scores.values()) == 10
assert list(scores) == ["two", "three", "up"]
""",
    "functions in rows": """
ROWS = [(f, 2, 4), (f, 3, 9), (g, "ab", "AB")]
def good(function, argument, want):
    return function(argument) == want
assert all(good(*row) for row in ROWS)
assert sum(good(*row) for row in ROWS) == 3
""",
}


def drawn(test: str, seed: int, monkeypatch: pytest.MonkeyPatch, *solutions: str) -> list[bytes]:
    """The copies of a script that a program meets, where the secret is this number."""
    monkeypatch.setattr(random, "SystemRandom", lambda: random.Random(seed))
    together = Together(read([test], "f", {"f", "g"}, []), "f", list(solutions), plain_cage.OPTIONS)
    together.prove(plain_cage.run)
    assert together.guards is not None
    return [copy.codes for copies in together.guards.rounds() for copy in copies]


@pytest.mark.parametrize("name", COUNTED)
def test_whatever_is_drawn_something_shows_who_is_equal_to_everything(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is counted is as false to such a program as to any other: in 1 to 17 of 100 draws that was all."""
    draws = [drawn(COUNTED[name], seed, monkeypatch, RIGHT) for seed in range(DRAWS)]
    liars = [each for each in (LIAR, TYPED) if holds(COUNTED[name], each)]
    assert liars
    for liar in liars:
        assert all(any(plain_cage.passes(liar, codes) for codes in copies) for copies in draws)
    assert not any(plain_cage.passes(RIGHT, codes) for copies in draws for codes in copies)


ASIDE = {
    "lengths": """
answers = [f(2), f(3), f(5)]
assert len(answers) == 3
assert len(answers[1:]) == 2
pairs = list(zip([2, 3, 5], answers))
assert len(pairs[0]) == 2
assert [x for x, _ in pairs] == [2, 3, 5]
assert sum(x for x, _ in pairs) == 10
assert answers[1] == 9
""",
    "the library": """
import math
assert math.gcd(4, 6) == 2
assert math.factorial(3) == 6
assert [max(2, 7), min(2, 7)] == [7, 2]
assert sum([1, 2]) == 3
assert abs(-4) == 4
assert f(3) == 9
""",
}


@pytest.mark.parametrize("name", ASIDE)
def test_without_a_reference_what_is_asserted_of_other_things_is_not_all_that_is_drawn(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was in four of ten draws, and who is equal to everything was paid."""
    draws = [drawn(ASIDE[name], seed, monkeypatch) for seed in range(DRAWS)]
    assert all(any(plain_cage.passes(LIAR, codes) for codes in copies) for copies in draws)
    assert not any(plain_cage.passes(RIGHT, codes) for copies in draws for codes in copies)
