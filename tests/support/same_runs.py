"""Whether two runs came to the same end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agents import train
from agents.policies import causal


def lines(out: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if k not in train.TIMINGS} for line in found]


def weights(out: Path) -> dict[str, Tensor]:
    return causal.load(str(out / "policy")).model.state_dict()


def assert_same_run(a: Path, b: Path) -> None:
    assert lines(a) == lines(b)
    first, second = weights(a), weights(b)
    for name, tensor in first.items():
        assert torch.equal(tensor, second[name]), name
    ends = [json.loads((out / "summary.json").read_text()) for out in (a, b)]
    last = [end["evaluations"][str(end["updates"])] for end in ends]
    assert last[0] == last[1]
    programs = [(out / "samples.jsonl").read_text() for out in (a, b)]
    assert programs[0] == programs[1]
