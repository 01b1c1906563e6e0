"""Whether two runs came to the same end."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from agents import train
from agents.policies import causal

LARGEST_DIFFERENCE = 1e-5  # between sums of the same numbers in another order


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


def assert_nearly_the_same_run(a: Path, b: Path) -> None:
    """Equal but for the order in which gradients were summed."""
    for line, expected in zip(lines(a), lines(b), strict=True):
        assert line == pytest.approx(expected, rel=LARGEST_DIFFERENCE, abs=LARGEST_DIFFERENCE)
    first, second = weights(a), weights(b)
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], atol=LARGEST_DIFFERENCE, rtol=0)
