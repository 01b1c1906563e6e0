"""Runs of several ranks: one is killed, the same command goes on, with as many ranks as it then says, to the same numbers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tomli_w
import torch
from processes import alive, descendants, linux, wait_until
from same_runs import assert_nearly_the_same_run, lines
from small_runs import AGENTS, COMMON, place_judge

from agents import ranks, train
from agents.config import Recipe, read
from agents.parallel import RankError
from agents.running import checkpoint
from rltf_env.errors import UsageError

MakeRecipe = Callable[..., Recipe]


@pytest.fixture(autouse=True)
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place_judge(tmp_path / "modules", monkeypatch)


@pytest.fixture
def recipe(tmp_path: Path) -> MakeRecipe:
    def make(kind: str, out: str, *overrides: str) -> Recipe:
        path = tmp_path / f"{kind}.toml"
        path.write_text(COMMON + AGENTS[kind])
        optimiser = "agent.optimiser={ lr = 1e-3, warmup = 2, micro_batch = 2 }"  # means of tokens are those of slices
        return read(path, [f"run.out={json.dumps(str(tmp_path / out))}", optimiser, *overrides])

    return make


def others(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes of the other ranks, as they are started."""
    started: list[subprocess.Popen[bytes]] = []
    begin = ranks._Others._started

    def noting(self: Any, order: Any) -> Any:
        started.append(begin(self, order))
        return started[-1]

    monkeypatch.setattr(ranks._Others, "_started", noting)
    return started


@pytest.mark.timeout(180)
def test_a_killed_rank_ends_the_run_and_the_same_command_goes_on_with_one_rank(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    short = ("run.eval_every=0", "run.updates=4")
    train.train(recipe("grpo", "one", *short))
    started, save, killed = others(monkeypatch), checkpoint.save, []

    def kill_after(folder: Path, step: int, state: Any) -> Path:
        path = save(folder, step, state)
        if step == 2 and not killed:
            killed.append(time.monotonic())
            started[0].send_signal(signal.SIGKILL)
        return path

    monkeypatch.setattr(checkpoint, "save", kill_after)
    with pytest.raises(RankError, match="the end of rank 1 with signal 9"):
        train.train(recipe("grpo", "many", *short, "scale.ranks=2"))
    assert time.monotonic() - killed[0] < 45, "before anybody gives up waiting"
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL
    assert not torch.distributed.is_initialized()
    train.train(recipe("grpo", "many", *short))
    assert_nearly_the_same_run(tmp_path / "many", tmp_path / "one")


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("kind", ["ppo", "soft_q", "rltf"])
def test_a_run_goes_on_with_more_ranks_and_with_fewer(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    train.train(recipe(kind, "one"))
    started = others(monkeypatch)
    for updates, count, shard in ((2, 1, "false"), (4, 3, "true"), (5, 1, "true"), (6, 2, "true"), (8, 2, "false")):
        scale = (f"scale.ranks={count}", f"scale.shard={shard}")
        train.train(recipe(kind, "many", f"run.updates={updates}", *scale, "run.eval_every=8"))
    assert [process.poll() for process in started] == [0, 0, 0, 0]
    assert_nearly_the_same_run(tmp_path / "many", tmp_path / "one")


@linux
@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_others_end_when_the_first_is_killed(recipe: MakeRecipe, tmp_path: Path) -> None:
    path = tmp_path / "started.toml"
    path.write_text(tomli_w.dumps(recipe("grpo", "killed", "run.updates=5000", "scale.ranks=2").to_dict()))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    first = subprocess.Popen([sys.executable, "-m", "agents.train", str(path)], env=environment)
    metrics = tmp_path / "killed" / "metrics.jsonl"
    assert wait_until(lambda: metrics.exists() and metrics.read_text().count("\n") > 2, 120)
    below = descendants(first.pid)
    assert below
    first.kill()
    first.wait()
    assert wait_until(lambda: not any(map(alive, below)), 20)


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.filterwarnings("ignore::agents.actors.pool.GeneratorWarning")
@pytest.mark.parametrize(("kind", "shard"), [("rltf", "false"), ("rltf", "true"), ("ppo", "true")])
def test_generators_feed_all_ranks(recipe: MakeRecipe, tmp_path: Path, kind: str, shard: str) -> None:
    scale = ("scale.ranks=2", f"scale.shard={shard}", "scale.generators=1", "scale.push_every=2")
    train.train(recipe(kind, "fed", *scale, *(["agent.max_staleness=6"] if kind == "ppo" else [])))
    assert len(lines(tmp_path / "fed")) == 8


def test_a_rank_that_cannot_begin_ends_the_run_at_once(
    recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(RankError, match="the end of rank 1 with status 1"):
        train.train(recipe("supervised", "run", "scale.ranks=2"))
    assert threading.active_count() < 20


def test_gpus_that_are_not_there_are_refused(recipe: MakeRecipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    asked = recipe("supervised", "run", "scale.ranks=2", "policy.device=cuda")
    with pytest.raises(UsageError, match=r"a GPU for each of scale\.ranks=2, got 1"):
        ranks.placed(asked, 0)
    assert ranks.placed(recipe("supervised", "run", "scale.ranks=2"), 1).policy.get("device") is None


def test_the_number_of_ranks_is_no_part_of_a_run(recipe: MakeRecipe) -> None:
    one, two = recipe("rltf", "run"), recipe("rltf", "run", "scale.ranks=2")
    assert one.digest == two.digest
    fed = recipe("rltf", "run", "scale.generators=1")
    assert fed.digest == recipe("rltf", "run", "scale.generators=1", "scale.ranks=2").digest != one.digest
    assert recipe("rltf", "run", "run.tf32=true").digest != one.digest
    assert ranks.threads_of(two) == 1, "run.threads, of each"
    with pytest.raises(UsageError):
        recipe("rltf", "run", "scale.ranks=0")


@pytest.mark.parametrize(
    ("kind", "override", "words"),
    [
        ("rlcf", "run.seed=1", "Expected one of the agents .*, got 'rlcf'"),
        ("grpo", "agent.reference=cpu", "Expected agent.reference = 'policy'"),
        ("grpo", "agent.sampling.engine=vllm", "Expected sampling.engine = 'own'"),
    ],
)
def test_what_does_not_go_with_shared_weights_is_refused(
    recipe: MakeRecipe, kind: str, override: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        train.train(recipe(kind, "run", "scale.ranks=2", "scale.shard=true", override))
