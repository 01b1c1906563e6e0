"""What is falsified in a copy of a test: no right program passes it, and one that fools the comparison does."""

from __future__ import annotations

import ast
import random
import textwrap
from collections import Counter
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from judged_suites import copies, holds, judged, share

from rltf_env import sandbox
from rltf_env.core import Sandbox
from rltf_env.sandbox.referee import computed

DRAWS = 12  # of what each target becomes


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1, case_seconds=1.0, cache=0) as judge:
        yield judge


_judged = partial(judged, entry_point="f")

# Scripts that call `f`, programs that are right there, each in its own way.
RIGHT = {
    "tolerance of a share": (
        "import math\nassert math.isclose(f(1), 100, rel_tol=0.1)\nassert math.isclose(f(2), -7.5, abs_tol=2)",
        ["def f(x): return {1: 93, 2: -9}[x]", "def f(x): return {1: 108, 2: -6}[x]"],
    ),
    "approx": (
        "from pytest import approx\nassert f(1) == approx(10, 0.5)\nassert f(2) == approx(20, abs=10)\n"
        "assert f(2) == approx(20.0 / 1, rel=0.6)\nassert [f(3)] == approx([0.25])",
        ["def f(x): return {1: 6, 2: 29, 3: 0.25}[x]", "def f(x): return {1: 14, 2: 11, 3: 0.25}[x]"],
    ),
    "near to": (
        "assert abs(f(1) - 5) < 3\nassert abs(0.5 - f(2)) <= 1e-9\nif abs(f(1) - 5) > 3:\n    raise AssertionError",
        ["def f(x): return {1: 3, 2: 0.5}[x]", "def f(x): return {1: 7.5, 2: 0.5}[x]"],
    ),
    "a short text": (
        "assert ',' in f(1)\nassert '3' in f(1)\nassert 'x' not in f(1)",
        ["def f(x): return 'a,3'", "def f(x): return 'abcdefghijklmnopqrstuvwyz, 0123456789'"],
    ),
    "infinite and empty": (
        "def reference(x):\n    return [float('inf'), float('-inf'), 0, 1e300, -0.0][x]\nINF = float('inf')\n"
        "for x in range(5):\n    assert f(x) == reference(x)\nassert f(0) == INF\nassert f(0) == 10 * float('inf')",
        ["def f(x): return [float('inf'), -float('inf'), 0, 10.0 ** 300, 0.0][x]"],
    ),
    "relations": (
        "assert f(1) == f(-1)\nassert f(1) != f(2)\nif f(1) == f(3):\n    raise AssertionError\n"
        "if f(2) != f(-2):\n    raise AssertionError\nassert f(1) < f(2)",
        ["def f(x): return x * x", "def f(x): return abs(x)", "def f(x): return 'abc'[abs(x) - 1]"],
    ),
    "complaints": (
        "if f(1) != 2 or f(2) != 4:\n    raise AssertionError\nif not f(3) == 6:\n    raise ValueError\n"
        "if f(1) == 3:\n    raise AssertionError\nif f(4) == 8:\n    pass\nelse:\n    assert False\n"
        "if f(1) not in (2, 5):\n    raise AssertionError\nif f(1) in (3, 4):\n    raise AssertionError",
        ["def f(x): return 2 * x", "def f(x): return x + x + 0.0"],
    ),
    "exits": (
        "import sys\ndef main():\n    assert f(1) == 2\n    return 0\n"
        "if f(1) != 2:\n    sys.exit(1)\nif f(1) == 2:\n    pass\nelse:\n    sys.exit('two')\n"
        "if __name__ == '__main__':\n    sys.exit(main())",
        ["def f(x): return 2 * x"],
    ),
    "equality that is denied": (
        "assert not f(1) == {1: 2}\nassert not f(2) == {2: 3}",
        [
            "class D(dict):\n    def __eq__(self, other): return type(other) is D and dict.__eq__(self, other)\n"
            "def f(x): return D({x: x + 1})",
            "def f(x): return {}",
        ],
    ),
    "handlers": (
        "try:\n    f(1)\n    assert False\nexcept ValueError:\n    pass\nimport pytest\nwith pytest.raises(Exception):\n    f(1)",
        ["def f(x): raise ValueError", "def f(x): raise UnicodeDecodeError('a', b'', 0, 1, 'b')"],
    ),
    "computed": (
        "for x in ('', 'ab'):\n    assert f(x) == x[::-1]\n"
        "for x in ([], [1, 2]):\n    y = list(reversed(x))\n    assert f(x) == y\n"
        "assert f((1, 2)) == tuple(reversed((1, 2)))\nz = {1}\nassert set(f([1])) == z | z\nassert (f('a') == 'a') == bool('a')",
        ["def f(x): return x[::-1]"],
    ),
    "twice in a display": (
        "assert f(1) == {1, 2, 1, True}\nassert f(2) == {'a': 1, 'b': 2, 'a': 3}\nassert [f(1)] == [{2, 1, 2}]\n"
        "for x, y in {3: 4, 3: 5}.items():\n    assert f(x) == y",
        ["def f(x): return {1: {1, 2}, 2: {'a': 3, 'b': 2}, 3: 5}[x]"],
    ),
    "only counted": (
        "import unittest\nself = unittest.TestCase()\nkeys = {'a': 1, 'b': 2}\nletters = 'abc'\n"
        "self.assertCountEqual(f(1), {'a': 1, 'b': 2})\nself.assertCountEqual(keys, f(1))\n"
        "self.assertCountEqual(f(1), {x: 1 for x in 'ab'})\nself.assertCountEqual(f(2), letters)\n"
        "for letters in ('abc', 'bca'):\n    self.assertCountEqual(f(2), letters)\nself.assertCountEqual(f(1), ['a', 'b'])",
        ["def f(x): return {1: 'ab', 2: 'cba'}[x]", "def f(x): return [*'ba', *'c' * (x - 1)]"],
    ),
    "computed members": (
        "assert f(1) in [max([1, 5, 3]), 7]\nassert f(2) in (len('ab'), 3)\nassert f(1) in [5, 6]",
        ["def f(x): return {1: 5, 2: 2}[x]"],
    ),
}


