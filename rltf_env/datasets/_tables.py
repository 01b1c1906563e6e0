"""Tables of rows that become problems, for data sets that the hub keeps: where the rows are, and what becomes of each.

A reader is a `Table` and a function of a row. It gives a problem, or a reason to leave the row out
(`Problems.skipped`), or None for a row that was not asked for. A DataError is a reason too: one odd
row does not cost the others.

Rows are looked for in files first: `train.jsonl` (or `.jsonl.gz`, `.json`, `.parquet`, or parquet in
parts, `train-00000-of-00009.parquet`), in the data set's folder below the data folder, or in `root`.
`root="hub"` reads the hub, `root="hub:owner/name"` a copy there. Parquet and the hub need the
`datasets` library. Problems of a large row of a JSON-lines file read their cases at first use.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from rltf_env import parsing
from rltf_env.core import Case, Problem, Problems
from rltf_env.datasets import hub
from rltf_env.datasets._files import VARIABLE, Root, check_split, parse, read_rows, read_text
from rltf_env.datasets._lazy import Later
from rltf_env.errors import DataError, MissingData, UsageError
from rltf_env.plain import as_object

LARGE = 1 << 20  # bytes of a row; the cases of larger ones are read at first use
HUB = "hub"
SUFFIXES = (".jsonl", ".jsonl.gz", ".json", ".parquet")
_log = logging.getLogger(__name__)


class Row(NamedTuple):
    """A row of a table: its number, where it stands for messages, and where in a file it can be read again."""

    value: dict[str, Any]
    number: int
    where: str
    path: Path | None = None
    offset: int = 0
    length: int = 0

    @property
    def large(self) -> bool:
        """Whether its cases should be read again at first use, rather than be kept."""
        return self.path is not None and self.length > LARGE


Read = Callable[[Row], Problem | str | None]


@dataclass(frozen=True)
class Table:
    """Where the rows of a data set are.

    Args:
        name: the data set here, and its folder.
        hub: owner and name there.
        splits: ours -> the hub's.
        remedy: how to get the data.
        config: of the hub's data set; also a folder of files.
        files: names of files that hold a split, where they are not called by it: split -> names.
    """

    name: str
    hub: str
    splits: Mapping[str, str]
    remedy: str
    config: str | None = None
    files: Mapping[str, Sequence[str]] | None = None

    def rows(self, split: str, root: Root) -> Iterator[Row]:
        """The rows of a split. Raises UnknownName, MissingData, DataError."""
        check_split(self.name, split, self.splits)
        if isinstance(root, str) and root.partition(":")[0] == HUB and not Path(root).exists():
            return _numbered(_of_hub(self, self.splits[split], root.partition(":")[2] or self.hub))
        return _numbered(row for path in _found(self, split, root) for row in _of_file(path))


def collect(table: Table, split: str, root: Root, read: Read, *, limit: int | None = None) -> Problems:
    """The problems of a split.

    Args:
        read: makes a problem of a row; it must pickle, for cases that are read at first use.
        limit: look at the first so many rows only.

    Raises:
        DataError: no row is a problem; the message says why the first is none.
    """
    found: dict[str, Problem] = {}
    skipped: list[tuple[str, str]] = []
    for row in islice(table.rows(split, root), limit):
        try:
            made = read(row)
        except MissingData:
            raise  # something to be installed, which no other row does without
        except (DataError, UsageError) as error:  # no cases, no id
            made = str(error)
        if isinstance(made, Problem) and made.id in found:
            made = f"{made.id!r} came before"
        if isinstance(made, str):
            skipped.append((f"{table.name}/{split}/{row.number}", made))
        elif made is not None:
            found[made.id] = _lean(made, row, read)
    return _told(table.name, split, found, skipped)


def _told(name: str, split: str, found: Mapping[str, Problem], skipped: Sequence[tuple[str, str]]) -> Problems:
    if not found:
        why = f" The first of {len(skipped)} rows left out, {skipped[0][0]}: {skipped[0][1]}" if skipped else ""
        raise DataError(f"{name} {split}: expected rows that are problems, got none.{why}")
    if skipped:
        some = "; ".join(f"{id}: {reason}" for id, reason in skipped[:5])
        _log.warning("%s %s: %d of %d rows left out (%s)", name, split, len(skipped), len(skipped) + len(found), some)
    return Problems(found.values(), skipped)


def _lean(problem: Problem, row: Row, read: Read) -> Problem:
    """The problem with cases that are read again at first use, if its row is large."""
    if not row.large or not isinstance(problem.cases, tuple):
        return problem
    return replace(problem, cases=Later(partial(_cases_again, row._replace(value={}), read), type(problem.cases[0])))


def _cases_again(row: Row, read: Read) -> Sequence[Case]:
    made = read(again(row))
    if not isinstance(made, Problem):
        raise DataError(f"{row.where}: expected the problem that it was, got {made or 'none'}. The file has changed.")
    return made.cases


def again(row: Row) -> Row:
    """The row as its file has it, for one of which only the place was kept."""
    if row.path is None:
        raise UsageError(f"Expected a row of a file, got {row.where}.")
    with open(row.path, "rb") as file:
        file.seek(row.offset)
        return row._replace(value=as_object(parse(file.read(row.length), row.where), row.where))


# ------------------------------------------------------------------------------------------------ where rows are


def _found(table: Table, split: str, root: Root) -> list[Path]:
    """The files of a split."""
    base = root if root is not None else os.environ.get(VARIABLE) or None
    if base is None:
        raise MissingData(
            f"Expected the data of {table.name!r}, but no root= was given and {VARIABLE} is not set. {table.remedy}"
        )
    folder = Path(base).expanduser()
    if root is not None and folder.is_file():
        return [folder]
    tried = []
    for place in dict.fromkeys(_places(table, folder, own=root is not None)):
        tried.append(place)
        if files := _of_split(table, split, place):
            return files
    listing = ", ".join(map(str, tried))
    raise MissingData(f"Expected split {split!r} of {table.name!r} as a file in one of: {listing}. {table.remedy}")


def _places(table: Table, folder: Path, *, own: bool) -> Iterator[Path]:
    """Folders that may hold the files: the data set's own below the common one, or `folder` itself."""
    for place in (folder / table.name, folder / table.hub.rpartition("/")[2], *([folder] if own else [])):
        if table.config:
            yield place / table.config
        yield place
        yield place / "data"


