"""Collections whose tests are Python: rows made by hand in each layout, judged.

None of these rows is one of the sets': they follow the layouts that the sets' cards and loaders describe.
"""

from __future__ import annotations

import json
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rltf_env import datasets, sandbox
from rltf_env.core import CallCase, Outcome, Problems, Sandbox, ScriptCase
from rltf_env.datasets import audit
from rltf_env.errors import MissingData


def load(folder: Path, name: str, *rows: dict[str, Any], split: str = "train", **options: Any) -> Problems:
    path = folder / f"{split}.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return datasets.load(name, split, root=path, **options)


def reasons(problems: Problems) -> list[str]:
    return [reason for _, reason in problems.skipped]


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load("auto") as opened:
        yield opened


def check(problems: Problems, judge: Sandbox, right: bool = True) -> None:
    findings = list(audit.findings(problems, judge))
    assert len(findings) >= len(problems)
    assert [finding.words for finding in findings if finding.passed is not right] == []


# --------------------------------------------------------------------------------------------- KodCode

SUITE = """\
import pytest
from solution import (
    double,
    Half,
)

NUMBERS = [1, 2]

def test_numbers():
    assert [double(n) for n in NUMBERS] == [2, 4]

def test_raises():
    with pytest.raises(TypeError):
        double(None)

def test_half():
    assert Half(4).value == 2
"""
KOD: dict[str, Any] = {
    "style": "instruct",
    "subset": "Leetcode",
    "question_id": "Leetcode_1_I",
    "question": "Write double and Half.",
    "solution": "def double(n):\n    return 2 * n\n\nclass Half:\n    def __init__(self, n):\n        self.value = n // 2\n",
    "test_code": SUITE,
    "test_info": [{"function_name": "double", "function_declaration": "def double(n):", "parameter_list": "(n)"}],
    "gpt_difficulty": "easy",
    "gpt_pass_percentage": 0.9,
}


def test_kodcode_has_a_result_for_each_test_function(tmp_path: Path, judge: Sandbox) -> None:
    problems = load(tmp_path, "kodcode", KOD)
    (problem,) = problems
    assert (problem.id, problem.entry_point, problem.difficulty) == ("kodcode/Leetcode_1_I", "double", "easy")
    assert problem.meta["pass_rate"] == 0.9
    (case,) = problem.cases
    assert isinstance(case, ScriptCase)
    assert case.script == SUITE
    wrong = problem.solutions[0].replace("2 * n", "n + 2 if n > 1 else 2 * n").replace("// 2", "// 3")
    verdict = judge.run(wrong, problem)
    assert [result.outcome for result in verdict.results].count(Outcome.PASSED) == 2
    assert len(verdict.results) == 3


def test_kodcode_without_objects_passes_its_references(tmp_path: Path, judge: Sandbox) -> None:
    suite = (
        "from solution import double\n\ndef test_one():\n    assert double(2) == 4\n\ndef test_two():\n    double(0)\n"
    )
    check(load(tmp_path, "kodcode", KOD | {"test_code": suite, "test_info": None}), judge)


def test_kodcode_suites_may_use_the_module_in_any_way(tmp_path: Path, judge: Sandbox) -> None:
    uses = [
        "import solution\ndef test(): assert solution.double(2) == 4",
        "from solution import double as twice\ndef test(): assert twice(2) == 4",
        "def test():\n    from solution import double\n    assert double(2) == 4",
        "\ufefffrom solution import *\ndef test(): assert double(2) == 4",
        "def (",
    ]
    rows = [KOD | {"question_id": str(i), "test_code": each} for i, each in enumerate(uses)]
    problems = load(tmp_path, "kodcode", *rows)
    check(problems, judge)
    (reason,) = reasons(problems)
    assert "test_code: expected Python" in reason


# --------------------------------------------------------------------------------------------- AceCode

