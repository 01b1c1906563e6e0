"""Checkpoints that a killed run can be continued from: written aside, flushed, then renamed, so that none is ever half there.

A checkpoint is one file, `checkpoints/step-000150.pt`, of tensors and plain values. The newest two are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from agents.running.files import write_atomically
from rltf_env.errors import DataError

KEEP = 2


def save(folder: Path, step: int, state: Mapping[str, Any]) -> Path:
    """Writes the checkpoint of `step` and removes all but the newest `KEEP`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:06d}.pt"
    write_atomically(path, lambda file: torch.save(dict(state), file))
    for old in _all(folder)[:-KEEP]:
        old.unlink()
    return path


def latest(folder: Path) -> dict[str, Any] | None:
    """The newest checkpoint's content on the CPU, or None. Leftovers of a killed writer are removed.

    Raises:
        DataError: the newest file cannot be read.
    """
    for leftover in folder.glob(".step-*.tmp"):
        leftover.unlink()
    file = latest_file(folder)
    return None if file is None else read(file)


def read(file: Path) -> dict[str, Any]:
    """A checkpoint's content on the CPU.

    Raises:
        DataError: the file cannot be read.
    """
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:
        raise DataError(
            f"Expected a checkpoint in {file}, got a file that cannot be read ({error}). Remove it to continue from the "
            "one before."
        ) from error


def latest_file(folder: Path) -> Path | None:
    """The file that `latest` reads."""
    files = _all(folder)
    return files[-1] if files else None


def newest(folder: Path) -> int:
    """How many updates the newest checkpoint has behind it; 0 if there is none."""
    files = _all(folder)
    return int(files[-1].stem.removeprefix("step-")) if files else 0


def _all(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.pt"), key=lambda path: (len(path.name), path.name))  # 1000000 after 999999
