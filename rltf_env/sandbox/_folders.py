"""Folders that a program may have filled: emptied without recursion, which it could make too deep. Standard library only."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection


def empty(folder: str | os.PathLike[str], keep: Collection[str] = ()) -> None:
    """Removes all that is in `folder`, except what bears a name of `keep`. Raises OSError if something cannot be removed.

    However deep: what is in a folder is moved up before the folder is removed.
    """
    number, mark = 0, os.urandom(8).hex()  # names that nothing in there can have
    while names := [name for name in os.listdir(folder) if name not in keep]:
        for name in names:
            path = os.path.join(folder, name)
            if not os.path.isdir(path) or os.path.islink(path):
                os.unlink(path)
                continue
            os.chmod(path, 0o700)
            for inner in os.listdir(path):
                number += 1
                inside = os.path.join(path, inner)
                if os.path.isdir(inside) and not os.path.islink(inside):
                    os.chmod(inside, 0o700)  # a folder that may not be written may not be moved
                os.rename(inside, os.path.join(folder, f".{mark}.{number}"))
            os.rmdir(path)


def remove(folder: str | os.PathLike[str]) -> None:
    """Removes a folder with all that is in it, as far as that can be done; never raises."""
    with contextlib.suppress(OSError):
        os.chmod(folder, 0o700)
        empty(folder)
        os.rmdir(folder)
