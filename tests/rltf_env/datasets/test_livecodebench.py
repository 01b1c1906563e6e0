"""LiveCodeBench: releases and windows, public and packed private tests, both kinds of problem."""

from __future__ import annotations

import base64
import json
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest

from rltf_env import datasets, sandbox
from rltf_env.core import CallCase, Limits, Outcome, Problems, StdinCase
from rltf_env.datasets import _tables
from rltf_env.errors import DataError, MissingData, UnknownName


def packed(tests: list[dict[str, Any]]) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(json.dumps(tests)))).decode()


def stdin(given: str, right: str) -> dict[str, Any]:
    return {"input": given, "output": right, "testtype": "stdin"}


def call(given: str, right: str) -> dict[str, Any]:
    return {"input": given, "output": right, "testtype": "functional"}


READS: dict[str, Any] = {
    "question_title": "Double",
    "question_content": "Double a number.",
    "platform": "atcoder",
    "question_id": "abc300_a",
    "contest_id": "abc300",
    "contest_date": "2023-04-29T00:00:00",
    "starter_code": "",
    "difficulty": "easy",
    "public_test_cases": json.dumps([stdin("1\n", "2\n")]),
    "private_test_cases": packed([stdin("2\n", "4\n"), stdin("3\n", "6\n")]),
    "metadata": "{}",
}
CALLS: dict[str, Any] = READS | {
    "platform": "leetcode",
    "question_id": "3000",
    "contest_date": "2024-09-01T00:00:00",
    "starter_code": "class Solution:\n    def double(self, xs: List[int], k: int) -> List[int]:\n        ",
    "public_test_cases": json.dumps([call("[1, 2]\n2", "[2, 4]")]),
    "private_test_cases": packed([call("[]\n3", "[]")]),
    "metadata": json.dumps({"func_name": "double"}),
}
SOLVES = (
    "class Solution:\n    def double(self, xs: List[int], k: int) -> List[int]:\n        return [k * x for x in xs]\n"
)


def released(folder: Path, **files: list[dict[str, Any]]) -> Path:
    home = folder / "livecodebench"
    home.mkdir(exist_ok=True)
    for name, rows in files.items():
        (home / f"{name}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder


def load(folder: Path, *rows: dict[str, Any], **options: Any) -> Problems:
    released(folder, test=list(rows))
    return datasets.load("livecodebench", root=folder, version="v1", **options)


def test_standard_input_is_judged_by_public_and_private_tests(tmp_path: Path) -> None:
    (problem,) = load(tmp_path, READS)
    assert problem.id == "livecodebench/abc300_a"
    assert problem.cases == (StdinCase("1\n", "2\n"), StdinCase("2\n", "4\n"), StdinCase("3\n", "6\n"))
    assert problem.examples == problem.cases[:1]
    assert (problem.entry_point, problem.difficulty, problem.limits) == (None, "easy", None)
    assert {key: problem.meta[key] for key in ("source", "date", "contest")} == {
        "source": "atcoder",
        "date": "2023-04-29",
        "contest": "abc300",
    }


def test_functions_take_one_argument_a_line_and_have_frames_and_imports(tmp_path: Path) -> None:
    (problem,) = load(tmp_path, CALLS)
    assert problem.cases == (CallCase(([1, 2], 2), [2, 4]), CallCase(([], 3), []))
    assert problem.entry_point == "Solution.double"
    assert problem.limits == Limits(recursion=600_000)
    with sandbox.load("auto") as judge:
        assert judge.run(problem.prefix + SOLVES, problem).outcome is Outcome.PASSED
    (problem,) = load(tmp_path, CALLS, recursion=None)
    assert problem.limits is None


def test_private_tests_may_be_json_too(tmp_path: Path) -> None:
    (problem,) = load(tmp_path, READS | {"private_test_cases": json.dumps([stdin("5", "10")])})
    assert problem.cases[1:] == (StdinCase("5", "10"),)


def test_hostile_private_tests_cost_that_row_alone_and_are_not_run(tmp_path: Path) -> None:
    hostile = base64.b64encode(zlib.compress(b"cos\nsystem\n(S'touch run'\ntR.")).decode()
    problems = load(tmp_path, READS | {"private_test_cases": hostile}, CALLS)
    assert [problem.id for problem in problems] == ["livecodebench/3000"]
    assert "got the opcode GLOBAL. It was not run" in problems.skipped[0][1]
    assert not (tmp_path / "run").exists()


def test_a_window_keeps_what_was_published_in_it(tmp_path: Path) -> None:
    rows = [READS, CALLS, READS | {"question_id": "x", "contest_date": None}]
    assert len(load(tmp_path, *rows)) == 3
    problems = load(tmp_path, *rows, start_date="2024-08-01", end_date="2025-01-31")
    assert [problem.id for problem in problems] == ["livecodebench/3000"]
    assert problems.skipped == (("livecodebench/test/2", "no date, and a window of dates was asked for"),)


def test_a_release_is_all_files_up_to_its_number(tmp_path: Path) -> None:
    released(tmp_path, test=[READS], test2=[CALLS], test3=[READS | {"question_id": "third"}])

    def ids(version: str) -> list[str]:
        return [p.id.split("/")[1] for p in datasets.load("livecodebench", root=tmp_path, version=version)]

    assert ids("release_v1") == ids("v1") == ["abc300_a"]
    assert ids("release_v3") == ["abc300_a", "3000", "third"]
    assert ids("v3") == ["third"]
    with pytest.raises(MissingData, match=r"Get the files test\.jsonl to test6\.jsonl"):
        datasets.load("livecodebench", root=tmp_path)
    with pytest.raises(UnknownName, match="Did you mean 'release_v6'"):
        datasets.load("livecodebench", root=tmp_path, version="release_v7")


def test_private_tests_of_a_large_row_are_unpacked_at_first_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = load(tmp_path, READS, CALLS)
    monkeypatch.setattr(_tables, "LARGE", 10)
    broken = READS | {"question_id": "broken", "private_test_cases": "no base64"}
    large = load(tmp_path, READS, CALLS, broken)
    assert [tuple(problem.cases) for problem in large[:2]] == [problem.cases for problem in small]
    assert datasets.digest(large[:2]) == datasets.digest(small)
    with pytest.raises(DataError, match="expected JSON or packed tests"):
        len(large[2].cases)
    assert [problem.id for problem in load(tmp_path, READS, CALLS, kind="call")] == ["livecodebench/3000"]


def test_rows_that_cannot_be_judged_say_why(tmp_path: Path) -> None:
    nothing = READS | {"public_test_cases": "[]", "private_test_cases": "[]"}
    mixed = READS | {"private_test_cases": packed([call("1", "2")])}
    problems = load(tmp_path, CALLS, nothing, mixed)
    assert problems.skipped[0][1] == "no tests"
    assert "expected one name to call" in problems.skipped[1][1]
