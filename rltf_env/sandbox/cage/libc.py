"""The C library, for what Python has no function for: namespaces, mounts, filters. Linux; standard library only."""

# pyright: reportPossiblyUnboundVariable=false
from __future__ import annotations

import ctypes
import os
from typing import Any

NO_NEW_PRIVS = 38  # an order to prctl(2)


class Libc:
    """The C library, with failures as exceptions."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._libc.prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4

    def call(self, name: str, *args: Any) -> int:
        """Calls a function of the C library by name. Raises OSError where it returns -1."""
        return self._checked(name, getattr(self._libc, name)(*args))

    def syscall(self, number: int, *args: Any) -> int:
        """Makes a system call by number, integers as C longs. Raises OSError where it returns -1."""
        wide = [ctypes.c_long(arg) if isinstance(arg, int) else arg for arg in args]
        return self._checked(f"syscall {number}", self._libc.syscall(ctypes.c_long(number), *wide))

    def _checked(self, name: str, result: int) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, f"{name}: {os.strerror(number)}")
        return result

    def prctl(self, option: int, value: int = 0, third: int = 0) -> None:
        """`prctl(2)`. Raises OSError where it fails."""
        self.call("prctl", option, value, third, 0, 0)

    def mount(self, source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
        """`mount(2)`; an empty text is a null pointer. Raises OSError where it fails."""
        texts = [text.encode() or None for text in (source, target, kind)]
        self.call("mount", *texts, ctypes.c_ulong(flags), data.encode() or None)
