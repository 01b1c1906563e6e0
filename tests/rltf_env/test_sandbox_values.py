"""What a program's values may do to whoever compares them, to the cases behind it, and to the programs after it: nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from rltf_env import sandbox
from rltf_env.core import CallCase, FailureKind, Outcome, Problem, ScriptCase, StdinCase
from rltf_env.sandbox.pool.pool import PoolSandbox

ADD = Problem("add", "", [CallCase((1, 2), 3), CallCase((5, 5), 10)], "add")


@pytest.fixture(scope="module", params=["forkserver", "subprocess"])
def judge(request: pytest.FixtureRequest) -> Iterator[PoolSandbox]:
    with sandbox.load(request.param, workers=1, case_seconds=0.5, memory_mb=300) as opened:
        yield opened


def script(text: str, entry_point: str, *solutions: str) -> Problem:
    return Problem("script", "", [ScriptCase(text)], entry_point, solutions=solutions)


def kind(judge: PoolSandbox, source: str, problem: Problem) -> str | None:
    failure = judge.run(source, problem).failure
    return failure.kind if failure else None


# ---------------------------------------------------------------------------------------------------------- comparing


def test_values_that_raise_when_they_are_compared_are_wrong(judge: PoolSandbox) -> None:
    nan = "from decimal import Decimal\ndef add(a, b): return Decimal('sNaN')"
    assert kind(judge, nan, ADD) == FailureKind.WRONG_ANSWER
    keys = Problem("keys", "", [CallCase((1,), {"1": 2})], "f")
    assert kind(judge, "def f(a): return {1 << 20000: 2}", keys) == FailureKind.WRONG_ANSWER


def test_containers_of_the_library_are_equal_to_what_they_hold(judge: PoolSandbox) -> None:
    rows = Problem("rows", "", [CallCase((), {"a": [1]})], "f")
    for maker in ("ChainMap({'a': UserList([1])}, {'a': 2})", "UserDict(a=[1])", "MappingProxyType({'a': [1]})"):
        program = f"from collections import *\nfrom types import *\ndef f(): return {maker}"
        assert judge.run(program, rows).outcome is Outcome.PASSED
    for maker in ("ChainMap({'a': [2]}, {'a': [1]})", "UserDict(a=object())", "ChainMap([1])", "UserString('a')"):
        program = f"from collections import *\ndef f(): return {maker}"
        assert kind(judge, program, rows) in (FailureKind.WRONG_ANSWER, "Unrepresentable")


OWN = """
from collections import *
from decimal import Decimal
from enum import IntFlag, StrEnum
from fractions import Fraction
class Always:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    __hash__ = None
class Items(UserList):
    def top(self): return self[-1]
class Table(UserDict): pass
class Text(UserString): pass
class Tally(Counter): pass
class Ordered(OrderedDict): pass
class Defaults(defaultdict): pass
class Line(deque): pass
class Share(Fraction): pass
class Price(Decimal): pass
class Meta(type):
    __eq__ = Always.__eq__
    __hash__ = type.__hash__
