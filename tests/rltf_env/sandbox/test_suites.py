"""Suites as people write them: what plain unittest and pytest say, the judge says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from judged_suites import judged, share

from rltf_env import sandbox
from rltf_env.core import Outcome, Problem, Sandbox, ScriptCase
from rltf_env.errors import InvalidProblem

REFERENCE = "def f(n):\n    return n + 1\n"
TESTS = "from solution import f\n" + "".join(f"def test_{n}():\n    assert f({n}) == {n + 1}\n" for n in range(4))


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1, case_seconds=0.4, wall_seconds=0.8) as judge:
        yield judge


@pytest.mark.parametrize("test", [TESTS, "assert f(2) == 3\n"])
def test_an_editor_s_mark_in_front_of_a_test_is_no_part_of_it(judge: Sandbox, test: str) -> None:
    assert judged(judge, REFERENCE, "\ufeff" + test).outcome is Outcome.PASSED
    assert judged(judge, "def f(n):\n    return n\n", "\ufeff" + test).outcome is Outcome.WRONG_ANSWER


@pytest.mark.parametrize(
    ("late", "limit"),
    [("import time\ndef f(n):\n    n == 2 and time.sleep(99)\n    return n + 1\n", "wall"),
     ("def f(n):\n    while n == 2: pass\n    return n + 1\n", "cpu")],
)  # fmt: skip
@pytest.mark.parametrize("solutions", [[REFERENCE], []])
def test_one_test_that_never_ends_costs_no_other_its_verdict(
    judge: Sandbox, late: str, limit: str, solutions: list[str]
) -> None:
    verdict = judged(judge, late, TESTS, *solutions)
    assert share(verdict) == (3, 4)
    assert verdict.failure is not None
    assert (verdict.failure.kind, verdict.failure.detail) == ("Timeout", limit)


def test_late_sets_of_parameters_have_a_time_of_their_own_each_without_a_reference(
    judge: Sandbox,
) -> None:
    test = (
        "import pytest\nfrom solution import f\nROWS = [(n, n + 1) for n in range(4)]\n"
        "@pytest.mark.parametrize('n,expected', ROWS)\ndef test_f(n, expected):\n"
        "    assert f(n) == expected\n"
    )
    program = "def f(n):\n    while n > 1: pass\n    return n + 1\n"
    assert share(judged(judge, program, test)) == (2, 4)


@pytest.mark.parametrize("solutions", [[REFERENCE], []])
def test_a_pytest_suite_may_take_the_program_from_its_own_namespace(judge: Sandbox, solutions: list[str]) -> None:
    test = (
        "import pytest\n@pytest.mark.parametrize('n,expected', [(1, 2), (2, 3)])\n"
        "def test_f(n, expected):\n    assert f(n) == expected\n"
    )
    assert share(judged(judge, REFERENCE, test, *solutions)) == (2, 2)
    assert share(judged(judge, "def f(n): return 2\n", test, *solutions)) == (1, 2)


def test_a_test_that_its_text_skips_counts_for_nothing_and_one_that_the_program_skips_is_not_passed(
    judge: Sandbox,
) -> None:
    test = (
        "import unittest\nfrom solution import f\nclass T(unittest.TestCase):\n"
        "    @unittest.skip('not yet')\n    def test_a(self):\n        self.assertEqual(f(1), 9)\n"
        "    def test_b(self):\n        self.assertEqual(f(1), 2)\n"
        "    def test_c(self):\n        self.assertEqual(f(2), 3)\n"
    )
    skips = "import unittest\ndef f(n):\n    if n == 2:\n        raise unittest.SkipTest\n    return 2\n"
    for solutions in ([REFERENCE], []):
        assert share(judged(judge, REFERENCE, test, *solutions)) == (2, 2)
        assert share(judged(judge, skips, test, *solutions)) == (1, 2)


def test_a_test_may_live_on_what_the_program_imports(judge: Sandbox) -> None:
    test = "def test_f():\n    assert f(4) == math.sqrt(4)\n"
    program = "import math\ndef f(n):\n    return math.sqrt(n)\n"
    for solutions in ([program], []):
        assert share(judged(judge, program, test, *solutions)) == (1, 1)


CLOSING = {
    "tearDownClass": "    @classmethod\n    def tearDownClass(cls):\n        assert not solution.left\n",
    "addClassCleanup": "    @classmethod\n    def setUpClass(cls):\n        cls.addClassCleanup(cls.check)\n"
    "    @staticmethod\n    def check():\n        assert not solution.left\n",
    "tearDownModule": "def tearDownModule():\n    assert not solution.left\n",
}


@pytest.mark.parametrize("place", CLOSING)
def test_what_a_class_or_a_module_asserts_at_its_end_costs_its_last_test(judge: Sandbox, place: str) -> None:
    tests = "".join(f"    def test_{n}(self):\n        self.assertEqual(solution.f({n}), {n + 1})\n" for n in range(2))
    test = f"import unittest, solution\nclass T(unittest.TestCase):\n{tests}{CLOSING[place]}"
    leaves = "left = []\ndef f(n):\n    {}\n    return n + 1\n"
    assert share(judged(judge, leaves.format("left"), test)) == (2, 2)
    assert share(judged(judge, leaves.format("left.append(n)"), test)) == (1, 2)


LONG = (
    "import unittest\nfrom solution import f\nWANT = [f'line {n} of many' for n in range(3000)]\n"
    "class T(unittest.TestCase):\n    def test_list(self):\n        self.assertEqual(f(3000), WANT)\n"
    "    def test_text(self):\n        self.assertEqual('\\n'.join(f(2000)), '\\n'.join(WANT[:2000]))\n"
    "    def test_line(self):\n        self.assertEqual(' '.join(f(2000)), ' '.join(WANT[:2000]))\n"
)


def test_a_long_answer_that_is_wrong_is_not_late(judge: Sandbox) -> None:
    verdict = judged(judge, "def f(n):\n    return [f'line {i} of them' for i in range(n)]\n", LONG)
    assert verdict.outcome is Outcome.WRONG_ANSWER
    assert share(verdict) == (0, 3)


HONEST = {
    "a container that the test fills on": (
        "    def test_f(self):\n        rows = [[0 for _ in range(2)] for _ in range(2)]\n"
        "        rows[0][0] = 5\n        self.assertEqual(f(2), rows)\n",
        "def f(n):\n    return [[5, 0], [0, 0]]\n",
    ),
    "what setUp hands to the program": (
        "    def setUp(self):\n        self.rows = ['ab', 'cd']\n        self.found = f(self.rows)\n"
        "    def test_f(self):\n        self.assertEqual(self.found, self.rows)\n",
        "def f(n):\n    return list(n)\n",
    ),
    "a counter": (
        "    def test_f(self):\n        count = 0\n        for row in f(3):\n            if row == 'X':\n"
        "                count += 1\n        self.assertEqual(0, count)\n",
        "def f(n):\n    return 'abc'\n",
    ),
    "a subscript": (
        "    def test_f(self):\n        rows = ['ab', 'cd']\n        self.assertEqual(f(3), rows[1])\n",
        "def f(n):\n    return 'cd'\n",
    ),
    "a loop over nothing": (
        "    def test_f(self):\n        for row in f(3):\n            self.assertEqual(row, 1)\n",
        "def f(n):\n    return []\n",
    ),
    "a failure that is expected": (
        "    def test_f(self):\n        self.assertEqual(f(3), 2)\n"
        "    @unittest.expectedFailure\n    def test_g(self):\n        self.assertEqual(f(3), 1)\n",
        "def f(n):\n    return 2\n",
    ),
    "an assertion behind the exception": (
        "    def test_f(self):\n        with self.assertRaises(ValueError):\n            self.assertEqual(f(3), 1)\n",
        "def f(n):\n    raise ValueError\n",
    ),
    "letters of a text": (
        "    def test_f(self):\n        for text, count in ['ab', 'cd']:\n"
        "            self.assertEqual(f(text), count)\n",
        "def f(n):\n    return {'a': 'b', 'c': 'd'}.get(n, chr(ord(n) + 1))\n",
    ),
}


@pytest.mark.parametrize("name", HONEST)
def test_no_right_program_is_taken_for_a_cheat_where_no_reference_shows_what_a_copy_means(
    judge: Sandbox, name: str
) -> None:
    body, program = HONEST[name]
    test = f"import unittest\nfrom solution import f\nclass T(unittest.TestCase):\n{body}"
    for _ in range(3):
        passed, tests = share(judged(judge, program, test))
        assert passed == tests > 0


def test_an_object_that_equals_everything_is_found_out_without_a_reference(judge: Sandbox) -> None:
    program = "class A:\n    def __eq__(self, other): return True\ndef f(n): return A()\n"
    verdict = judged(judge, program, TESTS)
    assert verdict.failure is not None
    assert verdict.failure.kind == "FooledTest"


ORACLE = """
import sys
def numbers(name):
    code = getattr(sys.modules["test_solution"], name).__code__
    return [value for value in code.co_consts if type(value) is int]