def _of_split(table: Table, split: str, place: Path) -> list[Path]:
    if table.files is not None and split in table.files:
        files = [place / name for name in table.files[split]]
        return files if all(path.is_file() for path in files) else []
    for name in dict.fromkeys((split, table.splits[split])):
        one = next((path for suffix in SUFFIXES if (path := place / f"{name}{suffix}").is_file()), None)
        if one is not None:
            return [one]
        if parts := sorted(place.glob(f"{name}-*.parquet")):
            return parts
    return []


def _of_file(path: Path) -> Iterator[Row]:
    if path.suffix == ".parquet":
        rows = _library().load_dataset("parquet", data_files=str(path), split="train", streaming=True)
        yield from (Row(dict(row), 0, f"{path}[{number}]") for number, row in enumerate(rows))
    elif path.suffix == ".json":
        value = parse(read_text(path), str(path))
        for number, row in enumerate(value if isinstance(value, list) else [value]):
            yield Row(as_object(row, f"{path}[{number}]"), 0, f"{path}[{number}]")
    else:
        plain = None if path.suffix == ".gz" else path.absolute()  # a packed file cannot be read from its middle
        for row in read_rows(path):
            yield Row(row.value, 0, row.where, plain, row.offset, row.length)


def _of_hub(table: Table, split: str, name: str) -> Iterator[Row]:
    library = _library()
    if why := hub.unreachable():
        raise MissingData(f"Expected the data set {name!r} on the hub, but {why}. {table.remedy}")
    try:
        rows = library.load_dataset(name, table.config, split=split, streaming=True)
    except (OSError, ValueError, RuntimeError) as error:  # no such data set, config or split; a loading script
        raise MissingData(f"Expected the data set {name!r} on the hub, got {error}. {table.remedy}") from error
    yield from (Row(dict(row), 0, f"hub:{name}/{split}, row {number}") for number, row in enumerate(rows))