class Odd(list, metaclass=Meta): pass
class Name(StrEnum): A = "a"
class Bits(IntFlag): A, B = 1, 2
class FalseItems(Always, UserList): pass
class FalseText(Always, UserString): pass
class FalseTally(Always, Counter): pass
class FalseShare(Always, Fraction): pass
"""
EQUAL = {  # an answer, and what Python finds equal to it
    "Items([1, Items([2])])": "[1, [2]]",
    "Table(a=1)": "{'a': 1}",
    "Text('ab')": "'ab'",
    "Tally('aab')": "{'a': 2, 'b': 1}",
    "Ordered(b=1, a=2)": "{'a': 2, 'b': 1}",
    "[Defaults(lambda: 3, a=2)]": "[{'a': 2}]",
    "Line([1, 2])": "deque([1, 2])",
    "Share(1, 2)": "0.5",
    "Price('0.50')": "0.5",
    "Odd([1])": "[1]",
    "[Name.A]": "['a']",
    "Bits.A | Bits.B": "3",
    "memoryview(b'abcd')[::2]": "b'ac'",
    "{1: 2, 3: 4}.keys()": "{1, 3}",
    "OrderedDict(a=1).items()": "{('a', 1)}",
    "Table(a=1).keys()": "{'a'}",
}
DIFFERENT = {
    "FalseItems([1])": "[2]",
    "FalseText('a')": "'b'",
    "FalseTally('a')": "{'b': 1}",
    "FalseShare(1, 2)": "0.25",
    "Items([1])": "(1,)",
    "memoryview(b'ab')": "b'ac'",
    "{1: 2}.keys()": "[1]",
    "{1: 2}.values()": "[2]",
}
ORDER = {"Ordered(b=1, a=2)": "OrderedDict(a=2, b=1)", "type('Counter', (dict,), {})(a=1, b=0)": "Counter('a')"}


@pytest.mark.parametrize("way", ["call", "script"])
def test_an_answer_is_what_it_is_as_plain_data_whatever_its_class(judge: PoolSandbox, way: str) -> None:
    names: dict[str, object] = {}
    exec("from collections import *", names)
    for answers, right in ((EQUAL, True), (DIFFERENT, False), *([(ORDER, False)] if way == "script" else [])):
        for answer, expected in answers.items():
            case = (
                CallCase((), eval(expected, names))
                if way == "call"
                else ScriptCase(f"from collections import *\nassert f() == {expected}")
            )
            plain = f"from collections import *\ndef f(): return {expected}"
            verdict = judge.run(f"{OWN}\ndef f(): return {answer}", Problem("own", "", [case], "f", solutions=[plain]))
            assert verdict.way in ("", "apart")
            assert (verdict.outcome is Outcome.PASSED) is right, (answer, verdict.failure)


@pytest.mark.parametrize(
    ("answer", "expected"), [("1.5", 1.5), ("[np.longdouble(1) / 3]", [1 / 3]), ("(1, 2)[:1]", [])]
)
def test_long_numbers_of_numpy_are_near_to_what_they_are_near_to(answer: str, expected: object) -> None:
    source = f"import numpy as np\ndef f(): return np.longdouble({answer}) if {answer[0] != '['} else {answer}"
    with sandbox.load("forkserver", workers=1, packages=("numpy",)) as opened:
        verdict = opened.run(source, Problem("long", "", [CallCase((), expected)], "f"))
    assert (verdict.outcome is Outcome.PASSED) is (expected != []), verdict.failure


def test_a_checker_that_raises_did_not_find_the_answer_right(judge: PoolSandbox) -> None:
    text = "def check(given, expected, got):\n    return int(got) > 3"
    problem = Problem("more", "", [StdinCase("", "4\n")], meta={"checker": text})
    assert kind(judge, "print(5)", problem) is None
    verdict = judge.run("print('five')", problem)
    assert verdict.failure is not None
    assert verdict.failure.kind == FailureKind.WRONG_ANSWER
    assert "the checker raised ValueError" in verdict.failure.message


@pytest.mark.parametrize(
    "answer",
    [
        "    x = []\n    for _ in range(200): x = [x]\n    return x",
        "    __import__('os').write(3, b'{\"m\": 1}\\n')\n    return 2",
    ],
)
def test_values_that_cannot_be_handed_on_are_the_program_s_fault(judge: PoolSandbox, answer: str) -> None:
    source = f"def g(x): return 2\ndef f(n):\n{answer}\n"
    right = "def g(x): return 2\ndef f(n): return n"
    assert kind(judge, source, script("assert g(f(1)) == 2", "f", right)) == FailureKind.UNREPRESENTABLE


def test_the_time_for_comparing_is_that_of_all_cases_together() -> None:
    problem = Problem("powers", "", [ScriptCase("assert f(3) ** 3 == 27")] * 30, "f")
    source = "def f(x): return (1 << 3000000) - 5"
    with sandbox.load("forkserver", workers=1, check_seconds=1.0, output_bytes=1 << 24) as opened:
        opened.run(source, ADD)  # it has started
        began = time.process_time(), time.monotonic()
        results = opened.run(source, problem).results
        assert time.monotonic() - began[1] < 30
    kinds = [r.failure.kind for r in results if r.failure]
    assert FailureKind.NOT_RUN in kinds, "a case takes 0.2 s and more"
    assert FailureKind.TIMEOUT in kinds


# ------------------------------------------------------------------------------------------- those who come afterwards


def test_a_program_is_not_told_what_an_earlier_one_answered(judge: PoolSandbox) -> None:
    """The argument of the second call is the answer to the first."""
    problem = script("a = f(123)\nassert a == 15129\nassert g(a) == 15130", "f")
    honest = "def f(n): return n * n\ndef g(x): return x + 1"
    cheat = """
