"""What a cell of a table holds: a text, a list of texts, or the text of such a list. See `_hub.py`."""

from __future__ import annotations

from typing import Any

from rltf_env import parsing
from rltf_env.datasets._files import parse
from rltf_env.errors import DataError


def text(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise DataError(
            f"{where}: expected a text, got {type(value).__name__}. A part of a record or a list is named with dots, as in "
            "'prompt.0.content'."
        )
    return value


def texts(value: Any, where: str) -> tuple[str, ...]:
    """A list of texts; of one text, itself, unless it is as a whole such a list, or blank."""
    if isinstance(value, str):
        found = as_list(value)
        return ((value,) if value.strip() else ()) if found is None else found
    return _strings(value, where)


def streams(value: Any, is_list: bool, where: str) -> tuple[str, ...]:
    """Standard inputs or outputs: a text is one, whatever is in it."""
    if not isinstance(value, str):
        return _strings(value, where)
    found = as_list(value) if is_list else (value,)
    if found is None:
        raise DataError(f"{where}: expected the text of a list of texts, as listed= says, got {value[:60]!r}.")
    return found


def _strings(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise DataError(f"{where}: expected a text or a list of texts, got {type(value).__name__}.")
    for item in value:
        if not isinstance(item, str):
            hint = " A part of each record is named with dots, as in 'tests.input'." if isinstance(item, dict) else ""
            raise DataError(
                f"{where}: expected a text or a list of texts, got {type(item).__name__} in the list.{hint}"
            )
    return tuple(value)


def as_list(value: str) -> tuple[str, ...] | None:
    """The list of texts that a text is, in JSON or in Python; None if it is none."""
    if value.strip()[-1:] not in ("]", ")"):  # no list ends otherwise: most programs need not be parsed
        return None
    try:
        items = parse(value, "")
    except DataError:
        try:
            items = parsing.literal(value)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return None
    fits = isinstance(items, list | tuple) and all(isinstance(item, str) for item in items)
    return tuple(items) if fits else None
