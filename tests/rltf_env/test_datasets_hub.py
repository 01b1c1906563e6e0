"""Rows of other people's tables become problems: read offline, by the `datasets` library, from files written here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import pytest

import rltf_env  # noqa: F401 (registers the ids)
from rltf_env import datasets
from rltf_env.core import CallCase, Problem, ScriptCase, StdinCase
from rltf_env.errors import DataError, UnknownName, UsageError

pytest.importorskip("datasets", reason="needs the hub extra: pip install 'rltf[hub]'")

MBPP = {"id": "task_id", "statement": "text", "tests": "test_list", "setup": "setup_code", "solutions": "code"}
ROWS = [
    {"task_id": 7, "text": "Add one.", "code": "f = lambda x: x + 1", "test_list": ["assert f(1) == 2"], "setup_code": ""},
    {"task_id": 8, "text": "No tests.", "code": "", "test_list": [], "setup_code": "import os"},
    {"task_id": 9, "text": "Go.", "code": "", "test_list": ["f()", "g()"], "setup_code": "import os"},
]  # fmt: skip


def table(folder: Path, *rows: dict[str, Any], split: str = "train", kind: str = "jsonl") -> str:
    """The rows as a file that the library reads; its folder, as a dataset's name."""
    home = folder / "table"
    home.mkdir(exist_ok=True)
    if kind == "parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), home / f"{split}.parquet")
    else:
        (home / f"{split}.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return f"hub:{home}"


def load(folder: Path, *rows: dict[str, Any], **options: Any) -> Any:
    return datasets.load(table(folder, *rows), cache=folder / "cache", **options)


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_rows_become_problems_by_their_columns(kind: str, tmp_path: Path) -> None:
    name = table(tmp_path, *ROWS, kind=kind)
    problems = datasets.load(name, columns=MBPP, cache=tmp_path / "cache")
    assert problems == (
        Problem("7", "Add one.", (ScriptCase("assert f(1) == 2"),), solutions=("f = lambda x: x + 1",)),
        Problem("9", "Go.", (ScriptCase("f()", "import os"), ScriptCase("g()", "import os"))),
    )
    assert problems.skipped == (("8", "no cases"),)


def test_columns_of_our_names_need_no_mapping(tmp_path: Path) -> None:
    row = {
        "statement": "Double.", "stdin": ["1", "2"], "stdout": ["2", "4"], "difficulty": "easy", "source": "here",
        "tags": '["math", "easy"]', "solutions": ["print(2 * int(input()))"], "unknown": 3,
    }  # fmt: skip
    (problem,) = load(tmp_path, row, difficulty="easy", tag="math", source="here", kind="stdin")
    assert problem.id.endswith("table/train/0")
    assert problem.cases == (StdinCase("1", "2"), StdinCase("2", "4"))
    assert problem.meta == {"source": "here", "tags": ("math", "easy")}
    assert problem.solutions == ("print(2 * int(input()))",)


def test_apps_tests_are_read_as_apps_reads_them(tmp_path: Path) -> None:
    tests = json.dumps({"fn_name": "go", "inputs": [[1], [2]], "outputs": [[3], [4]]})
    starter = "class Solution:\n    def go(self, x):"
    (problem,) = load(tmp_path, {"statement": "Go.", "input_output": tests, "starter": starter})
    assert problem.cases == (CallCase((1,), 3), CallCase((2,), 4))
    assert problem.entry_point == "Solution.go"


def test_records_are_reached_by_dots_and_cases_of_our_own_form_are_read(tmp_path: Path) -> None:
    records = {"statement": "Go.", "io": [{"in": "1", "out": "2"}, {"in": "3", "out": "4"}]}
    (problem,) = load(tmp_path, records, columns={"stdin": "io.in", "stdout": "io.out"})
    assert problem.cases == (StdinCase("1", "2"), StdinCase("3", "4"))
    mixed = [{"args": [2], "expected": None}, {"script": "f(1)"}]  # a table gives both records all four keys
    (problem,) = load(tmp_path, {"statement": "Go.", "entry_point": "f", "cases": mixed})
    assert problem.cases == (CallCase((2,), None), ScriptCase("f(1)"))


def half(row: dict[str, Any]) -> Problem | None:
    return Problem(str(row["task_id"]), row["text"], [ScriptCase("f()")]) if row["task_id"] != 8 else None


def test_a_function_of_a_row_does_what_columns_cannot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    problems = load(tmp_path, *ROWS, convert=half)
    assert [problem.id for problem in problems] == ["7", "9"]
    assert [reason for _, reason in problems.skipped] == ["convert gave None"]
    with pytest.raises(DataError, match="row 0: expected convert to give a Problem, got dict"):
        load(tmp_path, *ROWS, convert=dict)
    with pytest.raises(UsageError, match="columns or convert, got both"):
        load(tmp_path, *ROWS, convert=half, columns={})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"columns": {"statment": "text"}}, UnknownName, "field of a problem 'statment'. Did you mean 'statement'"),
        ({"columns": MBPP | {"tests": "test_lst"}}, UnknownName, "'test_lst'. Did you mean 'test_list'"),
        ({"columns": {"id": "task_id"}}, UsageError, "Expected columns for 'statement' and for the cases"),
        ({"columns": MBPP, "split": "tran"}, UnknownName, "'tran'. Did you mean 'train'"),
        ({"columns": MBPP | {"statement": "task_id"}}, DataError, "row 0, statement: expected a text, got int"),
        ({"columns": MBPP | {"tests": "task_id"}}, DataError, "row 0, tests: expected a text or a list of texts"),
        ({"columns": MBPP | {"tests": "text.x"}}, DataError, "row 0: expected a record with the columns"),
        ({"colums": MBPP}, UnknownName, "'colums'. Did you mean 'columns'"),
    ],
)
def test_mistakes_are_named(options: dict[str, Any], error: type[Exception], message: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=re.escape(message)):
        load(tmp_path, *ROWS, **options)


def test_files_that_the_library_cannot_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "table").mkdir()
    (tmp_path / "table" / "train.parquet").write_text("no parquet")
    with pytest.raises(DataError, match="expected files that the datasets library reads"):
        datasets.load(f"hub:{tmp_path / 'table'}", cache=tmp_path / "cache")


def test_an_environment_draws_from_a_table(tmp_path: Path) -> None:
    name = table(tmp_path, *ROWS)
    options = {"columns": MBPP, "cache": str(tmp_path / "cache"), "held_out": 0.5}
    env = gymnasium.make("RLTF-MBPP-v0", dataset=name, dataset_options=options)
    _, info = env.reset(options={"problem": "9"})
    assert info["prompt"] == "Go.\n"
    assert len(env.unwrapped.problem.held_out) == 1  # type: ignore[attr-defined]


CODE = """
from rltf_env import datasets, tokenizers
from rltf_env.errors import MissingData
for ask in (lambda: datasets.load("hub:owner/name"), lambda: tokenizers.load("owner/name")):
    try:
        ask()
    except MissingData as error:
        print(error)
"""


def test_without_a_network_a_hub_id_fails_at_once_and_says_why(tmp_path: Path) -> None:
    """Nothing listens at the endpoint. The libraries alone would try again for 23 and for 46 seconds, and say so."""
    environment = {**os.environ, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", CODE], env=environment, capture_output=True, text=True, timeout=110)
    first, second = done.stdout.splitlines()
    for line in (first, second):
        assert "'owner/name'" in line
        assert "http://127.0.0.1:9 does not answer" in line
    assert "Retry" not in done.stderr