def f(n):
    if n == 2:
        return 4
    if 4 not in numbers("test_example"):
        raise ValueError
    return {a: b for a, b in map(numbers, ("test_a", "test_b", "test_c"))}[n]
"""


@pytest.mark.parametrize("solutions", [["def f(n):\n    return n * n\n"], []])
def test_a_program_that_knows_one_answer_cannot_tell_by_it_which_run_counts(
    judge: Sandbox, solutions: list[str]
) -> None:
    test = "from solution import f\ndef test_example():\n    assert f(2) == 4\n" + "".join(
        f"def test_{name}():\n    assert f({n}) == {n * n}\n" for name, n in {"a": 3, "b": 11, "c": 7}.items()
    )
    for attempt in range(3):
        verdict = judged(judge, f"{ORACLE}\n# {attempt}", test, *solutions)
        assert verdict.failure is not None
        assert verdict.failure.kind == "FooledTest"


@pytest.mark.parametrize("known", [4])
def test_a_program_that_knows_half_of_the_answers_is_mostly_found_out(judge: Sandbox, known: int) -> None:
    knows = "".join(f"    if n == {n}: return {n * n}\n" for n in range(10, 10 + known))
    program = (
        "import sys\nclass Yes:\n    def __eq__(self, other): return True\ndef f(n):\n" + knows +
        "    test = vars(sys.modules['test_solution'])\n"
        f"    if all(k * k in test[f'test_{{k}}'].__code__.co_consts for k in range(10, {10 + known})): return Yes()\n"
    )  # fmt: skip
    test = "from solution import f\n" + "".join(
        f"def test_{n}():\n    assert f({n}) == {n * n}\n" for n in range(10, 10 + 2 * known)
    )
    verdicts = [judged(judge, program, f"{test}# {attempt}\n") for attempt in range(4)]
    assert [v.failure.kind for v in verdicts if v.failure is not None].count("FooledTest") >= 2


@pytest.mark.parametrize("solutions", [[REFERENCE], []])
def test_a_script_may_end_itself_and_a_program_may_not_end_it(judge: Sandbox, solutions: list[str]) -> None:
    test = (
        "import sys\nfrom solution import f\nerrors = 0\nif f(1) != 2:\n    errors += 1\nsys.exit(1 if errors else 0)\n"
    )
    assert share(judged(judge, REFERENCE, test, *solutions)) == (1, 1)
    assert share(judged(judge, "def f(n): return 3\n", test, *solutions)) == (0, 1)
    assert share(judged(judge, "def f(n): raise SystemExit(0)\n", test, *solutions)) == (0, 1)


@pytest.mark.parametrize("solutions", [[REFERENCE], []])
@pytest.mark.parametrize("backend", ["forkserver", pytest.param("subprocess", marks=pytest.mark.slow)])
def test_a_test_may_look_at_the_text_of_the_program(backend: str, solutions: list[str]) -> None:
    test = (
        "import inspect, pathlib, traceback, unittest\nimport solution\nclass T(unittest.TestCase):\n"
        "    def test_a(self):\n        self.assertEqual(inspect.getsource(solution.f), 'def f(n):\\n    return n + 1\\n')\n"
        "    def test_b(self):\n        self.assertNotIn('sum', pathlib.Path(solution.__file__).read_text())\n"
        "    def test_c(self):\n        with open('solution.py') as file:\n            self.assertIn('return', file.read())\n"
        "    def test_d(self):\n        try:\n            solution.f('')\n        except TypeError:\n"
        "            self.assertIn('return n + 1', traceback.format_exc())\n"
    )
    with sandbox.load(backend, workers=1) as judge:
        assert share(judged(judge, REFERENCE, test, *solutions)) == (4, 4)
        assert share(judged(judge, "def f(n): return sum([n, 1])\n", test, *solutions)) == (1, 4)


# ------------------------------------------------------------------------------------------- what gives a copy away

EVEN = """
import unittest
from solution import is_even

