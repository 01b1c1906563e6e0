"""The measurement of the judge behind Ray: what it says where Ray is missing, and what it counts as enough."""

from __future__ import annotations

import argparse
import sys

import pytest

from benchmarks.speed import ray
from benchmarks.speed.grading import Row


def test_without_ray_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert ray.main(["--programs", "1"])
    assert "pip install 'rltf[ray]'" in capsys.readouterr().err


@pytest.mark.parametrize(("rate", "status"), [(95.0, 0), (89.0, 1)])
def test_the_exit_status_says_whether_it_is_quick_enough(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], rate: float, status: int
) -> None:
    def measured(asked: argparse.Namespace) -> list[Row]:
        return [Row("local judge", 100.0, 2.5, 3, 4), Row("Ray", rate, 2.6, 3, 4)]

    monkeypatch.setattr(ray, "measure", measured)
    assert ray.main([]) == status
    assert f"Behind Ray, {rate:.0f}%" in capsys.readouterr().out
