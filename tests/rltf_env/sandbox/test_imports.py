"""Which of the modules that a test imports stand for the program."""

from __future__ import annotations

import pytest

from rltf_env import sandbox
from rltf_env.core import Problem, ScriptCase
from rltf_env.errors import InvalidProblem
from rltf_env.sandbox.referee.suite import read

CHECK = "def test_a():\n    assert f('aa') == {'a': floor(2.2)}\n"


@pytest.mark.parametrize("defined", [set(), {"f"}])
def test_a_module_from_which_a_test_takes_everything_is_the_program(defined: set[str]) -> None:
    test = f"from math import *\nfrom shop.till import *\n{CHECK}"
    assert read([test], "", defined, ["pytest"]).modules == ["shop.till"]


def test_a_module_from_which_a_test_takes_what_no_reference_has_is_a_package() -> None:
    suite = read([f"from sympy import *\n{CHECK}"], "", {"f"}, ["pytest"])
    assert (suite.modules, suite.missing) == ([], [("sympy", 1)])


NEEDED = {
    "a name that both import": "from no_such_package import NA, frame\ndef test_a():\n    assert frame(2) is NA\n",
    "nothing that a reference defines": "import no_such_package as nsp\ndef test_a():\n    assert nsp.frame(2)\n",
    "beside the program": "import no_such_package as nsp\nfrom solution import f\ndef test_a():\n    assert f(2)\n",
}


@pytest.mark.parametrize("name", NEEDED)
def test_a_module_that_the_references_import_is_not_the_program(name: str) -> None:
    program = "from no_such_package import NA\ndef f(n):\n    return NA\n"
    problem = Problem("suite", "s", [ScriptCase(NEEDED[name])], solutions=[program])
    with sandbox.load(workers=1) as judge, pytest.raises(InvalidProblem, match="packages=\\('no_such_package'"):
        judge.run(program, problem)


CHECKS = "def test_a():\n    assert till.total([2, 3]) == 5\ndef test_b():\n    assert till.total([]) == 0\n"
WHOLE = {
    "from a package": f"from shop import till\n{CHECKS}",
    "by another name": f"from shop.counter import box as till\n{CHECKS}",
    "by its package's name": f"from till import till\n{CHECKS}",
    "by a constant": f"import importlib\ntill = importlib.import_module('shop.till')\n{CHECKS}",
    "by a name": (
        "import unittest\nfrom unittest.mock import patch\nfrom importlib import import_module\nexercise = 'shop.till'\n"
        "class Tests(unittest.TestCase):\n    @classmethod\n    def setUpClass(cls):\n"
        "        with patch('builtins.input', side_effect=['1']):\n            cls.till = import_module(exercise)\n"
        "    def test_a(self):\n        self.assertEqual(self.till.total([2, 3]), 5)\n"
        "    def test_b(self):\n        self.assertEqual(self.till.total([]), 0)\n"
    ),
}


@pytest.mark.parametrize("name", WHOLE)
def test_the_program_may_be_a_module_of_a_package_or_one_that_is_imported_by_its_name(name: str) -> None:
    problem = Problem("suite", "s", [ScriptCase(WHOLE[name])], solutions=["def total(xs): return sum(xs)"])
    with sandbox.load(workers=1) as judge:
        programs = (problem.solutions[0], "def total(xs): return 0")
        assert [judge.run(program, problem).pass_ratio for program in programs] == [1, 0.5]


def test_a_module_that_is_not_to_be_there_is_not_the_program() -> None:
    fetched = "try:\n    importlib.import_module('no_such_module')\nexcept ImportError:\n    pass\n"
    test = f"import importlib\nfrom shop import f\n{fetched}"
    assert read([test], "", {"f"}, ["pytest"]).modules == ["shop"]
