"""No file is too long to be read in one sitting."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("rltf_env", "agents", "benchmarks", "tests")
MOST_LINES = 450


def too_long(lines: Mapping[str, int], most: int = MOST_LINES) -> list[str]:
    """A sentence for each file above the limit."""
    return [
        f"{name} has {count} lines, expected at most {most}: split it by subject"
        for name, count in lines.items()
        if count > most
    ]


def lines_of_files() -> dict[str, int]:
    paths = [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]
    return {path.relative_to(ROOT).as_posix(): len(path.read_text(encoding="utf-8").splitlines()) for path in paths}


def test_no_file_is_longer_than_the_limit() -> None:
    complaints = too_long(lines_of_files())
    assert not complaints, "\n".join(complaints)


def test_a_long_file_is_seen() -> None:
    assert not too_long({"a.py": 450})
    assert len(too_long({"a.py": 451, "b.py": 3})) == 1
