"""A record: the folder of one evaluation. While it grows, a journal that any kill leaves usable; at the end, plain files.

    header.json        suite, digest, sampling, seed, agent, judge, versions, commit, machine; when finished also the times
    journal.jsonl      while it runs: a line for each answer, and one for each verdict, only ever appended
    samples.jsonl.gz   when finished: every program with its verdict, in the suite's order; the same bytes for equal runs
    report.json        when finished: the figures
    verified.json      after `--verify`: what judging everything again gave

A line counts when its newline is there: what follows the last newline was being written when the run was killed, and is cut off.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import io
import json
import os
import platform
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, BinaryIO

from benchmarks.core import Answer, JudgedAnswer, Key
from rltf_env.errors import DataError, MissingData, UsageError

FORMAT = 1
HEADER, JOURNAL, SAMPLES, REPORT, VERIFIED = (
    "header.json",
    "journal.jsonl",
    "samples.jsonl.gz",
    "report.json",
    "verified.json",
)
SYNC_LINES, SYNC_SECONDS = 64, 1.0  # a journal is flushed to the disk at least this often


# ----------------------------------------------------------------------------------------------------------- journal


class RecordJournal:
    """The growing part of a record: `answers` and `verdicts` by key, as they were when it was opened, and `append`.

    Raises:
        DataError: a line is no JSON, or another process is writing to this journal.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO = open(path, "a+b", buffering=0)  # noqa: SIM115 - closed by `close`
        try:
            self._lock()
            self.answers: dict[Key, Answer] = {}
            self.verdicts: dict[Key, dict[str, Any]] = {}
            self._read()
        except BaseException:
            self._file.close()
            raise
        self._unsynced, self._synced = 0, time.monotonic()

    def _lock(self) -> None:
        try:
            import fcntl
        except ImportError:  # not a Unix: two runs into one folder are the user's own affair there
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(
                f"Expected {self.path.parent} to itself, got one that another process is writing to. Wait for it, "
                "or choose another folder with --out."
            ) from error

    def _read(self) -> None:
        self._file.seek(0)
        content = self._file.read()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):  # torn by a kill
            self._file.truncate(whole)
        for number, line in enumerate(content[:whole].splitlines(), 1):
            where = f"{self.path}:{number}"
            try:
                row = json.loads(line)
                key = Key(row["problem"], row["sample"])
                if "text" in row:
                    self.answers[key] = Answer.from_dict(row)
                else:
                    self.verdicts[key] = row
            except (ValueError, KeyError, TypeError) as error:
                raise DataError(
                    f"{where}: expected a line of an evaluation's journal, got {error!r}. Remove the folder to start anew."
                ) from error

    def append(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes lines in one go; now and then has the disk keep them."""
        view = memoryview("".join(json.dumps(row) + "\n" for row in rows).encode())
        while view:  # a write may be cut short by a full disk or a signal
            view = view[self._file.write(view) :]
        self._unsynced += len(rows)
        if self._unsynced >= SYNC_LINES or time.monotonic() - self._synced > SYNC_SECONDS:
            self.sync()

    def sync(self) -> None:
        """Makes sure that all rows so far are on the disk."""
        os.fsync(self._file.fileno())
        self._unsynced, self._synced = 0, time.monotonic()

    def close(self) -> None:
        """Syncs and closes the file; more than once is no error."""
        if not self._file.closed:
            self.sync()
            self._file.close()

    def samples(self, order: Sequence[Key], difficulty: Mapping[str, str]) -> Iterator[JudgedAnswer]:
        """The judged answers in this order. Raises UsageError if one is missing."""
        for key in order:
            if key not in self.answers or key not in self.verdicts:
                raise UsageError(f"Expected {key.problem!r}, sample {key.sample}, to be judged by now; it is not.")
            row = {**self.answers[key].to_dict(), **self.verdicts[key], "difficulty": difficulty[key.problem]}
            yield JudgedAnswer.from_dict(row, str(self.path))


# ------------------------------------------------------------------------------------------------------------ folders


def begin(folder: Path, header: Mapping[str, Any]) -> dict[str, Any]:
    """Makes the folder, or finds in it a record of the same evaluation; the header that it has.

    A record of another evaluation that came to nothing, not one answer, gives way.

    Raises:
        DataError: it holds a record of another evaluation; the message says in what they differ.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for leftover in filter(_is_left, folder.glob(".*.tmp")):
        leftover.unlink(missing_ok=True)
    path = folder / HEADER
    if not path.exists():
        write_json(path, header)
        return dict(header)
    earlier = read_json(path)
    differ = [name for name in IDENTITY if earlier.get(name) != json.loads(json.dumps(header.get(name)))]
    if differ and _came_to_nothing(folder, earlier):
        write_json(path, header)
        return dict(header)
    if differ:
        was, now = (", ".join(f"{name} {table.get(name)!r}" for name in differ) for table in (earlier, header))
        raise DataError(
            f"Expected {folder} to hold a record of this evaluation, got another: there {was}; here {now}. "
            "Choose another folder with --out, or remove this one."
        )
    return earlier


def _is_left(aside: Path) -> bool:
    """Whether the process that wrote a file aside, whose number is in its name, is gone."""
    try:
        os.kill(int(aside.suffixes[-2][1:]), 0)
    except ProcessLookupError:
        return True
    except (IndexError, ValueError, OSError):  # nobody's that we know
        return False
    return False


def _came_to_nothing(folder: Path, header: Mapping[str, Any]) -> bool:
    """True if a record has no answer in it, and nobody is at work on one."""
    path = folder / JOURNAL
    if "samples_sha256" in header or (folder / SAMPLES).exists():
        return False
    if not path.exists():
        return True
    if path.stat().st_size:
        return False
    try:
        RecordJournal(path).close()
    except DataError:  # another process has it
        return False
    return True


# what two runs of one record have in common
IDENTITY = ("format", "suite", "status", "departures", "data", "agent", "decoder", "problems", "packages")


def finish(folder: Path, header: Mapping[str, Any], samples: Sequence[JudgedAnswer], report: Mapping[str, Any]) -> None:
    """Turns the journal into the final files; may be killed anywhere and done again."""
    content = pack(samples)
    write_bytes(folder / SAMPLES, content)
    write_json(folder / REPORT, report)
    write_json(folder / HEADER, {**header, "samples_sha256": hashlib.sha256(content).hexdigest()})
    (folder / JOURNAL).unlink(missing_ok=True)


def pack(samples: Sequence[JudgedAnswer]) -> bytes:
    """`samples.jsonl.gz`: no time, no name in it, so that equal samples are equal bytes."""
    out = io.BytesIO()
    with gzip.GzipFile(fileobj=out, mode="wb", compresslevel=9, mtime=0, filename="") as file:
        for sample in samples:
            file.write((json.dumps(sample.to_dict()) + "\n").encode())
    return out.getvalue()


@dataclass(frozen=True)
class Record:
    """A finished record. `samples` is None where the completions were not handed in, only counted."""

    folder: Path
    header: dict[str, Any]
    report: dict[str, Any]
    samples: tuple[JudgedAnswer, ...] | None
    verified: dict[str, Any] | None
    altered: bool  # the samples are not those that the header names

    @property
    def name(self) -> str:
        """The name of what was measured."""
        return self.header["agent"]["name"]

    @property
    def suite(self) -> str:
        """Name and version of the suite."""
        return f"{self.header['suite']['name']}-v{self.header['suite']['version']}"


def read(folder: Path) -> Record:
    """The finished record in a folder.

    Raises:
        MissingData: there is none, or it is not finished.
        DataError: a file is malformed.
    """
    if not (folder / HEADER).is_file():
        raise MissingData(f"Expected a record in {folder}, got no {HEADER}. `python -m benchmarks.evaluate` makes one.")
    header = read_json(folder / HEADER)
    if header.get("format") != FORMAT:
        raise DataError(f"Expected a record of format {FORMAT} in {folder}, got {header.get('format')!r}.")
    if "samples_sha256" not in header or not (folder / REPORT).is_file():
        raise MissingData(
            f"Expected a finished record in {folder}, got one that is not. Run its command again; it continues."
        )
    samples, altered = None, False
    if (folder / SAMPLES).is_file():
        content = (folder / SAMPLES).read_bytes()
        altered = hashlib.sha256(content).hexdigest() != header["samples_sha256"]
        samples = tuple(_unpack(content, str(folder / SAMPLES)))
    verified = read_json(folder / VERIFIED) if (folder / VERIFIED).is_file() else None
    return Record(folder, header, read_json(folder / REPORT), samples, verified, altered)


def _unpack(content: bytes, where: str) -> Iterator[JudgedAnswer]:
    try:
        for number, line in enumerate(gzip.decompress(content).splitlines(), 1):
            yield JudgedAnswer.from_dict(json.loads(line), f"{where}:{number}")
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{where}: expected gzipped JSON lines, got {error}.") from error


def find(folder: Path) -> list[Path]:
    """Folders at or below `folder` that hold a record, by path."""
    if not folder.is_dir():
        raise MissingData(f"Expected a folder of records, got {folder}, which is none.")
    return sorted(path.parent for path in folder.rglob(HEADER))


# --------------------------------------------------------------------------------------------------------- provenance


def provenance(packages: Sequence[str] = ()) -> dict[str, Any]:
    """Versions, commit and kind of machine: no path, no host name, no user."""
    names = ("rltf", "gymnasium", "numpy", *packages)
    return {
        "versions": {"python": platform.python_version(), **{name: version(name) for name in names}},
        "commit": commit(),
        "machine": {"system": platform.system(), "architecture": platform.machine(), "cpus": os.cpu_count()},
    }


def origin(module: str, words: Sequence[str], packages: Sequence[str] = ()) -> dict[str, Any]:
    """What a figure comes from: its command, its date (UTC), and `provenance`.

    Args:
        module: of the command, as after `python -m`.
        words: its arguments; the file that `--json` names is left out.
        packages: whose versions matter, besides ours.
    """
    rest = [word for i, word in enumerate(words) if "--json" not in words[max(i - 1, 0) : i + 1]]
    arguments = [word for word in rest if not word.startswith("--json=")]
    today = datetime.now(UTC).date().isoformat()
    return {"command": shlex.join(["python", "-m", module, *arguments]), "date": today, **provenance(packages)}


def commit() -> str:
    """The commit of these sources, with "+changes" if they differ from it; "" outside a repository."""

    def git(*arguments: str) -> str:
        place = str(Path(__file__).resolve().parent)
        done = subprocess.run(["git", "-C", place, *arguments], capture_output=True, text=True, check=True)
        return done.stdout.strip()

    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return git("rev-parse", "HEAD") + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    return ""


# -------------------------------------------------------------------------------------------------------------- files


def write_bytes(path: Path, content: bytes) -> None:
    """The old file or the whole new one, whatever happens meanwhile."""
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(aside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Writes plain data as indented JSON; the file's folder is made where there is none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, (json.dumps(value, indent=1) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises DataError, with the path, if there is none."""
    try:
        value = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path}: expected JSON, got {error}.") from error
    if not isinstance(value, dict):
        raise DataError(f"{path}: expected a JSON object, got {type(value).__name__}.")
    return value
