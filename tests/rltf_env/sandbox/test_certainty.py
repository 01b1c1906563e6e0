"""Of a condition that a test asserts, the parts that all have to hold: what is falsified there is false for every right program."""

from __future__ import annotations

import ast

import pytest
from judged_suites import copies, holds

from rltf_env.sandbox.referee import certainty

DRAWS = 6
LIAR = """
class Yes(int):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __hash__(self): return 4
def f(x): return Yes(4)
"""
SQUARE = "def f(x): return x * x"
CASES = "[(1, 1), (2, 4), (3, 9)]"


def _copies(test: str) -> list[str]:
    return [text for text, _ in copies(test, DRAWS)]


def _in_unittest(assertion: str) -> str:
    return f"import unittest\nself = unittest.TestCase()\n{assertion}"


CONDITIONS = {
    "and": "assert f(1) == 1 and f(2) == 4",
    "not": "assert not f(1) != 1",
    "a block that is always run": "if True:  # pragma: no cover\n    assert f(1) == 1",
    "not or": "assert not (f(1) != 1 or not f(2) == 4)",
    "bool": "assert bool(f(1) == 1)",
    "is True": "assert (f(1) == 1) is True",
    "a name in passing": "assert (ok := f(1) == 1), ok",
    "all of a list": f"assert all(f(x) == y for x, y in {CASES})",
    "all of a name": f"CASES = {CASES}\nassert all([f(x) == y for x, y in CASES])",
    "not any": f"assert not any(f(x) != x * x for x, _ in {CASES})",
    "all of keys": "EXPECTED = {1: 1, 2: 4}\nassert all(f(x) == EXPECTED[x] for x in EXPECTED)",
    "assertTrue": _in_unittest("self.assertTrue(f(1) == 1)"),
    "assertFalse": _in_unittest("self.assertFalse(f(1) != 1)"),
    "assertTrue of all": _in_unittest(f"self.assertTrue(all(f(x) == y for x, y in {CASES}))"),
    "assertTrue of and": _in_unittest("self.assertTrue(f(1) == 1 and f(3) == 9)"),
    "a complaint": "if f(1) != 1 or not f(2) == 4:\n    raise AssertionError",
    "a function that main calls": "def check():\n    assert f(1) == 1\ndef main():\n    check()\nif True:\n    main()",
    "functions in a loop": "def one():\n    assert f(1) == 1\nfor check in (one, lambda: None):\n    check()",
    "functions in a list": "def one():\n    assert f(1) == 1\nCHECKS = {'one': one}\nfor _, check in CHECKS.items():\n    check()",
    "a function that a list calls": "def one():\n    assert f(1) == 1\n[one() for x in range(2)]",
    "a class that calls": "def one():\n    assert f(1) == 1\nclass All:\n    def __init__(self):\n        self.go()\n"
    "    def go(self):\n        one()\nAll()",
    "a coroutine": "import asyncio\nasync def one():\n    assert f(1) == 1\nasyncio.run(one())",
    "coroutines": "import asyncio\nasync def one():\n    assert f(1) == 1\nasync def two():\n    assert f(2) == 4\n"
    "async def main():\n    await asyncio.gather(one(), two())\nasyncio.run(main())",
    "what the main guard calls": "def check():\n    assert f(1) == 1\nif __name__ == '__main__':\n    check()",
    "before the end": "assert f(1) == 1\nraise SystemExit",
    "before the end of a function": "def main():\n    assert f(1) == 1\n    quit()\nmain()",
    "an end": "def test_f():\n    assert f(1) == 1\n    return True\ntest_f()",
    "after a function that returns": "def test_f():\n    def two():\n        return 2\n    assert f(two()) == 4\ntest_f()",
    "after a coroutine": (
        "import asyncio\ndef test_f():\n    async def two():\n        return f(2)\n"
        "    answer = asyncio.run(two())\n    assert answer == 4\ntest_f()"
    ),
    "after a generator": (
        "def test_f():\n    def each(xs):\n        for x in xs:\n            yield f(x)\n"
        "    assert [*each([2, 2])] == [4, 4]\ntest_f()"
    ),
    "tried": "try:\n    assert f(1) == 1\nexcept AssertionError:\n    assert False, 'wrong'",
    "tried, and said again": "try:\n    assert f(1) == 1\nexcept Exception as e:\n    print(end='')\n    raise",
    "tried in unittest": _in_unittest("try:\n    assert f(1) == 1\nexcept AssertionError:\n    self.assertTrue(False)"),
    "after what is tried": "try:\n    x = f(1)\nexcept Exception as e:\n    raise AssertionError(e)\nelse:\n    assert x == 1",
    "at last": "try:\n    assert f(1) == 1\nfinally:\n    print(end='')",
}


