"""Saving and restoring a moment of an episode: the parts that the environments have in common. Plain data in, plain data out.

A problem is saved by its id and prefix, and found again by the source; a random generator by the state of its bits. A source
that changes as it goes, such as `sources.Cycle`, has `get_state` and `set_state` of its own.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from rltf_env import sources
from rltf_env.core import Problem, Source
from rltf_env.errors import UnknownName, UsageError

COMMON = ("problem", "prefix", "source", "random")


def of(problem: Problem, source: Source, rng: np.random.Generator) -> dict[str, Any]:
    """What every environment saves."""
    return {
        "problem": problem.id,
        "prefix": problem.prefix,
        "source": sources.state_of(source),
        "random": copy.deepcopy(rng.bit_generator.state),
    }


def check(saved: Mapping[str, Any], own: Sequence[str]) -> None:
    """UsageError unless `saved` has exactly the common entries and these."""
    if not isinstance(saved, Mapping):
        raise UsageError(f"Expected what get_state() returned, a mapping, got {saved!r}.")
    keys = {*COMMON, *own}
    for key in saved:
        if key not in keys:
            raise UnknownName("entry of a state", str(key), keys)
    if missing := sorted(keys - set(saved)):
        raise UsageError(f"Expected a state with {', '.join(missing)} too, got one with {', '.join(sorted(saved))}.")


def tokens(saved: Mapping[str, Any], vocab_size: int, most: int) -> list[int]:
    """The tokens of a saved program; UsageError if an environment of this vocabulary and length could not have them."""
    ids: list[int] = saved["tokens"]
    if not 0 <= saved["given"] <= len(ids) <= saved["limit"] <= most:
        raise UsageError(
            f"Expected a state of a program with at most {most} tokens, got {len(ids)} of at most {saved['limit']}, "
            f"{saved['given']} of them given. Restore it in an environment of the same arguments."
        )
    if not all(isinstance(token, int) and 0 <= token < vocab_size for token in ids):
        raise UsageError(f"Expected a state with token ids in [0, {vocab_size}): another tokenizer was in use.")
    return ids


def problem(saved: Mapping[str, Any], source: Source, current: Problem | None) -> Problem:
    """The problem that was saved: `current`, if it is that one."""
    if current is not None and (current.id, current.prefix) == (saved["problem"], saved["prefix"]):
        return current
    original = source.find(saved["problem"])
    return original if original.prefix == saved["prefix"] else replace(original, prefix=saved["prefix"])


def restore(saved: Mapping[str, Any], source: Source, rng: np.random.Generator) -> None:
    """Sets the random generator, and the source if it has a state, to what was saved."""
    kind = saved["random"]["bit_generator"]
    if kind != type(rng.bit_generator).__name__:
        raise UsageError(f"Expected a state of a {type(rng.bit_generator).__name__} generator, got one of {kind}.")
    rng.bit_generator.state = saved["random"]
    sources.restore(source, saved["source"])
