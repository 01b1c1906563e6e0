"""Old names of things that are still there: they work, with a warning that says the new one."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])


def renamed(module: str, names: Mapping[str, str]) -> Callable[[str], Any]:
    """A `__getattr__` for a module whose names have changed: the old ones give the new ones' objects, with a warning.

        __getattr__ = renamed(__name__, {"Follower": "PrefixTracker"})

    Args:
        module: the module's own dotted name.
        names: old name -> new name in this module, or its whole path elsewhere.
    """
    places = {old: new if "." in new else f"{module}.{new}" for old, new in names.items()}

    def attribute(name: str) -> Any:
        if name not in places:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        _warn(f"{module}.{name}", places[name], 2)
        where, _, new = places[name].rpartition(".")
        return getattr(importlib.import_module(where), new)

    return attribute


def renamed_fields(**names: str) -> Callable[[type[T]], type[T]]:
    """Lets a dataclass be built, read and unpickled by the old names of its fields.

    Args:
        names: the old name of each field -> the new one.
    """

    def decorate(cls: type[T]) -> type[T]:
        cls.__init__ = _accepting(names, cls.__init__, lambda name: f"{cls.__name__}.{name}")
        cls.__setstate__ = _restored(names)  # type: ignore[attr-defined]
        return renamed_attributes(**names)(cls)

    return decorate


def renamed_attributes(**names: str) -> Callable[[type[T]], type[T]]:
    """Lets the attributes of a class be read by their old names, each mapped to the new one."""

    def decorate(cls: type[T]) -> type[T]:
        for old, new in names.items():
            setattr(cls, old, _old_attribute(cls.__name__, old, new))
        return cls

    return decorate


def renamed_arguments(**names: str) -> Callable[[F], F]:
    """Lets a function be called by the old names of its arguments, each mapped to the new one."""

    def decorate(function: F) -> F:
        return _accepting(names, function, lambda name: f"{function.__qualname__}({name}=)")

    return decorate


def _accepting(names: Mapping[str, str], function: F, path: Callable[[str], str]) -> F:
    """`function`, called by old or new names. `path` writes a name with its owner, for the warning."""

    @wraps(function)
    def call(*args: Any, **options: Any) -> Any:
        for old in names.keys() & options.keys():
            _warn(path(old), path(names[old]), 2)
            options[names[old]] = options.pop(old)
        return function(*args, **options)

    return call  # type: ignore[return-value]


def _old_attribute(owner: str, old: str, new: str) -> property:
    def read(value: Any) -> Any:
        _warn(f"{owner}.{old}", f"{owner}.{new}", 2)
        return getattr(value, new)

    return property(read)


def _restored(names: Mapping[str, str]) -> Callable[[Any, dict[str, Any]], None]:
    def restore(value: Any, state: dict[str, Any]) -> None:
        value.__dict__.update({names.get(name, name): entry for name, entry in state.items()})

    return restore


def _warn(old: str, new: str, above: int) -> None:
    warnings.warn(f"{old} is now {new}.", DeprecationWarning, stacklevel=above + 1)
