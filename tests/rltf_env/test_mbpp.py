"""MBPP: the official file, its splits, its asserts as cases."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rltf_env import datasets, sandbox
from rltf_env.core import ScriptCase
from rltf_env.errors import DataError
from rltf_env.testing import check_dataset


def row(task_id: int = 601, **fields) -> dict:
    return {
        "text": "Write a function to add.",
        "code": "def add(a, b):\r\n  return a + b",
        "task_id": task_id,
        "test_setup_code": "",
        "test_list": ["assert add(1, 2) == 3", "assert add(2, 2) == 4"],
        "challenge_test_list": [],
        **fields,
    }


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(*rows: dict | str) -> Path:
        path = tmp_path / "mbpp.jsonl"
        path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows))
        return path

    return write


# --------------------------------------------------------------------------------------------------------- real data


@pytest.mark.parametrize(
    ("split", "first", "last"),
    [("prompt", 1, 10), ("test", 11, 510), ("validation", 511, 600), ("train", 601, 974), ("all", 1, 974)],
)
def test_official_splits_by_task_id(split: str, first: int, last: int, data: Path):
    ids = [problem.id for problem in datasets.load("mbpp", split, root=data)]
    assert ids == [f"mbpp/{number}" for number in range(first, last + 1)]


def test_every_problem_has_its_three_asserts_and_shows_them(data: Path):
    problems = datasets.load("mbpp", "all", root=data)
    assert problems.skipped == ()
    for problem in problems:
        assert len(problem.cases) == 3
        assert problem.examples == problem.cases
        assert all(str(problem.entry_point) in case.script for case in problem.cases)  # type: ignore[union-attr]


def test_names_to_define_that_are_hard_to_find(data: Path):
    problems = {problem.id: problem for problem in datasets.load("mbpp", "all", root=data)}
    assert problems["mbpp/126"].entry_point == "sum"  # the name of a builtin
    assert problems["mbpp/601"].entry_point == "max_chain_length"  # its arguments call Pair, of the reference
    assert problems["mbpp/367"].cases[0].setup.startswith("root = Node(1)")  # type: ignore[union-attr]


def test_texts_are_as_in_the_file(data: Path):
    problem = datasets.load("mbpp", "prompt", root=data)[1]
    assert problem.statement == "Write a function to find the similar elements from the given two tuple lists."
    assert problem.solutions[0].startswith("def similar_elements(test_tup1, test_tup2):\r\n  res = ")
    assert problem.cases[0] == ScriptCase("assert similar_elements((3, 4, 5, 6),(5, 7, 4, 10)) == (4, 5)")


def test_challenge_asserts_are_kept_as_notes(data: Path):
    kept = [problem.meta["challenge"] for problem in datasets.load("mbpp", "all", root=data)]
    assert sorted(map(len, kept), reverse=True)[:12] == [3, 3, 2, *[1] * 8, 0]


def test_folder_file_and_variable_lead_to_the_same(data: Path, monkeypatch: pytest.MonkeyPatch):
    problems = datasets.load("mbpp", "prompt", root=data)
    assert datasets.load("mbpp", "prompt", root=data / "mbpp") == problems
    assert datasets.load("mbpp", "prompt", root=str(data / "mbpp" / "mbpp.jsonl")) == problems
    monkeypatch.setenv("RLTF_DATA", str(data))
    assert datasets.load("mbpp", "prompt") == problems


@pytest.mark.parametrize("split", ["prompt", "test", "validation", "train"])
def test_every_reference_passes_its_own_tests(split: str, data: Path):
    """All 974: none has to be named as an exception, and none needs the program and its test in one process.

    From Python 3.12 on a case of mbpp/123 takes 3.5 seconds, which is close to the judge's usual limit of 4.
    """
    with sandbox.load("forkserver", case_seconds=4 if sys.version_info < (3, 12) else 12) as judge:
        check_dataset("mbpp", judge, split=split, root=data)


# ---------------------------------------------------------------------------------------------------------- odd files


def test_setup_goes_with_every_case(write: Callable[..., Path]):
    path = write(row(test_setup_code="one = 1\r\n"))
    (problem,) = datasets.load("mbpp", root=path)
    assert [case.setup for case in problem.cases] == ["one = 1\r\n"] * 2  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("code", "test", "name"),
    [
        ("def f(x): return x", "assert set(f(g(1))) == {1}", "f"),
        ("def g(x): return x\ndef f(x): return x", "assert f(g(1)) == 1", "f"),
        ("class F: pass", "assert isinstance(F(), F)", "F"),
        ("f = len", "assert f([]) == 0", None),
    ],
)
def test_name_to_define_is_the_outermost_that_the_reference_defines(
    code: str, test: str, name: str | None, write: Callable[..., Path]
):
    (problem,) = datasets.load("mbpp", root=write(row(code=code, test_list=[test])))
    assert problem.entry_point == name


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ("{not json", "expected JSON"),
        ({"task_id": 602}, "expected a field 'code'"),
        (row(602, test_list=[]), "expected at least one assert"),
        (row(602, test_list="assert True"), "expected 'test_list' to be of type list, got str"),
        (row(602, test_list=[1]), "expected a list of strings"),
        (row("602"), "expected 'task_id' to be of type int, got str"),  # type: ignore[arg-type]
        (row(602, code="def f(:"), "expected Python, got"),
        (row(602, code="\0"), "expected Python, got"),
        (row(602, test_list=["assert"]), "expected Python, got"),
        (row(601), "expected each task_id once, got 601 again"),
    ],
    ids=str,
)
def test_a_malformed_line_names_file_and_line(broken: dict | str, message: str, write: Callable[..., Path]):
    path = write(row(), broken)
    with pytest.raises(DataError, match=rf"mbpp\.jsonl:2(, field '\w+')?: {message}"):
        datasets.load("mbpp", root=path)


def test_a_file_without_the_split_says_so(write: Callable[..., Path]):
    with pytest.raises(DataError, match=r"expected problems of split 'test' \(task_id 11 to 510\), got none"):
        datasets.load("mbpp", "test", root=write(row()))
