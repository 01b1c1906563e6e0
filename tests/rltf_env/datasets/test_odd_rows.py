"""No odd field of a row costs the other rows of its file: whatever it holds, it is read, or left out with a reason."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rltf_env import datasets
from rltf_env.datasets import _hub

STDIN = {"input": "1", "output": "2", "type": "stdin_stdout", "fn_name": None}
LISTS = json.dumps({"inputs": ["1\n"], "outputs": ["2\n"]})
PAIR = {"input": ["1"], "output": ["2"]}
PROGRAMS = {"language": [3], "solution": ["print(2)"]}
TABLE = (
    "inputs = [[1]]\nresults = [1]\ndef assertion(out, exp, atol):\n    exact_match = out == exp\n    assert exact_match\n"
    "for i, (inp, exp) in enumerate(zip(inputs, results)):\n    assertion(f(*inp), exp, 0)\n"
)
ROWS: dict[str, dict[str, Any]] = {
    "taco/train": {
        "question": "q", "input_output": LISTS, "solutions": "[]", "difficulty": "EASY", "source": "s", "tags": "[]",
        "date": "2020-01-01", "time_limit": "2 seconds", "memory_limit": "256 megabytes", "starter_code": "", "url": "",
    },
    "livecodebench/test": {
        "question_id": "1", "question_content": "q", "contest_date": "2024-01-01", "metadata": "{}", "starter_code": "",
        "public_test_cases": json.dumps([{"input": "1", "output": "2", "testtype": "stdin"}]), "private_test_cases": "[]",
    },
    "code_contests/train": {
        "name": "n", "description": "d", "public_tests": PAIR, "private_tests": PAIR, "generated_tests": PAIR,
        "source": 2, "difficulty": 7, "solutions": PROGRAMS, "incorrect_solutions": PROGRAMS, "cf_tags": ["a"],
        "cf_rating": 800, "time_limit": {"seconds": 1, "nanos": 0}, "memory_limit_bytes": 1 << 28, "input_file": "",
    },
    "code_contests_plus/train": {
        "id": "1", "description": "d", "test_cases": [{"input": "1", "output": "2"}], "checker": "", "time_limit": 1000,
        "correct_submissions": [{"code": "print(2)", "language": "py3"}], "incorrect_submissions": [], "title": "t",
    },
    "codeforces/train": {
        "id": "1/A", "description": "d", "examples": [{"input": "1", "output": "2"}], "title": "t", "rating": 800,
        "official_tests": [{"input": "1", "output": "2"}], "official_tests_complete": True, "input_mode": "stdio",
        "generated_checker": None, "interaction_format": None, "contest_start": 1_500_000_000, "tags": ["x"], "note": "n",
    },
    "deepcoder/train": {"problem": "p", "solutions": ["print(2)"], "tests": LISTS, "metadata": {}, "starter_code": ""},
    "verifiable_coding/train": {
        "problem_id": "1", "problem_statement": "p", "task_type": "verifiable_code", "gold_standard_solution": "print(2)",
        "verification_info": {"language": "python", "test_cases": [STDIN]}, "source": "s", "in_source_id": "1",
    },
    "synthetic_2/train": {
        "problem_id": "prime_rl_code_1", "prompt": "p", "m_avg_reward": 0.5, "task_type": "code",
        "verification_info": json.dumps({"test_cases": LISTS}),
    },
    "rstar_coder/train": {
        "question_id": "1", "question": "q", "inputs": '["1"]', "outputs": '["2"]', "func_name": "", "starter_code": "",
    },
    "kodcode/train": {
        "question_id": "1", "question": "q", "solution": "def f(): return 1", "gpt_pass_percentage": 1.0,
        "test_code": "from solution import f\ndef test_a(): assert f() == 1\n", "gpt_difficulty": "easy", "subset": "s",
        "test_info": [{"function_name": "f", "function_declaration": "def f():"}], "style": "instruct",
    },
    "acecode/train": {
        "id": "1", "question": "q", "test_cases": ["assert f(1) == 2"], "source": "s",
        "inferences": [{"completion": "def f(x): return 2", "pass_rate": 1.0}],
    },
    "bigcodebench/test": {
        "task_id": "1", "complete_prompt": "def f():\n", "canonical_solution": "    return 1\n", "entry_point": "f",
        "test": "def test_a(): assert f() == 1\n", "libs": "['math']", "instruct_prompt": "x",
    },
    "humaneval_plus/test": {
        "task_id": "HumanEval/1", "prompt": "def f(x):\n", "canonical_solution": "    return x\n", "entry_point": "f",
        "base_input": [[1]], "plus_input": [[2]], "atol": 0,
    },
    "mbpp_plus/test": {
        "task_id": 2, "code": "def f(x): return x", "prompt": "p", "test_imports": [], "test_list": ["assert f(1) == 1"],
        "test": TABLE,
    },
}  # fmt: skip
ODD: tuple[Any, ...] = (
    None, 5, 1.5, -1, float("inf"), 1e18, True, " ", "x", "[", "5", [], {}, [None], [5], ["x"], [{}],
    [{"input": "1"}], {"input": 5, "output": 5}, {"language": [3], "solution": []}, {"language": 3, "solution": 5},
    [{"language": "py3"}], [{"pass_rate": "1", "completion": 4}], [{"function_name": 5}], {"func_name": 5},
    {"seconds": "x"}, {"test_cases": 5}, json.dumps([{"input": "1", "output": "2", "testtype": ["x"]}]),
    json.dumps({"inputs": [None], "outputs": [None]}), json.dumps({"fn_name": ["f"], "inputs": [1], "outputs": [1]}),
)  # fmt: skip
NAMES = frozenset(("id", "name", "question_id", "problem_id", "task_id"))


@pytest.mark.parametrize("place", ROWS)
def test_an_odd_field_costs_its_own_row_at_most(place: str, tmp_path: Path) -> None:
    name, _, split = place.partition("/")
    row, key = ROWS[place], next(iter(NAMES & ROWS[place].keys()), "")
    odd = [row | {key: f"{row.get(key)}{n}"} | {field: value} for n, field in enumerate(row) for value in ODD]
    missing = [{other: value for other, value in row.items() if other != field} for field in row]
    path = tmp_path / f"{split}.jsonl"
    path.write_text("".join(f"{json.dumps(each)}\n" for each in (*odd, *missing, row)))
    problems = datasets.load(name, split, root=path)
    assert len(problems) + len(problems.skipped) == len(odd) + len(missing) + 1
    assert all(reason.strip() for _, reason in problems.skipped)
    assert all(len(problem.cases) for problem in problems)


TABLES: dict[str, dict[str, Any]] = {
    "tests": {
        "statement": "s",
        "tests": ["assert f(1) == 2"],
        "setup": "x = 1",
        "entry_point": "f",
        "solutions": ["f = 1"],
    },
    "streams": {"statement": "s", "stdin": ["1"], "stdout": ["2"], "tags": ["a"], "time_limit": 2, "memory_limit": 256},
    "input_output": {"statement": "s", "input_output": LISTS, "entry_point": "f", "starter": "def f(x):"},
    "cases": {"statement": "s", "cases": [{"args": [1], "expected": 2}], "entry_point": "f", "examples": []},
}


@pytest.mark.parametrize("kind", TABLES)
def test_an_odd_value_in_a_table_costs_its_own_row_at_most(kind: str) -> None:
    row = {"id": "good", **TABLES[kind]}
    odd = [
        row | {"id": f"{field} {n}", field: value}
        for field in TABLES[kind]
        for n, value in enumerate((*ODD, b"x", {1}))
    ]
    reading = _hub._Reading(frozenset(), 1.0, None)
    problems = _hub._mapped([*odd, row, row], {name: name for name in row}, "table", reading)
    assert len(problems) + len(problems.skipped) == len(odd) + 2
    assert problems[-1].id == "good"
    assert problems.skipped[-1][1].endswith("expected each id once, got 'good' again.")
    assert all(problem.entry_point or kind != "cases" for problem in problems)
