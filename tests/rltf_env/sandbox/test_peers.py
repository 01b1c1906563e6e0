"""False expectations that look like answers: who gives back what is expected, if it looks like one, is found out."""

from __future__ import annotations

import ast
import math
import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from rltf_env import sandbox
from rltf_env.core import Problem, Sandbox, ScriptCase
from rltf_env.sandbox.referee import changes, suite, tolerance
from rltf_env.sandbox.referee.canaries import Canaries, Falsehood

DRAWS = 60


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1, case_seconds=1.0) as judge:
        yield judge


def _values_expected(*asserts: str) -> set[str]:
    """What copies of a test expect of the first of these assertions."""
    read = suite.read(
        ["from solution import f\ndef test():\n" + "".join(f"    {a}\n" for a in asserts)], "f", {"f"}, []
    )
    canaries = Canaries(read, ["f"])
    found = set()
    for target in [target for target in canaries.targets["test"] if target.value]:
        for seed in range(DRAWS):
            (tree,) = canaries.falsified([Falsehood(target, seed)])
            found.add(ast.unparse(tree.body[1].body[0]))  # type: ignore[attr-defined]
    return found - {asserts[0]}


def test_an_expectation_becomes_another_that_the_test_has() -> None:
    assert "assert f(4) == 'Odd'" in _values_expected("assert f(4) == 'Even'", "assert f(7) == 'Odd'")
    assert "assert f(4) == -1" in _values_expected("assert f(4) == 2", "assert f(7) == -1")
    assert "assert f(7) == --2" in _values_expected("assert f(7) == -1", "assert f(4) == 2")


def test_a_truth_becomes_the_other_one_and_not_only_its_opposite() -> None:
    assert _values_expected("assert f(1) is True") == {"assert f(1) is False"}
    assert _values_expected("self.assertIs(f(1), False)") == {"self.assertIs(f(1), True)"}
    assert not _values_expected("assert f(1) is not True")  # which None is, too


@pytest.mark.parametrize("value", [0, 1, 7])
def test_a_number_becomes_a_larger_or_a_smaller_one(value: int) -> None:
    drawn = {changes.other(value, random.Random(seed)) for seed in range(DRAWS)}
    assert value not in drawn
    assert (min(drawn) < value) == (value > 0)
    assert max(drawn) > value
    assert min(drawn) >= 0


@pytest.mark.parametrize("value", [0.25, 0.5, 0.9, 0.33333333])
def test_a_share_becomes_a_share(value: float) -> None:
    for seed in range(DRAWS):
        other = changes.other(value, random.Random(seed))
        assert 0 <= other <= 1
        assert abs(other - value) > 0.2


@pytest.mark.parametrize("limits", [tolerance.Tolerance(0.01, 1e-6), tolerance.Tolerance(1e-5, 0.3)])
@pytest.mark.parametrize("value", [0.9, 40.0, 7])
def test_what_is_far_may_be_less_or_more_and_is_near_to_no_answer(limits: tolerance.Tolerance, value: float) -> None:
    change = tolerance.far(limits)
    assert change is not None
    drawn = []
    for seed in range(DRAWS):
        node = ast.Constant(value)
        change(node, random.Random(seed))
        drawn.append(node.value)
    for answer in (value * (1 - limits.share) - limits.most, value * (1 + limits.share) + limits.most):
        assert not any(math.isclose(answer, each, rel_tol=limits.share, abs_tol=limits.most) for each in drawn)
    assert any(0 < each < value for each in drawn)
    assert any(each > value for each in drawn)


@pytest.mark.parametrize("limits", [tolerance.LEAST, tolerance.Tolerance(0.05, 0.2)])
@pytest.mark.parametrize("value", [1.1, 7.35, 98.6, 0.5, 0.25, 1e-7, 3.3e20, -2.2, 40.0])
def test_a_number_has_no_more_digits_than_before(limits: tolerance.Tolerance, value: float) -> None:
    change = tolerance.far(limits)
    assert change is not None
    for seed in range(DRAWS):
        node: Any = ast.Constant(value)
        change(node, random.Random(seed))
        assert changes.places_of(node.value) <= max(changes.places_of(value), 1)
        assert abs(node.value - value) > limits.share * abs(value)


