"""The script for a machine that is lent for minutes: it says what it could not run, and stops beginning when its time is over."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.speed import device


def test_a_tiny_update_is_measured_on_a_cpu(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "figures.json"
    assert device.main(["logits", "ranks", "--device", "cpu", "--tiny", "--json", str(out)]) == 0
    content = json.loads(out.read_text())
    whole, few = content["rows"]
    assert few["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    assert few["grad_norm"] == pytest.approx(whole["grad_norm"], rel=1e-5)
    assert "needs two GPUs" in content["missing"]["ranks"]
    shown = capsys.readouterr().out
    assert "figures mean nothing" in shown
    assert "Could not run ranks: needs two GPUs" in shown


def test_what_fails_is_a_line_and_what_is_late_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(j: device.Job) -> Iterator[dict[str, Any]]:
        yield {"way": "first", "seconds": 1.0}
        raise torch.OutOfMemoryError("no room\nfor this")

    monkeypatch.setattr(device, "MEASURES", {"logits": fails, "slices": fails})
    lines: list[str] = []
    report = device.measure(device.job("cpu", True), ["logits"], 60.0, lines.append)
    assert report.missing == {"logits": "OutOfMemoryError: no room"}
    assert lines == ["logits     way first  seconds 1"]
    late = device.measure(device.job("cpu", True), ["logits", "slices"], -1.0, lines.append)
    assert set(late.missing) == {"logits", "slices"}
    assert late.rows == []


def test_names_and_gpus_that_are_not_there_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        device.main(["logit", "--device", "cpu"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device.main(["logits"]) != 0
    assert "got none" in capsys.readouterr().err


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU with CUDA")
def test_all_is_measured_on_a_gpu(tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    assert device.main(["--tiny", "--json", str(out)]) == 0
    assert set(json.loads(out.read_text())["missing"]) <= {"ranks"}