def _library() -> Any:
    try:
        import datasets as library
    except ImportError as error:
        raise UsageError(
            "Parquet files and the hub need the datasets library: pip install 'rltf[hub]'. Without it there are JSON-lines files."
        ) from error
    return library


def _numbered(rows: Iterable[Row]) -> Iterator[Row]:
    return (row._replace(number=number) for number, row in enumerate(rows))


# ------------------------------------------------------------------------------------------------- what rows hold


def text(row: Row, name: str, default: str | None = None) -> str:
    """A field that is a text; `default` where it is missing or null. Raises DataError."""
    value = row.value.get(name)
    if value is None and default is not None:
        return default
    if not isinstance(value, str):
        came = type(value).__name__ if name in row.value else f"only {', '.join(map(repr, row.value))}"
        raise DataError(f"{row.where}: expected {name!r} to be a text, got {came}.")
    return value


def data(row: Row, name: str) -> Any:
    """A field that is data, or the text of them: JSON, or else a Python literal. None where there is nothing."""
    value = row.value.get(name)
    return literal(value, f"{row.where}, {name}") if isinstance(value, str) else value


def literal(source: str, where: str) -> Any:
    """The value of a text that is JSON, or else a Python literal; None of an empty one. Raises DataError."""
    if not source.strip():
        return None
    try:
        return parse(source, where)
    except DataError as as_json:
        try:
            return parsing.literal(source)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
            raise DataError(f"{where}: expected JSON or a Python literal, got neither ({error}).") from as_json


def names(row: Row, name: str) -> tuple[str, ...]:
    """A field that is a list of texts, or the text of one, or nothing: tags, libraries, solutions."""
    value = row.value.get(name)
    if isinstance(value, str) and value.strip()[:1] not in ("[", "("):
        return (value,) if value.strip() else ()
    value = data(row, name)
    if value is None:
        return ()
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        raise DataError(f"{row.where}: expected {name!r} to be a list of texts, got {type(value).__name__}.")
    return tuple(value)


def records(row: Row, name: str) -> list[dict[str, Any]]:
    """A field that is a list of records, or the text of one, or nothing."""
    value = data(row, name)
    if value is None:
        return []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise DataError(f"{row.where}: expected {name!r} to be a list of records, got {type(value).__name__}.")
    return value


# ------------------------------------------------------------------------------------------------------ dates

_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})")


class Window(NamedTuple):
    """Dates, `YYYY-MM-DD`, between which a problem was first published, both ends included; None: open."""

    start: str | None = None
    end: str | None = None

    def holds(self, date: str) -> bool | None:
        """Whether a date lies in the window; None for no date in a window with an end."""
        if self == Window():
            return True
        if not date:
            return None
        return (self.start or "") <= date and (self.end is None or date <= self.end)


def window(start_date: str | None, end_date: str | None) -> Window:
    """The window of these dates. Raises UsageError unless they are dates, in order."""
    for name, value in (("start_date", start_date), ("end_date", end_date)):
        if value is not None and (not isinstance(value, str) or not _DATE.fullmatch(value)):
            raise UsageError(f"Expected {name} as YYYY-MM-DD, got {value!r}.")
    if start_date is not None and end_date is not None and start_date > end_date:
        raise UsageError(f"Expected start_date before end_date, got {start_date} and {end_date}.")
    return Window(start_date, end_date)


def date(value: Any) -> str:
    """The day of a date, a time stamp or a number of seconds, `YYYY-MM-DD`; "" of anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and value > 0:
        import datetime

        try:
            return datetime.datetime.fromtimestamp(value, datetime.UTC).date().isoformat()
        except (OverflowError, OSError, ValueError):  # no year that Python counts
            return ""
    found = _DATE.match(str(value or ""))
    return found[0] if found else ""


UNDATED = "no date, and a window of dates was asked for"
