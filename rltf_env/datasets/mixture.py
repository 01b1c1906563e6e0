"""A mixture of datasets: old tasks beside a new one (replay), or all tasks at once (joint training).

    dataset = "mixture"
    dataset_options = { parts = [
        { dataset = "retold", dataset_options = { tasks = ["refine"] }, weight = 0.8 },
        { dataset = "procedural", split = "train", source = "uniform", weight = 0.2 },
    ] }

A part says what an environment says of its problems, with the same words. Any agent can learn from a
mixture, for to an environment it is a dataset like another.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rltf_env import datasets, sources
from rltf_env.core import Problem, Problems, Source
from rltf_env.datasets._files import Root
from rltf_env.errors import UnknownName, UsageError

SPLITS = ()  # those of its parts
KEYS = ("dataset", "split", "root", "dataset_options", "source", "source_options", "weight")
Part = Mapping[str, Any]


def load(split: str | None = None, root: Root = None, *, parts: Sequence[Part] = ()) -> Problems:
    """The problems of all parts, one part after the other.

    Args:
        split, root: of the parts that do not name their own.
        parts: tables with the keys `dataset` (needed), `split`, `root`, `dataset_options`; what decides
            how a part is drawn from (`source`, `source_options`, `weight`) means nothing to a list.

    Raises:
        UsageError: no parts, or problems that are in two of them.
        UnknownName: another key.
    """
    lists = [_load(part, split, root) for part in _checked(parts)]
    problems = [problem for many in lists for problem in many]
    _check_unique(problems)
    return Problems(problems, [reason for many in lists for reason in many.skipped])


def source(split: str | None = None, root: Root = None, *, parts: Sequence[Part] = ()) -> Source:
    """Draws from each part with a chance in proportion to its `weight` (default: 1), as the part's `source` does.

    Without a `source`, a part is drawn from as its dataset is by itself: at random, or endlessly.
    """
    drawn = [(_source(part, split, root), float(part.get("weight", 1.0))) for part in _checked(parts)]
    made = sources.Mixture(drawn)
    _check_unique(getattr(made, "problems", ()))
    return made


def _checked(parts: Sequence[Part]) -> Sequence[Part]:
    if isinstance(parts, str | Mapping) or not parts:
        raise UsageError(f'Expected parts as a list of tables such as {{ dataset = "mbpp" }}, got {parts!r}.')
    for part in parts:
        for key in part:
            if key not in KEYS:
                raise UnknownName("key of a part of a mixture:", key, KEYS)
        if "dataset" not in part:
            raise UsageError(f"Expected a dataset in each part of a mixture, got none in {dict(part)}.")
    return parts


def _where(part: Part, split: str | None, root: Root) -> tuple[Any, str | None, Root, dict[str, Any]]:
    return (
        part["dataset"],
        part.get("split", split),
        part.get("root", root),
        datasets.checked(part.get("dataset_options")),
    )


def _load(part: Part, split: str | None, root: Root) -> Problems:
    dataset, split, root, options = _where(part, split, root)
    return datasets.load(dataset, split, root, **options)


def _source(part: Part, split: str | None, root: Root) -> Source:
    if "source" in part:
        return sources.load(part["source"], _load(part, split, root), **part.get("source_options", {}))
    dataset, split, root, options = _where(part, split, root)
    return datasets.source(dataset, split, root, **options)


def _check_unique(problems: Sequence[Problem]) -> None:
    ids: set[str] = set()
    for problem in problems:
        if problem.id in ids:
            raise UsageError(f"Expected each problem in one part of a mixture, got {problem.id!r} in two.")
        ids.add(problem.id)
