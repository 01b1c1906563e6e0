"""The command: tables that names cannot break, and no page without a record."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from benchmarks import leaderboard


def test_csv_has_every_figure_and_no_formula(ranked: Any) -> None:
    ranked.edit("r6/header.json", agent={"kind": "function", "name": "=1+1"})
    rows = list(csv.DictReader(io.StringIO(leaderboard.as_csv([ranked.board()]))))
    assert [(row["rank"], row["model"], row["k"], row["pass@k"]) for row in rows[:2]] == [
        ("1", "'=1+1", "1", "1.0000"),
        ("1", "'=1+1", "2", "1.0000"),
    ]
    assert {row["model"] for row in rows} == {"'=1+1", "middling", ranked.name}


def test_names_cannot_break_the_markdown(ranked: Any) -> None:
    line = next(line for line in leaderboard.as_markdown([ranked.board()]).splitlines() if "evil" in line)
    assert "<b>" not in line
    assert line.replace("\\|", "").count("|") == 7


def test_a_folder_without_records_makes_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert leaderboard.main([str(tmp_path)]) == 2
    assert "Expected records below" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert leaderboard.main([str(tmp_path / "none")]) == 2
    assert "Expected a folder of records" in capsys.readouterr().err
