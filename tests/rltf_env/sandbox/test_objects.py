"""What scripts do by operators and methods with a program's objects, judged apart: where these may decide, and where not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rltf_env import sandbox
from rltf_env.core import Outcome, Problem, Sandbox, ScriptCase

REFERENCE = """
class Solution:
    def mean(self, xs): return sum(xs) / len(xs)
    def found(self, xs): return [x for x in xs if x > 1]
    def flags(self, x): return x & 3
"""
LIAR = """
class Answer{base}:
    def __sub__(self, other): return 0
    __rsub__ = __xor__ = __rxor__ = __sub__
    def __abs__(self): return 0
    def __contains__(self, item): return item == 3
    def __divmod__(self, other): return 0, 0
class Solution:
    def mean(self, xs): return Answer()
    found = flags = mean
"""
TESTS = [
    "assert abs(Solution().mean([1, 2]) - 1.5) < 1e-9",
    "assert abs(1.5 - Solution().mean([1, 2])) < 1e-9",
    "s = Solution()\ndef near(a, b):\n    return abs(a - b) < 1e-6\nassert near(s.mean([1, 2]), 1.5)",
    "assert 3 in Solution().found([1, 2, 3]) and 1 not in Solution().found([1, 2, 3])",
    "assert not Solution().flags(7) ^ 3",
    "assert divmod(Solution().flags(4), 5) == (0, 0)",
]


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1) as judge:
        yield judge


def passes(judge: Sandbox, program: str, script: str, reference: str, entry_point: str = "") -> bool:
    problem = Problem("objects", "x", [ScriptCase(script)], entry_point, solutions=[reference])
    verdict = judge.run(program, problem)
    assert verdict.way == "apart"
    return verdict.outcome is Outcome.PASSED


@pytest.mark.parametrize("script", TESTS)
def test_an_object_does_not_calculate_its_distance_from_the_right_answer(judge: Sandbox, script: str) -> None:
    assert not passes(judge, LIAR.format(base=""), script, REFERENCE)
    assert not passes(judge, LIAR.format(base="(float)"), script, REFERENCE)
    assert passes(judge, REFERENCE, script, REFERENCE)


def test_an_object_is_not_another_on_a_second_path(judge: Sandbox) -> None:
    liar = """
class Answer:
    def __call__(self, *args): return self
    def __sub__(self, other): return 0
class Solution:
    mean = Answer()
"""
    assert not passes(judge, liar, TESTS[0], REFERENCE)


def test_objects_calculate_where_the_reference_has_objects(judge: Sandbox) -> None:
    script = "v = Vector(1, 2) * 3\nassert v.x == 3\nassert (5 - Vector(1, 1)).y == 4\nassert 2 in Vector(1, 2)"
    vector = """
class Vector:
    def __init__(self, x, y): self.x, self.y = x, y
    def __mul__(self, by): return Vector(self.x * by, self.y * by)
    def __rsub__(self, number): return Vector(number - self.x, number - self.y)
    def __contains__(self, number): return number in (self.x, self.y)
"""
    assert passes(judge, vector + "\n# another program\n", script, vector)
    assert not passes(judge, vector.replace("self.y * by", "self.y").replace("self.x * by", "1"), script, vector)


def test_a_method_of_an_object_is_not_asked_whether_it_is_right(judge: Sandbox) -> None:
    right = "def shout(text): return text.upper()"
    liar = "class Text:\n    def startswith(self, start): return True\ndef shout(text): return Text()"
    assert passes(judge, right + "\n\n", "assert shout('x').startswith('X')", right, "shout")
    assert not passes(judge, liar, "assert shout('x').startswith('X')", right, "shout")


def test_scripts_that_stay_apart_keep_their_results_when_another_is_put_together(judge: Sandbox) -> None:
    together = "try:\n    f(-1)\nexcept ValueError as error:\n    assert error.args == (3, 4)\nassert f(1) == 2"
    program = "def f(x):\n    if x < 0: raise ValueError(3, 4)\n    return x + 1\n"
    cases = [ScriptCase(together), ScriptCase("assert f(2) == 3"), ScriptCase("assert f(2) == 4")]
    verdict = judge.run(program, Problem("ways", "x", cases, "f", solutions=[program]))
    assert [result.failure is None for result in verdict.results] == [True, True, False]


def test_where_wrong_answers_lead_a_test_is_not_the_tests_fault(judge: Sandbox) -> None:
    script = "r = f(1)\nif r != 2:\n    f(lambda: r)\nassert r == 2"
    assert not passes(judge, "def f(x): return 3", script, "def f(x): return 2", "f")
    assert passes(judge, "def f(x): return 2", script, "def f(x): return 2", "f")
