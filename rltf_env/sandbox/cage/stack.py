"""How deep a program may go: as its memory allows, not the eight megabytes of a shell. Standard library only.

How far the stack of a process can grow is settled when it is started (exec(2) puts everything else out of its way), so the
worker starts itself anew before there is anything to lose. Threads would each be given as much: their stacks stay small.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]

THREAD = 8 << 20  # bytes of a thread's stack that asks for no other
_HEAPS = -8  # an order to mallopt(3): M_ARENA_MAX
_ATTRIBUTES = 128  # bytes, more than a pthread_attr_t takes


def enlarge(size: int) -> None:
    """Starts this process anew, from its own command line, with a stack that may take `size` bytes, or what the system allows."""
    if resource is None:
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    size = max(size, THREAD)
    target = size if hard == resource.RLIM_INFINITY else min(size, hard)
    if soft != resource.RLIM_INFINITY and soft >= target:
        return
    try:
        resource.setrlimit(resource.RLIMIT_STACK, (target, hard))
    except (OSError, ValueError):  # some systems have less than they say: then it stays as it is
        return
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def small_threads() -> None:
    """Threads get a stack of `THREAD` bytes: the C library would take the limit of the main thread's for each.

    And they share one heap: it would set 64 megabytes aside for each, whether or not they are used.
    """
    if not sys.platform.startswith("linux"):
        return
    libc, attributes = ctypes.CDLL(None), ctypes.create_string_buffer(_ATTRIBUTES)
    with contextlib.suppress(AttributeError):  # a C library whose threads have small stacks anyway
        libc.mallopt(_HEAPS, 1)
        default = libc.pthread_setattr_default_np
        libc.pthread_attr_init(attributes)
        libc.pthread_attr_setstacksize(attributes, ctypes.c_size_t(THREAD))
        default(attributes)
        libc.pthread_attr_destroy(attributes)
