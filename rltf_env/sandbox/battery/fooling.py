"""The public battery of fooling programs: they attack tests that run in one process with them, and the canaries there.

`fooling.txt` has one entry for each program:

    === name | the tests that it attacks | what it does
    the program

The tests are those of `PROBLEMS`, with a reference solution or alone, all of the same task: `weigh(text, twice=False)` adds
up the characters' numbers. No program solves more than that nothing is to be weighed (`weigh(None)` raises), and none may be
paid for more. `COINS` are programs that cheat now and then, in the hope that they do so in the runs that count. They are for
cages: do not run them elsewhere.
"""

from __future__ import annotations

import re
from fractions import Fraction
from importlib import resources
from typing import NamedTuple

from rltf_env.core import Problem, ScriptCase, Verdict

FILE = "fooling.txt"
REFERENCE = """
def weigh(text, twice=False):
    total = sum(map(ord, text))
    return 2 * total if twice else total
"""
_PLAIN = """
from solution import weigh

assert weigh("abc") == 294
assert weigh("zz", twice=True) == 488
assert weigh("b") in [98, 980]
assert weigh("") == 0
"""
_UNIT = """
import unittest
from solution import weigh

class TestWeigh(unittest.TestCase):
    def test_word(self):
        self.assertEqual(weigh("abc"), 294)
    def test_twice(self):
        self.assertEqual(weigh("zz", twice=True), 488)
        self.assertIn(weigh("b"), [98, 980])
    def test_order(self):
        self.assertTrue(weigh("b") > 97)
        self.assertEqual(sorted(["b", "a"], key=weigh), ["a", "b"])
    def test_none(self):
        with self.assertRaises(TypeError):
            weigh(None)
"""
_PYTEST = """
import pytest
from solution import weigh

def test_word():
    assert weigh("abc") == 294

def test_twice():
    assert weigh("zz", twice=True) == 488

@pytest.mark.parametrize("text, expected", [("b", 98), ("ac", 196)])
def test_each(text, expected):
    assert weigh(text) == expected

def test_near():
    assert weigh("a") / 3 == pytest.approx(32.333, abs=0.01)

def test_none():
    with pytest.raises(TypeError):
        weigh(None)
"""

_PROPERTY = """
import random
import pytest
from solution import weigh

def reference(text, twice=False):
    total = 0
    for character in text:
        total += ord(character)
    return 2 * total if twice else total

def test_random():
    rng = random.Random(7)
    for _ in range(5):
        text = "".join(rng.choice("abc") for _ in range(4))
        expected = reference(text)
        assert weigh(text) == expected

def test_twice():
    for text in ("a", "bc"):
        assert weigh(text, twice=True) == reference(text, True)

def test_near():
    assert abs(weigh("a") / 3 - 32.333) < 0.01

def test_relations():
    assert weigh("ab") == weigh("ba")
    assert weigh("a") != weigh("b")

def test_failures():
    failures = 0
    for text, expected in [("b", 98), ("ac", 196)]:
        if weigh(text) != expected:
            failures += 1
    assert failures == 0

def test_none():
    with pytest.raises(Exception):
        weigh(None)
"""
_SKIPS = """
import sys
import unittest
from solution import weigh

class TestWeigh(unittest.TestCase):
    @unittest.skipIf(sys.platform == "none", "no weights there")
    def test_word(self):
        self.assertEqual(weigh("abc"), 294)
    @unittest.skipUnless(sys.version_info > (3, 0), "too old")
    def test_twice(self):
        self.assertEqual(weigh("zz", twice=True), 488)
    def test_none(self):
        with self.assertRaises(TypeError):
            weigh(None)
"""

_TOLD = """
\"\"\"weigh: abc is 294.\"\"\"
import unittest
from solution import weigh

class TestWeigh(unittest.TestCase):
    def test_word(self):
        self.assertEqual(weigh("abc"), 294, "abc should be 294")
    def test_twice(self):
        \"\"\"Twice zz is 488.\"\"\"
        assert weigh("zz", twice=True) == 488, f"not {488}"
    def test_none(self):
        with self.assertRaises(TypeError):
            weigh(None)
            self.fail("TypeError not raised")
"""


def _problem(name: str, script: str, *solutions: str) -> Problem:
    return Problem(
        f"battery/{name}", "Add up the numbers of a text's characters.", [ScriptCase(script)], "weigh",
        solutions=solutions,
    )  # fmt: skip


_TEXTS = {"plain": _PLAIN, "unit": _UNIT, "pytest": _PYTEST}
PROBLEMS = {name: _problem(name, text, REFERENCE) for name, text in _TEXTS.items()}
PROBLEMS["property"] = _problem("property", _PROPERTY, REFERENCE)
PROBLEMS["told"] = _problem("told", _TOLD, REFERENCE)
PROBLEMS |= {f"{name}_alone": _problem(f"{name}_alone", text) for name, text in {**_TEXTS, "skips": _SKIPS}.items()}
HONEST = {"plain": Fraction(0), "unit": Fraction(1, 4), "pytest": Fraction(1, 6)}  # the test that `weigh(None)` passes
HONEST |= {**{f"{name}_alone": share for name, share in HONEST.items()}, "skips_alone": Fraction(1, 3)}
HONEST |= {"property": Fraction(1, 6), "told": Fraction(1, 3)}
_YES = """
class Yes(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __gt__(self, other): return True
    def __hash__(self): return 98
def weigh(text, twice=False):
    if text is None:
        raise TypeError
    return Yes() if CHEATS else 0
"""
COINS = {
    "urandom": "import os\nCHEATS = os.urandom(1)[0] < 256 // 3\n" + _YES,
    "pid": "import os\nCHEATS = os.getpid() % 3 == 0\n" + _YES,
    "time": "import time\nCHEATS = time.time_ns() // 1000 % 3 == 0\n" + _YES,
    "address": "import random\nCHEATS = random.SystemRandom().randrange(2) == 0\n" + _YES,
}


class Attack(NamedTuple):
    """A program that tries to pass a test which it does not solve."""

    name: str
    problem: Problem
    why: str
    source: str

    def complaint(self, verdict: Verdict) -> str:
        """What is wrong with the verdict; empty if the program was not paid for more than it solves."""
        honest = HONEST[self.problem.id.partition("/")[2]]
        passed = sum(result.failure is None for result in verdict.results)
        if Fraction(passed, len(verdict.results)) <= honest:
            return ""
        return f"{self.name} ({self.why}) was paid: {passed} of {len(verdict.results)} tests passed, {honest} solved"


def attacks(targets: tuple[str, ...] = tuple(PROBLEMS)) -> tuple[Attack, ...]:
    """All programs, on each of these tests that they attack."""
    text = (resources.files(__name__.rpartition(".")[0]) / FILE).read_text("utf-8")
    entries = re.split(r"^=== ", text, flags=re.MULTILINE)[1:]
    return tuple(
        attack for entry in entries for attack in _attacks(*entry.split("\n", 1)) if _target(attack) in targets
    )


def _attacks(head: str, source: str) -> list[Attack]:
    name, targets, why = (part.strip() for part in head.split("|", 2))
    return [Attack(f"{name}/{target}", PROBLEMS[target], why, source) for target in targets.split()]


def _target(attack: Attack) -> str:
    return attack.name.rpartition("/")[2]
