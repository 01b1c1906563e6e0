"""The state of sources that change as they go."""

from __future__ import annotations

from typing import Any

from rltf_env.core import Source


def state_of(source: Source) -> Any:
    """The state of a source that changes as it goes; None for others."""
    return source.get_state() if hasattr(source, "get_state") else None  # type: ignore[attr-defined]


def restore(source: Source, saved: Any) -> None:
    """Takes a source back to what `state_of` said, if it has a state."""
    if hasattr(source, "set_state"):
        source.set_state(saved)  # type: ignore[attr-defined]
