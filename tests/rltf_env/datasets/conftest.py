"""Folders and files of APPS, written by a test."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from apps_rows import ECHO, Write


@pytest.fixture
def folder(tmp_path: Path) -> Write:
    """Writes one problem in the original layout; returns the root."""

    def write(
        tests: Any = ECHO, number: str = "0000", split: str = "train", raw: str | None = None, **row: Any
    ) -> Path:
        home = tmp_path / "apps" / split / number
        home.mkdir(parents=True)
        (home / "question.txt").write_bytes(row.get("question", "Echo.\r\nTwice.\n").encode())
        if tests is not None or raw is not None:
            (home / "input_output.json").write_text(json.dumps(tests) if raw is None else raw)
        if "solutions" in row:
            (home / "solutions.json").write_text(json.dumps(row["solutions"]))
        if "starter_code" in row:
            (home / "starter_code.py").write_text(row["starter_code"])
        notes = {key: row[key] for key in ("difficulty", "url") if key in row}
        (home / "metadata.json").write_text(json.dumps(notes))
        return tmp_path

    return write


@pytest.fixture
def hub(tmp_path: Path) -> Write:
    """Writes rows in the hub's layout; returns the file."""

    def write(*rows: dict[str, Any] | str, name: str = "train.jsonl") -> Path:
        path = tmp_path / name
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        text = f"[{','.join(lines)}]" if name.endswith(".json") else "\n".join(lines)
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write
