"""Old names of things that are still there: they work, with a warning that says the new one."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from functools import partial, wraps
from typing import Any, TypeVar

T = TypeVar("T")


def renamed(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """The `__getattr__` of `module`, in which `names` maps each old name to the whole path of what it was given to."""

    def attribute(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        warnings.warn(f"{module}.{name} is now {names[name]}.", DeprecationWarning, stacklevel=2)
        where, _, new = names[name].rpartition(".")
        return getattr(importlib.import_module(where), new)

    return attribute


def renamed_fields(**names: str) -> Callable[[type[T]], type[T]]:
    """Lets a dataclass be built and read by the old names of its fields, which `names` maps to the new ones."""

    def decorate(cls: type[T]) -> type[T]:
        init = cls.__init__

        @wraps(init)
        def __init__(self: T, *args: Any, **fields: Any) -> None:
            for old in names.keys() & fields.keys():
                _warn(cls, old, names[old])
                fields[names[old]] = fields.pop(old)
            init(self, *args, **fields)

        cls.__init__ = __init__
        for old, new in names.items():
            setattr(cls, old, property(partial(_read, cls, old, new)))
        return cls

    return decorate


def _read(cls: type, old: str, new: str, value: Any) -> Any:
    _warn(cls, old, new)
    return getattr(value, new)


def _warn(cls: type, old: str, new: str) -> None:
    warnings.warn(f"{cls.__name__}.{old} is now {cls.__name__}.{new}.", DeprecationWarning, stacklevel=3)