SORTS = "def sort_words(t):\n    return sorted(t.split())\n"
ACE: dict[str, Any] = {
    "id": "oss_1",
    "source": "oss",
    "question": "Write sort_words(text).",
    "test_cases": ["assert sort_words('b a') == ['a', 'b']", "assert len(sort_words('')) == 0"],
    "inferences": [
        {"model_name": "a", "completion": "```python\ndef sort_words(t):\n    return t\n```", "pass_rate": 0.0},
        {"model_name": "b", "completion": f"Sure:\n```python\n{SORTS}```", "pass_rate": 1.0},
    ],
    "context_messages": [],
}  # fmt: skip


def test_acecode_takes_answers_that_pass_for_references(tmp_path: Path, judge: Sandbox) -> None:
    problems = load(
        tmp_path, "acecode", ACE, ACE | {"id": "oss_2", "test_cases": []}, ACE | {"id": "3", "test_cases": ["f()"]}
    )
    (problem,) = problems
    assert problem.solutions == ("def sort_words(t):\n    return sorted(t.split())\n",)
    assert (problem.entry_point, problem.meta["pass_rate"]) == ("sort_words", 0.5)
    assert reasons(problems)[0] == "no tests"
    assert "expected asserts" in reasons(problems)[1]
    check(problems, judge)


@pytest.mark.parametrize(
    "test",
    [
        "assert f(iter([1, 2])) == 3",
        "assert f(frozenset(map(int, '12'))) == 3",
        "from collections import deque\nassert f(deque([1, 2])) == 3",
        "def pair(x): return [x, 2]\nassert f(pair(1)) == 3",
        "assert sorted([f([1, 2])]) == [3]",
    ],
)
def test_an_assert_is_about_no_function_of_pythons_or_its_own(test: str, tmp_path: Path, judge: Sandbox) -> None:
    (problem,) = load(tmp_path, "acecode", ACE | {"test_cases": [test], "inferences": []})
    assert problem.entry_point == "f"
    assert judge.run("def f(xs): return sum(xs)", problem).outcome is Outcome.PASSED


# ---------------------------------------------------------------------------------------- BigCodeBench

PROMPT = 'import collections\n\ndef task_func(text):\n    """Count letters."""\n'
UNITS = """\
import unittest

class TestCases(unittest.TestCase):
    def test_some(self):
        self.assertEqual(task_func("aab"), {"a": 2, "b": 1})

    def test_none(self):
        self.assertEqual(task_func(""), {})
"""
BIG: dict[str, Any] = {
    "task_id": "BigCodeBench/0",
    "complete_prompt": PROMPT,
    "instruct_prompt": "Count letters.",
    "canonical_solution": "    return dict(collections.Counter(text))\n",
    "code_prompt": "import collections\ndef task_func(text):\n",
    "test": UNITS,
    "entry_point": "task_func",
    "doc_struct": "{}",
    "libs": "['collections']",
}  # fmt: skip


def test_bigcodebench_keeps_what_is_installed_here(tmp_path: Path, judge: Sandbox) -> None:
    other = BIG | {"task_id": "BigCodeBench/1", "libs": "['collections', 'no_such_library', 'nor.this']"}
    problems = load(tmp_path, "bigcodebench", BIG, other, split="test")
    (problem,) = problems
    assert problem.id == "BigCodeBench/0"
    assert problem.solutions[0].startswith(problem.prefix)
    assert reasons(problems) == ["needs no_such_library, nor.this, not installed here"]
    check(problems, judge)
    assert len(judge.run(PROMPT + "    return {}\n", problem).results) == 2
    assert judge.run(PROMPT + "    return {}\n", problem).pass_ratio == 0.5


# -------------------------------------------------------------------------------------------- CRUXEval

CRUX = {
    "id": "sample_0",
    "code": "def f(xs, k):\n    return [x * k for x in xs]",
    "input": "[1, 2], 3",
    "output": "[3, 6]",
}


