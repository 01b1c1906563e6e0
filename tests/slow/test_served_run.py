"""A whole run whose generators share a vLLM server, a stand-in that is killed in the middle of it."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
from fake_vllm import FakeVLLM
from small_runs import AGENTS, COMMON, place_judge

from agents import building, start_folder, train
from agents.config import read

ROUND = 4  # updates that learn from one
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_generators_share_a_server_and_outlive_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place_judge(tmp_path / "judge", monkeypatch)
    path, folder = tmp_path / "recipe.toml", tmp_path / "shared"
    path.write_text(COMMON + AGENTS["grpo"])
    served = "{ engine = 'vllm_server', engine_options = { url = '%s', folder = '%s', patience = 60 } }"
    overrides = [
        f"run.out={tmp_path / 'run'}", "run.updates=12", "scale.generators=2", "scale.push_every=2",
        "agent.max_staleness=6", f"agent.sampling={served % ('http://127.0.0.1:9', folder)}",
    ]  # fmt: skip
    assert start_folder.main([str(path), *overrides]) == 0
    with FakeVLLM(building.make_policy(read(path, overrides)), folder / "start", max_model_len=1024) as server:
        overrides[-1] = f"agent.sampling={served % (server.url, folder)}"
        killer = threading.Thread(target=lambda: (wait_for_loads(server, 3), server.kill(), server.begin()))
        killer.start()
        train.train(read(path, overrides))
        killer.join()
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 12
    assert lines[-1]["replaced"] == 0, "no generator has died of it"
    assert all(0 <= line["staleness"] <= 6 + ROUND for line in lines), "at most 6 as a round begins"
    loads = server.events.count("load")
    assert 4 <= loads <= 6 + 3, (
        "one for each of six pushes at most, whatever the number of generators, and for the start anew"
    )
    assert all(line["mismatch"] < 0.2 for line in lines), "small, where one writer's weights were newer than its own"
    assert all(0.5 < line["importance"] < 1.5 for line in lines)


def wait_for_loads(server: FakeVLLM, count: int) -> None:
    """Until weights were pushed so often."""
    while server.events.count("load") < count:
        server.resumed.wait(0.1)
