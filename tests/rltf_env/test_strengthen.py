"""Tests are added where wrong programs pass, and every reference passes what is added."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rltf_env import cli, datasets, sandbox, strengthen
from rltf_env.core import CallCase, Outcome, Problem, Sandbox, ScriptCase
from rltf_env.errors import UsageError
from rltf_env.strengthen import Settings, Strengthened
from rltf_env.synthesis import judge_options, seeds

ABOVE = "def f(x, k):\n    return [v for v in x if v > k]\n"
WEAK = Problem("weak", "Keep what is above k.", [CallCase(([5, 1], 3), [5])], "f", solutions=[ABOVE])
AT_LEAST = "def f(x, k):\n    return [v for v in x if v >= k]\n"
SMALL = Settings(inputs=30, mutants=8)


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1, **judge_options(seconds=1.0)) as opened:
        yield opened


def stronger(
    judge: Sandbox, problem: Problem, *programs: str, settings: Settings = SMALL, seed: int = 0
) -> Strengthened:
    rng = np.random.default_rng(seed)
    (result,) = strengthen.strengthen([problem], judge, rng, settings, {problem.id: programs})
    return result


def test_a_wrong_program_that_passed_is_failed_by_the_new_tests(judge: Sandbox) -> None:
    result = stronger(judge, WEAK, AT_LEAST)
    assert result.before > result.after == 0
    for problem in (result.stronger("cases"), Problem("new", "s", result.added, "f")):
        assert judge.run(ABOVE, problem).outcome is Outcome.PASSED
        assert judge.run(AT_LEAST, problem).outcome is Outcome.WRONG_ANSWER


def test_a_reference_that_is_nested_too_deeply_is_left_out(judge: Sandbox) -> None:
    deep = ABOVE.replace("v > k", "v > k" + " + 0" * 900)
    assert stronger(judge, replace(WEAK, solutions=[deep])).why == "its code is nested too deeply"


def test_numbers_with_too_many_digits_for_the_interpreter_are_inputs_like_others(judge: Sandbox) -> None:
    large = 10**5000
    problem = Problem("large", "s", [CallCase((large,), 1)], "f", solutions=["def f(x):\n    return int(x > 7)\n"])
    result = stronger(judge, problem, "def f(x):\n    return 1\n")
    assert result.before > result.after
    assert stronger(
        judge, replace(problem, solutions=[f"def f(x):\n    return int(x > {hex(large)})\n"])
    ).why.startswith("a reference solution: expected numbers that Python can write")


def test_new_tests_are_held_out_or_cases_of_another_problem(judge: Sandbox) -> None:
    result = stronger(judge, WEAK, AT_LEAST)
    kept, changed = result.stronger(), result.stronger("cases")
    assert (kept.id, kept.cases, kept.held_out) == ("weak", WEAK.cases, result.added)
    assert (changed.id, changed.cases) == ("weak+", (*WEAK.cases, *result.added))
    known = replace(result, problem=replace(WEAK, held_out=WEAK.cases))
    assert known.stronger().held_out == (*WEAK.cases, *result.added)


def test_asserts_are_read_for_their_inputs(judge: Sandbox) -> None:
    script = ScriptCase("assert f([5, 1], 3) == [5] and f(x=[1], k=0) == [1]\nassert f(list('a'), 3)")
    problem = Problem("mbpp", "s", [script], "f", solutions=[ABOVE])
    assert seeds.inputs_of(problem, "f") == [([5, 1], 3)]
    named = [CallCase(([5, 1],), [5], {"k": 3}), CallCase(([2], 0), [2])]
    assert seeds.inputs_of(replace(problem, cases=named), "f") == [([2], 0)], "none by name"
    weak = Problem("mbpp", "s", [ScriptCase("assert f([5, 1], 3) == [5]")], "f", solutions=[ABOVE])
    result = stronger(judge, weak, AT_LEAST)
    assert result.after == 0
    assert judge.run(AT_LEAST, result.stronger("cases")).outcome is Outcome.WRONG_ANSWER


def test_where_every_wrong_program_fails_nothing_is_added(judge: Sandbox) -> None:
    cases = [CallCase(([5, 3, 1], 3), [5]), CallCase(([0, -1], -1), [0])]
    result = stronger(judge, Problem("strong", "s", cases, "f", solutions=[ABOVE]), settings=Settings(mutants=1))
    assert (result.wrong, result.before, result.added) == (1, 0, ())
    assert result.stronger("cases").id == "strong"


@pytest.mark.parametrize(
    "other",
    [
        "def f(x, k):\n    return [v for v in x if v >= k]\n",
        "def f(x, k):\n    if k in x:\n        raise ValueError\n    return [v for v in x if v > k]\n",
    ],
    ids=["another answer", "raises"],
)
def test_an_input_on_which_references_differ_is_no_test(judge: Sandbox, other: str) -> None:
    problem = Problem("two", "s", [CallCase(([5, 1], 3), [5])], "f", solutions=[ABOVE, other])
    for seed in range(2):
        result = stronger(judge, problem, "def f(x, k):\n    return [5]\n", seed=seed)
        assert result.added
        assert not any(case.args[1] in case.args[0] for case in result.added)
        for solution in problem.solutions:
            assert judge.run(solution, result.stronger("cases")).outcome is Outcome.PASSED


def test_a_test_that_any_reference_fails_is_not_added(judge: Sandbox) -> None:
    """The second one answers alike when it is asked, and otherwise in a test, where it has another name."""
    moody = "def f(x, k):\n    return [v for v in x if v > k or __name__ != '__main__' and v == k]\n"
    problem = Problem("moody", "s", [CallCase(([5, 1], 3), [5])], "f", solutions=[ABOVE, moody])
    result = stronger(judge, problem, "def f(x, k):\n    return [5]\n")
    assert result.added
    for solution in problem.solutions:
        assert judge.run(solution, result.stronger("cases")).outcome is Outcome.PASSED


def test_the_budget_holds_and_the_same_seed_adds_the_same(judge: Sandbox) -> None:
    settings = Settings(inputs=30, mutants=8, budget=1)
    wrong = ("def f(x, k):\n    return [5]\n", AT_LEAST)
    first, again = (stronger(judge, WEAK, *wrong, settings=settings) for _ in range(2))
    assert len(first.added) == 1
    assert first == again


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"solutions": []}, "no reference"),
        ({"entry_point": "A.f"}, "nothing to call"),
        ({"cases": [ScriptCase("x = g()\nassert f(x)")]}, "call nothing on plain data"),
        ({"solutions": ["def f(x"]}, "expected Python"),
    ],
)
def test_what_cannot_be_tried_stays_as_it_is_and_says_why(judge: Sandbox, options: dict[str, Any], why: str) -> None:
    fields = {"cases": WEAK.cases, "entry_point": "f", "solutions": [ABOVE], **options}
    problem = Problem("p", "s", **fields)
    result = stronger(judge, problem)
    assert why in result.why
    assert result.stronger("cases") == problem


def test_changed_inputs_are_new_and_different() -> None:
    known = [([5, 1], 3), ([], 0)]
    result = strengthen.changed(known, np.random.default_rng(0), SMALL)
    assert len({repr(args) for args in result}) == len(result) == 30
    assert not {repr(args) for args in known} & {repr(args) for args in result}
    assert strengthen.changed([()], np.random.default_rng(0), SMALL) == []


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(UsageError, match="sizes of at least 1"):
        Settings(steps=0)


def test_the_command_says_what_passes_before_and_after(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, out = tmp_path / "weak.jsonl", tmp_path / "strong.jsonl"
    datasets.dump([WEAK, Problem("bare", "s", WEAK.cases, "f")], source)
    words = [str(source), "--out", str(out), "--into", "cases", "--inputs", "30"]
    assert cli.run("strengthen", words) == 0
    text = capsys.readouterr().out
    assert "tests added to 1 of 2 problems" in text
    assert "after" in text
    assert "1 not tried: it has no reference, or nothing to call" in text
    assert [problem.id for problem in datasets.load(str(out))] == ["weak+", "bare"]
    assert cli.run("strengthen", words) == 2
    assert "Expected a new file with --out" in capsys.readouterr().err
