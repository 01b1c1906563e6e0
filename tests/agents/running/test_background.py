"""Checkpoints that a thread writes: of the moment they were asked for, one at a time, and no error is lost."""

from __future__ import annotations

import json
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from same_runs import assert_same_run
from small_runs import AGENTS, COMMON, place_judge

from agents import train
from agents.config import Recipe, read
from agents.running import checkpoint
from agents.running.folder import Folder
from agents.running.stopping import Stopped
from rltf_env.errors import DataError


class Disk:
    """Writes when it may, and fails where it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.may, self.begun, self.done, self.fails = threading.Event(), list[int](), list[int](), False
        self._save: Callable[..., Path] = checkpoint.save
        monkeypatch.setattr(checkpoint, "save", self)

    def __call__(self, folder: Path, step: int, state: Any) -> Path:
        self.begun.append(step)
        assert self.may.wait(30)
        if self.fails:
            raise DataError("a full disk")
        path = self._save(folder, step, state)
        self.done.append(step)
        return path


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def test_what_is_written_is_the_moment_that_was_asked_for(tmp_path: Path, disk: Disk) -> None:
    weight, seen = torch.zeros(3), [1]
    with checkpoint.saving(tmp_path, background=True) as saver:
        saver.save(1, {"step": 1, "agent": {"weights": [weight]}, "seen": seen})
        weight += 1
        seen.append(2)
        assert not disk.done
        disk.may.set()
    found = checkpoint.latest(tmp_path)
    assert found is not None
    assert torch.equal(found["agent"]["weights"][0], torch.zeros(3))
    assert found["seen"] == [1]


def test_one_is_on_its_way_at_a_time(tmp_path: Path, disk: Disk) -> None:
    with checkpoint.saving(tmp_path, background=True) as saver:
        saver.save(1, {"step": 1})
        second = threading.Thread(target=saver.save, args=(2, {"step": 2}))
        second.start()
        second.join(0.05)
        assert second.is_alive()
        assert disk.begun == [1]
        disk.may.set()
        second.join(30)
    assert disk.done == [1, 2]


def test_an_error_is_raised_at_the_next_step(tmp_path: Path, disk: Disk) -> None:
    disk.fails = True
    disk.may.set()
    saver = checkpoint.Saver(tmp_path, background=True)
    saver.save(1, {"step": 1})
    with pytest.raises(DataError, match="a full disk"):
        saver.wait()
    saver.check()  # once is enough


def test_an_error_beside_another_is_told_too(tmp_path: Path, disk: Disk) -> None:
    disk.fails = True
    disk.may.set()

    def mistake() -> None:
        with checkpoint.saving(tmp_path, background=True) as saver:
            saver.save(1, {"step": 1})
            raise KeyError("a mistake")

    with pytest.raises(KeyError) as caught:
        mistake()
    assert caught.value.__notes__ == ["Besides: a full disk"]


def test_without_a_thread_it_is_written_at_once(tmp_path: Path, disk: Disk) -> None:
    disk.may.set()
    checkpoint.Saver(tmp_path).save(1, {"step": 1})
    assert disk.done == [1]


# ---------------------------------------------------------------------------------------------------------------- runs


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Recipe]:
    place_judge(tmp_path / "modules", monkeypatch)
    (tmp_path / "small.toml").write_text(COMMON + AGENTS["grpo"])
    return lambda out, *more: read(tmp_path / "small.toml", [f"run.out={json.dumps(str(tmp_path / out))}", *more])


@pytest.mark.slow
def test_a_run_that_is_stopped_waits_for_its_checkpoint_and_goes_on_as_if_nothing_had_been(
    recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = "run.background_checkpoints=true"
    assert recipe("a").digest == recipe("a", behind).digest
    train.train(recipe("one"))
    step = train_until(3, monkeypatch, recipe("two", behind))
    assert step == checkpoint.newest(tmp_path / "two" / "checkpoints") == 3
    train.train(recipe("two", behind))
    assert_same_run(tmp_path / "one", tmp_path / "two")


def train_until(step: int, monkeypatch: pytest.MonkeyPatch, recipe: Recipe) -> int:
    """Somebody presses Ctrl-C in this update; the update that the run says it has a checkpoint of."""
    updated = Folder.updated

    def pressing(self: Folder, number: int, line: Any) -> None:
        updated(self, number, line)
        if number == step:
            os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "updated", pressing)
        with pytest.raises(Stopped) as stopped:
            train.train(recipe)
    return stopped.value.step
