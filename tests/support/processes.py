"""Programs to judge, and the processes that a judge has, for the tests of what it leaves behind."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

from rltf_env.core import CallCase, Problem, StdinCase

ADD = Problem("add", "", [CallCase((1, 2), 3)], "add")


WAIT = Problem("wait", "", [StdinCase("", "x")])


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


def program(number: int) -> str:
    return f"def add(a, b):\n    return a + b + 0 * {number}\n"


def descendants(pid: int) -> set[int]:
    """Every process below `pid`, PID namespaces included."""
    found: set[int] = set()
    todo = [pid]
    while todo:
        parent = todo.pop()
        for task in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                children = [int(child) for child in task.read_text().split()]
            except OSError:
                continue
            found.update(children)
            todo.extend(children)
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (OSError, IndexError):
        return False


def wait_until(happens: object, seconds: float = 60) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if happens():  # type: ignore[operator]
            return True
        threading.Event().wait(0.02)
    return False
