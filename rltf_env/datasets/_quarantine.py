"""The list of problems that are known to be broken: `python -m rltf_env.datasets check` writes it, `load(quarantine=)` honours it.

A problem stands there with its digest, so that an entry about a problem that has since been mended is noticed, not obeyed.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from rltf_env.core import Problem, Problems
from rltf_env.datasets._digest import digest
from rltf_env.datasets._files import parse, read_text
from rltf_env.datasets._jsonl import write_whole
from rltf_env.errors import DataError
from rltf_env.plain import as_object, field

FORMAT = 1


class Entry(NamedTuple):
    """A broken problem: its id, `digest([problem])`, and what its reference came to, in words."""

    id: str
    digest: str
    reason: str


def write(path: str | os.PathLike[str], entries: Iterable[Entry], about: Mapping[str, Any]) -> None:
    """Writes the list, whole or not at all. `about` says what was checked, and by which judge."""
    content = {"format": FORMAT, **about, "problems": [entry._asdict() for entry in entries]}
    write_whole(Path(path), (json.dumps(content, indent=1) + "\n").encode())


def read(path: str | os.PathLike[str]) -> dict[str, Entry]:
    """The entries by id.

    Raises:
        DataError: there is no such file, or it is no quarantine list.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise DataError(f"Expected a quarantine list at {file}. Write one: python -m rltf_env.datasets check NAME.")
    content = as_object(parse(read_text(file), str(file)), str(file))
    if content.get("format") != FORMAT:
        raise DataError(f"{file}: expected a quarantine list of format {FORMAT}, got {content.get('format')!r}.")
    rows = [as_object(row, str(file)) for row in field(content, "problems", list, str(file))]
    entries = [Entry(*(field(row, name, str, str(file)) for name in Entry._fields)) for row in rows]
    return {entry.id: entry for entry in entries}


def leave_out(problems: Problems, path: str | os.PathLike[str]) -> Problems:
    """The problems without those in the list at `path`, which are in `.skipped` with the reason.

    An entry for a problem that is not among them does nothing: a list may be of the whole dataset, the problems of one split.

    Raises:
        DataError: an entry is about another version of a problem.
    """
    entries = read(path)
    broken = {problem.id: entries[problem.id] for problem in problems if problem.id in entries}
    for problem in problems:
        _check_digest(problem, broken.get(problem.id), path)
    rest = [problem for problem in problems if problem.id not in broken]
    if problems and not rest:
        raise DataError(
            f"{os.fspath(path)}: expected to leave some of {len(problems)} problems, got all of them listed."
        )
    skipped = [(entry.id, f"in quarantine: {entry.reason}") for entry in broken.values()]
    return Problems(rest, [*problems.skipped, *skipped])


def _check_digest(problem: Problem, entry: Entry | None, path: str | os.PathLike[str]) -> None:
    if entry is not None and entry.digest != digest([problem]):
        raise DataError(
            f"{os.fspath(path)}: expected problem {problem.id!r} as it was when it was found broken, got one that has changed "
            "since. Write the list anew: python -m rltf_env.datasets check NAME."
        )
