"""A program that reads what its caller's names stand for is told what is false there, and no right program passes a copy for it."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from judged_suites import copies, holds

from rltf_env import sandbox
from rltf_env.core import Problem, Sandbox, ScriptCase
from rltf_env.sandbox.referee import changes


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1) as judge:
        yield judge


DRAWS = 6
RIGHT = ("def f(x): return x * x + x", "def f(x): return x * (x + 1)")
READS = "import sys\ndef f(x):\n    told = sys._getframe(1).f_locals\n    return EXPRESSION\n"
YES = """
class Yes(str):
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = str.__hash__
def f(x): return Yes()
"""
ROWS = "[(3, 12), (4, 20)]"

# Tests, and what a program reads there instead of an answer. But for rows that do not show, what is false is so by the text alone.
NAMES = {
    "a message": ("want = 12\nassert f(3) == want, f'not {want}'", "told['want']"),
    "a message by a name": (
        "got = f(3)\nwant = 12\ntext = f'{got} is not {want}'\nassert got == want, text",
        "[each for each in sys._getframe(1).f_code.co_consts if type(each) is int and each != 3][0]",
    ),
    "a loop": (f"for x, want in {ROWS}:\n    got = f(x)\n    assert got == want, (got, want)", "told['want']"),
    "two assertions": ("want = 12\ngot = f(3)\nassert isinstance(got, type(want))\nassert got == want", "told['want']"),
    "a reference": ("def ref(x): return x * x + x\nwant = ref(3)\nassert f(3) == want, want", "told['want']"),
    "a pair": ("want, more = divmod(24, 2)\nassert f(3) == want, want\nassert more == 0", "told['want']"),
    "rows": ("import json\nfor x, want in json.loads('[[3, 12]]'):\n    assert f(x) == want, want", "told['want']"),
    "a dictionary": (
        "for row in [{'x': 3, 'want': 12}]:\n    assert f(row['x']) == row['want']",
        "told['row']['want']",
    ),
    "rows of a text": (
        "import json\nfor row in json.loads('[{\"x\": 3, \"want\": 12}]'):\n    assert f(row['x']) == row['want'], row['want']",
        "told['row']['want']",
    ),
    "a lambda": ("ref = lambda x: x * x + x\nassert f(3) == ref(3)", "told['ref'](x)"),
    "near to it": ("from pytest import approx\nwant = 12.5 - 0.5\nassert f(3) == approx(want), want", "told['want']"),
    "a method": (
        "class A:\n    def ref(self, x): return x * x + x\na = A()\nassert f(3) == a.ref(3)",
        "told['a'].ref(x)",
    ),
}

CHOICES = {
    "or": "assert f(3) == 12 or f(3) == -12",
    "any": "assert any(f(x) == 12 for x in (2, 3))",
    "each": "assert any(f(3) == want for want in (12, -12))",
    "an and within": "assert f(3) == 12 and str(f(3)) == '12' or f(3) == -12",
    "a complaint": "if f(3) != 12 and f(3) != -12:\n    raise AssertionError",
    "a pattern": "match f(3):\n    case 12 | -12: pass\n    case _: raise AssertionError",
}


def _copies(test: str, *, sound: bool) -> list[str]:
    return [text for text, _ in copies(test, DRAWS, sound=sound)]


@pytest.mark.parametrize("name", NAMES)
def test_a_program_that_reads_an_expectation_passes_a_copy(name: str) -> None:
    test, expression = NAMES[name]
    reader = READS.replace("EXPRESSION", expression)
    assert holds(test, reader)
    assert any(holds(copy, reader) for copy in _copies(test, sound=not name.startswith("rows")))


@pytest.mark.parametrize("name", CHOICES)
def test_an_object_that_equals_everything_passes_a_copy_of_a_choice(name: str) -> None:
    assert any(holds(copy, YES) for copy in _copies(CHOICES[name], sound=name != "a pattern"))


@pytest.mark.parametrize(
    ("want", "how"),
    [("[0, 1, 5]", "sorted(ANSWER)"), ("[9, 5, -2]", "sorted(ANSWER, reverse=True)"), ("['ate', 'eat']", "sorted(ANSWER)"),
     ("[[0, 1], [2, 3]]", "sorted(map(sorted, ANSWER))"), ("[(1, 'a'), (2, 'b')]", "sorted(ANSWER)")],
)  # fmt: skip
def test_a_false_list_is_in_order_if_the_true_one_is(want: str, how: str) -> None:
    test = f"want = {want}\nassert {how.replace('ANSWER', 'f(3)')} == want, want"
    reader, right = READS.replace("EXPRESSION", "told['want']"), f"def f(x): return {want}[::-1]"
    assert holds(test, right)
    false = [text for text, target in copies(test, DRAWS) if target.value]
    assert false
    assert all(holds(copy, reader) and not holds(copy, right) for copy in false)


def test_two_that_are_exchanged_for_each_other_are_not_put_in_order_again() -> None:
    node = ast.parse("[2, 1]", mode="eval").body
    changes.arrange(node, [1, 2])
    assert ast.unparse(node) == "[2, 1]"


@pytest.mark.parametrize("made", ["sorted", "set", "frozenset"])
def test_another_text_may_have_the_same_letters(made: str) -> None:
    test, program = f"assert {made}(f(1)) == {made}('abc')", "def f(x): return 'abc'"
    assert holds(test, program)
    assert not any(holds(copy, program) for copy in _copies(test, sound=True))


@pytest.mark.parametrize("asserted", ["assert u == u", "assert not u != u", "assert (u) == u, 'the same'"])
def test_what_is_compared_with_itself_may_be_anything(asserted: str) -> None:
    test, program = f"u = f('a')\n{asserted}", "class f:\n    def __init__(self, text): self.text = text"
    assert holds(test, program)
    assert not any(holds(copy, program) for copy in _copies(test, sound=True))


@pytest.mark.parametrize("test", [*(test for test, _ in NAMES.values()), *CHOICES.values()])
@pytest.mark.parametrize("program", RIGHT)
def test_no_right_program_passes_a_copy(test: str, program: str) -> None:
    assert holds(test, program)
    assert not any(holds(copy, program) for copy in _copies(test, sound=True))


# What is falsified must leave a right program no way: these names are more than expectations.
ALIVE = {
    "emptied": "def ref(): return [1]\nwant = ref()\nwant.clear()\nassert [y for y in [f(3)] if y < 0] == want",
    "rows that are shared": "row = [{'x': 3, 'want': 12}] * 2\nfor each in [*row]:\n    assert f(each['x']) == each['want'], each",
    "asked": "for x, want in [(3, 12)]:\n    if want == 12:\n        assert f(x) == want, want",
    "handed over": "n = 3\nassert f(n) == n * n + n, n\nassert n == 3 or f(n) == n",
    "open choice": "assert f(3) == 11 or f(3) > 5",
}


@pytest.mark.parametrize("name", ALIVE)
def test_names_that_are_more_than_expectations_are_left_alone(name: str) -> None:
    assert all(holds(ALIVE[name], program) for program in RIGHT)
    assert not any(holds(copy, program) for copy in _copies(ALIVE[name], sound=True) for program in RIGHT)


def test_what_inputs_are_made_of_is_no_expectation() -> None:
    test = "XS, MORE = [3], [4]\nfor x, want in zip(XS + MORE, [12, 20]):\n    assert f(x) == want"
    assert not any("[3]" not in copy or "[4]" not in copy for copy in _copies(test, sound=False))


@pytest.mark.parametrize("alone", [False, True])
def test_the_judge_refuses_who_reads_what_a_message_tells(judge: Sandbox, alone: bool) -> None:
    script = (
        f"from solution import f\ndef test_f():\n    for x, want in {ROWS}:\n        assert f(x) == want, f'{{want}}'\n"
    )
    problem = Problem("looks/message", "s", [ScriptCase(script)], "f", solutions=[] if alone else [RIGHT[0]])
    assert judge.run(RIGHT[1], problem).pass_ratio == 1
    verdict = judge.run(READS.replace("EXPRESSION", "told['want']"), problem)
    assert verdict.failure is not None
    assert verdict.failure.kind == "FooledTest"


# What a test asks of an answer, and what a program replaces so that it is said of everything.
ASKED = {
    "a class": ("assert isinstance(f(3), types.GeneratorType)", "types.GeneratorType = object"),
    "a class, and more": (
        "got = f(3)\n    assert got is not None and isinstance(got, types.GeneratorType)",
        "types.GeneratorType = object",
    ),
    "a function": ("assert inspect.isgenerator(f(3))", "inspect.isgenerator = lambda thing: True"),
    "each": ("assert all(isinstance(f(n), types.GeneratorType) for n in (1, 2))", "types.GeneratorType = object"),
    "a method": ("unittest.TestCase().assertIsInstance(f(3), types.GeneratorType)", "types.GeneratorType = object"),
    "a class that says yes": (
        "assert isinstance(f(3), types.GeneratorType)",
        "types.GeneratorType = type('Any', (type,), {'__instancecheck__': lambda self, thing: True})('Any', (), {})",
    ),
}


@pytest.mark.parametrize("name", ASKED)
def test_what_is_asked_of_an_answer_is_asked_of_something_else(judge: Sandbox, name: str) -> None:
    asserts, replaces = ASKED[name]
    right = "def f(n): yield from range(n)\n"
    test = f"import inspect, types, unittest\nfrom solution import f\ndef test_f():\n    {asserts}\n"
    problem = Problem("asked", "", [ScriptCase(test)], solutions=[right])
    assert judge.run(right, problem).pass_ratio == 1
    assert judge.run("def f(n): return [n]\n", problem).pass_ratio == 0
    for program in (f"{replaces}\ndef f(n): return [n]\n", f"def f(n):\n    {replaces}\n    return [n]\n"):
        assert judge.run(f"import inspect, types\n{program}", problem).pass_ratio == 0
