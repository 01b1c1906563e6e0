"""Which problems an environment poses: a source, or the data that one draws from, by name or as they are."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from rltf_env import curricula, datasets, sources
from rltf_env.core import Problem, Source
from rltf_env.errors import MissingData, UsageError
from rltf_env.plugins import as_options

FALLBACK_OPTIONS = ("held_out",)  # what the embedded problems can be asked for in place of another dataset's


class MissingDataWarning(UserWarning):
    """The data that were asked for are not there; embedded problems are used in their place."""


def find_source(
    dataset: str | Sequence[Problem],
    split: str | None,
    root: str | None,
    dataset_options: Mapping[str, Any] | None,
    source: str | Source | None,
    source_options: Mapping[str, Any] | None,
) -> tuple[Source, str, dict[str, Any]]:
    """The source, the name of the data that it draws from (`"custom"` unless they were asked for by name), and their options."""
    if source_options and not isinstance(source, str):
        raise UsageError(f"Expected source_options with the name of a source, got them with source={source!r}.")
    options = as_options("dataset_options", dataset_options)
    if source is not None and not isinstance(source, str):
        if options:
            raise UsageError(f"Expected dataset_options with a dataset, got them with source={source!r}.")
        return datasets.source(source), "custom", {}
    options = datasets.checked(options)
    draw = (
        partial(_named_source, source, as_options("source_options", source_options))
        if isinstance(source, str)
        else datasets.source
    )
    if not isinstance(dataset, str):
        return draw(dataset, split, root, **options), "custom", options
    try:
        return draw(dataset, split, root, **options), dataset, options
    except MissingData as error:
        if dataset not in datasets.names():  # a path or a hub id is somebody's own: nothing can stand in for it
            raise
        usable = {key: value for key, value in options.items() if key in FALLBACK_OPTIONS}
        ignored = ", ".join(sorted(options.keys() - usable.keys()))
        warnings.warn(
            f"{error} Until then the embedded procedural problems are used: what is measured says nothing on {dataset!r}."
            + (f" Of its dataset_options {ignored} mean nothing to them and have no effect." if ignored else ""),
            MissingDataWarning,
            stacklevel=4,  # whoever made the environment
        )
    default = split if split in ("train", "validation", "test") else None
    return draw("procedural", default, **usable), "procedural", usable


def _named_source(name: str, own: dict[str, Any], dataset: Any, *where: Any, **options: Any) -> Source:
    """The source `name`, with options of its own, over the problems of a dataset."""
    if isinstance(dataset, Source):
        raise UsageError(
            f"Expected problems to draw from by source={name!r}, got {dataset!r}, which is a source itself."
        )
    return sources.load(name, datasets.load(dataset, *where, **options), **own)


def practised(source: Source, curriculum: curricula.AnyCurriculum | None, options: Mapping[str, Any] | None) -> Source:
    """The source, in the curriculum if there is one."""
    options = as_options("curriculum_options", options)
    if curriculum is not None:
        return curricula.load(curriculum, source, **options)
    if options:
        raise UsageError(f"Expected curriculum_options with a curriculum, got {options!r} without. Name one.")
    return source
