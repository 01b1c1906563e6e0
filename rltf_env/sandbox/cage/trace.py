"""Which lines of a program ran, marked in a file that outlives a killed process. Standard library only."""

from __future__ import annotations

import os
import sys
from typing import Any

from rltf_env.sandbox.values import FILENAME


def lines_in(source: str) -> int:
    """At least as many lines as a program has, whatever ends them."""
    return source.count("\n") + source.count("\r") + 1


def map_lines(fd: int) -> Any:
    """The shared memory file of lines, a byte each."""
    import mmap

    return mmap.mmap(fd, os.fstat(fd).st_size)


def trace_lines(seen: Any) -> None:
    """Marks every line of the program that runs in `seen`, a shared memory file that outlives a killed process."""
    size = len(seen)
    monitoring = getattr(sys, "monitoring", None)
    if monitoring is not None:

        def on_line(code: Any, line: int, filename: str = FILENAME, size: int = size) -> Any:
            if code.co_filename == filename and line < size:
                seen[line] = 1
            return monitoring.DISABLE

        monitoring.use_tool_id(monitoring.COVERAGE_ID, "rltf")
        monitoring.register_callback(monitoring.COVERAGE_ID, monitoring.events.LINE, on_line)
        monitoring.set_events(monitoring.COVERAGE_ID, monitoring.events.LINE)
        return

    def local(frame: Any, event: str, arg: Any, size: int = size) -> Any:
        if event == "line" and frame.f_lineno < size:
            seen[frame.f_lineno] = 1
        return local

    def on_call(frame: Any, event: str, arg: Any, filename: str = FILENAME) -> Any:
        return local if frame.f_code.co_filename == filename else None

    import threading

    sys.settrace(on_call)
    threading.settrace(on_call)
