"""What the referees of a sandbox leave where nobody has to read it: a small file that they share with the caller.

It outlives a referee that is killed in the midst of a job, and a note in it costs no message: so the caller knows at any
time which job a process had begun with. Where files cannot be handed to a process that is started (Windows) there is no
board, and nobody is blamed. Standard library only.
"""

from __future__ import annotations

import math
import os
import struct

_NUMBER, _SECONDS = struct.Struct("<q"), struct.Struct("<d")
_WIDTH = 8  # bytes of a note


class Board:
    """The caller's end: opens the file.

    Args:
        places: referees that write to it.
    """

    def __init__(self, places: int) -> None:
        if hasattr(os, "memfd_create"):
            self.fd = os.memfd_create("rltf-board")
        else:
            import tempfile  # not above: the referee needs none of it

            with tempfile.TemporaryFile() as file:
                self.fd = os.dup(file.fileno())
        os.ftruncate(self.fd, _WIDTH * (places + 1))

    def job(self, place: int) -> int:
        """The number of the job that a referee began with last; 0 if it has begun with none."""
        return _NUMBER.unpack(os.pread(self.fd, _WIDTH, _WIDTH * (place + 1)))[0]

    def clear(self, place: int) -> None:
        """Takes the note of a referee away, before another has its place."""
        os.pwrite(self.fd, bytes(_WIDTH), _WIDTH * (place + 1))

    def close(self) -> None:
        """Closes the file. May be called again."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)


class Note:
    """A referee's place on the board.

    Args:
        fd: the file, as this process has it; -1 if there is none.
        place: which place.
    """

    def __init__(self, fd: int, place: int) -> None:
        self._fd, self._at = fd, _WIDTH * (place + 1)
        self._pace = math.inf

    def begin(self, number: int) -> None:
        """Notes the job that is to be judged now."""
        if self._fd >= 0:
            os.pwrite(self._fd, _NUMBER.pack(number), self._at)

    @property
    def calm_pace(self) -> float:
        """Seconds that the probe of `referee.pace` took with no other referee at work; infinite if nobody has tried."""
        if self._fd >= 0:
            shared = _SECONDS.unpack(os.pread(self._fd, _WIDTH, 0))[0]
            self._pace = min(self._pace, shared or math.inf)
        return self._pace

    @calm_pace.setter
    def calm_pace(self, seconds: float) -> None:
        """Keeps the smaller of the value noted and `seconds`."""
        self._pace = min(seconds, self.calm_pace)
        if self._fd >= 0:
            os.pwrite(self._fd, _SECONDS.pack(self._pace), 0)