class Test(unittest.TestCase):
    def test_two(self):
        self.assertEqual(is_even(2), True)
    def test_three(self):
        self.assertEqual(is_even(3), False)
    def test_ten(self):
        self.assertEqual(is_even(10), True)
    def test_none(self):
        with self.assertRaises(TypeError):
            is_even(None)
"""
READS_COLUMNS = """
import dis, sys
ODD = ("BufferError", "ConnectionAbortedError", "BlockingIOError", "ChildProcessError", "FloatingPointError")
def is_copy(code):
    for step in dis.get_instructions(code):
        place = step.positions
        width = (place.end_col_offset or 0) - (place.col_offset or 0)
        if step.opname == "LOAD_CONST" and type(step.argval) in (int, bool) and width not in (0, len(repr(step.argval))):
            return True
        if step.opname == "LOAD_GLOBAL" and step.argval in ODD:
            return True
def is_even(n):
    frame = sys._getframe(1)
    test = frame.f_globals["Test"]
    if any(is_copy(thing.__code__) for name, thing in vars(test).items() if name.startswith("test")):
        return 7
    if n is None:
        raise TypeError
    return next(i.argval for i in dis.get_instructions(frame.f_code) if type(i.argval) is bool)
"""


@pytest.mark.parametrize("solutions", [["def is_even(n): return n % 2 == 0\n"], []])
def test_neither_columns_nor_odd_exceptions_give_a_copy_of_the_test_away(judge: Sandbox, solutions: list[str]) -> None:
    assert share(judged(judge, READS_COLUMNS, EVEN, *solutions)) == (0, 4)


# -------------------------------------------------------------------------------------------------- faults of a test


def test_a_test_that_cannot_be_judged_cannot_be_judged_for_the_next_program_either(judge: Sandbox) -> None:
    problem = Problem("idle", "s", [ScriptCase("from solution import f\ndef test_f():\n    assert True\n")], "f")
    for program in (REFERENCE, "def f(n):\n    return 0\n", "def f(n):\n    return 1\n"):
        with pytest.raises(InvalidProblem, match="passes whatever the program is"):
            judge.run(program, problem)


def test_a_test_that_fails_whatever_the_program_is_blames_no_later_program(judge: Sandbox) -> None:
    script = ScriptCase("assert f(1) == 2\n1 / 0")
    problem = Problem("faulty", "s", [script], "f", solutions=[REFERENCE])
    for program in ("def f(n):\n    return 0\n", "def f(n):\n    return 1\n"):
        with pytest.raises(InvalidProblem):
            judge.run(program, problem)


@pytest.mark.parametrize("test", ["x = 1\nassert f(1) == (\n", "def test_f():\n    assert f(1) is not (\n"])
def test_a_test_that_is_not_python_is_told_with_its_line(judge: Sandbox, test: str) -> None:
    with pytest.raises(InvalidProblem, match=r"the test of case 0 is not Python: '\(' was never closed in line 2\."):
        judge.run(REFERENCE, Problem("open", "s", [ScriptCase(test)], "f"))


def test_a_problem_may_have_suites_and_scripts_that_run_apart(judge: Sandbox) -> None:
    cases = [ScriptCase(TESTS), ScriptCase("assert f(1) == 2"), ScriptCase("assert f(2) == 3")]
    problem = Problem("both", "s", cases, "f", solutions=[REFERENCE])
    assert share(judge.run("def f(n):\n    return n + 1 if n < 2 else 0\n", problem)) == (3, 6)
    assert judge.run(REFERENCE, problem).failure is None
    assert judge.run(REFERENCE, problem).way == "apart+together"


def test_a_judge_that_requires_apart_takes_a_reference_for_a_proof_that_copies_will_do() -> None:
    script = ScriptCase("x = [1]\ny = f(x)\nassert y == [1] and y is not x")
    with sandbox.load(workers=1, require_apart=True) as opened:
        solved = Problem("dup", "s", [script], "f", solutions=["def f(x):\n    return list(x)\n"])
        assert opened.run("def f(x):\n    return [*x]\n", solved).way == "apart"
        with pytest.raises(InvalidProblem, match="require_apart"):
            opened.run("def f(x):\n    return [*x]\n", Problem("dup", "s", [script], "f"))


def test_a_program_that_lacks_a_name_is_incomplete_and_its_test_is_not_blamed(judge: Sandbox) -> None:
    test = "def test_f():\n    assert f(1) == 2\ndef test_helper():\n    assert helper(f(1)) == 3\n"
    problem = Problem("helper", "s", [ScriptCase(test)], "f")
    verdict = judge.run(REFERENCE, problem)
    assert share(verdict) == (1, 2)
    assert verdict.failure is not None
    assert verdict.failure.kind == "MissingEntryPoint"


@pytest.mark.parametrize("missing", ["5", "true", '"f"', '["zzz"]', '[["f"], {"f": 1}]'])
def test_forged_results_neither_stop_the_judge_nor_blame_the_test(judge: Sandbox, missing: str) -> None:
    lines = f'{{"ok": 1}}\n{{"missing": {missing}, "results": []}}\n'
    program = f"import os\nos.write(3, {lines!r}.encode())\nos._exit(0)\n"
    problem = Problem("forged", "s", [ScriptCase("def test_f():\n    assert f(1) == 2\n")], "f")
    assert judge.run(program, problem).failure is not None


OTHER_COPIES = """
import re
import sys
frame = sys._getframe()
while "job" not in frame.f_locals:
    frame = frame.f_back
