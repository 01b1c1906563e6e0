"""Samples of APPS statements: read where there is no doubt, and not at all where there is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rltf_env import datasets, prompts, sandbox
from rltf_env.core import CallCase, Case, Outcome, StdinCase
from rltf_env.datasets._apps_examples import examples
from rltf_env.text import TextEnv

TESTS = (StdinCase("9\n", "81\n"), StdinCase("1 \n2", "3"))
CODEFORCES = """\
Add two numbers.

-----Input-----

Two lines with one number each.

-----Output-----

Their sum.

-----Examples-----
Input
1
2

Output
3

Input
4
5

Output
9


-----Note-----

Input and output are numbers.
"""
CODECHEF = """\
Add.

-----Sample Input:-----
1
2

-----Sample Output:-----
3

-----EXPLANATION:-----
1 and 2 make 3.
"""
NUMBERED = """\
A.
-----Sample Input 1-----
1
-----Sample Output 1-----
2
-----Sample Input 2-----
3
-----Sample Output 2-----
4
"""


@pytest.mark.parametrize(
    ("statement", "expected"),
    [
        (CODEFORCES, [("1\n2", "3"), ("4\n5", "9")]),
        (CODECHEF, [("1\n2", "3")]),
        (NUMBERED, [("1", "2"), ("3", "4")]),
        ("A.\n-----Example-----\nInput:\n1\nOutput:\n2\n", [("1", "2")]),
        ("A.\n-----Examples-----\nSample Input:\n1\nSample Output:\n2\n", [("1", "2")]),
        ("A.\n-----Example-----\nInput\n  1 1\n\nOutput\n 2\n", [("  1 1", " 2")]),
    ],
)
def test_samples_without_doubt_are_read(statement: str, expected: list[tuple[str, str]]) -> None:
    assert examples(statement, ()) == tuple(StdinCase(f"{given}\n", f"{right}\n") for given, right in expected)


@pytest.mark.parametrize(
    "statement",
    [
        "Without any sections. Input\n1\nOutput\n2\n",
        "A.\n-----Example-----\nOutput\n2\nInput\n1\n",
        "A.\n-----Example-----\nInput\n1\n",
        "A.\n-----Example-----\nInput\n1\nOutput\n\n\n-----Note-----\nNothing is printed.\n",
        "A.\n-----Example-----\nThe first:\nInput\n1\nOutput\n2\n",
        "A.\n-----Example-----\nInput\n1\nOutput\n2\n\nSince 1 + 1 = 2.\n",
        "A.\n-----Example-----\nInput\n1\n\n1\nOutput\n2\n",
        "A.\n-----Example-----\nInput\n1\nOutput\n2\nExplanation: one more.\n",
        "A.\n-----Example-----\nInput\n1\nOutput\n...\n",
        "A.\n-----Example-----\nInput\n<image>\nOutput\n2\n",
        "A.\n-----Example-----\nInput\n1\nOutput\n2\n-----Example-----\nInput\n1\nOutput\n2\n",
        "A.\n-----Sample Input-----\n1\n",
        "A.\n-----Sample Input 1-----\n1\n-----Sample Output 2-----\n2\n",
        "A.\n-----Sample Input-----\n1\n-----Sample Input-----\n2\n-----Sample Output-----\n3\n-----Sample Output-----\n4\n",
        f"{CODEFORCES}\n{CODECHEF}",
        "",
    ],
)
def test_samples_in_doubt_are_not_read(statement: str) -> None:
    assert examples(statement, ()) == ()


def test_a_sample_that_is_a_test_is_that_very_test() -> None:
    assert examples(CODEFORCES, TESTS) == (StdinCase("1 \n2", "3"), StdinCase("4\n5\n", "9\n"))


EXPLAINED = "A.\n-----Sample Input-----\n3 1\n\n-----Sample Output-----\nYes\n\nLet C = 3.\n"


def test_an_explanation_behind_an_output_is_none_of_it_where_a_test_says_so() -> None:
    assert examples(EXPLAINED, (StdinCase("3 1\n", "Yes\n"),)) == (StdinCase("3 1\n", "Yes\n"),)
    assert examples(EXPLAINED, (StdinCase("3 2\n", "Yes\n"),)) == ()
    for other in ("No\n", "Y\n", "Yes\n\nLet\n", ""):
        assert examples(EXPLAINED, (StdinCase("3 1\n", other),)) == ()


def test_a_sample_that_a_test_contradicts_costs_all_of_them() -> None:
    assert examples(CODEFORCES, (StdinCase("4\n5", "10"),)) == ()


def test_line_ends_of_windows_are_line_ends() -> None:
    assert examples(CODECHEF.replace("\n", "\r\n"), ()) == (StdinCase("1\n2\n", "3\n"),)


def test_a_sample_that_comes_twice_is_one_example() -> None:
    twice = "A.\n-----Examples-----\nInput\n1\nOutput\n2\nInput\n1\nOutput\n2\n"
    assert examples(twice, ()) == (StdinCase("1\n", "2\n"),)


@pytest.mark.parametrize(
    "words",
    [
        "If there are several answers, print any.",
        "You may output any of them.",
        "There can be multiple possible answers.",
        "Its absolute or relative error must not exceed 1e-6.",
        "This is an interactive problem.",
    ],
)
def test_where_several_answers_are_right_there_are_no_examples(words: str) -> None:
    assert examples(f"{words}\n{CODEFORCES}", TESTS) == ()


@pytest.mark.parametrize("cases", [(CallCase((1, 2), 3),), [StdinCase("1", "2")]])
def test_calls_and_tests_that_are_not_in_memory_have_none(cases: tuple[Case, ...]) -> None:
    assert examples(CODEFORCES, cases) == ()


# ----------------------------------------------------------------------------------------------------------- real data


def test_the_samples_of_the_real_problems_are_among_their_tests(data: Path) -> None:
    problems = datasets.load("apps", "train", root=data)
    assert [problem.examples for problem in problems] == [problems[0].cases, problems[1].cases, ()]
    assert problems[0].examples == (StdinCase("3\n2 2 3\n4 3 7\n10 1 9\n", "1\n6\n-1\n"),)


def test_every_reference_passes_the_samples(data: Path) -> None:
    shown = [problem for problem in datasets.load("apps", "train", root=data) if problem.examples]
    asked = [replace(problem, cases=problem.examples) for problem in shown]
    with sandbox.load("auto") as judge:
        verdicts = list(judge.map((text, problem) for problem in asked for text in problem.solutions))
    assert len(verdicts) == 25
    assert {verdict.outcome for verdict in verdicts} == {Outcome.PASSED}


def test_prompts_do_not_say_the_samples_twice(data: Path) -> None:
    problem = datasets.load("apps", "train", root=data)[1]
    assert prompts.render(problem, "plain") == f"{problem.statement}\n"
    chat = prompts.chat(problem, lambda messages, **_: messages[0]["content"])
    assert chat.count("00100\n10110\n11001") == 1


def test_who_repairs_a_program_is_told_what_the_sample_says(data: Path) -> None:
    env = TextEnv("apps", root=str(data), max_turns=2, max_prompt_tokens=4096)
    env.reset(options={"problem": "apps/train/0111"})
    observation, _, _, _, info = env.step("print(4)\n")
    env.close()
    assert info["examples"].outcome is Outcome.WRONG_ANSWER
    assert "Input:\n3 5\n00100\n10110\n11001\nOutput:\n5\n-> " in observation
