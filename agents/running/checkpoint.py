"""Checkpoints that a killed run can be continued from: written aside, flushed, then renamed, so that none is ever half there.

A checkpoint is one file, `checkpoints/step-000150.pt`, of tensors and plain values. The newest two are kept.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import torch

from rltf_env.errors import DataError

KEEP = 2


def write_atomically(path: Path, write: Callable[[BinaryIO], None]) -> None:
    """Fills `path` by way of a neighbour, so that readers see the old file or the whole new one.

    Raises:
        DataError: the disk is full; what was there before is still there.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(aside, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except BaseException as error:
        aside.unlink(missing_ok=True)
        if _disk_full(error):
            raise full(path) from error
        raise


def write_folder(path: Path, fill: Callable[[Path], None]) -> None:
    """Makes the folder `path`, or another in its place, by way of a neighbour: there is never half of one under its name.

    Raises:
        DataError: the disk is full; what was there before is still there.
    """
    aside, old = path.with_name(f".{path.name}.tmp"), path.with_name(f".{path.name}.old.tmp")
    for leftover in (aside, old):
        remove(leftover)
    try:
        aside.mkdir(parents=True)
        fill(aside)
        for file in (p for p in aside.rglob("*") if p.is_file()):
            with open(file, "rb") as written:
                os.fsync(written.fileno())
        if path.exists():  # a folder cannot be renamed over another
            os.replace(path, old)
        os.replace(aside, path)
    except BaseException as error:
        if old.exists() and not path.exists():
            os.replace(old, path)
        remove(aside)
        if _disk_full(error):
            raise full(path) from error
        raise
    remove(old)


def remove(path: Path) -> None:
    """Removes a file, or a folder with all that is in it, if there is one."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def disk_full_as_error(folder: Path) -> Iterator[None]:
    """Whatever is written below `folder` here, a full disk is a `DataError` that says what to do."""
    try:
        yield
    except DataError:
        raise
    except Exception as error:
        if _disk_full(error):
            raise full(folder) from error
        raise


def full(path: Path) -> DataError:
    """What to say when there is no room for `path`."""
    return DataError(
        f"Expected room for {path.name}, got a full disk in {path.parent}. The previous checkpoint is intact: free "
        "some space and start the same command again; it continues from there."
    )


def _disk_full(error: BaseException | None) -> bool:
    """torch wraps the operating system's error in one of its own: look down the chain of causes."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return True
        error = error.__cause__ or error.__context__
    return False


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
    files = _all(folder)
    if not files:
        return None
    try:
        return torch.load(files[-1], map_location="cpu", weights_only=True)
    except Exception as error:
        raise DataError(
            f"Expected a checkpoint in {files[-1]}, got a file that cannot be read ({error}). Remove it to continue from the "
            "one before."
        ) from error


def _all(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*.pt"), key=lambda path: (len(path.name), path.name))  # 1000000 after 999999
