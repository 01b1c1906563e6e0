"""Folders that a program may have filled: emptied without recursion, which it could make too deep. Standard library only.

Links are never followed: whoever removes a folder may have rights that the program has not.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection

DEEPEST = 50  # folders that are open inside each other; what lies deeper is moved up first, which takes longer
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)


def empty(folder: str | os.PathLike[str], keep: Collection[str] = ()) -> None:
    """Removes all that is in `folder`, except what bears a name of `keep`. Raises OSError if something cannot be removed."""
    mark, count = os.urandom(8).hex(), 0  # names that nothing in there can have
    path = [(os.open(folder, _FOLDER), "")]  # the folders that lead to where we are, and their names
    todo: list[list[str]] = [[]]  # what is left to remove in each
    try:
        while True:
            here, name = path[-1]
            if todo[-1]:
                inner = todo[-1].pop()
                if _removed(inner, here):
                    continue
                if len(path) == DEEPEST:
                    count += 1
                    os.rename(inner, f".{mark}.{count}", src_dir_fd=here, dst_dir_fd=path[0][0])
                    continue
                path.append((os.open(inner, _FOLDER, dir_fd=here), inner))
                todo.append(os.listdir(path[-1][0]))
            elif len(path) > 1:
                os.close(path.pop()[0])
                todo.pop()
                os.rmdir(name, dir_fd=path[-1][0])
            else:
                todo[0] = [name for name in os.listdir(here) if name not in keep]
                if not todo[0]:
                    return
    finally:
        for fd, _ in path:
            os.close(fd)


def _removed(name: str, folder: int) -> bool:
    """Removes something. False if it is a folder with something in it, which its owner may now enter and empty."""
    try:
        os.unlink(name, dir_fd=folder)
        return True
    except (IsADirectoryError, PermissionError):  # Linux, others
        pass
    try:
        os.rmdir(name, dir_fd=folder)
        return True
    except NotADirectoryError:
        raise
    except OSError:
        with contextlib.suppress(PermissionError):  # where programs may not lock a folder, this need not unlock it
            os.chmod(name, 0o700, dir_fd=folder)
        return False


def remove(folder: str | os.PathLike[str]) -> None:
    """Removes a folder with all that is in it, or what stands in its place, as far as that can be done; never raises."""
    with contextlib.suppress(OSError):  # a file, or a link
        os.unlink(folder)
    if os.open not in os.supports_dir_fd:  # not on Windows
        import shutil

        shutil.rmtree(folder, ignore_errors=True)
        return
    with contextlib.suppress(OSError):
        os.chmod(folder, 0o700)
        empty(folder)
        os.rmdir(folder)


def renew(folder: str) -> None:
    """Makes a folder anew, whatever it has become. Raises OSError where that cannot be done."""
    with contextlib.suppress(FileNotFoundError):
        os.rename(folder, old := f"{folder}.{os.urandom(8).hex()}")
        remove(old)
    os.mkdir(folder, 0o700)
