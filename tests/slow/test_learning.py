"""Learning: from references, and then from unit tests alone, on problems of one operation. A few minutes on two cores."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.config import read
from agents.train import quiet_libraries, train

WARM = """
[run]
updates = 150
threads = 2

[env]
id = "RLTF-Procedural-v0"
split = "train"
max_prompt_tokens = 128
max_program_tokens = 96
dataset_options = { depths = [1] }
sandbox_options = { case_seconds = 0.2 }
prompt_style = "statement"

[policy]
kind = "tiny"
width = 64
layers = 2
heads = 4
vocab_size = 512
dataset_options = { size = 500, depths = [1] }

[agent]
kind = "supervised"
batch_size = 32
optimiser = { lr = 3e-3, warmup = 20, weight_decay = 0.01 }

[eval]
split = "train"
size = 100
samples = 4
options = { size = 100, depths = [1] }
sampling = { temperature = 1.0 }
"""
RLTF = """
[agent]
kind = "rltf"
buffer = 256
fill = 256
refresh = 256
refresh_every = 8
samples_per_problem = 8
batch_size = 64
supervised = 0
baseline = "group_mean"
reduction = "token_mean"
clip = 0.2
optimiser = { lr = 1e-3, warmup = 5, weight_decay = 0.0 }
"""


def rates(summary: dict[str, Any]) -> np.ndarray:
    last = summary["evaluations"][str(summary["updates"])]
    return np.array(last["passed"]) / last["samples"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_warm_start_learns_and_unit_tests_alone_improve_on_it(tmp_path: Path) -> None:
    quiet_libraries()
    warm, online = tmp_path / "warm.toml", tmp_path / "online.toml"
    warm.write_text(WARM)
    online.write_text(WARM.partition("[agent]")[0].partition("[policy]")[0] + RLTF + WARM[WARM.index("[eval]") :])
    start = [f"run.out={json.dumps(str(tmp_path / 'warm'))}"]
    first = train(read(warm, [f"run.out={json.dumps(str(tmp_path / 'none'))}", "run.updates=0"]))
    second = train(read(warm, start))
    policy = json.dumps(str(tmp_path / "warm" / "policy"))
    own = ["policy.kind=causal", f"policy.path={policy}", f"run.out={json.dumps(str(tmp_path / 'online'))}"]
    third = train(read(online, [*own, "run.updates=80"]))
    nothing, warmed, improved = rates(first), rates(second), rates(third)
    assert nothing.mean() < 0.01
    assert warmed.mean() > nothing.mean()
    gain = improved - warmed  # the same problems: paired
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    assert gain.mean() > 3 * error, f"{warmed.mean():.3f} -> {improved.mean():.3f}, {error:.3f} s.e. of the difference"
