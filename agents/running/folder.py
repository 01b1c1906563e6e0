"""What a run writes while it goes: a line an update, evaluations, sample programs.

    metrics.jsonl       one line an update: {"step": ..., name: number, ...}
    evaluations.json    step -> what `agents.evaluation` counted
    samples.jsonl       {"step": ..., "program": {...}}: a few programs now and then, at most `RECORDS` times a run
    tensorboard/        the same numbers, as event files
    .lock               empty; locked while a process writes here

A number that is not finite is null there: JSON has no other word for it. A run that goes on from a checkpoint takes back what was
written after it.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TextIO, cast

from agents.running import files
from agents.running.journal import Shown
from agents.running.trackers import Tracker
from rltf_env.errors import UsageError

LOCK = ".lock"
METRICS, EVALUATIONS, SAMPLES = "metrics.jsonl", "evaluations.json", "samples.jsonl"
RECORDS = 256


@contextmanager
def exclusive(out: Path) -> Iterator[None]:
    """Makes the folder `out` and keeps other processes that ask for it out of it, for as long as this block or this process lives.

    The lock is the kernel's, so that one killed leaves none behind. Children do not inherit the file it hangs on (Python opens all
    files so). Where neither platform nor file system knows such locks, there is none.

    A folder that this block has made, and left empty because of an error, is removed.

    Raises:
        UsageError: a run is writing there.
    """
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    file = os.open(out / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _lock(file, out)
        yield
    except BaseException:
        if made and os.listdir(out) == [LOCK]:
            (out / LOCK).unlink()
            out.rmdir()
        raise
    finally:
        os.close(file)


def _lock(file: int, out: Path) -> None:
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UsageError(
            f"Expected {out} to be written to by one run, got a second one while the first is at it. Wait for that one or end it, "
            "or choose another folder with run.out=FOLDER."
        ) from None
    except (ImportError, OSError):
        pass


class Folder:
    """The open files of a run, and the trackers that are told the same. Made by `opened`."""

    def __init__(self, out: Path, metrics: TextIO, samples: TextIO, trackers: Sequence[Tracker], last: int) -> None:
        self.out, self._metrics, self._samples, self._trackers = out, metrics, samples, trackers
        self._last = last  # update of the newest sample programs; 0: none yet

    def updated(self, step: int, line: Mapping[str, float]) -> None:
        """Writes the line of an update."""
        self._metrics.write(to_json(line) + "\n")
        self._tell(step, {name: value for name, value in line.items() if name != "step"})

    def evaluated(self, step: int, evaluations: Mapping[str, Mapping[str, Any]]) -> None:
        """Writes all evaluations so far; that of `step` is new."""
        write_text(self.out / EVALUATIONS, to_json(evaluations))
        new = evaluations[str(step)]
        self._tell(step, {f"eval/{name}": new[name] for name in ("pass@1", "pass_ratio", "program_tokens")})

    def wants_programs(self, step: int, samples_every: int, updates: int) -> bool:
        """True if it is time for sample programs: every `samples_every` updates, in runs of many `updates` less often."""
        every = max(samples_every, -(-updates // RECORDS))
        return bool(samples_every) and (not self._last or step - self._last >= every)

    def sampled(self, step: int, programs: Sequence[Shown]) -> None:
        """Writes sample programs."""
        self._last = step
        for each in programs:
            self._samples.write(to_json({"step": step, "program": each.to_dict()}) + "\n")

    def flush(self) -> None:
        """Hands everything to the operating system."""
        self._metrics.flush()
        self._samples.flush()

    def _tell(self, step: int, numbers: Mapping[str, float]) -> None:
        for tracker in self._trackers:
            tracker.log(step, numbers)


@contextmanager
def opened(out: Path, done: int, trackers: Sequence[Tracker]) -> Iterator[Folder]:
    """The files of the run in `out`, after update `done`; what they hold of later updates is dropped."""
    with ExitStack() as stack:
        logs = [stack.enter_context(_log(out / name, done)) for name in (METRICS, SAMPLES)]
        last = max((record["step"] for record in records(out / SAMPLES)), default=0)
        yield Folder(out, logs[0], logs[1], trackers, last)


@contextmanager
def _log(path: Path, done: int) -> Iterator[TextIO]:
    """The file, open for appending; a line is there when its update is done."""
    kept = [record for record in records(path) if record["step"] <= done]
    write_text(path, "".join(to_json(record) + "\n" for record in kept))
    with open(path, "a", encoding="utf-8", buffering=1) as file:
        yield file


def records(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of ours up to the first that a killed writer left half done; none if there is no file."""
    found: list[dict[str, Any]] = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            found.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return found


def write_text(path: Path, text: str) -> None:
    """The file as a whole, or not at all."""
    files.write_atomically(path, lambda file: cast(None, file.write(text.encode())))


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON that every reader takes: null for what is not a finite number."""
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
