"""What a reference shows of the tests that it runs: nothing of those that it fails, nor of those that are to fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from judged_suites import judged, share

from rltf_env import sandbox
from rltf_env.core import Outcome, Sandbox

TESTS = """
import unittest
from solution import inc

class TestInc(unittest.TestCase):
    def test_one(self):
        self.assertEqual(inc(1), 2)
    def test_two(self):
        self.assertEqual(inc(2), 3)
    def test_negative(self):
        self.assertEqual(inc(-5), -4)
"""
RIGHT = "def inc(n):\n    return n + 1\n"
PART = "def inc(n):\n    return n + 1 if n > 0 else 0\n"
LESS = "def inc(n):\n    return 2\n"
CHEAT = """
class Any(int):
    def __eq__(self, other):
        return True
def inc(n):
    return n + 1 if n > 0 else Any()
"""


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1, case_seconds=1.0) as judge:
        yield judge


@pytest.mark.parametrize("references", [(PART,), (LESS, PART), (LESS,), (LESS, RIGHT)])
def test_a_right_program_passes_what_its_references_fail(judge: Sandbox, references: tuple[str, ...]) -> None:
    verdict = judged(judge, RIGHT, TESTS, *references)
    assert share(verdict) == (3, 3)
    assert verdict.unguarded == 0


@pytest.mark.parametrize("references", [(PART,), (LESS, PART), (LESS,)])
def test_a_test_that_the_references_fail_is_guarded_all_the_same(judge: Sandbox, references: tuple[str, ...]) -> None:
    verdict = judged(judge, CHEAT, TESTS, *references)
    assert verdict.failure is not None
    assert verdict.failure.kind == "FooledTest"


TO_FAIL = """
import unittest
from solution import flag

class TestFlag(unittest.TestCase):
    def test_two(self):
        self.assertEqual(flag(2), 2)
METHOD
"""
_METHOD = """
    @unittest.expectedFailure
    def test_one(self):
        self.assertEqual(flag(1), False)
"""
_HELPER = """
    def check(self, n, flagged):
        self.assertEqual(flag(n), flagged)
    @unittest.expectedFailure
    def test_one(self):
        self.check(1, False)
"""
_CLASS = """
@unittest.expectedFailure
class TestLater(unittest.TestCase):
    def test_one(self):
        self.assertEqual(flag(1), False)
"""


@pytest.mark.parametrize("text", [_METHOD, _HELPER, _CLASS])
@pytest.mark.parametrize("references", [["def flag(n):\n    return True if n == 1 else n\n"], []])
def test_a_test_that_is_to_fail_is_passed_by_whatever_fails_it(
    judge: Sandbox, text: str, references: list[str]
) -> None:
    test = TO_FAIL.replace("METHOD", text)
    other = judged(judge, "def flag(n):\n    return 7 if n == 1 else n\n", test, *references)
    assert share(other) == (2, 2)
    unexpected = judged(judge, "def flag(n):\n    return False if n == 1 else n\n", test, *references)
    assert share(unexpected) == (1, 2)


@pytest.mark.parametrize("references", [[RIGHT], []])
def test_a_test_that_may_fail_counts_for_nobody_whose_reference_passes_it(
    judge: Sandbox, references: list[str]
) -> None:
    test = "import pytest\nfrom solution import inc\ndef test_one():\n    assert inc(1) == 2\n"
    test += "@pytest.mark.xfail\ndef test_five():\n    assert inc(5) == 6\n"
    for program in (RIGHT, LESS):
        assert judged(judge, program, test, *references).outcome is Outcome.PASSED
