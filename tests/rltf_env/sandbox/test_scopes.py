"""Which names of a script are the program's, where the script binds the same name elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rltf_env import sandbox
from rltf_env.core import Outcome, Problem, Sandbox, ScriptCase
from rltf_env.sandbox.referee import scopes

SCRIPTS = {
    "a parameter": "def check(f):\n    assert f(2) == 3\ncheck(f)",  # as HumanEvalPack has it
    "a default": "def check(f=f):\n    assert f(2) == 3\ncheck()",
    "a lambda's": "g = (lambda f: f(2))(f)\nassert g == 3",
    "a comprehension's": "assert [f for f in [3]] == [f(2)]",
    "a local": "def three():\n    f = 3\n    return f\nassert f(2) == three()",
    "a class's": "class T:\n    f = staticmethod(f)\n    def run(self):\n        assert self.f(2) == 3\nT().run()",
    "bound anew": "import functools\nf = functools.lru_cache(f)\nassert f(2) == 3",
    "wrapped": "g = f\ndef f(x):\n    return g(x)\nassert f(2) == 3",
    "a test's parameter": "import pytest\n@pytest.mark.parametrize('f', [f])\ndef test(f):\n    assert f(2) == 3",
}


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1, cache=0) as judge:
        yield judge


@pytest.mark.parametrize("text", SCRIPTS.values(), ids=SCRIPTS)
@pytest.mark.parametrize("solutions", [("def f(x): return x + 1",), ()], ids=["reference", "none"])
def test_a_name_that_a_script_binds_elsewhere_is_the_programs(
    judge: Sandbox, text: str, solutions: tuple[str, ...]
) -> None:
    problem = Problem("shadowed", "", [ScriptCase(text)], solutions=solutions)
    outcomes = [judge.run(f"def f(x): return x + {step}", problem).outcome for step in (1, 2)]
    assert outcomes == [Outcome.PASSED, Outcome.WRONG_ANSWER]


def test_names_are_looked_up_in_the_module_where_no_scope_binds_them() -> None:
    free, bound = scopes.of_module(
        "a = b", "class C(d):\n    e = g\n    h = e\ndef i(j):\n    global k\n    k = l(a, j)"
    )
    assert (free, bound) == ({"b", "d", "g", "l", "__name__"}, {"a", "C", "i", "k"})


def test_a_name_that_a_later_text_binds_is_looked_up_before() -> None:
    assert scopes.of_module("assert f(1) == 2", "f = 3\nassert f == 3") == ({"f"}, {"f"})
    assert scopes.of_module("f = 3", "assert f == 3") == (set(), {"f"})


def test_a_class_finds_what_its_module_has_bound_before_it() -> None:
    head = "from unittest.mock import patch\n"
    body = "class T:\n    @patch('a')\n    def test(self):\n        class Own:\n            patched = patch\n"
    assert scopes.of_module(head + body) == ({"__name__"}, {"patch", "T"})
    assert scopes.of_module(body + head) == ({"patch", "__name__"}, {"patch", "T"})
    assert scopes.of_module(head, body) == ({"__name__"}, {"patch", "T"})


def test_a_decorator_of_a_method_is_the_tests_own(judge: Sandbox) -> None:
    test = (
        "import unittest\nfrom unittest.mock import patch\nclass Tests(unittest.TestCase):\n"
        "    @patch('random.randint', return_value=50)\n    def test_dice(self, randint):\n"
        "        self.assertEqual(dice(3), 50)\n    def test_none(self):\n        self.assertEqual(dice(0), 0)\n"
    )
    right = "import random\ndef dice(n):\n    return n and random.randint(1, n)\n"
    problem = Problem("dice", "", [ScriptCase(test)], entry_point="dice", solutions=[right])
    assert [judge.run(p, problem).pass_ratio for p in (right, "def dice(n):\n    return 0\n")] == [1, 0.5]
