"""The measurements of the environment measure what they say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.speed.env import TEXT, Reencoding, Round, Row, _rate, main, race, solution, ten_cases
from rltf_env import datasets, sandbox
from rltf_env.core import Outcome
from rltf_env.env import UnitTestEnv
from rltf_env.errors import RLTFError


def test_the_baseline_observes_what_the_environment_observes() -> None:
    problem = datasets.load("procedural", size=1)[0]
    env, baseline = UnitTestEnv([problem], prompt_style=lambda p: p.statement), Reencoding(problem)
    first, _ = env.reset()
    assert np.array_equal(baseline.reset(0)["prompt"], first["prompt"])
    for token in TEXT[:40]:
        one, other = env.step(token)[0], baseline.step(token)[0]
        assert np.array_equal(one["program"], other["program"])


def test_every_solution_passes_and_no_two_are_the_same() -> None:
    problem, *_ = ten_cases()
    with sandbox.load(workers=1) as judge:
        assert judge.run(solution(0), problem).outcome is Outcome.PASSED
    assert len({solution(number) for number in range(64)}) == 64


def test_ways_take_turns_and_the_median_counts() -> None:
    seen: list[str] = []
    rates = iter([[1.0, 9.0], [2.0], [3.0], [4.0]])

    def way(name: str) -> Round:
        return lambda: (seen.append(name), next(rates))[1]

    assert race({"a": way("a"), "b": way("b")}, 2) == [Row("a", 3.0), Row("b", 3.0)]
    assert seen == ["a", "b", "a", "b"]


def test_work_that_is_not_done_is_not_timed() -> None:
    with pytest.raises(RLTFError, match="Expected 3 right programs"):
        _rate(lambda: 2.0, 3)


def test_the_command_prints_and_keeps_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    kept = tmp_path / "rows.json"
    assert main(["steps", "--repeat", "1", "--rows", "4", "--json", str(kept)]) == 0
    assert "re-encoding" in capsys.readouterr().out
    rows = {row["name"]: row["rate"] for row in json.loads(kept.read_text())["steps"]}
    assert set(rows) == {
        "re-encoding", "one environment", "one environment, gymnasium.make", "4 rows", "4 rows, copy=False"
    }  # fmt: skip
    assert min(rows.values()) > 0
    with pytest.raises(SystemExit):
        main(["nonsense"])
