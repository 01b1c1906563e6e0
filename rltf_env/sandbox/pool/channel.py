"""Frames to and from a process of the referee, without ever waiting for room in a pipe.

What a pipe holds is nobody's promise: an ordinary user who has used up its share of pipe memory gets pipes of two pages. So
what does not fit waits here, and whoever waits for an answer sends it on meanwhile. Without poll(2) (Windows) reading and
writing block.
"""

from __future__ import annotations

import os
import select
import struct
import threading
import time
from typing import IO

from rltf_env.sandbox.frames import read_frame, write_frame

POSIX = os.name == "posix"
_LENGTH = struct.Struct("<Q")
_CHUNK = 1 << 13  # bytes that are read at a time: most answers are short


class Channel:
    """Both pipes of a process, which it closes.

    Args:
        incoming: to read from, unbuffered.
        outgoing: to write to, unbuffered.
    """

    def __init__(self, incoming: IO[bytes], outgoing: IO[bytes]) -> None:
        self._streams = incoming, outgoing
        self._incoming, self._outgoing = incoming.fileno(), outgoing.fileno()
        self._lock = threading.Lock()  # another worker's thread may be taking jobs back
        self._unsent, self._received = bytearray(), bytearray()
        self._open = True
        if POSIX:
            os.set_blocking(self._incoming, False)
            os.set_blocking(self._outgoing, False)
            self._poll = select.poll()
            self._poll.register(self._incoming, select.POLLIN)

    def close(self) -> None:
        """Closes both ends; what was not sent is dropped. May be called again."""
        with self._lock:
            self._open = False
            self._unsent.clear()
            for stream in self._streams:
                stream.close()

    def send(self, payload: bytes) -> None:
        """Sends a frame, or as much of it as there is room for; `receive` sends the rest.

        Where nobody reads any more it is dropped: `receive` raises EOFError then.
        """
        with self._lock:
            if not self._open:
                return
            if not POSIX:
                write_frame(self._outgoing, payload)
                return
            self._unsent += _LENGTH.pack(len(payload)) + payload
            self._send_on()

    def receive(self, seconds: float) -> bytes | None:
        """The next frame; None if it has not come after so many seconds. Raises EOFError when the other side has gone."""
        if not POSIX:
            return read_frame(self._incoming)
        end = time.monotonic() + seconds
        payload = self._frame()
        while payload is None and (left := end - time.monotonic()) > 0:
            self._pump(left)
            payload = self._frame()
        return payload

    def _pump(self, seconds: float) -> None:
        """Reads what comes, and sends what there is room for; returns when either was done, or after so many seconds."""
        poll = self._poll
        if self._unsent:
            poll = select.poll()
            poll.register(self._incoming, select.POLLIN)
            poll.register(self._outgoing, select.POLLOUT)
        for fd, _ in poll.poll(1000 * seconds):
            if fd == self._incoming:
                self._read()
            else:
                with self._lock:
                    self._send_on()

    def _read(self) -> None:
        try:
            data = os.read(self._incoming, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            raise EOFError("the process has gone")
        self._received += data

    def _frame(self) -> bytes | None:
        """The first frame of what was received, if all of it has come."""
        start = _LENGTH.size
        if len(self._received) < start:
            return None
        end = start + _LENGTH.unpack_from(self._received)[0]
        if len(self._received) < end:
            return None
        payload = bytes(self._received[start:end])
        del self._received[:end]
        return payload

    def _send_on(self) -> None:
        while self._unsent:
            try:
                size = os.write(self._outgoing, self._unsent)
            except BlockingIOError:
                return
            except BrokenPipeError:  # reading tells, after the last frame that came
                self._unsent.clear()
                return
            del self._unsent[:size]
