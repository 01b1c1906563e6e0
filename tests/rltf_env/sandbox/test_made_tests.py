"""Tests that a script makes while it runs are collected: the script in itself is no test that every program passes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from judged_suites import judged, share

from rltf_env import sandbox
from rltf_env.core import Sandbox
from rltf_env.errors import InvalidProblem
from rltf_env.sandbox.referee.suite import read

MAKE = "def make(n):\n    def check():\n        assert f(n) == n * n\n    return check\n"
BASE = "import unittest\nclass Base:\n    def test_f(self):\n        self.assertEqual(f(self.n), self.n ** 2)\n"
MADE = {
    "globals": MAKE + "for n in range(2):\n    name = f'test_{n}'\n    globals()[name] = make(n)",
    "joined": MAKE + "for n in '23':\n    globals()['test_' + n] = make(int(n))",
    "formatted": MAKE + "for n in range(2):\n    vars()['test_{}'.format(n)] = make(n)",
    "setattr": MAKE + "import sys\nfor n in range(2):\n    setattr(sys.modules[__name__], f'test_{n}', make(n))",
    "update": MAKE + "globals().update({f'test_{n}': make(n) for n in range(2)})",
    "assigned": MAKE + "test_two = make(2)\ntest_three = make(3)",
    "lambdas": "def check(n):\n    assert f(n) == n * n\ntest_two = lambda: check(2)",
    "partial": "import functools\ndef check(n):\n    assert f(n) == n * n\ntest_two = functools.partial(check, 2)",
    "a table": MAKE + "for name, n in {'test_two': 2, 'test_three': 3}.items():\n    globals()[name] = make(n)",
    "executed": "TEXT = '''\ndef test_{n}():\n    assert f({n}) == {n} ** 2\n'''\nfor n in (2, 3):\n    exec(TEXT.format(n=n))",
    "a condition": "import sys\nif sys.version_info > (3, 8):\n    def test_two():\n        assert f(2) == 4\n"
    "else:\n    def test_two():\n        assert False",
    "a try": "try:\n    import json\n    def test_two():\n        assert f(2) == 4\nexcept ImportError:\n    pass",
    "a fixture": "import pytest\nif pytest:\n    @pytest.fixture\n    def two(): return 2\n"
    "    def test_two(two):\n        assert f(two) == 4\n    def test_three():\n        assert f(3) == 9",
    "methods": "import unittest\nclass T(unittest.TestCase): pass\nfor n in range(2):\n    def test(self, n=n):\n"
    "        self.assertEqual(f(n), n * n)\n    setattr(T, f'test_{n}', test)",
    "another name for TestCase": "import unittest\nCase = unittest.TestCase\nclass Two(Case):\n    def test_two(self):\n"
    "        self.assertEqual(f(2), 4)",
    "a class in a condition": "import unittest, sys\nif sys.platform:\n    class Two(unittest.TestCase):\n"
    "        def test_two(self):\n            self.assertEqual(f(2), 4)",
    "classes": BASE + "for n in (2, 3):\n    name = f'Test{n}'\n"
    "    globals()[name] = type(name, (Base, unittest.TestCase), {'n': n})",
}
PYTESTS = (
    "class Base:\n    def test_f(self):\n        assert f(self.n) == self.n ** 2\n"
    "for n in (2, 3):\n    globals()[f'Test{n}'] = type(f'Test{n}', (Base,), {'n': n})"
)
PLAIN = {
    "data": "test_cases = [1, 2]\ntest_input = dict(a=1)\nfor x in test_cases:\n    assert f(x)",
    "a function as data": MAKE + "test_check = make(2)\ntest_check()",
    "a lambda as data": "test_f = lambda x: x\nassert f(test_f)",
    "names": "for name in ('a', 'b'):\n    globals()[name] = f(name)\nassert a == 1, 'Test failed'",
    "a call": "import solution\nfor name in ('f', 'g'):\n    globals()[name] = getattr(solution, name)\n"
    "def check():\n    assert f(1) == 1\n    print('test_ok')\ncheck()",
    "a text": "exec('x = 1')\nassert f(1) == x, 'a test'",
    "a text of its own": "space = {}\nexec('def test_f(): assert True', space)\nassert f(1) == 1",
    "a decorator": "TESTS = []\ndef test(function):\n    TESTS.append(function)\n    return function\n"
    "@test\ndef small():\n    assert f(1) == 1\nfor each in TESTS:\n    each()",
}


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1, case_seconds=1.0, wall_seconds=3.0, cache=0) as judge:
        yield judge


def _runner(script: str) -> str:
    return read([f"from solution import f\n{script}\n"], "f", {"f"}, ["pytest"]).runner


@pytest.mark.parametrize("name", MADE)
def test_a_script_that_makes_tests_is_a_suite(name: str) -> None:
    assert _runner(MADE[name]) == ("pytest" if "pytest" in MADE[name] else "unittest")


def test_classes_that_a_script_makes_without_unittest_are_pytest_s() -> None:
    assert _runner(PYTESTS) == "pytest"


@pytest.mark.parametrize("name", PLAIN)
def test_a_script_that_only_names_something_test_runs_as_it_stands(name: str) -> None:
    assert _runner(PLAIN[name]) == "plain"


@pytest.mark.parametrize("script", [*(MADE[name] for name in ("executed", "classes", "a fixture")), PYTESTS])
def test_each_test_that_a_script_makes_counts(judge: Sandbox, script: str) -> None:
    verdict = judged(judge, "def f(n): return n * n if n in (0, 2) else -1", f"from solution import f\n{script}\n")
    assert share(verdict) == (1, 2)


NAMED = (
    "import unittest\nfrom solution import Stack, Queue\nclass Base:\n    def test_get(self):\n"
    "        self.assertEqual(self.kind([1, 2]).get(), self.first)\n"
    "    def test_one(self):\n        self.assertEqual(self.kind([7]).get(), 7)\n"
    "for kind, first in ((Stack, 2), (Queue, 1)):\n    name = f'Test{kind.__name__}'\n"
    "    globals()[name] = type(name, (Base, unittest.TestCase), {'kind': kind, 'first': first})\n"
)
CLASSES = (
    "class Stack:\n    def __init__(self, items): self.items = items\n    def get(self): return self.items[-1]\n"
    "class Queue(Stack):\n    def get(self): return self.items[0]\n"
)


def test_names_of_tests_may_be_made_of_the_names_of_a_program_s_classes(judge: Sandbox) -> None:
    renamed = CLASSES.replace("[0]", "[-1]") + "Stack.__name__ = 'Queue'\n"
    for solutions in ([CLASSES], []):
        assert share(judged(judge, CLASSES, NAMED, *solutions)) == (4, 4)
        assert share(judged(judge, CLASSES.replace("[0]", "[9]"), NAMED, *solutions)) == (2, 4)
        assert share(judged(judge, renamed, NAMED, *solutions)) == (1, 4)


def test_an_object_that_equals_everything_is_found_out_in_a_class_that_a_script_makes(judge: Sandbox) -> None:
    cheat = (
        CLASSES + "class Yes:\n    def __eq__(self, other): return True\nStack.get = Queue.get = lambda self: Yes()\n"
    )
    failure = judged(judge, cheat, NAMED).failure
    assert failure is not None
    assert failure.kind == "FooledTest"


def test_nobody_is_judged_by_tests_that_only_a_program_can_name(judge: Sandbox) -> None:
    script = (
        "import inspect, unittest, solution\nclass Base:\n    def test_get(self):\n"
        "        self.assertIsNotNone(self.kind([1]).get())\n"
        "for name, kind in inspect.getmembers(solution, inspect.isclass):\n"
        "    globals()['Test' + name] = type(name, (Base, unittest.TestCase), {'kind': kind})\n"
    )
    with pytest.raises(InvalidProblem, match="no reference solution shows which there are"):
        judged(judge, CLASSES, script)
    assert share(judged(judge, CLASSES, script, CLASSES)) == (2, 2)
