"""The race against other graders: what is measured is what is said. No figure is asserted: those are the machine's."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from benchmarks.speed import judge
from benchmarks.speed.grading import Row, Settings

SMALL = Settings(workers=1, repeat=1, programs=3, soak=20)
linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


def test_ratios_are_those_to_the_last_row() -> None:
    shown = judge.table("stdin", [Row("judge", 400.0, 2.0, 5, 5), Row("verl", 50.0, 8.0, 5, 5)])
    cells = [list(column.cells) for column in shown.columns]
    assert [column.header for column in shown.columns][:3] == ["grader", "programs/s", "ratio"]
    assert cells[2] == ["8.00", "1.00"]
    assert cells[4] == ["4.00", "1.00"]


def test_the_judge_and_the_floor_pass_what_is_right() -> None:
    rows = judge.stdin_section(SMALL)
    assert [row.name for row in rows] == ["floor", "judge", "judge, isolate"]
    assert all((row.passed, row.of) == (3, 3) and row.rate > 0 and row.cpu_ms >= 0 for row in rows)


def test_a_soak_counts_what_the_processes_hold() -> None:
    rows = judge.soak(SMALL)
    assert len(rows) == 10
    assert all((row.passed, row.of) == (2, 2) for row in rows)
    assert all(isinstance(row, judge.Tenth) and row.mib > 0 and row.descriptors > 0 for row in rows)


def test_the_command_writes_a_record_without_paths(tmp_path: Path) -> None:
    target = tmp_path / "record.json"
    arguments = ["stdin", "--workers", "1", "--repeat", "1", "--programs", "2", "--json", str(target)]
    assert judge.main(arguments) == 0
    text = target.read_text()
    kept = json.loads(text)
    options = "--workers 1 --repeat 1 --programs 2 --peers PYTHON"
    assert kept["command"] == f"python -m benchmarks.speed.judge stdin {options}"
    assert {"judge", "python", "system", "versions", "settings", "sections"} <= set(kept)
    assert set(kept["sections"]) == {"stdin"}
    assert str(tmp_path) not in text
    assert sys.prefix not in text


def test_an_unknown_section_is_refused() -> None:
    with pytest.raises(SystemExit):
        judge.main(["speed"])


ROOT = Path(__file__).parents[3]


def test_the_record_pays_no_hostile_program() -> None:
    kept = json.loads((ROOT / "benchmarks" / "results" / "throughput.json").read_text())
    assert all(row["passed"] == 0 for row in kept["sections"]["paid"] if row["name"].startswith("judge"))


def test_a_summary_has_a_row_for_each_grader_and_leaves_empty_what_it_was_not_asked() -> None:
    sections = {
        "humaneval": [vars(Row("judge", 400.0, 2.0, 5, 5)), vars(Row("evalplus", 50.0, 8.5, 5, 5))],
        "paid": [vars(Row("judge", 0.0, 0.0, 0, 9)), vars(Row("verl", 0.0, 0.0, 7, 9))],
    }
    assert judge.summary({"versions": {"evalplus": "0.3"}, "sections": sections}).splitlines()[2:] == [
        "| **the judge** | **2** | | 0 of 9 |",
        "| EvalPlus 0.3 | 8.5 (4.2) | | |",
        "| verl, `prime_code` | | | 7 of 9 |",
    ]
