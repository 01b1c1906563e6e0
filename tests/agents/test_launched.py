"""Runs whose ranks a launcher has started: the same numbers as one rank, and an end for all if one of them ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tomli_w
from processes import descendants, linux, wait_until
from same_runs import assert_nearly_the_same_run, lines
from small_runs import AGENTS, COMMON, place_judge
from torch.distributed import HashStore  # pyright: ignore[reportPrivateImportUsage]

from agents import launched, train
from agents.config import Recipe, read
from agents.running.launch import Launch
from rltf_env.errors import UsageError

TWO = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
SHORT = ("run.eval_every=0", "run.updates=4")


@pytest.fixture(autouse=True)
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place_judge(tmp_path / "modules", monkeypatch)


def recipe_of(folder: Path, out: str, *overrides: str) -> Recipe:
    path = folder / "small.toml"
    path.write_text(COMMON + AGENTS["grpo"])
    optimiser = "agent.optimiser={ lr = 1e-3, warmup = 2, micro_batch = 2 }"  # means of tokens are those of slices
    return read(path, [f"run.out={json.dumps(str(folder / out))}", optimiser, *overrides])


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "OMP_NUM_THREADS": "1", **more}


def command(folder: Path, recipe: Recipe) -> list[str]:
    path = folder / "whole.toml"
    path.write_text(tomli_w.dumps(recipe.to_dict()))
    return ["-m", "agents.train", str(path)]


@contextmanager
def second_of_two(folder: Path, recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """This process is rank 0 of two, and another one, of the same command, is rank 1."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        place = {**TWO, "MASTER_PORT": str(free.getsockname()[1])}
    other = subprocess.Popen(
        [sys.executable, *command(folder, recipe)], env=environment(RANK="1", **place), stderr=subprocess.PIPE
    )
    with monkeypatch.context() as patch:
        for name, value in {"RANK": "0", **place}.items():
            patch.setenv(name, value)
        try:
            yield other
        finally:
            other.kill()
            other.communicate()


@pytest.mark.timeout(180)
@pytest.mark.parametrize("shard", ["true", pytest.param("false", marks=pytest.mark.slow)])
def test_a_run_goes_on_with_two_launched_ranks_to_the_same_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shard: str
) -> None:
    train.train(recipe_of(tmp_path, "one", *SHORT))
    train.train(recipe_of(tmp_path, "many", *SHORT, "run.updates=2"))
    recipe = recipe_of(tmp_path, "many", *SHORT, f"scale.shard={shard}")
    with second_of_two(tmp_path, recipe, monkeypatch) as other:
        assert train.train(recipe)["updates"] == 4
        _, errors = other.communicate(timeout=60)
    assert other.returncode == 0, errors.decode()
    assert_nearly_the_same_run(tmp_path / "many", tmp_path / "one")
    assert read(tmp_path / "many" / "recipe.toml").scale.ranks == 2


def test_the_number_of_ranks_is_the_launchers(tmp_path: Path) -> None:
    launch = Launch(0, 4, 0, 2, "host", 29500)
    assert launched.resolved(recipe_of(tmp_path, "run"), launch).scale.ranks == 4
    with pytest.raises(UsageError, match=r"Expected scale\.ranks to be left out, or 4"):
        launched.resolved(recipe_of(tmp_path, "run", "scale.ranks=2"), launch)
    two = recipe_of(tmp_path, "run", "scale.ranks=2")
    assert launched.resolved(two, None) is two


def test_silence_is_that_of_the_same_sign(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(launched.time, "monotonic", lambda: now[0])
    life = launched._Life()
    assert life.silent_for(b"1") == 0
    now[0] = 5
    assert life.silent_for(b"1") == 5
    assert life.silent_for(b"2") == 0


def test_what_became_of_a_rank_is_told_by_its_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(launched.time, "monotonic", lambda: now[0])
    meeting = launched.Meeting.__new__(launched.Meeting)
    meeting.signs, meeting.patience, meeting.stopped = HashStore(), 60.0, False
    life = launched._Life()
    assert meeting._lost(1, life) == "", "it has not begun"
    meeting.signs.set("life/1", "3")
    assert meeting._lost(1, life) == ""
    now[0] = 61
    assert meeting._lost(1, life) == "no sign of life of rank 1 for 60 s (scale.patience)"
    meeting.signs.set("end/1", "")
    assert meeting._lost(1, life) == "", "it has ended well"
    meeting.signs.set("end/1", launched._words(UsageError("no such file")))
    assert meeting._lost(1, life) == "the end of rank 1: no such file"
    assert not meeting.stopped
    meeting.signs.set("end/0", launched._words(KeyboardInterrupt()))
    assert meeting._lost(0, life)
    assert meeting.stopped


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize(("sent", "within"), [(signal.SIGKILL, 12), (signal.SIGSTOP, 12)])
def test_a_rank_that_dies_or_hangs_ends_the_first_without_a_launchers_help(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sent: signal.Signals, within: float
) -> None:
    recipe = recipe_of(tmp_path, "run", "run.eval_every=0", "run.updates=100000", "scale.patience=3")
    metrics, hit = tmp_path / "run" / "metrics.jsonl", []
    with second_of_two(tmp_path, recipe, monkeypatch) as other:
        first = subprocess.Popen(
            [sys.executable, *command(tmp_path, recipe)], env=environment(), stderr=subprocess.PIPE
        )
        assert wait_until(lambda: metrics.exists() and metrics.read_text().count("\n") > 2, 120)
        other.send_signal(sent)
        hit.append(time.monotonic())
        _, errors = first.communicate(timeout=60)
    assert time.monotonic() - hit[0] < within
    assert first.returncode in (1, 2)
    assert "RankError" in errors.decode()


@linux
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_torchrun_begins_again_after_a_rank_was_killed(tmp_path: Path) -> None:
    train.train(recipe_of(tmp_path, "one", *SHORT, "run.updates=60"))
    recipe = recipe_of(tmp_path, "many", *SHORT, "run.updates=60")
    metrics = tmp_path / "many" / "metrics.jsonl"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    run = subprocess.Popen(
        [*torchrun, "--max-restarts", "1", *command(tmp_path, recipe)], env=environment(), stderr=subprocess.PIPE
    )
    try:
        assert wait_until(lambda: metrics.exists() and metrics.read_text().count("\n") > 2, 120)
        ranks = [pid for pid in descendants(run.pid) if _rank(pid) == "1"]
        os.kill(min(ranks), signal.SIGKILL)
        _, errors = run.communicate(timeout=120)
    finally:
        run.kill()
    assert run.returncode == 0, errors.decode()
    many, one = lines(tmp_path / "many"), lines(tmp_path / "one")
    assert [line["step"] for line in many] == list(range(1, 61))
    for line, expected in zip(many[:10], one[:10], strict=True):  # later, roundings have grown
        assert line == pytest.approx(expected, rel=1e-5, abs=1e-5)


def _rank(pid: int) -> str:
    variables = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace").split("\0")
    return next((each.removeprefix("RANK=") for each in variables if each.startswith("RANK=")), "")
