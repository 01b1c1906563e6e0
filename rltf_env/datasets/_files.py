"""What the datasets share: finding their files, and reading JSON so that every error names the file and the line.

Everything that is wrong with a file is a `DataError`; that it is not there at all is `MissingData`, with the paths that were
tried and the remedy. Nothing here knows what a problem is.
"""

from __future__ import annotations

import ast
import gzip
import json
import os
import zlib
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from rltf_env import parsing
from rltf_env.errors import DataError, MissingData, UnknownName
from rltf_env.plain import as_object

Root = str | os.PathLike[str] | None
VARIABLE = "RLTF_DATA"


def check_split(dataset: str, split: str, splits: Collection[str]) -> None:
    """Raises `UnknownName`, with the splits that there are, unless `split` is one of them."""
    if split not in splits:
        raise UnknownName(f"split of dataset {dataset!r}:", split, splits)


def locate(dataset: str, root: Root, relative: Sequence[str], remedy: str) -> Path:
    """The first of the `relative` paths that exists below `root`, or `root` itself when that is a file.

    Without a `root`, the folder that the environment variable RLTF_DATA names.

    Raises:
        MissingData: none of them exists; the message lists the paths and ends with the remedy.
    """
    base = root if root is not None else os.environ.get(VARIABLE) or None
    if base is None:
        raise MissingData(
            f"Expected the data of {dataset!r}, but no root= was given and {VARIABLE} is not set. {remedy}"
        )
    folder = Path(base).expanduser()
    if root is not None and folder.is_file():
        return folder
    candidates = [folder / path for path in relative]
    place = next((path for path in candidates if path.exists()), None)
    if place is None:
        listing = ", ".join(map(str, candidates or [folder]))
        raise MissingData(f"Expected the data of {dataset!r} in one of: {listing}. None of them exists. {remedy}")
    return place


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, its line ends as they are."""
    try:
        return path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: expected UTF-8 text, got {error}. Fetch the file again.") from error


class Row(NamedTuple):
    """One line of a JSON-lines file: `where` it stands for messages, and its bytes' place in the file."""

    where: str
    offset: int
    length: int
    value: dict[str, Any]


def read_rows(path: Path) -> Iterator[Row]:
    """The objects of a JSON-lines file (`.gz` is unpacked on the way; empty lines are passed over)."""
    opener = gzip.open if path.suffix == ".gz" else open
    offset = 0
    try:
        with opener(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    where = f"{path}:{number}"
                    yield Row(where, offset, len(line), _object(line, where))
                offset += len(line)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(f"{path}: expected a gzip file, got {error}. Fetch the file again.") from error


def _object(line: bytes, where: str) -> dict[str, Any]:
    """The object of a line."""
    if line.strip() in (b"{", b"["):  # a file that is one value over many lines
        raise DataError(f"{where}: expected JSON, a whole object on each line, got {line.strip().decode()!r} alone.")
    return as_object(parse(line, where), where)


def parse(text: str | bytes, where: str) -> Any:
    """The JSON value of `text`. Integers of any length and NaN, Infinity, -Infinity are read as Python writes them."""
    try:
        return json.loads(text, parse_int=_parse_int)
    except UnicodeDecodeError as error:
        byte, place = error.object[error.start], error.start
        raise DataError(
            f"{where}: expected UTF-8, got the byte {byte:#04x} at position {place}. Save the file as UTF-8."
        ) from error
    except (ValueError, RecursionError) as error:
        raise DataError(f"{where}: expected JSON, got {error}. Mend the file or fetch it again.") from error


_DIGITS = 512  # below any limit that sys.set_int_max_str_digits accepts


def _parse_int(text: str) -> int:
    """`int(text)` for any number of digits: the interpreter refuses more than 4,300 at once, and its limit is global."""
    if text.startswith("-"):
        return -_parse_int(text[1:])
    if len(text) <= _DIGITS:
        return int(text)
    low = len(text) // 2
    return _parse_int(text[:-low]) * 10**low + _parse_int(text[-low:])


def parse_python(text: str, what: str) -> ast.Module:
    """The syntax tree of `text`, `what` it is, for the message. It is data: Python's advice on its style is not shown."""
    try:
        return parsing.tree(text.removeprefix("\ufeff"))  # the mark that some editors put in front
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"{what}: expected Python, got {error}.") from error
