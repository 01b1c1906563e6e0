"""Where a program may leave files: its own folders, which the next program finds as if there had been none before it.

Where no wall keeps programs from what lies around their folder, it is made anew for each of them. Elsewhere it cannot be, by the
cage no more than by a program: there it is emptied, and what its owner may set on it is set back. Standard library only.
"""

from __future__ import annotations

import os

from rltf_env.sandbox.cage import folders, isolation
from rltf_env.sandbox.cage.files import may_restore, restore

MODE = 0o700  # of a folder


class Home:
    """The folders of a cage's programs. The first one is where they begin.

    Args:
        first: the descriptor of the first folder; those of the others follow. See `hold`.
    """

    def __init__(self, first: int) -> None:
        self.path, self.folders = os.getcwd(), isolation.folders()
        self.fds = tuple(range(first, first + len(self.folders)))
        self.renews = self._may_renew()
        self.keep = set(os.listdir())
        self.clean = [os.listdir(folder) for folder in self.folders]
        self.restores = may_restore(self.fds, MODE)

    def tidy(self, parent: int) -> None:
        """Takes back all that a program did to its folders. Raises OSError where that cannot be done.

        Args:
            parent: the process that wants it done: without it this one ends, and leaves nothing.
        """
        if self.renews:
            self._renew()
            if os.getppid() != parent:  # whoever tidied up after it may have done so before this was made
                folders.remove(os.path.dirname(os.path.dirname(self.path)))
                os._exit(0)
            return
        if self.restores:
            restore(self.fds, MODE)
        if [os.listdir(folder) for folder in self.folders] != self.clean:  # times are too coarse to tell
            for folder in self.folders:
                folders.empty(folder, self.keep if folder == "." else ())
            self.clean = [os.listdir(folder) for folder in self.folders]

    def _may_renew(self) -> bool:
        try:
            self._renew()
        except OSError:
            return False
        return True

    def _renew(self) -> None:
        """Makes the folder anew, and the one around it, whatever they have become."""
        folders.renew(os.path.dirname(self.path))
        os.mkdir(self.path, MODE)
        os.chdir(self.path)


def hold(first: int) -> None:
    """Opens the folders, as the descriptors from `first` on: a program could lock their paths."""
    for fd, folder in enumerate(isolation.folders(), first):
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        if opened != fd:
            os.dup2(opened, fd)
            os.close(opened)