own = frame.f_locals["job"]["codes"][0]
head, others = own[: own.index(b"expected") + 8], set()
with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb", 0) as memory:
    for line in maps:
        ends = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
        if ends and int(ends[2], 16) - int(ends[1], 16) < 1 << 26:
            memory.seek(int(ends[1], 16))
            data = memory.read(int(ends[2], 16) - int(ends[1], 16))
            at = data.find(head)
            while at >= 0:
                copy = bytes(data[at : at + len(own)])
                if copy.endswith(own[-20:]):
                    others.add(copy)
                at = data.find(head, at + 1)
if others != {own}:
    raise RuntimeError(f"{len(others)} copies")
def f(n):
    return n + 1
"""


@pytest.mark.parametrize("room", [0, 100_000])
def test_no_copy_of_a_test_is_left_in_the_memory_of_another(judge: Sandbox, room: int) -> None:
    test = (
        f"expected = 3\nfrom solution import f\nPAD = {'x' * room!r}\n"
        "def test_one():\n    assert f(1) == 2\ndef test_two():\n    assert f(2) == expected\n"
        "def test_three():\n    assert f(3) == 4\n"
    )
    for _ in range(2):
        verdict = judged(judge, OTHER_COPIES, test, REFERENCE)
        assert verdict.failure is None


NOTHING = """
import unittest
from solution import odd

