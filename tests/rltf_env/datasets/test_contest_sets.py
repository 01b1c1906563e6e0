"""Collections of contest problems: rows made by hand in each layout, with limits, tags, dates and what is left out.

None of these rows is one of the sets': they follow the layouts that the sets' cards and loaders describe.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from rltf_env import datasets, sandbox
from rltf_env.core import CallCase, Limits, Outcome, Problems, StdinCase
from rltf_env.datasets import audit
from rltf_env.errors import UnknownName

DOUBLES = "print(2 * int(input()))"
FUNCTION = "def double(x):\n    return 2 * x\n"


def load(folder: Path, name: str, *rows: dict[str, Any], split: str = "train", **options: Any) -> Problems:
    path = folder / f"{split}.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return datasets.load(name, split, root=path, **options)


def reasons(problems: Problems) -> list[str]:
    return [reason for _, reason in problems.skipped]


# ------------------------------------------------------------------------------------------------ TACO

TACO: dict[str, Any] = {
    "question": "Double it.\n\n-----Examples-----\n\nInput\n1\n\nOutput\n2",
    "solutions": json.dumps([DOUBLES] * 7),
    "starter_code": "",
    "input_output": json.dumps({"inputs": ["1\n", "2\n"], "outputs": ["2\n", "4\n"]}),
    "difficulty": "EASY",
    "raw_tags": "['math']",
    "name": "Double",
    "source": "codeforces",
    "tags": "['Mathematics', 'Implementation']",
    "skill_types": "['Mathematics']",
    "url": "https://codeforces.com/problemset/problem/1/A",
    "Expected Auxiliary Space": None,
    "time_limit": "2.0 seconds",
    "date": "2019-12-31",
    "picture_num": None,
    "memory_limit": "256.0 megabytes",
    "Expected Time Complexity": None,
}


def test_taco_has_limits_tags_dates_and_examples(tmp_path: Path) -> None:
    (problem,) = load(tmp_path, "taco", TACO, python_factor=2.0)
    assert problem.limits == Limits(4.0, 256)
    assert problem.meta["tags"] == ("Mathematics", "Implementation")
    assert (problem.meta["date"], problem.meta["time_limit"]) == ("2019-12-31", "2.0 seconds")
    assert problem.difficulty == "easy"
    assert problem.examples == problem.cases[:1]
    assert len(problem.solutions) == 5
    called = {"fn_name": "double", "inputs": [[1], [3]], "outputs": [[2], [6]]}
    rows = [TACO, TACO | {"input_output": json.dumps(called), "solutions": [FUNCTION], "date": None}]
    problems = load(tmp_path, "taco", *rows)
    assert problems[1].cases == (CallCase((1,), 2), CallCase((3,), 6))
    assert problems[1].entry_point == "double"
    assert [p.id for p in load(tmp_path, "taco", *rows, start_date="2019-01-01")] == ["taco/train/0"]
    assert len(load(tmp_path, "taco", *rows, tag="Implementation")) == 2


# ---------------------------------------------------------------------------------------- CodeContests

CONTEST: dict[str, Any] = {
    "name": "1_A. Double",
    "description": "Double it.",
    "public_tests": {"input": ["1\n"], "output": ["2\n"]},
    "private_tests": {"input": ["2\n"], "output": ["4\n"]},
    "generated_tests": {"input": ["3\n"], "output": ["6\n"]},
    "source": 2,
    "difficulty": 7,
    "solutions": {"language": [1, 3, 2, 3], "solution": ["print 2", DOUBLES, "int main", DOUBLES]},
    "incorrect_solutions": {"language": [3, 2], "solution": ["print(2)", "int main"]},
    "cf_rating": 800,
    "cf_tags": ["math", ""],
    "time_limit": {"seconds": 1, "nanos": 500000000},
    "memory_limit_bytes": 256 << 20,
    "input_file": "",
    "output_file": "",
}


def test_code_contests_keeps_python_3_and_says_what_was_judged_wrong(tmp_path: Path) -> None:
    (problem,) = load(tmp_path, "code_contests", CONTEST)
    assert problem.id == "code_contests/1_A. Double"
    assert problem.examples == (StdinCase("1\n", "2\n"),)
    assert [case.stdin for case in problem.cases] == ["1\n", "2\n", "3\n"]
    assert problem.solutions == (DOUBLES, DOUBLES)
    assert problem.limits == Limits(1.5, 256)
    assert (problem.difficulty, problem.meta["source"], problem.meta["tags"]) == ("A", "codeforces", ("math",))
    assert problem.meta["incorrect"] == ("print(2)",)
    (problem,) = load(tmp_path, "code_contests", CONTEST, generated=False)
    assert [case.stdin for case in problem.cases] == ["1\n", "2\n"]
    problems = load(
        tmp_path,
        "code_contests",
        CONTEST,
        CONTEST | {"input_file": "a.in"},
        CONTEST | {"public_tests": {"input": ["1"], "output": []}},
        CONTEST,
        split="validation",
    )
    assert reasons(problems)[0] == "input file 'a.in': programs here use standard input and output"
    assert "as many input texts as output texts" in reasons(problems)[1]
    assert reasons(problems)[2] == "'code_contests/1_A. Double' came before"


PLUS: dict[str, Any] = {
    "source": "Codeforces",
    "id": "1_A",
    "title": "Double",
    "description": "Double it.",
    "time_limit": 2000,
    "memory_limit": 256,
    "validator": "",
    "generator": "",
    "checker": "",
    "test_cases": [{"input": "1\n", "output": "2\n"}, {"input": "4\n", "output": "8\n"}],
    "correct_submissions": [{"code": "int main", "language": "cpp"}, {"code": DOUBLES, "language": "py3"}],
    "incorrect_submissions": [{"code": "print(2)", "language": "py3"}],
}


def test_code_contests_plus_leaves_out_checkers_in_cpp(tmp_path: Path) -> None:
    rows = [PLUS, PLUS | {"id": "2_B", "checker": '#include "testlib.h"'}, PLUS | {"id": "3_C", "test_cases": []}]
    problems = load(tmp_path, "code_contests_plus", *rows)
    assert [problem.id for problem in problems] == ["code_contests_plus/1_A"]
    assert problems[0].limits == Limits(2.0, 256)
    assert problems[0].solutions == (DOUBLES,)
    assert problems[0].meta["incorrect"] == ("print(2)",)
    assert reasons(problems) == ["its checker is a C++ program, which is not run here", "no tests"]
    with pytest.raises(UnknownName, match="config of dataset 'code_contests_plus'"):
        load(tmp_path, "code_contests_plus", PLUS, config="6x")


# ------------------------------------------------------------------------------------------- DeepCoder

RECORDS = [{"input": "1\n", "output": "2\n", "testtype": "stdin_stdout"}]
CALLED = [{"input": "3", "output": "6", "testtype": "functional", "metadata": {"func_name": "double"}}]


def test_deepcoder_reads_lists_and_records_and_finds_the_name(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"problem": "Double it.", "tests": json.dumps(RECORDS), "solutions": [DOUBLES]},
        {"problem": "Double it.", "tests": json.dumps(CALLED), "starter_code": "def double(x):", "solutions": [FUNCTION]},
        {"problem": "Double it.", "tests": json.dumps([{k: v for k, v in CALLED[0].items() if k != "metadata"}]),
         "metadata": json.dumps({"func_name": "double"})},
        {"problem": "Double it.", "tests": json.dumps({"inputs": [[1]], "outputs": [[2]], "fn_name": "double"})},
        {"problem": "Double it.", "tests": "[]"},
    ]  # fmt: skip
    problems = load(tmp_path, "deepcoder", *rows)
    assert problems[0].cases == (StdinCase("1\n", "2\n"),)
    assert [p.entry_point for p in problems] == [None, "double", "double", "double"]
    assert problems[1].cases == problems[2].cases == (CallCase((3,), 6),)
    assert problems[3].cases == (CallCase((1,), 2),)
    assert reasons(problems) == ["no tests"]
    assert load(tmp_path, "deepcoder", rows[0], split="test")[0].id == "deepcoder/codeforces/test/0"


# -------------------------------------------------------------------------------- verifiable coding

INFO = {"language": "python", "test_cases": [{"input": "1\n", "output": "2\n", "type": "stdin_stdout"}]}
CALL_INFO = {
    "language": "python",
    "test_cases": [{"input": "[3]", "output": "6", "type": "function_call", "fn_name": "double"}],
}
VERIFIABLE: dict[str, Any] = {
    "source": "apps",
    "task_type": "verifiable_code",
    "in_source_id": "7",
    "prompt": "Solve: double it.",
    "gold_standard_solution": f"```python\n{DOUBLES}\n```",
    "verification_info": INFO,
    "metadata": {},
    "problem_id": "vcp_1",
}


def test_verifiable_coding_reads_structs_json_and_python_literals(tmp_path: Path) -> None:
    rows = [
        VERIFIABLE | {"verification_info": spelled, "problem_id": f"vcp_{i}"}
        for i, spelled in enumerate([INFO, json.dumps(INFO), repr(INFO)])
    ]
    problems = load(tmp_path, "verifiable_coding", *rows)
    assert [problem.cases for problem in problems] == [(StdinCase("1\n", "2\n"),)] * 3
    assert problems[0].solutions == (f"{DOUBLES}\n",)
    (problem,) = load(tmp_path, "verifiable_coding", VERIFIABLE | {"problem_statement": "Double it."})
    assert problem.statement == "Double it."
    gold = {"gold_standard_solution": FUNCTION, "verification_info": CALL_INFO}
    (problem,) = load(tmp_path, "verifiable_coding", VERIFIABLE | gold)
    assert (problem.cases, problem.entry_point) == ((CallCase((3,), 6),), "double")


def test_verifiable_coding_leaves_out_other_languages_and_arguments_that_are_no_data(tmp_path: Path) -> None:
    odd = {"language": "python", "test_cases": [CALL_INFO["test_cases"][0] | {"input": "[Node(1)]"}]}
    rows = [
        VERIFIABLE,
        VERIFIABLE | {"verification_info": INFO | {"language": "javascript"}},
        VERIFIABLE | {"verification_info": odd},
        VERIFIABLE | {"verification_info": None},
        VERIFIABLE | {"task_type": "verifiable_math"},
    ]
    problems = load(tmp_path, "verifiable_coding", *rows)
    first, second, third, fourth = reasons(problems)
    assert first == "a program in javascript"
    assert "expected JSON or a Python literal, got neither" in second
    assert third == "no tests"
    assert fourth == "a task of another type, verifiable_math"


def test_synthetic_1_takes_each_coding_problem_once(tmp_path: Path) -> None:
    rows = [VERIFIABLE | {"llm_response": str(n), "score": 1.0} for n in range(2)]
    problems = load(tmp_path, "synthetic_1", *rows, VERIFIABLE | {"task_type": "llm_judgeable"})
    assert [problem.id for problem in problems] == ["synthetic_1/vcp_1"]
    assert reasons(problems) == ["'synthetic_1/vcp_1' came before", "a task of another type, llm_judgeable"]


def test_synthetic_2_has_a_difficulty_by_model(tmp_path: Path) -> None:
    tests = {"inputs": [[3], [1]], "outputs": [6, 2], "fn_name": "double"}
    row = {
        "problem_id": "prime_rl_code_7",
        "task_type": "prime_rl_code",
        "prompt": "Write double(x).",
        "verification_info": json.dumps({"test_cases": json.dumps(tests)}),
        "Qwen3-4B_avg_reward": 0.25,
        "Qwen3-32B_avg_reward": None,
    }
    rows = [row, row | {"problem_id": "prime_rl_code_8", "verification_info": json.dumps({"test_cases": tests})}]
    problems = load(tmp_path, "synthetic_2", *rows, row | {"problem_id": "math_1", "task_type": "math"})
    assert [p.cases for p in problems] == [(CallCase((3,), 6), CallCase((1,), 2))] * 2
    assert problems[0].meta["rewards"] == {"Qwen3-4B": 0.25}
    assert reasons(problems) == ["a task of another type, math"]


# ------------------------------------------------------------------------------------------ rStar-Coder


def test_rstar_coder_reads_lists_and_their_texts(tmp_path: Path) -> None:
    row = {
        "question_id": "seed_1", "question": "Double it.", "starter_code": "", "inputs": json.dumps(["1\n"]),
        "outputs": json.dumps(["2\n"]), "is_synthesized": False, "test_case_type": "stdin", "func_name": "",
        "class_name": "",
    }  # fmt: skip
    named = {"func_name": "double", "inputs": ["3"], "outputs": ["6"], "question_id": "seed_2", "is_synthesized": True}
    problems = load(
        tmp_path,
        "rstar_coder",
        row,
        row | named,
        row | {"outputs": "[]", "question_id": "seed_3"},
        row | {"inputs": "7"},
        row | {"test_case_type": ["stdin", "made"], "question_id": "seed_4"},
        row | {"test_case_type": [1]},
    )
    assert problems[0].cases == (StdinCase("1\n", "2\n"),)
    assert (problems[1].cases, problems[1].entry_point) == ((CallCase((3,), 6),), "double")
    assert [problem.meta["source"] for problem in problems] == ["seed", "synthetic", "seed"]
    assert problems[2].meta["test_case_type"] == ["stdin", "made"]
    assert reasons(problems)[0] == "1 inputs but 0 outputs"
    assert "expected 'inputs' to be a list" in reasons(problems)[1]
    assert "expected 'test_case_type' to be a text" in reasons(problems)[2]


# ------------------------------------------------------------------------------------------- Codeforces

CHECKER = """\
import sys

