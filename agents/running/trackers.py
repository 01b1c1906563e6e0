"""Where a run's numbers go besides its own folder: TensorBoard always, Weights & Biases and Trackio when asked for.

`[run] trackers = ["wandb", "trackio"]` in a recipe; both must be installed, and neither is a dependency. A tracker sees numbers
after they have been written to `metrics.jsonl`; nothing that is learnt depends on one.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from rltf_env.errors import MissingData, UnknownName

PROJECT = "rltf"


class Tracker(Protocol):
    """Takes the numbers of each update."""

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Takes the numbers of an update."""
        ...

    def close(self) -> None:
        """Ends the run; what was logged is kept."""
        ...


class TensorBoard:
    """Event files in `out/tensorboard`; what a run that was cut off wrote after its checkpoint, if it had one, is taken back."""

    def __init__(self, out: Path, done: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder = out / "tensorboard"
        first = done + 1 if done else 0  # an evaluation before the first update counts as step 0, and is made again
        self._writer = SummaryWriter(str(folder), purge_step=first if any(folder.glob("events.*")) else None)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Writes each number as a scalar of its name."""
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Writes what is still held, and closes the file."""
        self._writer.close()


class Hosted:
    """Weights & Biases, or Trackio, whose interface is the same: `module` has init, log and finish."""

    def __init__(self, module: Any, out: Path, name: str, config: Mapping[str, Any], **options: Any) -> None:
        self._module = module
        module.init(project=PROJECT, name=name, config=dict(config), resume="allow", **options)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Hands the numbers of an update to the service."""
        self._module.log(dict(metrics), step=step)

    def close(self) -> None:
        """Tells the service that the run has ended."""
        self._module.finish()


def _wandb(module: Any, out: Path, name: str, config: Mapping[str, Any]) -> Hosted:
    run = hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:12]  # the same folder is the same run
    return Hosted(module, out, name, config, id=run, dir=str(out))


HOSTED = {"wandb": _wandb, "trackio": Hosted}


def check(names: Sequence[str]) -> None:
    """Raises `UnknownName` for a tracker that there is not."""
    for name in names:
        if name not in HOSTED:
            raise UnknownName("tracker", str(name), HOSTED, hint="TensorBoard is always written and needs no name.")


@contextmanager
def opened(
    names: Sequence[str], out: Path, name: str, config: Mapping[str, Any], done: int
) -> Iterator[tuple[Tracker, ...]]:
    """TensorBoard and the trackers in `names`, closed at the end; `done` updates are behind the run.

    Raises:
        MissingData: a tracker that was asked for is not installed.
    """
    check(names)
    with ExitStack() as stack:
        made: list[Tracker] = [TensorBoard(out, done)]
        stack.callback(made[0].close)
        for each in names:
            made.append(stack.enter_context(closing(HOSTED[each](_module(each), out, name, config))))
        yield tuple(made)


def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise MissingData(
            f"Expected the tracker {name!r} to be installed, but it is not. Install it (pip install {name}), or take it out of "
            "run.trackers; TensorBoard's files are written without it."
        ) from error
