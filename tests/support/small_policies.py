"""Small policies, each loaded once in a process: every test gets a copy with weights of its own."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any, TypeVar

P = TypeVar("P")
_loaded: dict[str, Any] = {}


def copy_of(load: Callable[..., P], **options: Any) -> P:
    """What `load(**options)` returns; only the first call trains a tokenizer and tries the model, which costs twenty copies."""
    key = f"{load.__module__}.{load.__qualname__}({json.dumps(options, sort_keys=True)})"
    if key not in _loaded:
        _loaded[key] = load(**options)
    return copy.deepcopy(_loaded[key])