@pytest.mark.parametrize("name", [name for name in CONDITIONS if name not in ("not any", "not or")])
def test_an_object_that_equals_everything_passes_a_copy_of_each_condition(name: str) -> None:
    assert holds(CONDITIONS[name], LIAR)
    assert any(holds(copy, LIAR) for copy in _copies(CONDITIONS[name]))


@pytest.mark.parametrize("name", CONDITIONS)
def test_no_right_program_passes_a_copy_of_a_condition(name: str) -> None:
    assert holds(CONDITIONS[name], SQUARE)
    assert not any(holds(copy, SQUARE) for copy in _copies(CONDITIONS[name]))


# What must not hold, is only kept, or need not be asked: no constant there is an expectation for sure.
DOUBTFUL = {
    "not close": "import math\nassert not math.isclose(f(1), 2.0)",
    "not close, kept": "import math\nsame = math.isclose(f(1), 2.0)\nassert not same",
    "not close, a complaint": "import math\nif math.isclose(f(1), 2.0):\n    raise AssertionError",
    "not close, compared": "import math\nassert math.isclose(f(1), 2.0) == False",
    "close in a list": "import math\nassert [math.isclose(f(1), x) for x in (1.0, 2.0)] == [True, False]",
    "assertFalse of close": _in_unittest("import math\nself.assertFalse(math.isclose(f(1), 2.0))"),
    "assertFalse of and": _in_unittest("self.assertFalse(f(1) == 1 and f(2) == 5)"),
    "all that are chosen": "assert all(f(x) == 1 for x in (1, 2) if x == 1)",
    "all of the program's": "def g(): return []\nassert all(f(x) == 7 for x in g())",
    "a function that nobody calls": "def check():\n    assert f(9) == 3\nassert f(1) == 1",
    "a function that a thread runs": "def work():\n    assert f(9) == 3\n"
    "import threading\nthread = threading.Thread(target=work)\nassert f(1) == 1",
    "a task that nobody waits for": "import asyncio\nasync def work():\n    assert f(9) == 3\n"
    "async def main():\n    task = asyncio.create_task(work())\n    task.cancel()\n    assert f(1) == 1\nasyncio.run(main())",
    "tasks whose errors are results": "import asyncio\nasync def work():\n    assert f(1) == 3\nasync def main():\n"
    "    await asyncio.gather(work(), return_exceptions=True)\n    assert f(1) == 1\nasyncio.run(main())",
    "a lambda that nobody calls": "def check():\n    assert f(9) == 3\nlater = lambda: check()\nassert f(1) == 1",
    "a list of tests that nobody runs": "def check():\n    assert f(9) == 3\nchecks = [check]\nassert f(1) == 1",
    "what only such a function calls": "def check():\n    assert f(9) == 3\ndef work():\n    check()\nw = [work]\nassert f(1) == 1",
    "what comes after the end": "import sys\nassert f(1) == 1\nif sys.argv:\n    sys.exit(0)\nassert f(2) == 7",
    "what follows a function that ends": "import sys\ndef main():\n    assert f(1) == 1\n    sys.exit(0)\nmain()\nassert f(2) == 7",
    "tried, and ended well": "try:\n    assert f(1) == 2\nexcept AssertionError:\n    raise SystemExit(0)",
    "what a branch calls": "import os\ndef deep():\n    assert f(2) == 7\nif os.environ.get('SLOW'):\n    deep()\nassert f(1) == 1",
    **{
        f"what is called {name}": f"def deep():\n    assert f(2) == 7\n{text}\nassert f(1) == 1"
        for name, text in {
            "in a loop over nothing": "for x in range(f(0)):\n    deep()",
            "in main, in such a loop": "def main():\n    for x in range(f(0)):\n        deep()\nmain()",
            "in a loop that a condition leaves": "for x in (1, 2):\n    if f(x) == x * x: break\n    deep()",
            "in a round that a condition leaves": "for x in (1, 2):\n    if f(x) == x * x: continue\n    deep()",
            "after a loop that went on to its end": "for x in (1, 2):\n    if x == 2: break\nelse:\n    deep()",
            "for elements of nothing": "[deep() for x in range(f(0))]",
            "by a generator that nobody asks": "later = (deep() for x in (1, 2))",
            "after an and": "f(0) and deep()",
            "in an expression": "x = deep() if f(0) else 1",
            "in a case": "match f(0):\n    case 1: deep()",
        }.items()
    },
    "a loop that a condition leaves": "for x in (1, 2):\n    if f(x) == x * x: break\n    assert f(2) == 7\nassert f(1) == 1",
    "a round that a condition leaves": "for x in (1, 2):\n    if f(x): continue\n    assert f(2) == 7\nassert f(1) == 1",
    "after a loop to its end": "for x in (1, 2):\n    if x == 2: break\nelse:\n    assert f(2) == 7\nassert f(1) == 1",
    "what is called after a return": "import os\ndef deep():\n    assert f(2) == 7\ndef main():\n    if 'SLOW' not in os.environ:\n"
    "        return\n    deep()\nmain()\nassert f(1) == 1",
    "what follows an end in main": "def main():\n    if f(1) == 1:\n        raise SystemExit\n    assert f(2) == 7\nmain()",
    "a return before it": ("def test_f():\n    if f(1) == 1:\n        return\n    assert f(2) == 5\ntest_f()"),
    "a return before it, and one inside": (
        "def test_f():\n    def two():\n        return 2\n    if f(1) == 1:\n        return\n    assert f(two()) == 5\ntest_f()"
    ),
    "an error that nothing can raise": "import pytest\npytest.raises(ValueError, match='no')\nassert f(1) == 1",
    "an error that nothing can raise, by a method": _in_unittest("self.assertRaises(ValueError)\nassert f(1) == 1"),
    "any": "assert any(f(x) == 4 for x in (1, 2))",
    "or": "assert f(1) == 1 or f(2) == 5",
    "one list by two names": "x = y = 3\nassert f(x) == 3 * y",
    "a name in an input": "assert [f(z := 1)] == [z]",
    "tried, and given up": "try:\n    assert f(1) == 2\nexcept KeyError:\n    raise\nexcept AssertionError:\n    pass",
    "one of two": "try:\n    assert f(1) == 2\nexcept AssertionError:\n    assert f(1) == 1",
}


