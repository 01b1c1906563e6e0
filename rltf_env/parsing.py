r"""Python's text as data: its syntax tree, without the compiler's advice on style, such as on "\d" in a docstring.

Which warnings are shown is a setting of the whole process. `warnings.catch_warnings` puts back what it found; of two
threads that overlap, one finds what the other has set, and puts that back for good. So one parses at a time.
"""

from __future__ import annotations

import ast
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

_turns: dict[int, threading.Lock] = {}  # by process: who held the lock of a parent is not in its fork


def tree(text: str) -> ast.Module:
    """What `ast.parse` makes of `text`, and what it raises."""
    with _no_advice():
        return ast.parse(text)


def literal(text: str) -> Any:
    """The value of a text that is a Python literal, and what `ast.literal_eval` raises of any other."""
    with _no_advice():
        return ast.literal_eval(text.strip())


@contextmanager
def _no_advice() -> Iterator[None]:
    with _turns.setdefault(os.getpid(), threading.Lock()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
