"""APPS: both layouts, both kinds, problems without tests, large tests that load lazily."""

from __future__ import annotations

import json
import logging
import math
from pathlib import Path
from typing import Any

import pytest
from apps_rows import ECHO, Write, call, row, starter

from rltf_env import datasets, sandbox
from rltf_env.core import CallCase, StdinCase
from rltf_env.errors import DataError, MissingData, UnknownName
from rltf_env.testing import check_dataset

# --------------------------------------------------------------------------------------------------------- real data


def test_the_three_real_problems(data: Path):
    problems = datasets.load("apps", "train", root=data)
    assert [problem.id for problem in problems] == ["apps/train/0001", "apps/train/0111", "apps/train/2404"]
    assert [problem.difficulty for problem in problems] == ["interview", "interview", "introductory"]
    assert [len(problem.solutions) for problem in problems] == [24, 1, 58]
    assert problems.skipped == ()


def test_a_real_problem_of_standard_input(data: Path):
    problem = datasets.load("apps", "train", root=data)[1]
    assert problem.cases == (StdinCase("3 5\n00100\n10110\n11001\n", "5\n"),)
    assert problem.entry_point is None
    assert problem.prefix == ""
    assert problem.statement.startswith("You are given an image")
    assert problem.meta["url"] == "https://codeforces.com/problemset/problem/838/A"


def test_a_real_problem_of_a_call(data: Path):
    problem = datasets.load("apps", "train", root=data)[2]
    assert problem.cases == (CallCase(([2, 3, 4, 7, 11], 5), 9),)
    assert problem.entry_point == "Solution.findKthPositive"
    assert "class Solution:\n    def findKthPositive(self, arr: List[int], k: int) -> int:" in problem.starter
    assert "from typing import Dict, List" in problem.prefix
    assert all(solution.startswith(problem.prefix) for solution in problem.solutions)


def test_the_folder_of_the_split_itself_will_do(data: Path):
    assert datasets.load("apps", "train", root=data / "apps" / "train") == datasets.load("apps", "train", root=data)
    assert datasets.load("apps", "train", root=data / "apps") == datasets.load("apps", "train", root=data)


def test_the_folder_of_another_split_will_not(data: Path):
    with pytest.raises(MissingData, match="Expected split 'test' of 'apps', got the folder of split 'train'"):
        datasets.load("apps", "test", root=data / "apps" / "train")


def test_every_reference_of_the_real_problems_passes(data: Path):
    """All 83, of which the 58 of problem 2404 use `List` without importing it, as LeetCode allows."""
    with sandbox.load("forkserver") as judge:
        check_dataset("apps", judge, split="train", root=data)


@pytest.mark.parametrize("number", ["0001", "0111", "2404"])
def test_verdicts_on_a_models_programs_agree_with_the_papers_harness(number: str, data: Path):
    """59 programs of a CodeT5 (RLTF's release), each with the result that APPS's harness gave; all agree."""
    results = {True: "PASSED", False: "WRONG_ANSWER", -1: "RUNTIME_ERROR", -2: "SYNTAX_ERROR"}
    problem = datasets.source("apps", "train", root=data).find(f"apps/train/{number}")
    programs = json.loads((data / "apps" / "train" / number / "gen_solutions.json").read_text())
    with sandbox.load("forkserver") as judge:
        verdicts = list(judge.map((problem.prefix + program["code"], problem) for program in programs))
    assert [verdict.outcome.name for verdict in verdicts] == [results[program["result"]] for program in programs]


# ------------------------------------------------------------------------------------------------------------- layouts


@pytest.mark.parametrize("name", ["train.jsonl", "train.jsonl.gz", "train.json"])
def test_rows_and_folders_give_the_same_problems(name: str, folder: Write, hub: Write):
    fields = {"difficulty": "interview", "url": "https://x", "solutions": ["print(1)\n", "print(2)"]}
    folder(ECHO, "0007", **fields)
    root = folder(call([1, 2]), "0008", **fields, **starter("def f(x):\n    "))
    rows = row(7, ECHO, **fields), row(8, call([1, 2]), **fields, **starter("def f(x):\n    "))
    assert datasets.load("apps", "train", root=hub(*rows, name=name)) == datasets.load("apps", "train", root=root)


def test_texts_are_as_in_the_file(folder: Write):
    (problem,) = datasets.load("apps", "train", root=folder())
    assert problem.statement == "Echo.\r\nTwice.\n"


def test_problems_come_by_number(folder: Write):
    folder(number="0010")
    folder(number="0002")
    root = folder(number="4999")
    (root / "apps" / "train" / ".hidden").mkdir()
    (root / "apps" / "train" / "notes.txt").touch()
    assert [p.id[-4:] for p in datasets.load("apps", "train", root=root)] == ["0002", "0010", "4999"]


# --------------------------------------------------------------------------------------------------------------- cases


def test_lists_of_lines_are_joined(folder: Write):
    (problem,) = datasets.load("apps", "train", root=folder())
    assert problem.cases == (StdinCase("1\n", "1\n"), StdinCase("2\n3", "2\n3"))


