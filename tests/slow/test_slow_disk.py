"""A disk that takes longer than anybody is patient holds a run up, and nothing else: no rank and no generator counts as hung."""

from __future__ import annotations

import json
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from same_runs import assert_same_run, lines
from small_runs import AGENTS, COMMON, place_judge

from agents import train
from agents.actors.core import GeneratorWarning
from agents.config import Recipe, read
from agents.running import checkpoint, files

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
SILENCE = 2.0  # seconds, of ranks and generators


@pytest.fixture(autouse=True)
def judge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place_judge(tmp_path / "modules", monkeypatch)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Each flush takes longer than `SILENCE`; when they were over."""
    flush: Callable[[int], None] = os.fsync
    ends: list[float] = []

    def slowly(number: int) -> None:
        if len(ends) < 3:
            time.sleep(2 * SILENCE)  # what is tested: nothing else tells a slow disk from a quick one
        flush(number)
        ends.append(time.monotonic())

    monkeypatch.setattr(files.os, "fsync", slowly)
    return ends


def recipe_of(folder: Path, kind: str, *overrides: str) -> Recipe:
    path = folder / "small.toml"
    path.write_text(COMMON + AGENTS[kind])
    return read(path, [f"scale.silence={SILENCE}", "run.eval_every=0", "run.updates=4", *overrides])


@pytest.mark.parametrize("shard", ["false", "true"])
def test_ranks_wait_for_a_checkpoint_however_long_it_takes(tmp_path: Path, slow: list[float], shard: str) -> None:
    begun = time.monotonic()
    out = f"run.out={json.dumps(str(tmp_path / 'run'))}"
    train.train(recipe_of(tmp_path, "grpo", out, "scale.ranks=2", f"scale.shard={shard}"))
    assert time.monotonic() - begun > 6 * SILENCE
    assert [line["step"] for line in lines(tmp_path / "run")] == [1, 2, 3, 4]
    assert checkpoint.newest(tmp_path / "run" / "checkpoints") == 4


def test_generators_are_not_taken_for_hung_while_the_learner_waits_for_its_disk(
    tmp_path: Path, slow: list[float]
) -> None:
    out = f"run.out={json.dumps(str(tmp_path / 'run'))}"
    scale = ("scale.generators=1", "scale.push_every=1", "scale.silence=15")  # it has to start, too
    with warnings.catch_warnings():
        warnings.simplefilter("error", GeneratorWarning)
        train.train(recipe_of(tmp_path, "rltf", out, *scale))
    last: dict[str, Any] = lines(tmp_path / "run")[-1]
    assert last["replaced"] == 0
    assert last["received"] == last["generator_0/programs"]


def test_a_run_on_a_slow_disk_is_the_same_run(tmp_path: Path, slow: list[float]) -> None:
    for out in ("slow", "quick"):  # the first three flushes are slow
        train.train(recipe_of(tmp_path, "grpo", f"run.out={json.dumps(str(tmp_path / out))}"))
    assert_same_run(tmp_path / "slow", tmp_path / "quick")
