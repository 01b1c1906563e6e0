"""A training step measured: sums by hand, tables, a trainer that fails says so, and ours takes real steps."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.speed import training
from benchmarks.speed.peers import trainers
from benchmarks.speed.training import JOBS, Job, Result, Worker, race, summary, table
from rltf_env.errors import RLTFError

SMALL = Job("tiny", batch=4, samples=2, tokens=8, rounds=2)
STEP = {
    "seconds": 4.0,
    "cpu_seconds": 2.0,
    "tokens": 80.0,
    "generate": 1.0,
    "judge": 0.5,
    "update": 2.5,
    "peak_bytes": 2.0**20,
    "least_bytes": 2.0**19,
}


def test_rates_are_medians_of_steps_by_hand() -> None:
    slow = STEP | {"seconds": 8.0, "cpu_seconds": 4.0, "generate": 2.0, "peak_bytes": 2.0**21, "padding": 0.5}
    made = summary("ours", [STEP | {"padding": 0.1}, slow, STEP | {"padding": 0.2}])
    assert (made.tokens_per_second, made.tokens_per_cpu_second, made.generated_per_second) == (20.0, 40.0, 80.0)
    assert (made.generate, made.judge, made.update, made.tokens) == (1.0, 0.5, 2.5, 80.0)
    assert (made.peak_bytes, made.least_bytes) == (2.0**21, 2.0**19)
    assert (made.padding, made.idle_rows) == (0.2, None)


def test_table_shows_ratios_to_the_last_row_and_the_judges_share() -> None:
    rows = [
        Result("ours", 50.0, 100.0, 0.0, 1.0, 0.5, 2.5, 80.0, 3 * 2.0**20, 2.0**20, padding=0.25, idle_rows=0.5),
        Result("trl", 20.0, 25.0, 0.0, 2.0, 0.0, 2.0, 80.0, 5 * 2.0**20, 2.0**20),
    ]
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(table(SMALL, rows))
    lines = console.export_text().splitlines()
    ours = next(line for line in lines if "ours" in line).replace("│", "").split()
    assert ours == ["ours", "50", "2.50", "4.00", "1.00", "0.50", "2.50", "12.5%", "25%", "50%", "3", "1"]


def test_ours_takes_a_step_when_it_is_asked() -> None:
    asked, told = io.StringIO("step\nstep\n"), io.StringIO()
    trainers.main("ours", asdict(SMALL), asked, told)
    answers = [json.loads(line) for line in told.getvalue().splitlines()]
    assert len(answers) == 2
    for said in answers:
        assert 4 <= said["tokens"] <= 4 * SMALL.tokens
        assert said["seconds"] >= said["generate"] + said["judge"] + said["update"] > 0
        assert said["judge"] > 0
        # There are over half a million numbers of four bytes.
        assert said["peak_bytes"] > said["least_bytes"] > 4 * 4 * 500_000
        assert 0 <= said["padding"] < 1
        assert 0 <= said["idle_rows"] < 1


def test_a_trainer_that_ends_says_why() -> None:
    worker = Worker("nobody", SMALL)
    try:
        with pytest.raises(RLTFError, match=r"'nobody' ended: .*KeyError"):
            worker.step()
    finally:
        worker.close()


@pytest.mark.parametrize("arguments", [["gigantic"], ["--rounds", "1"]])
def test_impossible_wishes_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        training.main(arguments)
    assert "expected" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_trainers_take_turns_and_the_record_says_what_was_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("trl")
    assert [row.name for row in race(SMALL, ["ours", "trl"])] == ["ours", "trl"]
    monkeypatch.setitem(JOBS, "tiny", SMALL)
    assert training.main(["tiny", "--rounds", "2", "--without-trl", "--json", str(tmp_path / "out.json")]) == 0
    record = json.loads((tmp_path / "out.json").read_text())
    assert record["command"] == "python -m benchmarks.speed.training tiny --rounds 2 --without-trl"
    assert record["date"]
    assert record["models"]["tiny"]["results"][0]["tokens_per_second"] > 0