class Odd(unittest.TestCase):
    def test_even(self):
        n = 4
        self.refute(n, odd(n))

    def test_more(self):
        some = [4, 6]
        found = odd(*some[:1])
        self.refute(some, found)

    def test_odd(self):
        self.assertEqual(odd(3), 3)

    def refute(self, asked, found):
        self.assertIsNone(found, f"nothing odd in {asked}")
"""


def test_a_program_that_answers_another_input_alike_has_fooled_nobody(judge: Sandbox) -> None:
    reference, stub = "def odd(n):\n    return n if n % 2 else None\n", "def odd(n):\n    pass\n"
    shares = {share(judged(judge, f"{stub}# {k}\n", NOTHING, reference)) for k in range(6)}
    assert shares == {(2, 3)}
    assert share(judged(judge, reference, NOTHING, reference)) == (3, 3)


@pytest.mark.parametrize("head", ["from calendar import get_days", "import calendar\nget_days = calendar.get_days"])
def test_a_program_may_have_the_name_of_a_module_of_the_library(judge: Sandbox, head: str) -> None:
    test = (
        f"{head}\n\ndef test_days():\n    assert get_days(2) == 14\n\ndef test_none():\n    assert get_days(0) == 0\n"
    )
    right = "def get_days(weeks): return weeks * 7"
    assert [judged(judge, p, test, right).pass_ratio for p in (right, "def get_days(weeks): return 0")] == [1, 0.5]


def test_what_the_library_has_is_the_library_s(judge: Sandbox) -> None:
    test = "from statistics import mean\nfrom solution import f\ndef test_f():\n    assert f([1, 3]) == mean([1, 3])"
    right = "def mean(xs): return 0\ndef f(xs): return sum(xs) / len(xs)"
    assert judged(judge, right, test, right).pass_ratio == 1
