"""Dataclasses from plain data, such as a table of a recipe: an unknown key, a missing one or a wrong type is an error."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from rltf_env.errors import UnknownName, UsageError

T = TypeVar("T")


def build(cls: type[T], options: Mapping[str, Any], where: str) -> T:
    """A dataclass from plain data; unknown and missing keys, wrong types, NaN and inf say so, with `where` they stand."""
    if dataclasses.is_dataclass(options) and isinstance(options, cls):
        return options
    if not isinstance(options, Mapping):
        raise UsageError(f"{where}: expected a table, got {options!r}.")
    hints = typing.get_type_hints(cls)
    by_name = {f.name: f for f in dataclasses.fields(cls)}  # pyright: ignore[reportArgumentType]
    for key in options:
        if key not in by_name:
            raise UnknownName(f"key in {where}", key, by_name)
    values = {key: _convert(hints[key], value, f"{where}.{key}") for key, value in options.items()}
    needed = (
        f for f in by_name.values() if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
    )
    missing = [f.name for f in needed if f.name not in values]
    if missing:
        raise UsageError(f"{where}: expected {', '.join(missing)}, got none.")
    return cls(**values)


def chosen(options: Any) -> str:
    """A dataclass as an error shows it: its name, and those fields alone that differ from their defaults."""
    shown = []
    for each in dataclasses.fields(options):
        made = each.default if each.default_factory is dataclasses.MISSING else each.default_factory()
        if (value := getattr(options, each.name)) != made:
            is_table = dataclasses.is_dataclass(value) and not isinstance(value, type)
            shown.append(f"{each.name}={chosen(value) if is_table else repr(value)}")
    return f"{type(options).__name__}({', '.join(shown)})"


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return build(hint, value, where)
    if isinstance(value, float) and not math.isfinite(value):  # NaN passes every `value < 0`
        raise UsageError(f"{where}: expected a finite number, got {value}.")
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        if value not in args:
            raise UnknownName(f"value of {where}", str(value), map(str, args))
        return value
    if origin in (typing.Union, types.UnionType):
        table = next((kind for kind in args if dataclasses.is_dataclass(kind)), None)
        return _convert(table, value, where) if table and isinstance(value, Mapping) else value
    kind: Any = origin or hint
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is tuple and isinstance(value, list):  # TOML has no other word for it
        value = tuple(value)
    if kind is Any or (isinstance(value, kind) and not (kind is int and isinstance(value, bool))):
        return value
    name = "a table" if kind is dict else getattr(kind, "__name__", kind)
    raise UsageError(f"{where}: expected {name}, got {value!r}.")