@pytest.mark.parametrize("name", DOUBTFUL)
def test_no_right_program_passes_a_copy_of_what_need_not_hold(name: str) -> None:
    assert holds(DOUBTFUL[name], SQUARE)
    assert not any(holds(copy, SQUARE) for copy in _copies(DOUBTFUL[name]))


NEAR = (
    "near = 1e-6\n    assert abs(f(2) - 4) <= near",
    "import math\n    near = 1e-6\n    assert math.isclose(f(2), 4, abs_tol=near)",
    "import pytest\n    near = 1e-6\n    assert f(2) == pytest.approx(4, abs=near)",
    "import unittest\n    near = 5\n    unittest.TestCase().assertLess(abs(f(2) - 4), near)",
)
FAR = ("NEAR = 1\nNEAR = 9\nassert abs(f(2) - 4) < NEAR", "import math\nassert math.isclose(*(f(2), 4), abs_tol=9)")


@pytest.mark.parametrize("text", NEAR)
def test_how_near_an_answer_has_to_be_may_have_a_name(text: str) -> None:
    test = f"def check():\n    {text}\ncheck()"
    falsified = [text for text, target in copies(test, DRAWS) if target.value]
    assert falsified
    assert holds(test, SQUARE)
    assert not any(holds(copy, program) for copy in falsified for program in (SQUARE, "def f(x): return x * x + 1e-7"))