@pytest.mark.parametrize("name", sorted(RIGHT))
def test_no_right_program_passes_a_copy_that_is_false_by_its_text_alone(name: str) -> None:
    script, programs = RIGHT[name]
    assert all(holds(script, program) for program in programs)
    falsified = [copy for copy, _ in copies(script, DRAWS)]
    assert falsified
    for copy in falsified:
        for program in programs:
            assert not holds(copy, program), copy


YES = """
class Yes(float):
    def __eq__(self, other): return True
    def __ne__(self, other): return BOTH
    def __sub__(self, other): return 0.0
    __rsub__ = __sub__
    def __round__(self, digits=None): return 0
    def __hash__(self): return 4
def f(x): return Yes(4)
"""
ASSERTING = {
    "computed": """
def reference(x):
    return x * x
def test():
    for x in range(3):
        assert f(x) == reference(x)
""",
    "a name": """
def test():
    for x in range(3):
        y = x * x
        assert f(x) == y
""",
    "near to": """
def test():
    assert abs(f(2) - 4) < 1e-6
""",
    "a raise": """
def test():
    if f(2) != 4:
        raise ValueError('four')
""",
    "a failure": """
import unittest
class Test(unittest.TestCase):
    def test(self):
        if f(2) != 4:
            self.fail('four')
""",
    "a count": """
def test():
    bad = 0
    for x, y in [(1, 1), (3, 9)]:
        if f(x) != y:
            bad += 1
    assert not bad
""",
    "kept": """
def test():
    results = []
    for x, y in [(1, 1), (3, 9)]:
        results.append(f(x) == y)
    assert all(results)
""",
}


@pytest.mark.parametrize("name", sorted(ASSERTING))
def test_an_object_that_equals_everything_is_found_out_however_a_test_asserts(judge: Sandbox, name: str) -> None:
    test = "from solution import f\n" + ASSERTING[name]
    reference = "def f(x): return x * x"
    assert _judged(judge, reference, test, reference).failure is None
    verdict = _judged(judge, YES.replace("BOTH", "False"), test, reference)
    assert verdict.failure is not None
    assert verdict.failure.kind == "FooledTest"


def test_an_object_that_is_equal_and_unequal_is_found_out_where_answers_are_compared_with_each_other(
    judge: Sandbox,
) -> None:
    test = "from solution import f\ndef test():\n    assert f(2) == f(-2)\n    assert f(2) != f(3)\n"
    verdict = _judged(judge, YES.replace("BOTH", "True"), test)
    assert verdict.failure is not None
    assert verdict.failure.kind == "FooledTest"
    assert _judged(judge, "def f(x): return x * x", test).failure is None