import sys
def f(n):
    frame = sys._getframe(1)
    while frame:
        for value in list(frame.f_locals.values()):
            for op in value if type(value) is list else ():
                if type(op) is tuple and op[0] == "call" and op[2] and op[3][0] != [n]:
                    return op[3][0][0]
        frame = frame.f_back
    return 0
def g(x): return x + 1
"""
    assert kind(judge, honest, problem) is None
    assert kind(judge, cheat, problem) is not None


def test_a_program_is_not_asked_what_only_an_earlier_one_had_to_be(judge: PoolSandbox) -> None:
    texts = ("for x in items(3):\n    assert double(x) == 2 * x", "assert double(4) == 8")
    right = "def items(n): return list(range(n))\ndef double(x): return 2 * x\n"
    problem = Problem("double", "", [ScriptCase(text) for text in texts], "double", solutions=[right])
    slow = "def double(x):\n    r = 0\n    for _ in range(x): r += 2\n    return r\n"
    hostile = "def items(n): return [10 ** 10] * 200\ndef double(x): return 2 * x\n"
    assert kind(judge, hostile, problem) is None
    assert kind(judge, slow + "def items(n): return list(range(n))\n", problem) is None


def test_cases_that_share_a_process_share_no_memory() -> None:
    problem = Problem("squares", "", [CallCase((i,), i * i) for i in range(6)], "f")
    source = "dp = [0] * (6 * 10 ** 6)\ndef f(x):\n    dp[x] = x * x\n    return dp[x]"
    cycles = "def f(x):\n    row = [0] * (6 * 10 ** 6)\n    row[0] = row\n    return x * x"
    with sandbox.load("forkserver", workers=1, memory_mb=130) as opened:
        assert opened.run(source, problem).outcome is Outcome.PASSED
        assert opened.run(cycles, problem).outcome is Outcome.PASSED


# ------------------------------------------------------------------------------------------------------------- alike


@pytest.mark.parametrize("options", [{}, {"isolate": True}, {"trace": True}, {"trace_cases": True}])
def test_a_program_may_go_as_deep_wherever_it_runs(options: dict[str, bool]) -> None:
    two = Problem("depth", "", [CallCase((995,), 995), CallCase((1,), 1)], "f")
    source = "def f(n): return 0 if n == 0 else 1 + f(n - 1)\n"
    long = "def f(n):\n    if 0: x = " + "1+" * 2900 + "1\n    return n\n"
    with sandbox.load("forkserver", workers=1, **options) as opened:
        for text in (source, long, long + "#" * (1 << 13)):  # which is too long to be compiled ahead
            assert opened.run(text, two).outcome is Outcome.PASSED
        assert kind(opened, source.replace("1 + f(n - 1)", "1 + f(n)"), two) == "RecursionError"


# ----------------------------------------------------------------------------------------------------------- scripts


def test_what_a_thing_of_the_program_s_holds_is_not_for_it_to_say(judge: PoolSandbox) -> None:
    everything = "class All:\n    def __contains__(self, x): return True\ndef factors(n): return All()\n"
    problem = script("assert 3 in factors(12)", "factors", "def factors(n): return [1, 2, 3, 4, 6, 12]")
    assert kind(judge, everything, problem) == FailureKind.UNREPRESENTABLE
    assert kind(judge, everything, script("assert 3 in factors(12)", "factors")) == FailureKind.UNREPRESENTABLE
    bag = "class Bag:\n    def __init__(self, *x): self.x = x\n    def __contains__(self, y): return y in self.x\n"
    assert kind(judge, bag, script("assert 3 in Bag(1, 3)", "Bag", bag)) is None
    assert kind(judge, bag, script("assert 3 in Bag(1, 3)", "Bag")) is None


def test_an_end_of_iteration_ends_no_loop_of_the_script_s(judge: PoolSandbox) -> None:
    problem = script("assert all(map(lambda pair: f(pair[0]) == pair[1], [(1, 2), (2, 3)]))", "f")
    assert kind(judge, "def f(x): return x + 1", problem) is None
    assert kind(judge, "def f(x): raise StopIteration", problem) == "StopIteration"
    assert kind(judge, "def f(): yield 1", script("x = f()\nassert list(x) == [1]", "f")) is None
    steps = "x = f()\nassert next(x) == 1\ntry:\n    next(x)\nexcept StopIteration:\n    pass\nelse:\n    assert 0"
    assert kind(judge, "def f(): yield 1", script(steps, "f")) is None
