"""What one case may use: the judge's limits, or a problem's if smaller. Standard library only."""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

_CASES = 30  # programs have that many cases' worth of time, where the judge was not told otherwise
_HEADER = struct.Struct("<IdddII")


class Limits(NamedTuple):
    """Of one case, but for `program_seconds`. Named as in `pool/options.py`; `recursion` 0 is what Python has."""

    case_seconds: float
    program_seconds: float
    wall_seconds: float
    memory_mb: int
    recursion: int = 0

    @classmethod
    def of(cls, options: dict[str, Any]) -> Limits:
        """The limits of a judge with these options."""
        return cls(*(options[name] for name in cls._fields[:4]))

    def within(self, request: dict[str, Any] | None) -> Limits:
        """These, for a problem that asks for its own (`core.Limits`), as far as those are smaller."""
        if not request:
            return self
        seconds = min(self.case_seconds, request["seconds"] or self.case_seconds)
        idle = max(self.wall_seconds - self.case_seconds, 0.0)
        return Limits(
            seconds,
            min(self.program_seconds, _CASES * seconds) if request["seconds"] else self.program_seconds,
            min(self.wall_seconds, seconds + idle),
            min(self.memory_mb, request["memory_mb"] or self.memory_mb),
            request["recursion"] or 0,
        )

    def packed(self, cases: int) -> bytes:
        """The head of a request to the cage: the number of cases, and these."""
        return _HEADER.pack(cases, *self)


def unpacked(request: bytes | memoryview) -> tuple[int, Limits, bytes | memoryview]:
    """What `packed` was told, and the rest of a request."""
    cases, *values = _HEADER.unpack_from(request)
    return cases, Limits(*values), request[_HEADER.size :]
