"""Modules that have moved: for one version, an old path leads to the new place, with a warning that names it.

    redirect("rltf_env", {"masking": "wrappers.action_mask"})

After that `import rltf_env.masking` gives the module `rltf_env.wrappers.action_mask` itself, not a copy, and
`python -m rltf_env.masking` runs it. What lies below a moved package is found at its new place, too.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import warnings
from collections.abc import Mapping, Sequence
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import CodeType, ModuleType


class Redirect(MetaPathFinder, InspectLoader):
    """Finds the modules of one package at their new places.

    Args:
        package: the package, as "rltf_env".
        places: the old path within it -> the new one, both dotted.
    """

    def __init__(self, package: str, places: Mapping[str, str]) -> None:
        self.package = package
        self.places = {f"{package}.{old}": f"{package}.{new}" for old, new in places.items()}

    def place(self, name: str) -> str | None:
        """The new dotted name of a module; None if it has not moved."""
        head, below = name, ""
        while head:
            if head in self.places:
                return self.places[head] + below
            head, _, last = head.rpartition(".")
            below = f".{last}{below}"
        return None

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The module at its new place, under its old name."""
        place = self.place(fullname)
        there = importlib.util.find_spec(place) if place else None
        return ModuleSpec(fullname, self, origin=there.origin) if there else None

    def exec_module(self, module: ModuleType) -> None:
        """Puts the module of the new place where the import system looks for the old one."""
        place = self._warned(module.__name__)
        sys.modules[module.__name__] = importlib.import_module(place)

    def get_code(self, fullname: str) -> CodeType | None:
        """What `python -m` runs."""
        there = importlib.util.find_spec(self._warned(fullname))
        return there.loader.get_code(there.name) if there and isinstance(there.loader, InspectLoader) else None

    def get_source(self, fullname: str) -> str | None:
        """The text of the module at its new place."""
        there = importlib.util.find_spec(self.place(fullname) or fullname)
        return there.loader.get_source(there.name) if there and isinstance(there.loader, InspectLoader) else None

    def _warned(self, name: str) -> str:
        place = self.place(name)
        assert place is not None, "find_spec has found it"
        message = f"{name} has moved to {place}; the next version will not know the old name."
        warnings.warn(message, DeprecationWarning, stacklevel=3)
        return place


def redirect(package: str, places: Mapping[str, str]) -> None:
    """Leads old paths of a package to new ones; see the module's head. A second call for a package takes the first one's place."""
    old = [finder for finder in sys.meta_path if isinstance(finder, Redirect) and finder.package == package]
    for finder in old:
        sys.meta_path.remove(finder)
    sys.meta_path.insert(0, Redirect(package, places))
