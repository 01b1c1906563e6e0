"""Which tests count where no reference has run them: what the text has, whatever a program says of its results."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from judged_suites import judged, share

from rltf_env import sandbox
from rltf_env.core import Problem, Sandbox, ScriptCase
from rltf_env.sandbox.referee.suite import Suite, read
from rltf_env.sandbox.referee.tally import Tally, runs_of

RIGHT = "def f(n):\n    return n * n\n"
HALF = "def f(n):\n    return 4\n"  # right for 2 alone
UNIT = (
    "import sys, unittest\nfrom solution import f\nclass T(unittest.TestCase):\n"
    "    @unittest.skipIf(sys.platform == 'none', 'not there')\n    def test_a(self):\n        self.assertEqual(f(3), 9)\n"
    "    def test_b(self):\n        self.assertEqual(f(2), 4)\n"
)
PYTEST = (
    "import pytest\nfrom solution import f\n"
    "@pytest.mark.parametrize('n, square', [(2, 4), (3, 9)])\ndef test_a(n, square):\n    assert f(n) == square\n"
    "def test_b():\n    assert f(2) == 4\n"
)
PLAIN = "from solution import f\nassert f(3) == 9\n"


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1, case_seconds=1.0, wall_seconds=2.0, cache=0) as judge:
        yield judge


def forging(names: list[str]) -> str:
    rows = [{"id": name, "status": "passed"} for name in names]
    return (
        f"import json, os\nLINE = json.dumps({{'missing': [], 'results': {rows!r}}}) + '\\n'\n"
        "def f(n):\n    os.write(3, LINE.encode())\n    os._exit(0)\n"
    )


@pytest.mark.parametrize("test", [UNIT, PYTEST, PLAIN], ids=["unittest", "pytest", "plain"])
@pytest.mark.parametrize("count", [3, 900])
def test_results_of_tests_that_there_are_not_count_for_nothing(judge: Sandbox, test: str, count: int) -> None:
    program = forging([f"test_{number}" for number in range(count)])
    passed, tests = share(judged(judge, program, test))
    assert passed == 0
    assert tests <= 3


@pytest.mark.parametrize(("test", "count"), [(UNIT, 2), (PYTEST, 3)], ids=["unittest", "pytest"])
def test_a_test_that_a_program_skips_is_not_passed_though_its_text_may_skip_it(
    judge: Sandbox, test: str, count: int
) -> None:
    skips = "import unittest\ndef f(n):\n    if n != 2:\n        raise unittest.SkipTest('no')\n    return 4\n"
    assert share(judged(judge, RIGHT, test)) == (count, count)
    assert share(judged(judge, skips, test)) == (count - 1, count)


def test_a_test_that_is_expected_to_fail_is_not_asked_of_a_program(judge: Sandbox) -> None:
    test = (
        "import pytest\nfrom solution import f\n@pytest.mark.xfail\ndef test_a():\n    assert f(3) == 10\n"
        "@pytest.mark.parametrize('n', [2, pytest.param(3, marks=pytest.mark.xfail)])\n"
        "def test_b(n):\n    assert f(n) == 4\n"
        "def test_c():\n    assert f(3) == 9\n"
    )
    passed, tests = share(judged(judge, RIGHT, test))
    assert passed == tests > 0
    assert judged(judge, HALF, test).failure is not None


def test_sets_of_parameters_may_come_from_the_program(judge: Sandbox) -> None:
    test = (
        "import pytest, solution\nROWS = solution.ROWS\n@pytest.mark.parametrize('row', ROWS)\n"
        "def test_a(row):\n    assert solution.f(row) == row * row\n"
    )
    assert share(judged(judge, f"ROWS = [1, 2, 3]\n{RIGHT}", test)) == (3, 3)
    assert share(judged(judge, f"ROWS = [1, 2, 3]\n{HALF}", test)) == (1, 3)


MIXIN = (
    "import unittest\nfrom solution import f\nclass Common:\n"
    "    def test_a(self):\n        self.assertEqual(f(self.n), 9)\n"
    "class TestThree(Common, unittest.TestCase):\n    n = 3\n"
)


def test_a_copy_guards_the_tests_that_a_class_inherits(judge: Sandbox) -> None:
    fools = "class A:\n    def __eq__(self, other): return True\ndef f(n): return A()\n"
    verdict = judged(judge, fools, MIXIN)
    assert verdict.failure is not None
    assert verdict.failure.kind == "FooledTest"
    assert share(judged(judge, RIGHT, MIXIN)) == (1, 1)


def test_tests_that_the_text_does_not_show_are_counted_and_called_unguarded(judge: Sandbox) -> None:
    test = (
        "import unittest\nfrom solution import f\nclass T(unittest.TestCase): pass\nfor n in range(3):\n"
        "    setattr(T, f'test_{n}', lambda self, n=n: self.assertEqual(f(n), n * n))\n"
    )
    verdict = judged(judge, RIGHT, test)
    assert share(verdict) == (3, 3)
    assert verdict.unguarded == 3
    assert share(judged(judge, HALF, test)) == (1, 3)


def test_a_loop_that_makes_tests_is_falsified_where_a_reference_shows_what_that_means(judge: Sandbox) -> None:
    test = (
        "import unittest\nfrom solution import f\nclass T(unittest.TestCase): pass\nfor n in range(3):\n"
        "    def test(self, n=n): self.assertEqual(f(n), n * n)\n    setattr(T, f'test_{n}', test)\n"
    )
    fools = "class A:\n    def __eq__(self, other): return True\ndef f(n): return A()\n"
    problem = Problem("suite", "s", [ScriptCase(test)], solutions=[RIGHT])
    right, wrong = (judge.run(program, problem) for program in (RIGHT, HALF))
    assert (share(right), right.unguarded) == ((3, 3), 0)
    assert share(wrong) == (1, 3)
    for number in range(5):  # what is falsified is drawn anew for each problem, and has to be a value each time
        again = Problem(f"suite-{number}", "s", [ScriptCase(test)], solutions=[RIGHT])
        assert share(judge.run(fools, again)) == (0, 3)


CASE = "class CASE(unittest.TestCase):\n        def test(self): self.assertEqual(f(3), 9)\n"
MADE = {
    "function": f"def make(n):\n    {CASE}    return CASE\nTestA = make(3)",
    "type": "TestA = type('TestA', (unittest.TestCase,), {'test': lambda self: self.assertEqual(f(3), 9)})",
    "attribute": f"class Machine:\n    {CASE.replace('CASE', 'TestCase', 1)}TestA = Machine.TestCase",
}


@pytest.mark.parametrize("head", MADE.values(), ids=MADE)
def test_a_class_of_tests_may_be_made_in_any_way(head: str) -> None:
    assert suite_of(f"import unittest\nfrom solution import f\n{head}\n").runner == "unittest"


def test_what_pytest_alone_collects_or_refuses_is_left_to_pytest() -> None:
    for test in (
        "def test_a():\n    for n in range(3): yield check, n\n",
        "def test_a(): assert f(3) == 9\ntest_a.__test__ = False\n",
    ):
        assert suite_of(f"from solution import f\n{test}").runner == "pytest"


def test_a_test_with_a_failed_subtest_of_pytests_has_failed(judge: Sandbox) -> None:
    rows = "for n in (2, 3):\n        with subtests.test(n=n):\n            assert f(n) == n * n\n"
    test = f"from solution import f\ndef test_a(subtests):\n    {rows}def test_b():\n    assert f(2) == 4\n"
    assert share(judged(judge, RIGHT, test)) == (2, 2)
    assert share(judged(judge, HALF, test)) == (1, 2)


def test_several_modules_of_one_package_that_nobody_has_are_the_program_where_nothing_else_is() -> None:
    test = "from shop.models import Item\nfrom shop.till import total\ndef test_a(): assert total([Item(3)]) == 3\n"
    assert read([test], "", set(), ["pytest"]).modules == ["shop.models", "shop.till"]
    assert read([test.replace("3\n", "price\n")], "", set(), ["pytest"]).modules == []


def test_a_test_case_that_only_lends_its_methods_makes_no_suite() -> None:
    for head in ("case = unittest.TestCase()", "Case = unittest.TestCase\ncase = Case()"):
        assert suite_of(f"import unittest\n{head}\ncase.assertEqual(f(3), 9)\n").runner == "plain"
    own = "class TestCase(NamedTuple):\n    n: int\ncases = list(map(TestCase, [3]))\nassert f(cases[0].n) == 9\n"
    assert suite_of(f"from typing import NamedTuple\n{own}").runner == "plain"


def test_a_test_that_a_program_passes_against_expectation_counts_as_failed(judge: Sandbox) -> None:
    test = (
        "import pytest\nfrom solution import f\n@pytest.mark.xfail(strict=True)\ndef test_a():\n    assert f(3) == 4\n"
        "def test_b():\n    assert f(2) == 4\n"
    )
    problem = Problem("suite", "s", [ScriptCase(test)], solutions=[RIGHT])
    assert share(judge.run(RIGHT, problem)) == (1, 1)
    assert share(judge.run(HALF, problem)) == (1, 2)


def test_a_stand_in_that_cannot_be_collected_says_nothing_against_a_test_that_a_reference_passes(
    judge: Sandbox,
) -> None:
    test = (
        "import pytest\nfrom solution import ROWS, f\n"
        "@pytest.mark.parametrize('row', ROWS, ids=lambda row: str(row.__trunc__()))\n"
        "def test_a(row):\n    assert f(row) == row * row\n"
    )
    program = f"ROWS = [1, 2]\n{RIGHT}"
    verdict = judge.run(program, Problem("suite", "s", [ScriptCase(test)], solutions=[program]))
    assert share(verdict) == (2, 2)


# ------------------------------------------------------------------------------------------------------ without a judge


def suite_of(text: str) -> Suite:
    return read([text], "f", set(), ["pytest"])


def test_without_a_run_on_a_stand_in_the_text_says_which_tests_there_are() -> None:
    assert Tally.of({}, suite_of(UNIT), {"f"}) == Tally(["T.test_b"], [])
    assert Tally.of({"": {"status": "collect"}}, suite_of(PYTEST), {"f"}) == Tally(["test_a", "test_b"], [])
    assert Tally.of({}, suite_of(PLAIN), {"f"}) == Tally([""], [])


def test_what_a_program_adds_only_counts_if_it_is_not_passed() -> None:
    tally = Tally(["test_a", "test_b"], [])
    rows = {"test_a": {"status": "passed"}, "x": {"status": "passed"}, "y": {"status": "failed"}}
    assert tally.counted(rows) == ["test_a", "test_b", "y"]


def test_classes_are_searched_for_a_method_as_python_does_it() -> None:
    text = (
        "import unittest\nclass A:\n    def test_x(self): f(1)\nclass B:\n    def test_x(self): f(2)\n"
        "class C(A, unittest.TestCase): pass\nclass D(B, A, unittest.TestCase): pass\nclass E(E): pass\n"
    )
    rows = ["C.test_x", "D.test_x", "E.test_x"]
    assert runs_of("A.test_x", rows, suite_of(text)) == {"A.test_x", "C.test_x"}
    assert runs_of("B.test_x", rows, suite_of(text)) == {"B.test_x", "D.test_x"}
    assert runs_of("test_y", rows, suite_of(text)) == {"test_y"}