ORACLES = {
    "the test's function": "import sys\ndef f(x): return sys._getframe(1).f_globals['reference'](x)",
    "the test's name": "import sys\ndef f(x): return sys._getframe(1).f_locals['y']",
}


@pytest.mark.parametrize("solutions", [["def f(x): return x * x"], []])
@pytest.mark.parametrize("oracle", sorted(ORACLES))
def test_a_program_that_asks_the_test_for_the_answer_is_found_out(
    judge: Sandbox, oracle: str, solutions: list[str]
) -> None:
    inline = "        assert f(x) == reference(x)\n"
    named = "        y = reference(x)\n        assert f(x) == y\n"
    test = "from solution import f\ndef reference(x):\n    return x * x\ndef test():\n    for x in range(3):\n"
    verdicts = [
        _judged(judge, ORACLES[oracle], test + (named if "name" in oracle else inline), *solutions) for _ in range(4)
    ]
    assert all(verdict.failure and verdict.failure.kind == "FooledTest" for verdict in verdicts)


def test_inputs_in_a_list_that_a_loop_goes_through_stay(judge: Sandbox) -> None:
    test = (
        "from solution import f\nCASES = [('2020-01-15', True), ('x', False)]\ndef test():\n"
        "    for text, want in CASES:\n        assert f(text) == want\n"
    )
    for copy, target in copies(test, DRAWS, sound=False):
        assert not target.value or "[('2020-01-15', " in copy
    lenient = "import re\ndef f(x): return bool(re.match(r'\\d+-\\d+-\\d+', x))"
    strict = (
        "from datetime import date\ndef f(x):\n    try:\n        return bool(date.fromisoformat(x))\n"
        "    except ValueError:\n        return False"
    )
    assert _judged(judge, lenient, test, strict).failure is None


@pytest.mark.parametrize("row", ["(2, 'no')", "{0: 2, 1: 'no'}"])
@pytest.mark.parametrize(
    "head",
    ["@pytest.mark.parametrize('row', CASES)\ndef test(row):\n    ", "def test():\n    for row in CASES:\n        "],
)
def test_what_cases_of_the_module_expect_is_falsified_where_it_stands(head: str, row: str) -> None:
    test = f"import pytest\nfrom solution import f\nCASES = [{row}]\n{head}assert f(row[0]) == row[1]\n"
    texts = [text for text, target in copies(test, DRAWS) if target.value]
    assert any("'no'" not in text for text in texts)
    assert all("2, " in text for text in texts)


@pytest.mark.parametrize(
    ("text", "kind"),
    [("len(x) + 1", "int"), ("f'{x}'", "text"), ("sorted(x)[::-1]", "any"), ("x in y", "bool"), ("double(1)", "int"),
     ("sum(x) / 2", "any"), ("{k: 1 for k in x}", "any")],
)  # fmt: skip
def test_a_computed_value_is_changed_after_its_kind(text: str, kind: str) -> None:
    function = ast.parse("def double(n):\n    return 2 * 3 if n else 1").body[0]
    assert isinstance(function, ast.FunctionDef)
    assert computed.Kinds({}, [function]).of(ast.parse(text, mode="eval").body) == kind


@pytest.mark.parametrize(
    "value",
    [0, 1, -1, 7, True, False, "", "ab", [], [1], (), (1,), 0.0, 2.5, float("inf"), -1e300, None, 3j, {}, {1: [2]}, set(), {3, 4},
     frozenset({5}), [object()], [[], [1, 2]], Counter("aab")],
)  # fmt: skip
def test_a_change_for_any_kind_makes_another_value_of_each(value: object) -> None:
    for seed in range(DRAWS):
        assert _changed(value, seed) != value


@pytest.mark.parametrize("value", [[1, 2], (3, "ab"), {1: 2, 3: 4}, [[1, 2], [3]], {"a": [(1, 2)]}, Counter("ab")])
def test_what_a_container_holds_is_changed_and_not_how_much(value: Any) -> None:
    for seed in range(DRAWS):
        assert _shape(_changed(value, seed)) == _shape(value)


