"""Which problem comes next. One file = one source.

    load("uniform", problems)    Uniform: each draw at random, on its own; the default
    load("cycle", problems)      Cycle: goes round in order
    Mixture([(source, weight)])  several sources, each with a chance of its own
    Mapped(source, change)       another source's problems, each through a function

A source hands out problems and is told of every finished attempt; one that learns from them is a curriculum. Randomness is
the caller's: the same generator gives the same problems. Sources are plain objects that pickle.
"""

from __future__ import annotations

from typing import Any

from rltf_env import plugins
from rltf_env.core import Problems, Source
from rltf_env.errors import UsageError
from rltf_env.sources._state import restore, state_of
from rltf_env.sources.cycle import Cycle
from rltf_env.sources.mapped import Mapped
from rltf_env.sources.mixture import Mixture
from rltf_env.sources.uniform import Uniform

__all__ = ["Cycle", "Mapped", "Mixture", "Uniform", "load", "restore", "state_of"]


def load(name: str, problems: Problems, **options: Any) -> Source:
    """The source `name` over `problems`.

    Args:
        name: a file of this folder, or `"module:attr"`: a function that takes the problems and the options.
        problems: what to draw from.
        options: the source's own.

    Raises:
        UnknownName: no such source; the message names the nearest.
        UsageError: options that it does not take, or no source.
    """
    make = plugins.find("sources", name)
    try:
        source = make(problems, **options)
    except TypeError as error:
        raise UsageError(f"Source {name!r}: {error}") from error
    if not isinstance(source, Source):
        raise UsageError(f"Expected {name!r} to be a function that makes a source, but it returned {source!r}.")
    return source
