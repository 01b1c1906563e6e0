"""One judge for all environments of a process that name it with equal options: sixteen environments, one pool of workers.

An environment holds a `Lease`; the judge is closed with the last of them, whether that is closed or forgotten. A process that
was forked holds none of its parent's: it opens a judge of its own.
"""

from __future__ import annotations

import json
import os
import threading
import weakref
from collections.abc import Mapping
from typing import Any

from rltf_env import sandbox
from rltf_env.core import Sandbox


class _Table:
    """The judges that one process has open, by name and options."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # a forgotten lease may end while another begins, in the same thread
        self.open: dict[str, _Entry] = {}


class _Entry:
    """A judge and the number of those who hold it."""

    def __init__(self, opened: Sandbox) -> None:
        self.sandbox, self.holders = opened, 0


_TABLES: dict[int, _Table] = {}  # by process: a fork must not wait for a lock that a thread of its parent held


def lock() -> threading.RLock:
    """Held by whoever opens a judge in this process."""
    return _table().lock


def _table() -> _Table:
    return _TABLES.setdefault(os.getpid(), _Table())


class Lease:
    """A share in a judge."""

    def __init__(self, table: _Table, key: str | None, entry: _Entry) -> None:
        self.process, self.sandbox = os.getpid(), entry.sandbox
        entry.holders += 1
        self._end = weakref.finalize(self, _release, self.process, table, key, entry)

    @property
    def good(self) -> bool:
        """True in the process that took it, until it is given back."""
        return self._end.alive and self.process == os.getpid()

    def close(self) -> None:
        """Gives the share back. May be called again."""
        self._end()


def lease(name: str, options: Mapping[str, Any], current: Lease | None = None) -> Lease:
    """A share in the judge of this name and these options, opened if nobody has; or `current`, while it is good."""
    if current is not None and current.good:
        return current
    table, key = _table(), _key(name, options)
    with table.lock:
        entry = table.open.get(key) if key else None
        if entry is None or getattr(entry.sandbox, "closed", False):
            entry = _Entry(sandbox.load(name, **options))
            if key:
                table.open[key] = entry
        return Lease(table, key, entry)


def _release(process: int, table: _Table, key: str | None, entry: _Entry) -> None:
    if process != os.getpid():  # a fork forgets what it never held
        return
    with table.lock:
        entry.holders -= 1
        if entry.holders:
            return
        if key and table.open.get(key) is entry:
            del table.open[key]
    entry.sandbox.close()


def _key(name: str, options: Mapping[str, Any]) -> str | None:
    """What makes two judges the same; None where options are more than plain data, which nothing is shared on."""
    try:
        return json.dumps([name, options], sort_keys=True)
    except (TypeError, ValueError):
        return None
