"""The standard streams of cases that share a process. Standard library only."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any


def maker(errors: bool) -> Callable[[], None]:
    """What makes the standard streams anew, as Python makes them; standard error only if the program may have changed it."""
    kinds = [("stdin", 0, "r", "strict"), ("stdout", 1, "w", "strict"), ("stderr", 2, "w", "backslashreplace")]

    def renew() -> None:
        for name, fd, mode, on_error in kinds[: 3 if errors else 2]:
            stream = open(fd, mode, -1, "utf-8", on_error, "\n", False)  # noqa: SIM115
            stream.buffer.raw.name = f"<{name}>"  # type: ignore[attr-defined]
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)

    return renew


def cut(size: int) -> None:
    """Takes back what was printed beyond `size` bytes: alone, a case would not have come to it."""
    os.ftruncate(1, size)
    os.lseek(1, size, os.SEEK_SET)


def fit(cases: list[Any], options: dict[str, Any]) -> bool:
    """True if the inputs of all cases may be given under the limit of files that a program has. A longer one comes before it."""
    return max([4 * len(text) for text, _ in cases]) <= max(options["output_bytes"], options["file_bytes"])


def give(text: str) -> None:
    """Makes `text` the standard input."""
    os.ftruncate(0, 0)
    os.lseek(0, 0, 0)
    data = memoryview(text.encode("utf-8", "surrogateescape"))
    while data:
        data = data[os.write(0, data) :]
    os.lseek(0, 0, 0)
