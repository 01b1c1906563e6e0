"""Problems as lines of JSON: the project's own format, to keep, share and edit them. `read` gives back what `dump` was given.

One problem a line, one object a problem. `id`, `statement` and `cases` must be there; the rest may be left out:

    {"id": "double", "statement": "Return twice x.", "entry_point": "f",
     "cases":    [{"args": [2], "expected": 4}],               a call: args, expected, and perhaps kwargs
     "examples": [{"args": [3], "expected": 6}],               what may be shown; the same three kinds of case
     "solutions": ["f = lambda x: 2 * x"], "difficulty": "easy", "prefix": "", "starter": "",
     "meta": {"source": "mine", "tags": ["numbers"]},          notes; filters know source and tags
     "held_out": [],                                           cases kept from training
     "limits": {"seconds": 2.0, "memory_mb": 256, "recursion": 600000}}    the problem's own; any may be left out

    {"stdin": "2\\n", "stdout": "4\\n"}                          run the program with this input
    {"script": "assert f(2) == 4", "setup": ""}                Python that asserts; setup may be left out

How JSON holds Python's values says `rltf_env/plain.py`. A file named `.gz` is packed.
"""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path

from rltf_env.core import Problem, Problems
from rltf_env.datasets._files import Root, read_rows
from rltf_env.errors import DataError, MissingData, UnknownName, UsageError
from rltf_env.plain import decode_problem, encode_problem

SUFFIXES = (".jsonl", ".jsonl.gz")
ROWS = (".csv", ".tsv", ".parquet", ".arrow")  # what is surely no JSON: `_hub.py` reads it

# -------------------------------------------------------------------------------------------------------------- files


def is_path(name: str | os.PathLike[str]) -> bool:
    """True if `name` is the path of a file or folder, not the name of a dataset: it has a slash or ends in .jsonl."""
    return not isinstance(name, str) or "/" in name or os.sep in name or name.endswith(SUFFIXES)


def dump(problems: Iterable[Problem], path: str | os.PathLike[str]) -> None:
    """Writes problems to a JSON-lines file, whole or not at all.

    Raises:
        UsageError: a case or a note holds something that is not plain data, or an id comes twice.
    """
    lines: dict[str, str] = {}
    for problem in problems:
        if problem.id in lines:
            raise UsageError(f"Expected problems with unique ids, got {problem.id!r} twice.")
        lines[problem.id] = json.dumps(encode_problem(problem), separators=(",", ":"))
    text = "".join(f"{line}\n" for line in lines.values()).encode()
    target = Path(path)
    write_whole(target, gzip.compress(text, mtime=0) if target.suffix == ".gz" else text)


def write_whole(path: Path, content: bytes) -> None:
    """Puts a file where it belongs in one move: whoever reads it, and whatever interrupts this, finds the old or the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        new.write_bytes(content)
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


def read(path: Path) -> Problems:
    """The problems of a JSON-lines file, in order.

    Raises:
        DataError: a line is no problem, or an id comes twice; the message names the file and the line.
    """
    problems: dict[str, Problem] = {}
    lines: dict[str, str] = {}
    for row in read_rows(path):
        problem = decode_problem(row.value, row.where)
        if problem.id in problems:
            raise DataError(f"{row.where}: expected each id once, got {problem.id!r} again, after {lines[problem.id]}.")
        problems[problem.id], lines[problem.id] = problem, row.where
    if not problems:
        raise DataError(f"{path}: expected at least one problem, got an empty file.")
    return Problems(problems.values())


def find(name: str | os.PathLike[str], root: Root) -> Path | Callable[..., Problems]:
    """The file `name` (below `root`, if given); of a folder, what loads one of its splits.

    Raises:
        MissingData: there is no such file or folder.
    """
    path = Path(root or "").expanduser() / Path(name).expanduser()
    if path.is_file():
        if path.suffix in ROWS:
            raise UsageError(f"Expected a JSON-lines file of problems, got {path}, {_read_as(path)}")
        return path
    if not path.is_dir():
        raise MissingData(
            f"Expected a JSON-lines file of problems, or a folder of train.jsonl, test.jsonl and the like, at {path}. "
            "There is nothing. Name another path, or pass root=FOLDER to start from."
        )

    def load(split: str = "train") -> Problems:
        return read(_split_file(path, split))

    return load


def nearby(name: str, root: Root) -> str:
    """A sentence on the file or folder that a name which is no dataset's may mean; "" if there is none."""
    path = Path(root or "").expanduser() / name
    if path.is_dir():
        return f"There is a folder of that name: it is './{name}'."
    if path.is_file():
        return f"There is a file of that name, {_read_as(path)}"
    lines = next((each for suffix in SUFFIXES if (each := path.with_name(path.name + suffix)).is_file()), None)
    return f"There is a file {str(lines)!r}." if lines else ""


def _read_as(path: Path) -> str:
    return f"whose rows are read as 'hub:{path}', with the option columns."


def _split_file(folder: Path, split: str) -> Path:
    """The file `SPLIT.jsonl` of a folder, or `SPLIT.jsonl.gz`."""
    files = {file.name[: -len(suffix)]: file for suffix in SUFFIXES for file in sorted(folder.glob(f"*{suffix}"))}
    if not files:
        raise MissingData(
            f"Expected files such as {split}.jsonl in {folder}, one for each split, got none. Files of other forms are read with "
            f'dataset="hub:{folder}".'
        )
    if split not in files:
        raise UnknownName(f"split of {folder}:", split, files)
    return files[split]


# ---------------------------------------------------------------------------------------------------------- problems


# -------------------------------------------------------------------------------------------------------------- cases


# ------------------------------------------------------------------------------------------------------------- values
