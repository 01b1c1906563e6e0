"""The last trusted steps of a process before it is a program's: limits, packages, descriptors, what it leaves on its death."""

from __future__ import annotations

import _signal  # pyright: ignore[reportMissingImports]
import faulthandler
import os
import sys
from importlib.util import spec_from_file_location
from typing import Any

from rltf_env.sandbox.cage import program, seeds

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]


def numbers(names: str) -> tuple[int, ...]:
    """The numbers of those of the named signals (separated by blanks) that this system has."""
    return tuple(getattr(_signal, name) for name in names.split() if hasattr(_signal, name))


DUMPING = numbers("SIGXFSZ SIGXCPU SIGSYS")  # on these, too, a program leaves its stack behind


def become_program(result: int, options: dict[str, Any], pipes: tuple[int, ...] = ()) -> None:
    """Makes a process that was started for one case ready for it: descriptors, a stack left behind on death.

    Args:
        result: where results go.
        pipes: those of a live program, to it and from it.
    """
    copies = [os.dup2(fd, 100 + at) for at, fd in enumerate(pipes)]
    os.dup2(result, program.RESULT)
    for fd, number in zip(copies, (program.ASK, program.TELL), strict=False):
        os.dup2(fd, number)
    os.closerange(program.RESULT + 1 + len(copies), 256)
    leave_stack()
    sys.meta_path.append(Packages(options["packages"]))  # type: ignore[arg-type]
    program.hide_own_frames()
    seeds.install()
    seeds.seed()
    sys.argv[:] = ["program.py"]


def leave_stack() -> None:
    """Has a process that a signal ends leave its stack behind its results: Python's alone, though later ones have C's as well."""
    options: dict[str, Any] = {"c_stack": False} if sys.version_info >= (3, 14) else {}
    faulthandler.enable(program.RESULT, all_threads=False, **options)
    if hasattr(faulthandler, "register"):  # not on Windows
        for signal in DUMPING:
            _signal.signal(signal, _signal.SIG_DFL)
            faulthandler.register(signal, program.RESULT, all_threads=False, chain=True)


def limit(options: dict[str, Any]) -> None:
    """Limits this process, where the system has limits."""
    if resource is not None:
        for what, pair in program.limits(options, program.own_size()):
            resource.setrlimit(what, pair)


class Packages:
    """Finds the third-party packages that programs may import, and no others."""

    def __init__(self, files: dict[str, list[str]]) -> None:
        self.files = files

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        """The import system's question: where a listed module stands, or None for any other name."""
        if name not in self.files:
            return None
        place = self.files[name][0]  # the folder around it may not be listed
        if not os.path.isdir(place):
            return spec_from_file_location(name, place)
        return spec_from_file_location(name, os.path.join(place, "__init__.py"), submodule_search_locations=[place])
