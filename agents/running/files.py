"""Files and folders that are whole or not there, also where a run is killed or the disk is full. Nothing here needs torch."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from rltf_env.errors import DataError


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
