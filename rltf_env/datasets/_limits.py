"""Limits as data sets state them: contests give seconds and megabytes, in many spellings.

    stated({"time_limit": "2.0 seconds", "memory_limit": "256 megabytes"}, "row 3")   Limits(2.0, 256)
    stated({"time_limit": {"seconds": 1, "nanos": 500000000}}, "row 3")               Limits(1.5)

Contests state what a compiled program needs, so the seconds are multiplied by a data set's
`python_factor`. What is empty, null or zero is not stated, nor is less memory than a megabyte, which no
contest allows ("512 bytes"). Anything else that cannot be read is a DataError: the row is left out.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from rltf_env.core import Limits
from rltf_env.errors import DataError, UsageError

FIELDS = ("time_limit", "memory_limit", "memory_limit_bytes")
LIVECODEBENCH = 600_000  # frames: what its harness sets before every program

_WORDS = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*([a-zA-Z]*)\.?")
_SECONDS = {"": 1.0, "s": 1.0, "sec": 1.0, "second": 1.0, "ms": 1e-3, "msec": 1e-3, "millisecond": 1e-3, "min": 60.0}
_SECONDS |= {"minute": 60.0}
_MEGABYTES = {"": 1.0, "mb": 1.0, "mib": 1.0, "m": 1.0, "megabyte": 1.0, "mebibyte": 1.0}
_MEGABYTES |= {"gb": 1024.0, "gib": 1024.0, "g": 1024.0, "gigabyte": 1024.0, "gibibyte": 1024.0}
_MEGABYTES |= {"kb": 2.0**-10, "kib": 2.0**-10, "k": 2.0**-10, "kilobyte": 2.0**-10, "kibibyte": 2.0**-10}
_MEGABYTES |= {"b": 2.0**-20, "byte": 2.0**-20}
_NOTHING = ("", "none", "null", "nan", "n/a", "-")


def stated(row: Mapping[str, Any], where: str, *, python_factor: float = 1.0) -> Limits | None:
    """The limits that a row states; None if it states none.

    Args:
        row: has some of `FIELDS`. A `time_limit` without a unit is in seconds, a `memory_limit` in megabytes.
        where: it stands, for messages.
        python_factor: what the seconds are multiplied by.

    Raises:
        DataError: a limit that cannot be read.
    """
    seconds = _number(row.get("time_limit"), _SECONDS, f"{where}, time_limit")
    memory = _number(row.get("memory_limit"), _MEGABYTES, f"{where}, memory_limit")
    if memory is None:
        memory = _number(row.get("memory_limit_bytes"), {"": 2.0**-20}, f"{where}, memory_limit_bytes")
    memory = None if memory is not None and memory < 1 else memory
    if seconds is None and memory is None:
        return None
    try:
        return Limits(
            None if seconds is None else seconds * python_factor, None if memory is None else math.ceil(memory)
        )
    except UsageError as error:
        raise DataError(f"{where}: {error}") from error


def check(python_factor: float, recursion: int | None) -> None:
    """Raises UsageError unless these are options of a data set."""
    good = isinstance(python_factor, int | float) and not isinstance(python_factor, bool) and 0 < python_factor < 1e6
    if not good:
        raise UsageError(
            f"Expected python_factor to be a positive number such as 2.0, which the stated seconds are multiplied by, "
            f"got {python_factor!r}."
        )
    Limits(recursion=recursion)


def with_recursion(
    limits: Limits | None, recursion: int | None, entry_point: str | None, starter: str
) -> Limits | None:
    """The limits with this many frames, if a method of a `class Solution` is asked for."""
    method = (entry_point or "").startswith("Solution.") or re.search(r"^class\s+Solution\b", starter, re.MULTILINE)
    if recursion is None or not method:
        return limits
    limits = limits or Limits()
    return Limits(limits.seconds, limits.memory_mb, recursion)


def notes(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a row states, as it states it: for `Problem.meta`."""
    return {name: row[name] for name in FIELDS if row.get(name) not in (None, "")}


def _number(value: Any, units: Mapping[str, float], where: str) -> float | None:
    """The value in the first of the units; None if nothing is stated."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, dict):
        value = _of_record(value, where)
    if isinstance(value, str):
        return _of_words(value, units, where)
    if isinstance(value, bool) or not isinstance(value, int | float) or value < 0 or math.isinf(value):
        raise DataError(f"{where}: expected a number, words such as '2 seconds' or null, got {value!r}.")
    return value * units[""] or None


def _of_record(value: dict[str, Any], where: str) -> float:
    parts = [value.get(name) or 0 for name in ("seconds", "nanos")]
    if not value.keys() <= {"seconds", "nanos"} or not all(isinstance(part, int | float) for part in parts):
        raise DataError(f"{where}: expected a record of seconds and nanos, got {value!r}.")
    return parts[0] + parts[1] / 1e9


def _of_words(text: str, units: Mapping[str, float], where: str) -> float | None:
    if text.strip().lower() in _NOTHING:
        return None
    words = _WORDS.fullmatch(text.strip())
    unit = words[2].lower() if words else "?"
    factor = units.get(unit, units.get(unit.removesuffix("s")))
    if words is None or factor is None:
        raise DataError(f"{where}: expected a number with a unit such as {', '.join(list(units)[1:4])}, got {text!r}.")
    return float(words[1]) * factor or None