def test_cruxeval_asks_for_the_output_or_for_an_input(tmp_path: Path, judge: Sandbox) -> None:
    problems = load(tmp_path, "cruxeval", CRUX, split="test")
    assert problems[0].solutions == ("answer = [3, 6]\n",)
    check(problems, judge)
    assert judge.run("answer = [3]", problems[0]).outcome is Outcome.WRONG_ANSWER
    asks = load(tmp_path, "cruxeval", CRUX, split="test", task="input")
    check(asks, judge)
    programs = {"answer = ([3, 6], 1)": True, "answer = ([1, 2],)": False, "answer = ([1], 3)": False, "f = 1": False}
    got = {text: judge.run(text, asks[0]).outcome is Outcome.PASSED for text in programs}
    assert got == programs
    kwargs = CRUX | {"id": "sample_1", "input": "xs=[1], k=1", "output": "[1]"}
    assert load(tmp_path, "cruxeval", kwargs, split="test", task="input")[0].solutions == ()


# ---------------------------------------------------------------------------------- HumanEval+, MBPP+

ASSERTION = """\
def is_floats(x) -> bool:
    return isinstance(x, float)

def assertion(out, exp, atol):
    exact_match = out == exp
    if atol == 0 and is_floats(exp):
        atol = 1e-6
    assert exact_match or abs(out - exp) <= atol

"""
CHECK = """\
def check(candidate):
    inputs = [[1.0, 2], [0.5, 2]]
    results = [2.0, 1.0]
    for i, (inp, exp) in enumerate(zip(inputs, results)):
        assertion(candidate(*inp), exp, 0)
"""
HUMAN: dict[str, Any] = {
    "task_id": "HumanEval/900",
    "prompt": 'def times(x, k):\n    """x times k"""\n',
    "canonical_solution": "    return x * k\n",
    "entry_point": "times",
}
RELEASED: dict[str, Any] = HUMAN | {
    "base_input": [[1, 2], [0.5, 2]],
    "plus_input": [[x, 3] for x in range(120)],
    "atol": 0,
    "contract": "",
}


def test_the_hubs_humaneval_plus_becomes_calls_where_it_says_no_more_than_that(tmp_path: Path, judge: Sandbox) -> None:
    rows = [
        HUMAN | {"test": ASSERTION + CHECK},
        HUMAN | {"task_id": "HumanEval/901", "test": ASSERTION + CHECK.replace("2.0, 1.0", "2.0, float('1')")},
        HUMAN | {"task_id": "HumanEval/902", "test": ASSERTION.replace("out == exp", "set(out) == set(exp)") + CHECK},
    ]
    problems = load(tmp_path, "humaneval_plus", *rows, split="test")
    assert problems[0].id == "humaneval_plus/900"
    assert problems[0].cases == (CallCase((1.0, 2), 2.0), CallCase((0.5, 2), 1.0))
    assert [type(problem.cases[0]).__name__ for problem in problems] == ["CallCase", "ScriptCase", "ScriptCase"]
    assert problems[1].cases[0].script.endswith("check(times)\n")  # type: ignore[union-attr]
    check(Problems(problems[:2]), judge)


def test_the_release_of_humaneval_plus_compares_with_the_reference(tmp_path: Path, judge: Sandbox) -> None:
    problems = load(tmp_path, "humaneval_plus", RELEASED, split="test")
    (problem,) = problems
    assert len(problem.cases) == 3
    check(problems, judge)
    half = judge.run(problem.prefix + "    return x * k if x < 60 else 0\n", problem)
    assert half.pass_ratio == pytest.approx(1 / 3)
    close = judge.run(problem.prefix + "    return x * k + 1e-9 if isinstance(x, float) else x * k\n", problem)
    assert close.outcome is Outcome.PASSED


def test_any_root_of_the_polynomial_is_right(tmp_path: Path, judge: Sandbox) -> None:
    row = RELEASED | {
        "task_id": "HumanEval/32", "prompt": "def find_zero(xs):\n", "entry_point": "find_zero",
        "canonical_solution": "    return 1.0\n", "base_input": [[[-1, 0, 1]]], "plus_input": [],
    }  # fmt: skip
    problems = load(tmp_path, "humaneval_plus", row, split="test")
    check(problems, judge)
    assert judge.run("def find_zero(xs):\n    return -1.0\n", problems[0]).outcome is Outcome.PASSED
    assert judge.run("def find_zero(xs):\n    return 0.5\n", problems[0]).outcome is Outcome.WRONG_ANSWER


