"""Scripts that run their own tests: each in plain Python, one that is fooled or asserts the success of its suite by itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from judged_suites import holds, judged, share

from rltf_env import sandbox
from rltf_env.core import Outcome, Sandbox

RIGHT = "def f(x): return x * x"
WRONG = "def f(x): return x + 2"
LIAR = """
class Yes:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 4
def f(x): return Yes()
"""
READER = """
import sys
def f(x):
    return next(c for c in sys._getframe(1).f_code.co_consts if isinstance(c, int) and c > 3)
"""
CASE = """
import io, sys, unittest
class TestF(unittest.TestCase):
    def setUp(self):
        self.four = 4
    def test_two(self):
        assert f(2) == 4
    def test_three(self):
        self.assertEqual(f(3), 9)
"""
LOADED = f"{CASE}\nsuite = unittest.defaultTestLoader.loadTestsFromTestCase(TestF)\n"
MAIN = "\nif __name__ == '__main__':\n    "
GIVEN = """
import unittest
class TestF(unittest.TestCase):
    def test_all(self, g):
        self.assertEqual(g(2), 4)
        self.assertEqual(g(3), 9)
def main():
    test, given = TestF(), f
    test.test_all(given)
"""
DEAF = """
import unittest
class TestF(unittest.TestCase):
    def __init__(self, *args, **kwargs):
        super().__init__()
        self.nine = 9
    def test_all(self):
        assert f(2) == 4 and f(3) == self.nine
"""
RUN = f"{LOADED}result = unittest.TextTestRunner(stream=io.StringIO()).run(suite)\n"
RUNS = {
    "a method": f"{CASE}\nTestF().test_two()\nTestF().test_three()",
    "methods of an object": f"{CASE}\ncase = TestF()\ncase.setUp()\ncase.test_two()\ncase.test_three()",
    "a plain class": "class TestF:\n    def test_two(self):\n        assert f(2) == 4 and f(3) == 9\nTestF().test_two()",
    "debug": f"{LOADED}suite.debug()",
    "a result that is asserted": f"{RUN}assert result.wasSuccessful()",
    "a result that raises": f"{RUN}if result.failures or result.errors:\n    raise Exception('some tests failed')",
    "a result that exits": f"{RUN}sys.exit(not result.wasSuccessful())",
    "a method that is given what it tests": f"{GIVEN}{MAIN}main()",
    "a function that is given what it tests": f"def test_f(g):\n    assert g(2) == 4\n    assert g(3) == 9{MAIN}test_f(f)",
    "without a guard": f"{GIVEN}main()",
    "in a method": "class Tester:\n    def test_all(self, g):\n        assert g(2) == 4 and g(3) == 9\n"
    "    def run(self):\n        self.test_all(f)\nTester().run()",
    "a class that any test is made of": f"{DEAF}{MAIN}TestF().test_all()",
    "a function": f"{RUN}def check(): assert result.wasSuccessful()\ncheck()",
}


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1, case_seconds=1.0, cache=0) as opened:
        yield opened


@pytest.mark.parametrize("with_reference", [True, False], ids=["reference", "none"])
@pytest.mark.parametrize("name", RUNS)
def test_a_script_that_runs_its_own_tests_is_no_easier_to_fool(judge: Sandbox, name: str, with_reference: bool) -> None:
    solutions = [RIGHT] if with_reference else []
    assert holds(RUNS[name], LIAR)
    assert [holds(RUNS[name], program) for program in (RIGHT, WRONG)] == [True, False]
    verdicts = [judged(judge, p, RUNS[name], *solutions, entry_point="f") for p in (RIGHT, WRONG, LIAR, READER)]
    assert [verdict.outcome is Outcome.PASSED for verdict in verdicts] == [True, False, False, False]
    assert verdicts[0].unguarded == 0


RAISING = f"""{CASE}
    def test_none(self):
        self.assertTrue(f(None) is None)
def main():
    test = TestF()
    test.test_two()
    test.test_three()
    test.assertRaises(TypeError, test.test_none)
{MAIN}main()
"""


@pytest.mark.parametrize("solutions", [[RIGHT], []], ids=["reference", "none"])
def test_a_test_that_has_to_raise_runs_as_its_script_does_and_no_more_of_it_is_asserted(
    judge: Sandbox, solutions: list[str]
) -> None:
    assert [holds(RAISING, program) for program in (RIGHT, WRONG)] == [True, False]
    assert all(judged(judge, RIGHT, RAISING, *solutions).outcome is Outcome.PASSED for _ in range(3))
    assert judged(judge, WRONG, RAISING, *solutions).outcome is not Outcome.PASSED


@pytest.mark.parametrize(
    "call",
    [
        "case = TestF()\n    case.test_two()",
        "TestF('test_two').test_two()",
        "unittest.TextTestRunner().run(TestF('test_two'))",
        "unittest.main()",
    ],
)
def test_tests_that_a_runner_can_call_too_are_collected(judge: Sandbox, call: str) -> None:
    assert share(judged(judge, WRONG, f"{CASE}{MAIN}{call}", RIGHT)) == (1, 2)


def test_a_test_with_parameters_that_somebody_gives_it_is_collected(judge: Sandbox) -> None:
    fixture = "import pytest\n@pytest.fixture\ndef n(): return 2\ndef test_n(n):\n    assert f(n) == 4\n"
    rows = "@pytest.mark.parametrize('x, want', [(2, 4), (3, 9)])\ndef test_f(x, want):\n    assert f(x) == want"
    assert share(judged(judge, WRONG, f"{fixture}{rows}{MAIN}test_n(2)\n    test_f(2, 4)", RIGHT)) == (2, 3)


def test_a_function_that_loads_the_tests_is_a_suite_by_itself(judge: Sandbox) -> None:
    own = 'import doctest\nfrom solution import f\ndef examples():\n    """\n    >>> f(2), f(3)\n    (4, 9)\n    """\n'
    test = (
        f"{own}def load_tests(loader, tests, pattern):\n    tests.addTests(doctest.DocTestSuite())\n    return tests\n"
    )
    assert [judged(judge, program, test, RIGHT).pass_ratio for program in (RIGHT, WRONG)] == [1, 0]
