"""Rows are found in files of several kinds; odd rows are left out with a reason; cases of large rows are read later."""

from __future__ import annotations

import gzip
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from rltf_env import datasets
from rltf_env.core import StdinCase
from rltf_env.datasets import _tables, hub
from rltf_env.errors import DataError, MissingData, UnknownName, UsageError

TESTS = {"inputs": ["1\n", "2\n"], "outputs": ["2\n", "4\n"]}
ROW = {"question": "Double.", "input_output": json.dumps(TESTS), "solutions": '["print(2 * int(input()))"]'}


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    if path.suffix == ".parquet":
        import pyarrow
        import pyarrow.parquet

        pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    elif path.suffix == ".gz":
        path.write_bytes(gzip.compress(lines.encode()))
    else:
        path.write_text(json.dumps(rows) if path.suffix == ".json" else lines, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "place",
    [
        "taco/train.jsonl",
        "taco/train.jsonl.gz",
        "taco/train.json",
        "taco/train.parquet",
        "taco/data/train-00000-of-00001.parquet",
        "TACO/train.jsonl",
    ],
)
def test_files_are_found_below_the_common_folder(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if place.endswith(".parquet"):
        pytest.importorskip("datasets", reason="needs the hub extra: pip install 'rltf[hub]'")
    written(tmp_path / place, [ROW])
    monkeypatch.setenv("RLTF_DATA", str(tmp_path))
    (problem,) = datasets.load("taco")
    assert problem.id == "taco/train/0"
    assert problem.cases == (StdinCase("1\n", "2\n"), StdinCase("2\n", "4\n"))


def test_root_may_be_the_folder_or_the_file(tmp_path: Path) -> None:
    path = written(tmp_path / "train.jsonl", [ROW])
    assert len(datasets.load("taco", root=tmp_path)) == len(datasets.load("taco", root=path)) == 1


def test_what_is_missing_says_where_it_was_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MissingData, match=r"split 'train' of 'taco' as a file in one of: .*taco, .*Get the rows"):
        datasets.load("taco", root=tmp_path)
    monkeypatch.delenv("RLTF_DATA", raising=False)
    with pytest.raises(MissingData, match="RLTF_DATA is not set"):
        datasets.load("taco")
    with pytest.raises(UnknownName, match="split of dataset 'taco'"):
        datasets.load("taco", "valid", root=tmp_path)


def test_the_hub_is_asked_only_when_it_is_named_and_says_so_when_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("datasets", reason="needs the hub extra: pip install 'rltf[hub]'")
    monkeypatch.setattr(hub, "unreachable", lambda: "no network here")
    with pytest.raises(MissingData, match="'likaixin/TACO-verified' on the hub, but no network here"):
        datasets.load("taco", root="hub:likaixin/TACO-verified")


def test_odd_rows_are_left_out_with_their_place_and_reason(tmp_path: Path) -> None:
    rows = [
        ROW | {"input_output": "{"},
        ROW | {"input_output": ""},
        ROW | {"question": None},
        ROW | {"question": " "},
        ROW,
        ROW | {"time_limit": "soon"},
    ]
    problems = datasets.load("taco", root=written(tmp_path / "train.jsonl", rows))
    assert [problem.id for problem in problems] == ["taco/train/4"]
    reasons = dict(problems.skipped)
    assert list(reasons) == [f"taco/train/{number}" for number in (0, 1, 2, 3, 5)]
    assert "train.jsonl:1" in reasons["taco/train/0"]
    assert reasons["taco/train/1"] == "no tests"
    assert "expected 'question' to be a text" in reasons["taco/train/2"]
    assert "expected a statement" in reasons["taco/train/3"]


def test_no_row_that_is_a_problem_is_an_error_that_says_why(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"taco train: expected rows that are problems, got none\. The first of 1"):
        datasets.load("taco", root=written(tmp_path / "train.jsonl", [ROW | {"input_output": "[]"}]))


def test_a_limit_looks_at_the_first_rows_only(tmp_path: Path) -> None:
    path = written(tmp_path / "train.jsonl", [ROW, ROW, ROW])
    path.write_text(path.read_text() + "no json\n")
    assert len(datasets.load("taco", root=path, limit=2)) == 2


def test_cases_of_a_large_row_are_read_at_first_use_and_travel_as_their_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_tables, "LARGE", 10)
    path = written(tmp_path / "train.jsonl", [ROW, ROW | {"question": "Other."}])
    problems = datasets.load("taco", root=path)
    assert not isinstance(problems[1].cases, tuple)
    assert datasets.load("taco", root=path, kind="stdin") == problems
    copy = pickle.loads(pickle.dumps(problems[1]))
    assert len(pickle.dumps(problems[1].cases)) < 1000
    assert tuple(copy.cases) == (StdinCase("1\n", "2\n"), StdinCase("2\n", "4\n"))
    monkeypatch.setattr(_tables, "LARGE", 1 << 20)
    assert datasets.digest(datasets.load("taco", root=path)) == datasets.digest(problems)


def test_a_large_row_whose_file_has_changed_says_so_at_first_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_tables, "LARGE", 10)
    path = written(tmp_path / "train.jsonl", [ROW])
    (problem,) = datasets.load("taco", root=path)
    path.write_text(path.read_text().replace("inputs", "stupni"))
    with pytest.raises(DataError, match=r"train\.jsonl:1"):
        len(problem.cases)


@pytest.mark.parametrize(
    ("value", "day"),
    [("2024-03-01T12:00:00", "2024-03-01"), ("2024-03-01", "2024-03-01"), (1_700_000_000, "2023-11-14"), (None, ""), ("x", ""),
     (1e18, "")],
)  # fmt: skip
def test_days_are_read_from_dates_time_stamps_and_seconds(value: Any, day: str) -> None:
    assert _tables.date(value) == day


def test_a_window_has_both_its_ends_and_is_checked() -> None:
    window = _tables.window("2024-01-01", "2024-12-31")
    assert [window.holds(day) for day in ("2023-12-31", "2024-01-01", "2024-12-31", "2025-01-01")] == [
        False,
        True,
        True,
        False,
    ]
    assert window.holds("") is None
    assert _tables.window(None, None).holds("")
    with pytest.raises(UsageError, match="start_date as YYYY-MM-DD, got '2024'"):
        _tables.window("2024", None)
    with pytest.raises(UsageError, match="start_date before end_date"):
        _tables.window("2024-02-01", "2024-01-01")