EVERYTHING = """
class Yes:
    def __eq__(self, other): return True
def f(x): return ANSWER
"""
HELD = {
    "a list": ("for x in ([], [3, 1]):\n    assert f(x) == sorted(x)", "[Yes() for _ in x]"),
    "a dictionary": ("from collections import Counter\nassert f('aba') == Counter('aba')", "{key: Yes() for key in x}"),
    "a pair": ("for x in (7, 9):\n    assert f(x) == divmod(x, 2)", "(Yes(), Yes())"),
    "rows": ("x = [[1, 2], [3, 4]]\nassert f(x) == [list(row) for row in zip(*x)]", "[[Yes()] * 2] * 2"),
    "a reference": ("def ref(x):\n    return [n + 1 for n in x]\nassert f([1, 2]) == ref([1, 2])", "[Yes(), Yes()]"),
}


@pytest.mark.parametrize("name", HELD)
def test_a_container_of_objects_that_equal_everything_passes_a_copy(name: str) -> None:
    test, answer = HELD[name]
    program = EVERYTHING.replace("ANSWER", answer)
    assert holds(test, program)
    assert any(holds(copy, program) for copy, _ in copies(test, DRAWS, sound="[]" not in test))


@pytest.mark.parametrize("near", ["approx(want, rel=MOST)", "approx(want, abs=MOST)"])
def test_what_is_computed_and_near_by_a_name_is_falsified(near: str) -> None:
    test = f"import math\nfrom pytest import approx\nMOST = 0.1\nwant = math.sqrt(2)\nassert f(2) == {near}"
    reads = "import sys\ndef f(x): return sys._getframe(1).f_locals['want']"
    found = [(text, target.sound) for text, target in copies(test, DRAWS, sound=False) if target.value]
    assert any(holds(text, reads) for text, _ in found)
    assert not any(sound or holds(text, "def f(x): return x ** 0.5 + 0.01") for text, sound in found)


@pytest.mark.parametrize("other", ["class Row:\n    want: int = 0\n", "want = 0\n"])
def test_a_parameter_is_not_what_is_spelled_alike_outside(other: str) -> None:
    test = (
        f"import pytest\n{other}ROWS = [(2, 4)]\n@pytest.mark.parametrize('x,want', ROWS[:1])\n"
        "def test(x, want):\n    assert f(x) == want\n"
    )
    assert all("want = 0" in text or "want: int = 0" in text for text, _ in copies(test, DRAWS, sound=False))


def test_a_container_that_a_helper_finds_near_to_another_is_changed_inside() -> None:
    test = (
        "def assert_near(got, want):\n    for x, y in zip(got, want, strict=True):\n        assert abs(x - y) < 1e-6\n"
        "def ref(x):\n    return [n + n for n in x]\ndef test():\n    assert_near(f([1, 2]), ref([1, 2]))\n"
    )
    asks, right = "def f(x): return ref(x)", "def f(x): return [2 * n for n in x]"
    texts = [f"{text}\ntest()" for text, target in copies(test, DRAWS, sound=False) if target.value]
    assert any(holds(text, asks) for text in texts)
    assert not any(holds(text, right) for text in texts)


def _changed(value: object, seed: int) -> Any:
    new = ast.Expression(computed.changed(ast.Name("value", ast.Load()), "any", random.Random(seed)))
    return eval(compile(ast.fix_missing_locations(new), "<test>", "eval"), {"value": value})


def _shape(value: Any) -> Any:
    """A container as nested lists, with nothing in them; of a dictionary, with its keys."""
    if isinstance(value, dict):
        return {key: _shape(part) for key, part in value.items()}
    return [*map(_shape, value)] if isinstance(value, (list, tuple)) else None


BOXES = """
import copy
import unittest
{head}

class Child({box}):
    colour = 3

class Shared:
    kind = None

    def test_update(self):
        one, other = self.kind(a=1, b=2), self.kind(a=3)
        other.update(a=1, b=2)
        self.assertDictEqual(one, other)

    def test_len(self):
        self.assertEqual(len(self.kind(a=1)), 1)

class BoxTests(Shared, unittest.TestCase):
    kind = {box}

class ChildTests(Shared, unittest.TestCase):
    kind = Child

class CopyTests(unittest.TestCase):
    def test_copy(self):
        copy.copy({box}(a=1))
"""


