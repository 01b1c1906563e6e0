"""Checks that the rewards share: an option without sense is an error when the reward is built, not a strange number later."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from rltf_env.errors import UnknownName, UsageError


def number(name: str, value: float) -> float:
    """`value` as a finite float, or a `UsageError` that names the option."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise UsageError(f"Expected {name} to be a finite number, got {value!r}.")
    return float(value)


def choice(name: str, value: str, choices: Iterable[str]) -> str:
    """`value` if it is one of `choices`, else an `UnknownName` that lists them."""
    choices = tuple(choices)
    if value not in choices:
        raise UnknownName(name, str(value), choices)
    return value


def call(kind: str, factory: Callable[..., Any], options: Mapping[str, Any]) -> Any:
    """`factory(**options)`; an option that it does not have, or one that it needs and does not get, is a `UsageError`."""
    try:
        signature = inspect.signature(factory)
    except ValueError:  # written in C: it checks for itself
        return factory(**options)
    parameters = signature.parameters.values()
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        names = [parameter.name for parameter in parameters if parameter.kind is not parameter.POSITIONAL_ONLY]
        for option in options:
            choice(f"option of {kind}", option, names)
    try:
        signature.bind(**options)
    except TypeError as error:
        raise UsageError(f"Expected options that build {kind}, got {dict(options)!r}: {error}.") from None
    return factory(**options)