def main():
    given, right, said = (open(path).read().split() for path in sys.argv[1:])
    print(1 if sum(map(int, said)) == int(given[0]) and len(said) == 2 else 0)

if __name__ == "__main__":
    main()
"""
FORCES: dict[str, Any] = {
    "id": "1/A",
    "aliases": None,
    "contest_id": "1",
    "contest_start": 1_700_000_000,
    "index": "A",
    "time_limit": 2.0,
    "memory_limit": 256.0,
    "title": "Split",
    "description": "Write a number as the sum of two.",
    "input_format": "A number.",
    "output_format": "Two numbers.",
    "interaction_format": None,
    "note": None,
    "examples": [{"input": "5", "output": "2 3"}],
    "editorial": None,
    "rating": 800,
    "tags": ["math"],
    "official_tests": [{"input": "5\n", "output": "2 3\n"}, {"input": "1\n", "output": "0 1\n"}],
    "official_tests_complete": True,
    "input_mode": "stdio",
    "generated_checker": CHECKER,
    "executable": True,
    "generated_tests": 0,
}


def test_codeforces_is_judged_by_its_checker_in_python(tmp_path: Path) -> None:
    (problem,) = load(tmp_path, "codeforces", FORCES)
    assert problem.limits == Limits(2.0, 256)
    assert {key: problem.meta[key] for key in ("date", "rating", "tags")} == {
        "date": "2023-11-14",
        "rating": 800,
        "tags": ("math",),
    }
    assert "-----Input-----\n\nA number." in problem.statement
    programs = {
        "n = int(input()); print(0, n)": Outcome.PASSED,
        "n = int(input()); print(n - 1, 1)": Outcome.PASSED,
        "print(0, 5)": Outcome.WRONG_ANSWER,
        "print(5)": Outcome.WRONG_ANSWER,
        "print('x', 'y')": Outcome.WRONG_ANSWER,
    }
    with sandbox.load("auto") as judge:
        assert {text: judge.run(text, problem).outcome for text in programs} == programs


def test_a_checker_that_exits_or_fails_accepts_nothing_and_sees_three_files_alone(tmp_path: Path) -> None:
    said = ["print(1)\nimport sys; sys.exit(0)", "print(1)\nimport sys; sys.exit(1)", "open('/etc/passwd'); print(1)",
            "open('input.txt', 'w'); print(1)", "print(1); 1 / 0", "print('0 1')"]  # fmt: skip
    rows = [FORCES | {"id": f"1/{i}", "generated_checker": source} for i, source in enumerate(said)]
    with sandbox.load("auto") as judge:
        outcomes = [judge.run("print(1)", problem).outcome.name for problem in load(tmp_path, "codeforces", *rows)]
    assert outcomes == ["PASSED", *["WRONG_ANSWER"] * 4, "PASSED"]


READS = {
    "as bytes": "open(sys.argv[3], 'rb').read().decode()",
    "by name": "open(file=sys.argv[3], mode='r', encoding='utf-8').read()",
    "as lines": "''.join(open(sys.argv[3]).readlines())",
}
SAYS = {
    "print(right)": "print(right)",
    "print(float(right))": "print(float(right))",
    "the buffer": "sys.stdout.buffer.write(str(right).encode())",
    "the first stream": "print(right, file=sys.__stdout__)",
    "an error stream besides": "print('why', file=sys.stderr)\nprint(right)",
}


def test_a_checker_reads_its_files_and_says_1_in_any_way_that_a_process_has(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pairs = [*((read, "print(right)") for read in READS.values()), *((READS["as bytes"], s) for s in SAYS.values())]
    sources = [f"import sys\nright = int({read}.split() == ['2', '3'])\n{said}\n" for read, said in pairs]
    rows = [FORCES | {"id": f"1/{i}", "generated_checker": source} for i, source in enumerate(sources)]
    for row in rows:
        row["official_tests"] = FORCES["official_tests"][:1]
    problems = load(tmp_path, "codeforces", *rows)
    with sandbox.load("auto") as judge:
        right, wrong = ([judge.run(text, p).outcome.name for p in problems] for text in ("print(2, 3)", "print(3, 2)"))
    assert right == ["PASSED"] * len(rows)
    assert wrong == ["WRONG_ANSWER"] * len(rows)
    assert "why" not in capfd.readouterr().err


def test_codeforces_leaves_out_what_cannot_be_judged(tmp_path: Path) -> None:
    odd: list[dict[str, Any]] = [
        {"interaction_format": "Ask."},
        {"input_mode": "file"},
        {"executable": False},
        {"official_tests_complete": False},
        {"official_tests": []},
        {"generated_checker": "def ("},
    ]
    problems = load(tmp_path, "codeforces", FORCES, *(FORCES | {"id": f"2/{i}"} | row for i, row in enumerate(odd)))
    assert reasons(problems)[:5] == [
        "interactive",
        "input by file: programs here use standard input and output",
        "marked as not to be run",
        "its official tests are cut off",
        "no tests",
    ]
    assert "generated_checker: expected Python" in reasons(problems)[5]
    assert len(load(tmp_path, "codeforces", FORCES, start_date="2023-11-14", end_date="2023-11-14")) == 1


# ------------------------------------------------------------------------------------------- references


def test_references_pass_the_judge(tmp_path: Path) -> None:
    found = [
        *load(tmp_path, "taco", TACO),
        *load(tmp_path, "code_contests", CONTEST),
        *load(tmp_path, "code_contests_plus", PLUS),
        *load(tmp_path, "verifiable_coding", VERIFIABLE),
    ]
    with sandbox.load("auto") as judge:
        findings = list(audit.findings(found, judge))
    assert len(findings) >= 10
    assert [finding.words for finding in findings if not finding.passed] == []
