"""Which lines of a program have code and which of them ran, marked in a file that outlives a killed process.

The file has a row of bytes, one for each line: CODE for a line that has code, RAN once it has run. Where
cases are told apart (`trace_cases`) each has a row of its own, else all share one. Standard library only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import CodeType
from typing import Any, NamedTuple

from rltf_env.sandbox.values import FILENAME

RAN, CODE = 1, 2
MOST = 1 << 24  # bytes of all rows together: of a program beyond that, later lines are not marked


class Traced(NamedTuple):
    """The lines of a program, 1-based.

    Args:
        code: lines that have code.
        rows: lines that ran, in each case, or in all of them together.
    """

    code: list[int]
    rows: list[list[int]]

    def within(self, source: str) -> Traced:
        """Without what was added to a program."""
        last = lines_in(source)
        code, *rows = ([line for line in row if line <= last] for row in (self.code, *self.rows))
        return Traced(code, rows)


def lines_in(source: str) -> int:
    """At least as many lines as a program has, whatever ends them."""
    return source.count("\n") + source.count("\r") + 1


def size(source: str, rows: int) -> int:
    """Bytes of a file with so many rows for a program."""
    return rows * min(lines_in(source) + 1, max(MOST // rows, 1))


def read(data: bytes, rows: int) -> Traced:
    """What is marked in a file."""
    width = len(data) // rows
    parts = [data[row * width : (row + 1) * width] for row in range(rows)]
    ran = [[line for line, mark in enumerate(part) if mark == RAN] for part in parts]
    code = sorted({line for part in parts for line, mark in enumerate(part) if mark})
    return Traced(code, ran)


def lines_with_code(code: CodeType) -> Iterator[int]:
    """The lines of a compiled program and of all that is defined in it, some more than once."""
    todo = [code]
    while todo:
        each = todo.pop()
        yield from (line for _, _, line in each.co_lines() if line)
        todo += [constant for constant in each.co_consts if type(constant) is CodeType]


class Lines:
    """The file of lines, as the process sees it that runs the program.

    Args:
        fd: of the file.
        rows: that it has.
        row: of the case that comes first.
    """

    def __init__(self, fd: int, rows: int = 1, row: int = 0) -> None:
        import mmap

        self._view = memoryview(mmap.mmap(fd, os.fstat(fd).st_size))
        self._rows, self._width = rows, len(self._view) // rows
        self._here = self._view[row * self._width : (row + 1) * self._width]

    def trace(self, code: CodeType) -> None:
        """Marks the lines that have code, and from now on those that run."""
        here, width = self._here, self._width
        for line in lines_with_code(code):
            if line < width:
                here[line] = CODE
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is None:
            self._trace_calls()
            return

        def on_line(code: Any, line: int, filename: str = FILENAME) -> Any:
            if code.co_filename == filename and line < width:
                self._here[line] = RAN
            return monitoring.DISABLE

        monitoring.use_tool_id(monitoring.COVERAGE_ID, "rltf")
        monitoring.register_callback(monitoring.COVERAGE_ID, monitoring.events.LINE, on_line)
        monitoring.set_events(monitoring.COVERAGE_ID, monitoring.events.LINE)

    def begin(self, case: int) -> None:
        """Another case is about to run in this process. Each line reports again, where cases are told apart."""
        if self._rows == 1:
            return
        self._here = self._view[case * self._width : (case + 1) * self._width]
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is not None:
            monitoring.restart_events()

    def _trace_calls(self) -> None:
        width = self._width

        def local(frame: Any, event: str, arg: Any) -> Any:
            if event == "line" and frame.f_lineno < width:
                self._here[frame.f_lineno] = RAN
            return local

        def on_call(frame: Any, event: str, arg: Any, filename: str = FILENAME) -> Any:
            return local if frame.f_code.co_filename == filename else None

        import threading

        sys.settrace(on_call)
        threading.settrace(on_call)
