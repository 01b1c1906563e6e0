"""No file is too long to be read in one sitting."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("rltf_env", "agents", "benchmarks", "tests")
MOST_LINES = 450
LONGER = {"tests/agents/test_train.py"}  # one rule holds for every agent's whole run: the agents stand in one table


def too_long(lines: Mapping[str, int], most: int = MOST_LINES, longer: Iterable[str] = ()) -> list[str]:
    """A sentence for each file above the limit, and for each exception that is not one any more."""
    complaints = [
        f"{name} has {count} lines, expected at most {most}: split it by subject"
        for name, count in lines.items()
        if count > most and name not in longer
    ]
    return complaints + [f"{name} is short enough: take it off the list" for name in longer if lines[name] <= most]


def lines_of_files() -> dict[str, int]:
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}


def test_no_file_is_longer_than_the_limit() -> None:
    complaints = too_long(lines_of_files(), longer=LONGER)
    assert not complaints, "\n".join(complaints)


@pytest.mark.parametrize(
    ("lines", "longer", "count"),
    [
        ({"a.py": 450}, (), 0),
        ({"a.py": 451, "b.py": 3}, (), 1),
        ({"a.py": 451}, ("a.py",), 0),
        ({"a.py": 450}, ("a.py",), 1),
    ],
)
def test_a_long_file_is_seen_and_so_is_an_exception_that_is_none(
    lines: dict[str, int], longer: tuple[str, ...], count: int
) -> None:
    assert len(too_long(lines, longer=longer)) == count
