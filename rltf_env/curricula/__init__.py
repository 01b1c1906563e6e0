"""What to practise next: a source around another one, whose problems it makes easier for a while. One file = one curriculum.

    load("cccs", source)                                   StepCoder's curriculum of completions
    load("my_package.my_module:load", source, pace=2)      yours: a function that takes a source and options
    load(function, source)                                 the function itself

A curriculum hands out the problems of its source, mostly with a longer `prefix`, and learns from every finished attempt
(`observe`) when they may become harder. It has the state of both (`get_state`, `set_state`), so that a run that was
cut off goes on where it was. Environments wrap their source in it: `gymnasium.make(id, curriculum="cccs")`. Evaluation loads
its problems by name and never sees it. `testing.check_curriculum` says whether a curriculum keeps the contract.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rltf_env import plugins
from rltf_env.core import Source
from rltf_env.errors import UsageError

__all__ = ["AnyCurriculum", "load"]

AnyCurriculum = str | Callable[..., Source]  # a name, or a function that takes a source and options


def load(curriculum: AnyCurriculum, source: Source, **options: Any) -> Source:
    """The curriculum around `source`.

    Args:
        curriculum: a file of this folder, `"module:attr"`, or a function that takes the source and the options.
        source: where problems come from.
        options: the curriculum's own.

    Raises:
        UnknownName: no such curriculum; the message names the nearest.
        UsageError: options that it does not take, or what it makes is no source.
    """
    make = plugins.find("curricula", curriculum) if isinstance(curriculum, str) else curriculum
    try:
        made = make(source, **options)
    except TypeError as error:
        raise UsageError(f"Curriculum {curriculum!r}: {error}") from error
    if not isinstance(made, Source):
        raise UsageError(
            f"Expected {curriculum!r} to be a function that makes a source of a source, but it returned {made!r}."
        )
    return made
