"""Checkpoints that a killed run can be continued from: written aside, flushed, then renamed, so that none is ever half there.

A checkpoint is one file, `checkpoints/step-000150.pt`, of tensors and plain values. The newest two are kept. With
`run.background_checkpoints` a thread writes it from a copy, while the run goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar, cast

import torch

from agents.running.files import write_atomically
from rltf_env.errors import DataError

T = TypeVar("T")
KEEP = 2


def save(folder: Path, step: int, state: Mapping[str, Any]) -> Path:
    """Writes the checkpoint of `step` and removes all but the newest `KEEP`."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"step-{step:06d}.pt"
    write_atomically(path, lambda file: torch.save(dict(state), file))
    for old in _all(folder)[:-KEEP]:
        old.unlink()
    return path


class Saver:
    """Writes the checkpoints of a run into a folder, one after the other.

    Args:
        folder: of the checkpoints.
        background: whether a thread writes, from a copy on the host: that costs the memory of one checkpoint. At most one is on its
            way: the next waits for it.
    """

    def __init__(self, folder: Path, background: bool = False) -> None:
        self.folder, self.background = folder, background
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def save(self, step: int, state: Mapping[str, Any]) -> None:
        """Writes the checkpoint of `step`, or begins to. Raises as `wait` does, of the one before."""
        self.wait()
        if not self.background:
            save(self.folder, step, state)
            return
        copied = on_host(dict(state))
        self._thread = threading.Thread(target=self._write, args=(step, copied), name=f"checkpoint {step}")
        self._thread.start()

    def _write(self, step: int, state: Mapping[str, Any]) -> None:
        try:
            save(self.folder, step, state)
        except BaseException as error:
            self._error = error  # whoever waits or checks raises it

    def check(self) -> None:
        """Raises what a write has ended with, if it has ended with an error: DataError of a full disk."""
        if self._error is not None:
            error, self._error = self._error, None
            raise error

    def wait(self) -> None:
        """Until nothing is on its way. Raises as `check` does."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        self.check()


@contextmanager
def saving(folder: Path, background: bool = False) -> Iterator[Saver]:
    """A saver, which has written all when the block ends, however it ends: also by Ctrl-C."""
    saver = Saver(folder, background)
    try:
        yield saver
    except BaseException as error:
        try:
            saver.wait()
        except Exception as another:
            error.add_note(f"Besides: {another}")
        raise
    saver.wait()


def on_host(state: T) -> T:
    """Plain data with copies of its tensors on the CPU, which nobody else writes to."""
    if isinstance(state, torch.Tensor):
        return cast(T, state.detach().to("cpu", copy=True))
    if isinstance(state, dict):
        return cast(T, {name: on_host(value) for name, value in state.items()})
    if isinstance(state, (list, tuple)):
        return cast(T, type(state)(on_host(value) for value in state))
    return state


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