def test_numbers_that_json_writes_in_its_own_way_are_passed_on(tmp_path: Path, judge: Sandbox) -> None:
    row = RELEASED | {"base_input": [[float("inf"), 2], [float("nan"), 1]], "plus_input": {}}
    problems = load(tmp_path, "humaneval_plus", row, split="test")
    check(problems, judge)


MBPP: dict[str, Any] = {
    "task_id": 2,
    "code": "def shared(a, b):\n    return tuple(set(a) & set(b))\n",
    "prompt": "Write a function to find the shared elements.",
    "test_imports": [],
    "test_list": ["assert set(shared((1, 2), (2, 3))) == {2}"],
    "test": "inputs = [[(1, 2), (2, 3)]]\nresults = [(2,)]\nfor i, (inp, exp) in enumerate(zip(inputs, results)):\n"
    "    assertion(shared(*inp), exp, 0)\n",
}


def test_the_hubs_mbpp_plus_keeps_comparisons_of_its_own(tmp_path: Path, judge: Sandbox) -> None:
    sets = ASSERTION.replace("out == exp", "set(out) == set(exp)")
    rows = [MBPP | {"test": ASSERTION + MBPP["test"]}, MBPP | {"task_id": 3, "test": sets + MBPP["test"]}]
    problems = load(tmp_path, "mbpp_plus", *rows, split="test")
    assert problems[0].cases == (CallCase(((1, 2), (2, 3)), (2,)),)
    assert isinstance(problems[1].cases[0], ScriptCase)
    assert [problem.entry_point for problem in problems] == ["shared", "shared"]
    assert problems[0].examples == (ScriptCase(MBPP["test_list"][0]),)
    check(problems, judge)
    assert judge.run("def shared(a, b):\n    return [2, 2]\n", problems[1]).outcome is Outcome.PASSED


def test_where_the_text_does_not_say_which_function_it_calls_the_code_does(tmp_path: Path) -> None:
    (problem,) = load(tmp_path, "mbpp_plus", MBPP | {"test": MBPP["test_list"][0]}, split="test")
    assert problem.entry_point == "shared"


def test_the_release_of_mbpp_plus_needs_the_table_of_evalplus(
    tmp_path: Path, judge: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {
        "task_id": "Mbpp/2", "prompt": '"""\nFind the shared elements.\n"""\n', "entry_point": "shared", "atol": 0,
        "canonical_solution": MBPP["code"], "base_input": [[[1, 2], [2, 3]]], "plus_input": [[[1], [2]]],
    }  # fmt: skip
    monkeypatch.setitem(sys.modules, "evalplus.data.mbpp", None)
    with pytest.raises(MissingData, match="pip install evalplus"):
        load(tmp_path, "mbpp_plus", row, split="test")
    table, special = types.ModuleType("evalplus.data.mbpp"), types.ModuleType("evalplus.eval._special_oracle")
    vars(table)["mbpp_deserialize_inputs"] = lambda id, inputs: [[tuple(x) for x in each] for each in inputs]
    vars(special).update(MBPP_OUTPUT_SET_EQ_TASKS=["shared"], MBPP_OUTPUT_NOT_NONE_TASKS=[])
    for name in ("evalplus", "evalplus.data", "evalplus.eval"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    for module in (table, special):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    problems = load(tmp_path, "mbpp_plus", row, row | {"task_id": "Mbpp/581"}, split="test")
    assert problems[0].statement == "Find the shared elements."
    assert reasons(problems) == ["EvalPlus takes other answers than the reference's for right too"]
    check(problems, judge)
    reversed_list = "def shared(a, b):\n    assert isinstance(a, tuple)\n    return [x for x in a if x in b][::-1]\n"
    assert judge.run(reversed_list, problems[0]).outcome is Outcome.PASSED
