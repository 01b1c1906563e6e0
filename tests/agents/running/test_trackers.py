"""Trackers: the numbers of a run in TensorBoard, Weights and Biases and Trackio."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from agents.running import trackers
from rltf_env.errors import MissingData, UnknownName

STAND_IN = """
calls = []
def init(**options): calls.append(("init", options))
def log(metrics, step): calls.append(("log", metrics, step))
def finish(): calls.append(("finish",))
"""


def scalars(out: Path, name: str) -> list[tuple[int, float]]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(out / "tensorboard"))
    found.Reload()
    return [(e.step, e.value) for e in found.Scalars(name)]


def test_tensorboard_holds_the_numbers_and_forgets_what_came_after_the_checkpoint(tmp_path: Path) -> None:
    for done, value in ((0, 1.0), (1, 2.0)):
        with trackers.opened([], tmp_path, "run", {}, done) as (board,):
            for step in range(done + 1, 4):
                board.log(step, {"reward/fine": value})
    assert scalars(tmp_path, "reward/fine") == [(1, 1.0), (2, 2.0), (3, 2.0)]


def test_tensorboard_forgets_a_run_that_was_killed_before_its_first_checkpoint(tmp_path: Path) -> None:
    for value in (1.0, 2.0):
        with trackers.opened([], tmp_path, "run", {}, 0) as (board,):
            for step in range(3):  # 0: an evaluation
                board.log(step, {"reward": value})
    assert scalars(tmp_path, "reward") == [(0, 2.0), (1, 2.0), (2, 2.0)]


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_hosted_trackers_are_told_the_same_and_closed(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / f"{name}.py").write_text(STAND_IN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    with trackers.opened([name], tmp_path / "out", "run", {"a": 1}, 0) as opened:
        for each in opened:
            each.log(1, {"x": 2.0})
    calls = sys.modules.pop(name).calls
    assert [call[0] for call in calls] == ["init", "log", "finish"]
    options = calls[0][1]
    assert (options["project"], options["name"], options["config"], options["resume"]) == (
        "rltf",
        "run",
        {"a": 1},
        "allow",
    )
    assert calls[1][1:] == ({"x": 2.0}, 1)


def test_a_tracker_that_is_not_installed_names_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(MissingData, match="pip install trackio"), trackers.opened(["trackio"], tmp_path, "r", {}, 0):
        pass


def test_a_tracker_that_there_is_not_is_refused() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'wandb'"):
        trackers.check(["wandbb"])
