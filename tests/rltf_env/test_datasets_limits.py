"""Limits as contests state them."""

from __future__ import annotations

import math
from typing import Any

import pytest

from rltf_env.core import Limits
from rltf_env.datasets._limits import stated, with_recursion
from rltf_env.errors import DataError

TIMES = [
    (2, 2.0),
    (2.5, 2.5),
    ("2", 2.0),
    ("2.0 seconds", 2.0),
    ("1 second", 1.0),
    ("1 sec.", 1.0),
    ("2s", 2.0),
    ("500 ms", 0.5),
    ("1500 milliseconds", 1.5),
    ("1 min", 60.0),
    ({"seconds": 2, "nanos": 500_000_000}, 2.5),
    ({"seconds": 1, "nanos": None}, 1.0),
]
SIZES = [
    (256, 256),
    (256.0, 256),
    ("256.0 megabytes", 256),
    ("256 MB", 256),
    ("64 MiB", 64),
    ("1 GB", 1024),
    ("65536 KB", 64),
    ("65000 kilobytes", 64),
    ("268435456 bytes", 256),
]
NOTHING = [None, "", " ", "None", "null", 0, 0.0, math.nan, {"seconds": 0, "nanos": 0}]


@pytest.mark.parametrize(("value", "seconds"), TIMES)
def test_seconds_are_read(value: Any, seconds: float) -> None:
    assert stated({"time_limit": value}, "here") == Limits(seconds=seconds)
    assert stated({"time_limit": value}, "here", python_factor=3) == Limits(seconds=3 * seconds)


@pytest.mark.parametrize(("value", "megabytes"), SIZES)
def test_memory_is_read_and_has_no_factor(value: Any, megabytes: int) -> None:
    assert stated({"memory_limit": value}, "here", python_factor=3) == Limits(memory_mb=megabytes)
    assert stated({"memory_limit_bytes": megabytes << 20}, "here") == Limits(memory_mb=megabytes)


@pytest.mark.parametrize("value", NOTHING)
def test_what_is_not_stated_is_no_limit(value: Any) -> None:
    assert stated({"time_limit": value}, "here") is None
    assert stated({"memory_limit": value} if not isinstance(value, dict) else {}, "here") is None
    assert stated({}, "here") is None


def test_less_memory_than_any_program_takes_is_not_believed() -> None:
    assert stated({"memory_limit": "512 bytes", "time_limit": 2}, "here") == Limits(seconds=2)
    assert stated({"memory_limit": "1 MB"}, "here") == Limits(memory_mb=1)


@pytest.mark.parametrize("value", [-1, True, "soon", "2 parsecs", "1e3 s", [2], {"minutes": 1}, {"seconds": "2"}])
def test_what_cannot_be_read_is_an_error_that_says_where(value: Any) -> None:
    with pytest.raises(DataError, match=r"here, time_limit: expected"):
        stated({"time_limit": value}, "here")


def test_frames_are_for_methods_of_a_class_solution() -> None:
    starter = "from typing import *\nclass Solution:\n"
    assert with_recursion(None, 9, "Solution.f", "") == Limits(recursion=9)
    assert with_recursion(Limits(2.0, 64), 9, "f", starter) == Limits(2.0, 64, 9)
    assert with_recursion(Limits(2.0), 9, "f", "") == Limits(2.0)
    assert with_recursion(None, None, "Solution.f", starter) is None
