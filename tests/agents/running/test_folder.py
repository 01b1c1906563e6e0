"""Run folders: what they hold, whose they are, locks, and disks that fill up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from same_runs import assert_same_run
from small_runs import AGENTS, COMMON, OVERRIDES, place_judge

from agents import train
from agents.config import Recipe, finished, read
from agents.policies import causal
from agents.running import checkpoint
from agents.running import folder as folders
from rltf_env.errors import DataError, MissingData, UsageError

MakeRecipe = Callable[..., Recipe]


@pytest.fixture(autouse=True)
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A third party's sandbox, by name."""
    place_judge(tmp_path / "modules", monkeypatch)


@pytest.fixture
def recipe(tmp_path: Path) -> MakeRecipe:
    def make(kind: str, out: str, *overrides: str) -> Recipe:
        path = tmp_path / f"{kind}.toml"
        path.write_text(COMMON + AGENTS[kind])
        return read(path, [f"run.out={json.dumps(str(tmp_path / out))}", *OVERRIDES.get(kind, ()), *overrides])

    return make


def stat(pid: int) -> tuple[str, int]:
    """State and parent of a process; of one that is gone, ("X", 0)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "X", 0
    return fields[0], int(fields[1])


def is_alive(pid: int) -> bool:
    return stat(pid)[0] not in "XZ"


def test_what_a_run_folder_holds(recipe: MakeRecipe, tmp_path: Path) -> None:
    made = recipe("rltf", "run")
    summary = train.train(made)
    out = tmp_path / "run"
    names = {"recipe.toml", "metrics.jsonl", "evaluations.json", "samples.jsonl", "tensorboard"}
    names |= {"checkpoints", "policy", "summary.json", ".lock"}
    assert {p.name for p in out.iterdir()} == names
    assert json.loads((out / "summary.json").read_text()) == summary
    assert list(summary["evaluations"]) == ["0", "4", "8"]
    assert summary["dataset"] == "procedural"
    assert summary["data_digest"]
    assert (summary["seed"], summary["updates"], summary["recipe"]) == (0, 8, made.digest)
    assert summary["versions"]["torch"] == version("torch")
    again = read(out / "recipe.toml")
    assert again == made
    assert train.train(again) == summary  # the resolved recipe continues the run that wrote it


def test_a_policy_half_saved_is_not_that_of_a_finished_run(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut_off(self: causal.CausalPolicy, folder: Path) -> None:
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(causal.CausalPolicy, "save", cut_off)
        with pytest.raises(KeyboardInterrupt):
            train.train(recipe("supervised", "run", "run.updates=2"))
    with pytest.raises(MissingData, match="finished run"):
        finished(tmp_path / "run")
    train.train(recipe("supervised", "run", "run.updates=2"))
    assert finished(tmp_path / "run").policy["kind"] == "causal"


def test_a_folder_of_another_recipe_is_left_alone(recipe: MakeRecipe, tmp_path: Path) -> None:
    train.train(recipe("supervised", "run", "run.updates=2"))
    before = {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}
    with pytest.raises(DataError, match=r"another .*run\.out=FOLDER"):
        train.train(recipe("supervised", "run", "run.updates=2", "agent.batch_size=5"))
    with pytest.raises(DataError, match="another"):
        train.train(recipe("rltf", "run", "run.updates=2"))
    assert before == {p: p.read_bytes() for p in (tmp_path / "run").rglob("*") if p.is_file()}


def test_fewer_updates_than_were_done_are_refused(recipe: MakeRecipe) -> None:
    train.train(recipe("supervised", "run", "run.updates=4"))
    with pytest.raises(DataError, match=r"at most run\.updates=2 updates, got 4"):
        train.train(recipe("supervised", "run", "run.updates=2"))


def test_two_runs_do_not_write_into_one_folder(recipe: MakeRecipe, tmp_path: Path) -> None:
    made, out = recipe("supervised", "run", "run.updates=1"), tmp_path / "run"
    with folders.exclusive(out):
        (out / ".recipe.toml.1.tmp").write_text("being written")
        with pytest.raises(UsageError, match=r"one run, got a second .*run\.out=FOLDER"):
            train.train(made)
        assert {p.name for p in out.iterdir()} == {".lock", ".recipe.toml.1.tmp"}
    train.train(made)


HOLDER = """
import subprocess, sys
from pathlib import Path
from agents.running import folder as folders
from agents.running.panel import Screen
with folders.exclusive(Path(sys.argv[1])):
    child = [sys.executable, "-c", "import time; time.sleep(600)"]
    print(subprocess.Popen(child, stdout=subprocess.DEVNULL, close_fds=False).pid, flush=True)
    sys.stdin.read()
"""


def test_a_killed_run_leaves_no_lock_nor_do_its_children_keep_it(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    pipe, where = subprocess.PIPE, Path(__file__).parents[2]
    with subprocess.Popen(command, cwd=where, stdin=pipe, stdout=pipe) as process:
        assert process.stdout
        child = int(process.stdout.readline())
        try:
            with pytest.raises(UsageError, match="one run"), folders.exclusive(tmp_path):
                pass
            process.kill()
            process.wait(timeout=60)
            with folders.exclusive(tmp_path):
                assert is_alive(child)
        finally:
            os.kill(child, signal.SIGKILL)


def test_without_locks_a_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with folders.exclusive(tmp_path), folders.exclusive(tmp_path):
        assert (tmp_path / folders.LOCK).exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_disk_that_fills_up_loses_nothing_that_was_saved(recipe: MakeRecipe, tmp_path: Path) -> None:
    train.train(recipe("rltf", "whole"))
    made, out = recipe("rltf", "run"), tmp_path / "run"
    (out / "checkpoints").mkdir(parents=True)
    blocked = out / "checkpoints" / f".step-000004.pt.{os.getpid()}.tmp"

    save = checkpoint.save

    def late(folder: Path, step: int, state: Mapping[str, Any]) -> Path:
        if step == 4:
            blocked.symlink_to("/dev/full")
        return save(folder, step, state)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save", late)
        with pytest.raises(DataError, match=r"full disk.*start the same command again"):
            train.train(made)
    assert [p.name for p in (out / "checkpoints").iterdir()] == ["step-000002.pt"]
    train.train(made)
    assert_same_run(tmp_path / "whole", out)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_disk_that_is_full_for_the_metrics_says_so(recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    @contextmanager
    def full(path: Path, done: int) -> Iterator[Any]:
        with open("/dev/full", "a", buffering=1) as file:
            yield file

    monkeypatch.setattr(folders, "_log", full)
    with pytest.raises(DataError, match="full disk"):
        train.train(recipe("supervised", "run"))
