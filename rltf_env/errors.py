"""Every exception that this project raises on purpose.

    RLTFError
    ├── UsageError(ValueError)          the caller asked for something that cannot be
    │   ├── UnknownName                 no such dataset, reward, sandbox, agent, key ... (names the nearest one)
    │   └── InvalidProblem              a problem without cases, with an empty id, ...
    ├── DataError                       a file or folder is missing, malformed or from another version
    │   └── MissingData                 the data are simply not there (the message says how to get them)
    └── SandboxError(RuntimeError)      the judge itself failed: retried, then raised, never turned into a reward

A program that crashes, hangs or cheats is *not* an error: it is data (`Verdict`). Messages say what was expected, what
came, and what to do about it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RLTFError(Exception):
    """Base of every exception raised by this project."""


class UsageError(RLTFError, ValueError):
    """The caller asked for something that cannot be."""


class UnknownName(UsageError):
    """No such name; the message lists the known ones (the first 20 of many) and the nearest.

    One that is rebuilt from its message alone keeps the message, and has no names: Gymnasium's `make` and `AsyncVectorEnv` do
    that to errors.
    """

    def __init__(self, kind: str, name: str = "", known: Iterable[str] | None = None, *, hint: str = "") -> None:
        self.kind, self.name, self.known, self.hint = kind, name, tuple(sorted(known or ())), hint
        super().__init__(str(kind) if known is None else self._message())

    def _message(self) -> str:
        near = difflib.get_close_matches(str(self.name), self.known, n=1)  # it may be any object
        guess = f" Did you mean {near[0]!r}?" if near else ""
        more = f", and {len(self.known) - 20} more" if len(self.known) > 20 else ""
        listing = ", ".join(self.known[:20]) + more or "none"
        return f"Unknown {self.kind} {self.name!r}.{guess} Known: {listing}.{' ' + self.hint if self.hint else ''}"


class InvalidProblem(UsageError):
    """A problem that no program could be judged against."""


class DataError(RLTFError):
    """A file or folder is malformed or belongs to something else."""


class MissingData(DataError, FileNotFoundError):
    """Data that must be fetched or pointed to first."""


class NotFinite(RLTFError, FloatingPointError):
    """An update that cannot be made: its gradient is infinite, or no number."""


class SandboxError(RLTFError, RuntimeError):
    """The judge itself failed. Says nothing about the program: must never become a reward."""