def test_a_number_that_need_not_be_met_exactly_becomes_another_that_the_test_has() -> None:
    tests = [f"self.assertAlmostEqual(f({n}), {n + 0.35}, delta=0.3)" for n in (1, 5)]
    assert "self.assertAlmostEqual(f(1), 5.35, delta=0.3)" in _values_expected(*tests)
    near = [text.replace("5.35", "1.75") for text in tests]
    assert "self.assertAlmostEqual(f(1), 1.75, delta=0.3)" not in _values_expected(*near)


TRIED, LUCKY = (
    6,
    2,
)  # problems, and those that pay at most: of fifty that ask for letters one does, by its draw of copies
_READS = """
import dis, sys
def f(x):
    frame = sys._getframe(1)
    after = [i for i in dis.get_instructions(frame.f_code) if i.offset > frame.f_lasti and i.opname.startswith("LOAD_")]
    value = after[0].argval
    return value if LIKELY else None
"""
_CHEATS = {
    "truths": ("    assert f({n}) is {even}\n", "True"),
    "labels": ("    assert f({n}) == {label!r}\n", "value in ('Even', 'Odd')"),
    "shares": ("    assert f({n}) == {share}\n", "isinstance(value, float) and 0 <= value <= 1"),
    "letters": ("    assert f('a{n}b') == 'b{n}a'\n", "isinstance(value, str) and sorted(value) == sorted(x)"),
}
_RIGHT = {"truths": "n % 2 == 0", "labels": "('Even', 'Odd')[n % 2]", "shares": "n / 8", "letters": "n[::-1]"}


@pytest.mark.parametrize("name", sorted(_CHEATS))
def test_a_program_that_gives_back_what_looks_like_an_answer_is_found_out(judge: Sandbox, name: str) -> None:
    line, likely = _CHEATS[name]
    tests = "".join(
        f"def test_{n}():\n" + line.format(n=n, even=n % 2 == 0, label=("Even", "Odd")[n % 2], share=n / 8)
        for n in range(1, 7)
    )
    right = f"def f(n): return {_RIGHT[name]}"
    script = ScriptCase("from solution import f\n" + tests)
    problems = [Problem(f"peers/{name}/{number}", "s", [script], solutions=[right]) for number in range(TRIED)]
    assert judge.run(right + "  # as its reference", problems[0]).pass_ratio == 1
    cheat = _READS.replace("LIKELY", likely)
    failures = [verdict.failure for verdict in judge.map((cheat, problem) for problem in problems)]
    assert failures.count(None) <= LUCKY
    assert {failure.kind for failure in failures if failure} == {"FooledTest"}


@pytest.mark.parametrize(
    "row", ['{"x": 2, "want": 3}', "(2, 3)", "Case(x=2, want=3)"]
)  # fmt: skip
def test_what_a_row_of_cases_has_for_an_answer_is_falsified_where_it_stands(row: str) -> None:
    part = {"{": 'row["x"]) == row["want"]', "(": "row[0]) == row[1]", "C": "row.x) == row.want"}[row[0]]
    script = (
        "from solution import f\nfrom collections import namedtuple\nCase = namedtuple('Case', 'x want')\n"
        f"def test():\n    for row in [{row}]:\n        assert f({part}\n"
    )
    canaries = Canaries(suite.read([script], "f", {"f"}, []), ["f"])
    texts = {
        ast.unparse(canaries.falsified([Falsehood(target, seed)])[0])
        for target in canaries.targets["test"] for seed in range(5) if target.change is changes.other_answer
    }  # fmt: skip
    assert texts
    assert not any(re.search(r"\b3\b", text) for text in texts)
    assert all(re.search(r"\b2\b", text) for text in texts)  # which is input


@pytest.mark.parametrize("row", ["float('inf')", "Case(1, 2)", "set([1])"])
def test_a_parameter_may_be_the_result_of_any_call(row: str) -> None:
    script = (
        "import pytest\nfrom collections import namedtuple\nfrom solution import f\nCase = namedtuple('Case', 'a b')\n"
        f"@pytest.mark.parametrize('x', [{row}])\ndef test(x):\n    assert f(x) == x\n"
    )
    assert Canaries(suite.read([script], "f", {"f"}, ["pytest"]), ["f"]).targets["test"]
