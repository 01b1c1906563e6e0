"""Whole runs: cut in two, killed, started on the wrong folder, on a full disk, without data. Most are judged by a rule."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from same_runs import assert_same_run, lines
from small_runs import AGENTS, COMMON, OVERRIDES, place_judge

from agents import train, training
from agents.config import Recipe, read
from agents.running import checkpoint
from agents.running.panel import Screen

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


@pytest.mark.parametrize("kind", AGENTS)
def test_a_run_in_two_parts_is_the_run_in_one(recipe: MakeRecipe, tmp_path: Path, kind: str) -> None:
    train.train(recipe(kind, "whole"))
    train.train(recipe(kind, "parts", "run.updates=4"))
    train.train(recipe(kind, "parts"))
    assert_same_run(tmp_path / "whole", tmp_path / "parts")
    assert [line["step"] for line in lines(tmp_path / "whole")] == list(range(1, 9))
    assert lines(tmp_path / "whole")[0] != lines(tmp_path / "whole")[1]


def test_a_checkpoint_knows_how_far_a_curriculum_has_come(recipe: MakeRecipe, tmp_path: Path) -> None:
    train.train(recipe("curriculum", "run"))
    saved = checkpoint.latest(tmp_path / "run" / "checkpoints")
    assert saved is not None
    assert any(advanced for advanced, _, _ in saved["source"]["standings"].values())
    assert saved["source"]["source"] in range(2)  # the position of "cycle"


def test_looking_more_often_changes_nothing(recipe: MakeRecipe, tmp_path: Path) -> None:
    train.train(recipe("rltf", "seldom", "run.eval_every=0", "run.checkpoint_every=0"))
    train.train(recipe("rltf", "often", "run.eval_every=1", "run.checkpoint_every=1"))
    assert_same_run(tmp_path / "seldom", tmp_path / "often")


def test_another_seed_is_another_run(recipe: MakeRecipe, tmp_path: Path) -> None:
    for seed in (0, 1):
        train.train(recipe("supervised", f"seed-{seed}", f"run.seed={seed}", "run.updates=2"))
    assert lines(tmp_path / "seed-0") != lines(tmp_path / "seed-1")


def test_a_finished_run_is_not_done_again(recipe: MakeRecipe, tmp_path: Path) -> None:
    first = train.train(recipe("supervised", "run"))
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    assert train.train(recipe("supervised", "run")) == first
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before  # timings included


def test_no_updates_measures_the_policy_as_it_is(recipe: MakeRecipe, tmp_path: Path) -> None:
    summary = train.train(recipe("supervised", "run", "run.updates=0"))
    assert list(summary["evaluations"]) == ["0"]
    assert lines(tmp_path / "run") == []


def start(recipe: Recipe, tmp_path: Path) -> subprocess.Popen[bytes]:
    path = tmp_path / "started.toml"
    path.write_text(tomli_w.dumps(recipe.to_dict()))
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "modules")}
    command = [sys.executable, "-m", "agents.train", str(path)]
    return subprocess.Popen(
        command,
        env=environment,
        cwd=Path(__file__).parents[2],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert process.poll() is None, process.stderr.read().decode() if process.stderr else ""
        assert time.monotonic() < deadline
        time.sleep(0.002)


KILLED = ("rltf", "ppo", "curriculum", "actor_critic", "soft_q", "grpo")


@pytest.mark.timeout(180)
@pytest.mark.parametrize(
    ("kind", "kills"),
    [
        ("rltf", (9,)),
        *(pytest.param(kind, (5, 15), marks=pytest.mark.slow) for kind in KILLED),
    ],
)
def test_a_killed_run_continues_to_the_same_end(
    recipe: MakeRecipe, tmp_path: Path, kind: str, kills: tuple[int, ...]
) -> None:
    """Killed between checkpoints, continued by the same command, killed again nearer to the end where so asked, then let go."""
    train.train(recipe(kind, "whole", "run.updates=24"))
    out, killed = tmp_path / "killed", recipe(kind, "killed", "run.updates=24")
    for count in kills:
        process = start(killed, tmp_path)
        metrics = out / "metrics.jsonl"
        wait_for(lambda path=metrics, n=count: path.exists() and len(path.read_bytes().splitlines()) >= n, process)
        process.kill()
        process.communicate()
        assert not (out / "summary.json").exists()
        assert len(list((out / "checkpoints").glob("step-*.pt"))) > 0
    with open(out / "metrics.jsonl", "a") as file:
        file.write('{"step": 99, "half a li')
    (out / ".summary.json.1.tmp").write_text("half")
    (out / ".policy.tmp").mkdir()
    (out / ".policy.tmp" / "config.json").write_text("half")
    (out / "checkpoints" / ".step-000024.pt.1.tmp").write_text("half")
    train.train(killed)
    assert_same_run(tmp_path / "whole", out)
    assert not [p for p in out.rglob("*") if p.name.endswith(".tmp")]


def press_ctrl_c_at(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    shown = Screen.update

    def update(screen: Screen, line: Mapping[str, float]) -> None:
        shown(screen, line)
        if line["step"] == step:
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(Screen, "update", update)


@pytest.mark.parametrize("step", [3, 4])  # 4 would be measured as well
def test_ctrl_c_ends_after_the_running_update_and_loses_nothing(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    train.train(recipe("rltf", "whole"))
    with monkeypatch.context() as patch:
        press_ctrl_c_at(patch, step)
        with pytest.raises(KeyboardInterrupt, match=f"after update {step} of 8; .* same command goes on"):
            train.train(recipe("rltf", "stopped", "run.checkpoint_every=0"))
    assert [line["step"] for line in lines(tmp_path / "stopped")] == list(range(1, step + 1))
    assert not (tmp_path / "stopped" / "summary.json").exists()
    train.train(recipe("rltf", "stopped", "run.checkpoint_every=0"))
    assert_same_run(tmp_path / "whole", tmp_path / "stopped")
    summaries = [json.loads((tmp_path / out / "summary.json").read_text()) for out in ("whole", "stopped")]
    assert summaries[0]["evaluations"] == summaries[1]["evaluations"]


def test_ctrl_c_while_it_measures_keeps_the_update_and_measures_again(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train.train(recipe("supervised", "whole"))
    with monkeypatch.context() as patch:
        patch.setattr(training, "evaluate", lambda *_, **__: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(KeyboardInterrupt, match="after update 4 of 8"):
            train.train(recipe("supervised", "stopped", "run.eval_first=false"))
    train.train(recipe("supervised", "stopped", "run.eval_first=false"))
    assert list(json.loads((tmp_path / "stopped" / "summary.json").read_text())["evaluations"]) == ["4", "8"]
    assert lines(tmp_path / "whole") == lines(tmp_path / "stopped")


@pytest.mark.parametrize(("every", "words"), [(0, "before the first of 8"), (2, "after update 2 of 8")])
def test_ctrl_c_in_an_update_with_nothing_to_lose_ends_it_at_once(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every: int, words: str
) -> None:
    """The first fill of a buffer takes minutes: nobody waits for its end."""
    made, step = recipe("rltf", "run", f"run.checkpoint_every={every}", "run.eval_every=0"), every + 1
    updates, make = [], training.make_agent

    def agent(*args: Any) -> Any:
        found = make(*args)
        update = found.update

        def interrupted() -> dict[str, float]:
            updates.append(1)
            if len(updates) == step:
                os.kill(os.getpid(), signal.SIGINT)
                pytest.fail("the update went on")
            return update()

        found.update = interrupted
        return found

    with monkeypatch.context() as patch:
        patch.setattr(training, "make_agent", agent)
        with pytest.raises(KeyboardInterrupt, match=words):
            train.train(made)
    train.train(made)
    train.train(recipe("rltf", "whole", "run.eval_every=0"))
    assert_same_run(tmp_path / "whole", tmp_path / "run")


@pytest.mark.timeout(180)
def test_ctrl_c_at_the_command_is_one_line(recipe: MakeRecipe, tmp_path: Path) -> None:
    process = start(recipe("supervised", "run", "run.updates=100000", "run.eval_every=0"), tmp_path)
    metrics = tmp_path / "run" / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and metrics.read_bytes().count(b"\n") >= 2, process)
    process.send_signal(signal.SIGINT)
    complaint = process.communicate(timeout=60)[1].decode()
    assert process.returncode == 130
    assert "Traceback" not in complaint
    assert " ".join(complaint.split()).startswith("Stopped after update")
    assert checkpoint.latest(tmp_path / "run" / "checkpoints")


@pytest.mark.timeout(180)
def test_an_interrupted_run_leaves_no_worker_behind(recipe: MakeRecipe, tmp_path: Path) -> None:
    made = recipe("rltf", "run", "run.updates=100000", "run.eval_every=0", "env.sandbox=auto")
    process = start(made, tmp_path)
    metrics = tmp_path / "run" / "metrics.jsonl"
    wait_for(lambda: metrics.exists() and b"reward" in metrics.read_bytes(), process)
    workers = descendants(process.pid)
    assert workers  # there was something to leave behind
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode != 0
    deadline = time.monotonic() + 20
    while alive := [pid for pid in workers if is_alive(pid)]:
        assert time.monotonic() < deadline, f"left behind: {alive}"
        time.sleep(0.02)


def descendants(pid: int) -> list[int]:
    parents = {int(p.name): stat(int(p.name))[1] for p in Path("/proc").iterdir() if p.name.isdigit()}
    found, left = [], [pid]
    while left:
        children = [child for child, parent in parents.items() if parent == left[-1]]
        left.pop()
        found += children
        left += children
    return found


def stat(pid: int) -> tuple[str, int]:
    """State and parent of a process; of one that is gone, ("X", 0)."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return "X", 0
    return fields[0], int(fields[1])


def is_alive(pid: int) -> bool:
    return stat(pid)[0] not in "XZ"
