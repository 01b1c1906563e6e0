"""Problems. One file = one dataset: `load(split, root=None) -> Problems`; some also define `source`, for endless ones.

    load("mbpp", split="train")          the problems, with what was left out in `.skipped`
    source("procedural", split="train")  what an environment draws from
    digest(problems)                     says which problems a result was measured on

A dataset of your own is named `"module:attr"`, or passed as the sequence of problems that it is.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType
from typing import Any

from rltf_env import plugins
from rltf_env.core import Problem, Problems, Source
from rltf_env.datasets._digest import digest
from rltf_env.datasets._files import Root
from rltf_env.errors import UnknownName, UsageError
from rltf_env.sources import Uniform

__all__ = ["digest", "load", "names", "source"]

Dataset = str | Sequence[Problem]


def names() -> tuple[str, ...]:
    """The datasets that come with the package."""
    return plugins.names("datasets")


def load(name: Dataset, split: str | None = None, root: Root = None, **options: Any) -> Problems:
    """The problems of a dataset.

    Args:
        name: one of `names()`, `"module:attr"` (a `load` function or a sequence of problems), or the problems themselves.
        split: a split of the dataset; without it, the dataset's own default.
        root: the common data folder, or the dataset's own folder or file; without it, $RLTF_DATA.
        options: the dataset's own, such as `difficulty=` of `apps`.

    Raises:
        UnknownName: no such dataset, split or option.
        MissingData: the data are not there; the message says where they were looked for and where to get them.
        DataError: the data are malformed.
    """
    found = plugins.find("datasets", name) if isinstance(name, str) else name
    made = _call(found, str(name) if isinstance(name, str) else "", split, root, options) if callable(found) else found
    if made is found and (split is not None or root is not None or options):
        raise UsageError(
            "Expected loaded problems alone, got a split, a root or options too: pick from the problems first."
        )
    return _as_problems(made, name)


def source(name: Dataset | Source, split: str | None = None, root: Root = None, **options: Any) -> Source:
    """What draws from a dataset: its own `source` if it defines one (endless sets do), else `Uniform` over `load(...)`."""
    if isinstance(name, Source):
        return name
    if isinstance(name, str) and ":" not in name:
        plugins.find("datasets", name)  # an unknown name is said before anything is imported
        module = importlib.import_module(f"{__name__}.{name}")
        if hasattr(module, "source"):
            return _call(module.source, name, split, root, options)
    return Uniform(load(name, split, root, **options))


def _call(function: Callable[..., Any], name: str, split: str | None, root: Root, options: dict[str, Any]) -> Any:
    """`function` with what was given, after a look at whether it takes it."""
    given = options | {key: value for key, value in (("split", split), ("root", root)) if value is not None}
    parameters = inspect.signature(function).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        for key in given:
            if key not in parameters:
                raise UnknownName(f"option of dataset {name!r}:", key, parameters)
    if "split" not in given and "split" in parameters and parameters["split"].default is inspect.Parameter.empty:
        raise UsageError(f"Expected a split of dataset {name!r}, which has no default, got none. Pass split=.")
    return function(**given)


def _as_problems(made: Any, name: object) -> Problems:
    if isinstance(made, Problems):
        return made
    if not isinstance(made, Iterable) or isinstance(made, str | ModuleType):
        raise UsageError(f"Expected dataset {name!r} to give a sequence of Problem, got {type(made).__name__}.")
    problems = Problems(made)
    for problem in problems:
        if not isinstance(problem, Problem):
            raise UsageError(f"Expected a sequence of Problem, got one that holds {type(problem).__name__}.")
    return problems