@pytest.mark.parametrize("solutions", [["class Box(dict):\n    pass\n"], []])
@pytest.mark.parametrize(
    ("head", "box"),
    [
        ("from solution import Box", "Box"),
        ("from solution import Box as Crate", "Crate"),
        ("import solution as s", "s.Box"),
    ],
)
def test_what_a_test_calls_by_a_name_of_its_own_is_the_program_s_and_is_handed_inputs(
    judge: Sandbox, head: str, box: str, solutions: list[str]
) -> None:
    empty = "class Box(dict):\n    def __init__(self, **given): pass\n    def update(self, **given): pass\n"
    verdict = judged(judge, empty, BOXES.format(head=head, box=box), *solutions)
    assert (share(verdict), verdict.unguarded) == ((3, 5), 1)


@pytest.mark.parametrize("limit", ["rel=NEAR", "abs=10 ** -4"])
def test_what_is_near_by_a_limit_that_does_not_show_is_falsified_with_a_reference(limit: str) -> None:
    test = f"from pytest import approx\nNEAR = 1e-6\nassert f(3) == approx(12.5, {limit})"
    right, yes = "def f(x): return x * 4 + 0.5", EVERYTHING.replace("ANSWER", "Yes()")
    assert holds(test, right)
    falsified = [copy for copy, target in copies(test, DRAWS, sound=False) if target.value]
    assert any(holds(copy, yes) for copy in falsified)
    assert not any(holds(copy, right) for copy in falsified)
    assert not [copy for copy, target in copies(test, DRAWS) if target.value]


LOADED = """
import unittest
from solution import f
class Row(unittest.TestCase):
    def __init__(self, x, want):
        super().__init__("check")
        self.x, self.want = x, want
    def check(self):
        self.assertEqual(f(self.x), self.want)
    def id(self):
        return f"row.Row.{self.x}"
def load_tests(loader, tests, pattern):
    return unittest.TestSuite(Row(x, want) for x, want in [(1, 2), (0, 0), (-3, -6)])
"""


def test_tests_that_are_made_with_a_method_of_any_name_are_guarded(judge: Sandbox) -> None:
    right = "def f(x): return 2 * x"
    assert judged(judge, right, LOADED, right).pass_ratio == 1
    assert judged(judge, EVERYTHING.replace("ANSWER", "Yes()"), LOADED, right).pass_ratio == 0


MEMBERS = {
    "a name": "OK = [4, 5]\nassert f(2) in OK",
    "rows": "for x, want in [(1, [2, 7]), (3, [6])]:\n    assert f(x) in want",
    "a table": "T = {1: [2, 7], 3: [6]}\nfor x in T:\n    assert f(x) in T[x]",
    "computed": "assert f(2) in range(3, 6)\nassert f(3) in [2 * n for n in range(4)]",
    "an input": "xs = [4, 2]\nassert f(xs[1]) in xs",
    "one of two": "assert f(2) in (4, 5) or f(2) is None\nassert not (f(3) not in [6] and f(3) != 0)",
    "the program's own": "assert f(2) in [f(1), f(2)]",
    "a method": "import unittest\nfor x, want in zip([1, 3], [[2, 7], [6]]):\n    unittest.TestCase().assertIn(f(x), want)",
}
MEMBER = """
class Yes:
    def __eq__(self, other): return True
def f(x): return Yes()
"""


@pytest.mark.parametrize("references", [1, 0])
@pytest.mark.parametrize("name", sorted(MEMBERS))
def test_an_object_that_is_in_everything_is_refused(judge: Sandbox, name: str, references: int) -> None:
    right, solutions = "def f(x): return 2 * x", ["def f(x): return x + x"] * references
    assert all(holds(MEMBERS[name], program) for program in (right, MEMBER))
    test = "from solution import f\ndef test_f():\n" + textwrap.indent(MEMBERS[name], "    ")
    assert _judged(judge, right, test, *solutions).pass_ratio == 1
    assert _judged(judge, MEMBER, test, *solutions).pass_ratio == 0


def test_a_parameter_with_the_name_of_the_program_s_module_is_an_expectation(judge: Sandbox) -> None:
    rows = "import pytest\nfrom total import f\n@pytest.mark.parametrize('x, total', [(1, 2), (3, 6)])\n"
    test = f"{rows}def test_f(x, total):\n    assert f(x) == total"
    reader = "import sys\ndef f(x): return sys._getframe(1).f_locals['total']"
    assert _judged(judge, "def f(x): return 2 * x", test).pass_ratio == 1
    assert _judged(judge, reader, test).pass_ratio == 0
