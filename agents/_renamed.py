"""Old names of things that are still there: they work, with a warning that says the new one."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from typing import Any


def renamed(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of `module`, in which `names` maps each old name to the whole path of what it was given to."""

    def attribute(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(f"{module}.{name} is now {names[name]}.", DeprecationWarning, stacklevel=2)
        where, _, new = names[name].rpartition(".")
        return getattr(importlib.import_module(where), new)

    return attribute
