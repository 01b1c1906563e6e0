"""The program as a module that a test imports, reloads, or looks at the text of. Standard library only."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from rltf_env.sandbox.values import FILENAME

NAME = "solution"  # the program's module
TESTS_NAME = "test_solution"  # the test's, where it is not the program's own


def show_source(source: str) -> None:
    """Lets a test that asks for the program's text find it, as if it had been read from a file."""
    if not source:
        return
    import linecache

    lines = source.splitlines(keepends=True)
    for name in (FILENAME, f"{NAME}.py"):
        linecache.cache[name] = (len(source), None, lines, name)
    with open(f"{NAME}.py", "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(source)
    with open(f"{TESTS_NAME}.py", "w") as file:  # which a test may open as any file that is sure to be there
        file.write("# The text of a test is not shown to the program.\n")


def program_module(names: list[str], *, is_there: bool) -> ModuleType:
    """An empty module for the program, found by every name that the test has for it; by none if not `is_there`."""
    module = ModuleType(NAME)
    module.__dict__.update(__builtins__=__builtins__, __file__="solution.py", __spec__=_spec(NAME, None))
    if is_there:
        sys.modules[NAME] = module
    for name in names:
        parent, _, last = name.rpartition(".")
        while parent and parent not in sys.modules:
            package = ModuleType(parent)
            package.__path__ = []
            sys.modules[parent] = package
            inner = sys.modules.get(f"{parent}.{last}") or (module if is_there else None)
            if inner is not None:
                setattr(package, last, inner)
            parent, _, last = parent.rpartition(".")
        if is_there:
            sys.modules[name] = module
    return module


def _spec(name: str, loader: Any) -> ModuleSpec:
    spec = ModuleSpec(name, loader, origin="solution.py")
    spec.has_location = True
    return spec


class Finder:
    """Finds and runs the program, for tests that import it anew, or that it has not been run before.

    Args:
        code: of the program.
        names: by which it is found.
        wanted: names that the test takes from it.
    """

    def __init__(self, code: Any, names: set[str], wanted: list[str]) -> None:
        self._code, self._names, self._wanted = code, names, wanted
        self.missing: list[str] = []  # of these names
        self.left = False  # it ended itself

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """Where a module comes from, if it is the program."""
        return _spec(name, self) if name in self._names else None

    def get_code(self, name: str) -> Any:
        """What `runpy` asks for."""
        return self._code

    def create_module(self, spec: ModuleSpec) -> None:
        """An ordinary module."""

    def exec_module(self, module: ModuleType) -> None:
        """Runs the program in a module."""
        try:
            exec(self._code, module.__dict__)
        except SystemExit:
            self.left = True
            raise
        sys.modules.setdefault(NAME, module)
        self.missing = [name for name in self._wanted if not has(module, name)]


def has(module: ModuleType, name: str) -> bool:
    """True if the program has it; a method of a class Solution stands in for a missing function, as LeetCode has it."""
    if name not in module.__dict__ and hasattr(module.__dict__.get("Solution"), name):
        module.__dict__[name] = getattr(module.__dict__["Solution"](), name)
    return name in module.__dict__ or hasattr(module, name)