@pytest.mark.parametrize(
    ("url", "outputs", "expected"),
    [
        ("https://www.codewars.com/kata/1", [[9], [[1, 2]]], [9, [1, 2]]),
        ("https://www.codewars.com/kata/1", [[9], [1, 2]], [[9], [1, 2]]),
        ("https://www.codewars.com/kata/1", [[9], []], [[9], []]),
        ("https://www.codewars.com/kata/1", [["abc"], [None]], ["abc", None]),
        ("https://leetcode.com/problems/two-sum/", [[9], [8]], [[9], [8]]),
        ("", [[9]], [9]),
        ("", [9, [9]], [9, [9]]),
    ],
)
def test_results_wrapped_in_a_list_of_one_are_unwrapped(url: str, outputs: list, expected: list, folder: Write):
    (problem,) = datasets.load("apps", "train", root=folder(call(outputs), url=url))
    assert [case.expected for case in problem.cases] == expected  # type: ignore[union-attr]


def test_numbers_that_json_made_keys_are_numbers_again_in_arguments(folder: Write):
    tests = call([[{"1": {"2": 3}, "-4": 5}], [{"01": 1}], [{}]], [[{"10": 1}, 7], [{"1": 1, "a": 2}], [[{"1": 1}]]])
    (problem,) = datasets.load("apps", "train", root=folder(tests))
    assert [case.args for case in problem.cases] == [  # type: ignore[union-attr]
        ({10: 1}, 7),
        ({"1": 1, "a": 2},),
        ([{"1": 1}],),
    ]
    assert [case.expected for case in problem.cases] == [{"1": {"2": 3}, "-4": 5}, {"01": 1}, {}]  # type: ignore[union-attr]


def test_big_integers_and_special_floats_survive(folder: Write):
    raw = f'{{"fn_name": "f", "inputs": [[{"9" * 5000}], [NaN]], "outputs": [{"9" * 5000}, -Infinity]}}'
    (problem,) = datasets.load("apps", "train", root=folder(raw=raw))
    first, second = problem.cases
    assert first == CallCase((10**5000 - 1,), 10**5000 - 1)
    assert math.isnan(second.args[0])  # type: ignore[union-attr]
    assert second.expected == -math.inf  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (starter("def f(x):\n    "), "f"),
        (starter("class Solution:\n    def f(self, x):\n        "), "Solution.f"),
        ({"solutions": ["f = len", "class Solution:\n    def f(self, x): pass"]}, "Solution.f"),
        ({"solutions": ["def f(x): pass", "class Solution:\n    def f(self, x): pass"]}, "f"),
        (starter("def f(x):\n    ") | {"solutions": ["class Solution:\n    def f(self, x): pass"]}, "f"),
        (starter("# class Solution is not asked for\ndef f(x):\n    "), "f"),
        ({}, "f"),
    ],
)
def test_name_to_call_follows_starter_then_solutions(fields: dict, expected: str, folder: Write):
    (problem,) = datasets.load("apps", "train", root=folder(call([1]), **fields))
    assert problem.entry_point == expected
    assert bool(problem.prefix) == expected.startswith("Solution")


# ------------------------------------------------------------------------------------------------------------- skipped


@pytest.mark.parametrize(
    ("tests", "raw", "reason"),
    [
        (None, None, "no input_output.json"),
        (None, " \n", "input_output.json is empty"),
        ({"inputs": [], "outputs": []}, None, "no tests: inputs is an empty list"),
        ({"fn_name": "f", "inputs": [], "outputs": []}, None, "no tests: inputs is an empty list"),
        ({"inputs": ["1", "2", "3"], "outputs": ["1", "2"]}, None, "3 inputs but 2 outputs"),
    ],
)
def test_a_problem_without_tests_is_listed_and_logged(
    tests: Any, raw: str | None, reason: str, folder: Write, caplog: pytest.LogCaptureFixture
):
    folder(number="0001")
    root = folder(tests, "0002", raw=raw)
    with caplog.at_level(logging.WARNING):
        problems = datasets.load("apps", "train", root=root)
    assert [problem.id for problem in problems] == ["apps/train/0001"]
    assert problems.skipped == (("apps/train/0002", reason),)
    (record,) = caplog.records
    assert record.getMessage() == f"apps train: 1 of 2 problems left out (apps/train/0002: {reason})"


def test_a_row_without_tests_is_listed(hub: Write):
    problems = datasets.load("apps", "test", root=hub(row(1), row(2, ""), name="test.jsonl"))
    assert problems.skipped == (("apps/test/0002", "no tests: input_output is empty"),)


def test_no_problem_with_tests_is_an_error(folder: Write):
    with pytest.raises(DataError, match=r"expected problems with tests .*, got none"):
        datasets.load("apps", "train", root=folder(None))


# ---------------------------------------------------------------------------------------------------------- difficulty


def test_difficulty_picks_problems(folder: Write):
    for number, name in enumerate(["introductory", "interview", "competition", "interview"]):
        folder(number=f"{number:04d}", difficulty=name)
    root = folder(None, "0009", difficulty="interview")

    def ids(**options: Any) -> list[str]:
        return [problem.id[-1] for problem in datasets.load("apps", "train", root=root, **options)]

    assert ids() == ["0", "1", "2", "3"]
    assert ids(difficulty="interview") == ["1", "3"]
    assert ids(difficulty=["competition", "introductory"]) == ["0", "2"]
    assert datasets.load("apps", "train", root=root, difficulty="competition").skipped == ()


def test_unknown_difficulty_names_the_three(folder: Write):
    with pytest.raises(UnknownName, match=r"'intervew'\. Did you mean 'interview'\? Known: competition, "):
        datasets.load("apps", "train", root=folder(), difficulty=["intervew"])
