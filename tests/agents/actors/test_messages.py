"""What crosses between an actor and the learner: weights, and frames that come whole and carry no code."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
import torch

from agents.actors import messages as frames
from agents.actors import process as generator
from agents.policies import tiny
from agents.policies.causal import CausalPolicy


def test_pushed_weights_are_the_learners(policy: CausalPolicy, tmp_path: Path) -> None:
    generator.save_weights(tmp_path / "weights.pt", policy, 7)
    other = tiny.load(
        width=16, layers=1, heads=2, vocab_size=280, dataset_options={"size": 4}, max_positions=128, seed=1
    )
    before = {name: p.clone() for name, p in other.model.named_parameters()}
    assert generator.load_weights(tmp_path / "weights.pt", other) == 7
    for name, p in policy.model.named_parameters():
        assert torch.equal(p, dict(other.model.named_parameters())[name])
    assert any(not torch.equal(p, before[name]) for name, p in other.model.named_parameters())


def test_frames_come_whole_or_not_at_all() -> None:
    stream = io.BytesIO()
    for value in ({"a": torch.arange(3), "b": [1.5, "x", None]}, {}):
        frames.send(stream, value)
    whole = stream.getvalue()
    stream.seek(0)
    first = frames.receive(stream)
    assert torch.equal(first["a"], torch.arange(3))
    assert first["b"] == [1.5, "x", None]
    assert frames.receive(stream) == {}
    assert frames.receive(stream) is None
    assert all(frames.receive(io.BytesIO(whole[:cut])) is None for cut in (0, 3, 8, 40))


def test_a_frame_cannot_carry_code() -> None:
    stream = io.BytesIO()
    frames.send(stream, {"policy": os.getcwd})
    stream.seek(0)
    with pytest.raises(Exception, match=r"weights_only|Unsupported"):
        frames.receive(stream)
