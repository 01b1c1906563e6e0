"""The command that compares two records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import compare


def test_the_command_shows_differences_and_refuses_what_is_no_record(
    suite: Any, tmp_path: Path, make_record: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    make_record(tmp_path / "a", suite, lambda p, n, s: ["x"] * n)
    assert compare.main([str(tmp_path / "a"), str(tmp_path / "a")]) == 0
    assert "+0.0%" in capsys.readouterr().out
    assert compare.main([str(tmp_path / "a"), str(tmp_path / "none")]) == 2
