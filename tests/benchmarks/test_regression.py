"""What flipped between two records, by tag: found where it was planted, and not where nothing changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import records, regression, suites
from benchmarks.regression import flips
from benchmarks.suites import Suite
from rltf_env import datasets
from rltf_env.core import Problem

OPTIONS = {"size": 24, "seed": 1, "conditionals": [2, 3]}


@pytest.fixture
def suite(monkeypatch: pytest.MonkeyPatch) -> Suite:
    """Twenty-four grown problems, the only suite that there is."""
    digest = datasets.digest(datasets.load("grown", split="test", **OPTIONS))
    made = Suite("small", "grown", "test", "Twenty-four.", digest, options=OPTIONS, samples=1, ks=(1,))
    monkeypatch.setattr(suites, "SUITES", {"small": made})
    return made


def right(source: str, problem: Problem) -> Any:
    from rltf_env.core import Outcome

    return [Outcome.PASSED if source == "right" else Outcome.WRONG_ANSWER] * len(problem.cases)


def unless(tag: str) -> Any:
    return lambda problem, n, seed: ["wrong" if tag in problem.meta["tags"] else "right"] * n


def test_flips_worked_by_hand() -> None:
    tags = {"a": ["for", "let"], "b": ["for"], "c": ["if"], "d": ["if", "let"]}
    before = {"a": True, "b": True, "c": True, "d": False}
    after = {"a": False, "b": False, "c": True, "d": True}
    found = {each.tag: each for each in flips(tags, before, after)}
    assert {tag: (f.problems, f.down, f.up) for tag, f in found.items()} == {
        "for": (2, 2, 0), "let": (2, 1, 1), "if": (2, 0, 1),
    }  # fmt: skip
    assert found["for"].p_value == 1.0  # 0.5 three times
    assert found["for"].p_gathered == pytest.approx(3 / 6)  # one of the six ways to choose two of four, three times


def test_a_planted_change_is_found_and_what_goes_with_it_is_not() -> None:
    rng = np.random.default_rng(0)
    names = ["for", "plus", "if", "even", "abs"]
    tags = {str(i): [n for n in names if rng.random() < 0.5] for i in range(200)}
    before = {id: bool(rng.random() < 0.8) for id in tags}
    after = {id: was and ("for" not in tags[id] or rng.random() < 0.3) for id, was in before.items()}
    found = flips(tags, before, after)
    assert found[0].tag == "for"
    assert found[0].p_value < 0.05
    assert [each.tag for each in found if each.p_gathered < 0.05] == ["for"]


def test_two_models_alike_raise_no_alarm() -> None:
    alarms = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        tags = {str(i): [n for n in "abcdef" if rng.random() < 0.4] for i in range(200)}
        before, after = ({id: bool(rng.random() < 0.5) for id in tags} for _ in range(2))
        alarms += any(min(each.p_value, each.p_gathered) < 0.05 for each in flips(tags, before, after))
    assert alarms <= 3


def test_the_command_names_the_tag_and_shows_programs(
    suite: Suite, tmp_path: Path, make_record: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("nothing", "for"):
        make_record(tmp_path / name, suite, unless(name), rules=right, name=f"without-{name}")
    where = [str(tmp_path / "nothing"), str(tmp_path / "for"), "--json", str(tmp_path / "found.json")]
    assert regression.main(where) == 0
    out = capsys.readouterr().out
    assert "Down, with for" in out
    found = json.loads((tmp_path / "found.json").read_text())
    first = next(iter(found))
    assert first == "for"
    assert found["for"]["down"] == found["for"]["problems"] > 0
    assert found["if"]["down"] < found["if"]["problems"]
    assert regression.main(where[:1]) == 0
    assert "conditionals-3" in capsys.readouterr().out


def test_rates_by_tag_are_those_of_the_record(suite: Suite, tmp_path: Path, make_record: Any) -> None:
    record = make_record(tmp_path / "for", suite, unless("for"), rules=right)
    rates = regression.rates(record, regression.problems_of(record))
    assert rates["for"]["value"] == 0.0
    assert 0 < rates["if"]["value"] < 1
    assert rates["conditionals-2"]["problems"] == 12


def test_other_data_and_other_problems_are_refused(
    suite: Suite, tmp_path: Path, make_record: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    record = make_record(tmp_path / "a", suite, unless("for"), rules=right)
    records.write_json(tmp_path / "a" / "header.json", {**record.header, "data": "0" * 64})
    assert regression.main([str(tmp_path / "a")]) == 2
    assert "Name the folder of the data" in " ".join(capsys.readouterr().err.split())
    assert regression.main([str(tmp_path / "none")]) == 2