@pytest.mark.parametrize("test", FAR)
def test_a_name_that_stands_for_several_says_nothing_of_that(test: str) -> None:
    assert not [text for text, target in copies(test, DRAWS) if target.value]


ARRAYS = {
    "nothing is near nothing": ("assert np.allclose(f(1), [])", "def f(x): return np.zeros(0)"),
    "NaN is near NaN": ("np.testing.assert_allclose(f(1), np.nan)", "def f(x): return float('nan')"),
    "NaN may be right": (
        "assert f(1) == pytest.approx(float('nan'), nan_ok=True)",
        "def f(x): return float('nan')",
    ),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_no_right_array_passes_a_copy(name: str) -> None:
    pytest.importorskip("numpy")
    test, program = (f"import numpy as np\nimport pytest\n{text}" for text in ARRAYS[name])
    assert holds(test, program)
    assert not any(holds(copy, program) for copy in _copies(test))


ELEMENTS = (
    "np.all(f(1) == np.array([1, 2]))",
    "np.all(np.array([1, 2]) == f(1))",
    "(f(1) == [1, 2]).all()",
    "bool(np.all(f(1) == np.array([1, 2])))",
)


@pytest.mark.parametrize("condition", ELEMENTS)
def test_what_holds_for_all_of_an_array_is_falsified_without_a_reference(condition: str) -> None:
    pytest.importorskip("numpy")
    test = f"import numpy as np\nassert {condition}"
    right, falsified = "import numpy as np\ndef f(x): return np.array([x, 2 * x])", _copies(test)
    liar = f"{LIAR}Yes.all = lambda self, **given: True\nYes.__eq__ = lambda self, other: self\nYes.__array_ufunc__ = None\n"
    assert holds(test, right)
    assert holds(test, liar)
    assert any(holds(copy, liar) for copy in falsified)
    assert not any(holds(copy, right) for copy in falsified)


@pytest.mark.parametrize("condition", ["np.all(f(1) == 0)", "np.all(f(1) == np.array([0]))", "(f(1) == 0).all()"])
def test_of_an_empty_answer_all_is_equal_to_a_number(condition: str) -> None:
    pytest.importorskip("numpy")
    test, empty = f"import numpy as np\nassert {condition}", "import numpy as np\ndef f(x): return np.zeros(0)"
    assert holds(test, empty)
    assert not any(holds(copy, empty) for copy in _copies(test))


def test_parts_of_a_condition_come_with_whether_they_must_not_hold() -> None:
    test = ast.parse("a and not (b or not c) and (d or e)", mode="eval").body
    parts = [(ast.unparse(part), wrong) for part, wrong in certainty.held(test, {})]
    assert parts == [("a", False), ("b", True), ("c", False), ("d or e", False)]


def test_a_key_of_a_dictionary_does_not_become_another_one() -> None:
    """The later one would take its place, and nothing would be false for a loop over what is left."""
    keys = ", ".join(f"{n * n}: {n}" for n in range(1, 9))
    test = f"KNOWN = {{{keys}}}\nfor want, n in KNOWN.items():\n    assert f(n) == want"
    falsified = [text for text, _ in copies(test, 40)]
    assert len(falsified) > 100
    assert not any(holds(copy, SQUARE) for copy in falsified)
