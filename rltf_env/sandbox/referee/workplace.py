"""The folder in which tests and checkers run: one of their own, empty whenever one begins. Standard library only.

What a test writes is in nobody's way then, neither among the caller's files nor before the next program.
"""

from __future__ import annotations

import atexit
import os
import stat
import sys

from rltf_env.sandbox.cage import folders

_home = ""  # none: they run where the process is


def move_in(home: str) -> None:
    """Makes it, and makes it this process's working folder for good. It is removed when the process ends."""
    global _home
    sys.path[:] = map(os.path.abspath, sys.path)
    atexit.register(_leave, home)  # before it is there: this process may be told to end at any moment
    os.mkdir(home, 0o700)
    os.chdir(home)
    _home = home


def tidy() -> None:
    """Makes it anew unless it is as it was made, and comes back to it."""
    if not _home:
        return
    if not _is_as_made():
        os.chdir(os.path.dirname(_home))
        folders.renew(_home)
    os.chdir(_home)


def _is_as_made() -> bool:
    try:
        return os.lstat(_home).st_mode == stat.S_IFDIR | 0o700 and not os.listdir(_home)
    except OSError:  # a test has removed it, say
        return False


def _leave(home: str) -> None:
    os.chdir(os.path.dirname(home))
    folders.remove(home)
