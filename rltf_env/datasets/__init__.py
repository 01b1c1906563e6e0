"""Problems. One file = one dataset: `load(split, root=None) -> Problems`; some also define `source`, for endless ones.

    load("mbpp", split="train")                      the problems, with what was left out in `.skipped`
    load("mine.jsonl", "train", difficulty="easy")   a file of your own, split by id, filtered
    load("hub:owner/name", columns={...})            a dataset of the hub, or a local folder of parquet, JSON, CSV
    load([problem, ...], "train", held_out=0.5)      problems themselves, some of their cases kept for the test
    source("procedural", split="train")              what an environment draws from
    digest(problems)                                 says which problems a result was measured on
    dump(problems, "mine.jsonl")                     writes them down; `load` gives them back

This is the one door: what stands here as `name` can be `gymnasium.make(id, dataset=name)`, with the rest in `dataset_options`.
"""

from __future__ import annotations

import importlib
import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

from rltf_env import plugins
from rltf_env.core import Problem, Problems, Source
from rltf_env.datasets import _hub, _jsonl, _pick, _quarantine
from rltf_env.datasets._digest import digest
from rltf_env.datasets._files import Root
from rltf_env.datasets._jsonl import dump
from rltf_env.datasets._pick import hold_out, unseen
from rltf_env.errors import UnknownName, UsageError
from rltf_env.sources import Mapped, Uniform

__all__ = ["digest", "dump", "hold_out", "load", "names", "source", "unseen"]

Dataset = str | os.PathLike[str] | Sequence[Problem]
PICKS = ("quarantine", *_pick.FILTERS, "held_out")  # options that the door understands, in the order in which they act
HUB = "hub:"


def names() -> tuple[str, ...]:
    """The datasets that come with the package."""
    return plugins.names("datasets")


def load(name: Dataset, split: str | None = None, root: Root = None, **options: Any) -> Problems:
    """The problems of a dataset.

    Args:
        name: one of `names()`; the path of a JSON-lines file (see `_jsonl.py`) or of a folder that has one for each split;
            `"hub:owner/name"` or `"hub:FOLDER"` for what the `datasets` library reads (see `_hub.py`); `"module:attr"`
            (a `load` function or a sequence of problems); or the problems themselves.
        split: a split of the dataset; without it, the dataset's own default. A list of problems and a single file have no
            splits of their own: without it they are taken whole, with it by the hash of each problem's id.
        root: the common data folder, or the dataset's own folder or file; without it, $RLTF_DATA. A path starts from it.
        options: the dataset's own, such as `depths=` of `procedural`, and for each dataset

            - `fractions=(0.8, 0.1, 0.1)`: shares of train, validation and test, where splits are by id;
            - `quarantine=FILE`: leaves out the broken problems that `python -m rltf_env.datasets check` has listed;
            - `difficulty=`, `kind=` (`stdin`, `call`, `script`), `source=`, `tag=`: keeps the problems that have this
              value, or one of these;
            - `held_out=0.5`: moves this share of each problem's cases from `cases` to `held_out` (`hold_out`).

    Raises:
        UnknownName: no such dataset, split or option, or a filter for what no problem has.
        UsageError: nothing is left.
        MissingData: the data are not there; the message says where they were looked for and where to get them.
        DataError: the data are malformed.
    """
    origin, root = _find(name, root)
    picks, own = _sorted(origin, options)
    if callable(origin):
        problems = _as_problems(
            _call(origin, os.fspath(name) if isinstance(name, str | os.PathLike) else "", split, root, own), name
        )
    else:
        problems = _of_a_list(_as_problems(origin, name), split, root, **own)
    return _picked(problems, picks)


def source(name: Dataset | Source, split: str | None = None, root: Root = None, **options: Any) -> Source:
    """What draws from a dataset: its own `source` if it defines one (endless sets do), else `Uniform` over `load(...)`.

    Of an endless set, cases can be held out; there is no list of it that could be filtered.
    """
    if isinstance(name, Source):
        return name
    if isinstance(name, str) and name in names():
        module = importlib.import_module(f"{__name__}.{name}")
        if hasattr(module, "source"):
            picks, own = _sorted(module.source, options)
            return _endless(_call(module.source, name, split, root, own), name, **picks)
    return Uniform(load(name, split, root, **options))


def checked(options: Mapping[str, Any] | None) -> dict[str, Any]:
    """A dataset's options as a dict; UsageError if they hold an argument of `load` itself, which stands beside them."""
    options = plugins.as_options("dataset_options", options)
    for key in ("name", "split", "root"):
        if key in options:
            raise UsageError(
                f"Expected {key!r} beside the options of a dataset, got it among them: {options[key]!r}. "
                + ("Pass dataset=." if key == "name" else f"Pass {key}=, or --{key} to a command.")
            )
    return options


def _find(name: Dataset, root: Root) -> tuple[Any, Root]:
    """A function that loads the dataset, or the problems; and the `root` that is left to say."""
    if isinstance(name, str) and name.startswith(HUB):
        return partial(_hub.load, name.removeprefix(HUB)), root
    if isinstance(name, str | os.PathLike) and _jsonl.is_path(name):
        place = _jsonl.find(name, root)
        return (_jsonl.read(place) if isinstance(place, Path) else place), None
    if isinstance(name, str) and ":" not in name and name not in names():
        raise UnknownName("dataset", name, names(), hint=_jsonl.nearby(name, root) or plugins.OWN)
    return (plugins.find("datasets", name) if isinstance(name, str) else name), root


def _sorted(function: Any, options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The options that the door understands, and the dataset's own, which come first: `apps` has a `difficulty` itself."""
    parameters = inspect.signature(function).parameters if callable(function) else {}
    picks = {key: options[key] for key in PICKS if key in options and key not in parameters}
    return picks, {key: value for key, value in options.items() if key not in picks}


def _of_a_list(
    problems: Problems, split: str | None, root: Root, *, fractions: Sequence[float] = _pick.FRACTIONS, **rest: Any
) -> Problems:
    for key in rest:
        raise UnknownName("option of a list of problems:", key, ("fractions", *PICKS))
    if root is not None:
        raise UsageError(f"Expected loaded problems without a root, got root={root!r}: there is nothing to look for.")
    return problems if split is None else _pick.part(problems, split, fractions)


def _picked(problems: Problems, picks: dict[str, Any]) -> Problems:
    """What the door's options leave of the problems."""
    if picks.get("quarantine") is not None:
        problems = _quarantine.leave_out(problems, picks["quarantine"])
    problems = _pick.keep(problems, **{name: picks[name] for name in _pick.FILTERS if name in picks})
    share = picks.get("held_out")
    if share is None:
        return problems
    divided = Problems((hold_out(problem, share) for problem in problems), problems.skipped)
    if divided and not any(problem.held_out for problem in divided):
        raise UsageError(
            f"Expected problems of two cases or more to hold some out of, got {len(divided)} of one case each. Leave out held_out."
        )
    return divided


def _endless(source: Source, name: str, *, held_out: float | None = None, **rest: Any) -> Source:
    for key in (key for key, value in rest.items() if value is not None):
        raise UsageError(
            f"Expected {key}= with problems that can be listed, got it with {name!r}, which is endless. Pass a list: "
            f"dataset=datasets.load({name!r}, size=1000, {key}=...)."
        )
    if held_out is None:
        return source
    _pick.check_share(held_out)
    return Mapped(source, partial(hold_out, share=held_out))


def _call(function: Callable[..., Any], name: str, split: str | None, root: Root, options: dict[str, Any]) -> Any:
    """`function` with what was given, after a look at whether it takes it."""
    arguments = options | {key: value for key, value in (("split", split), ("root", root)) if value is not None}
    parameters = inspect.signature(function).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values()):
        for key in arguments:
            if key not in parameters:
                raise UnknownName(f"option of dataset {name!r}:", key, (*parameters, *PICKS))
    if "split" not in arguments and "split" in parameters and parameters["split"].default is inspect.Parameter.empty:
        raise UsageError(f"Expected a split of dataset {name!r}, which has no default, got none. Pass split=.")
    return function(**arguments)


def _as_problems(rows: Any, name: object) -> Problems:
    if isinstance(rows, Problems):
        return rows
    if not isinstance(rows, Iterable) or isinstance(rows, str | ModuleType):
        raise UsageError(f"Expected dataset {name!r} to give a sequence of Problem, got {type(rows).__name__}.")
    problems = Problems(rows)
    for problem in problems:
        if not isinstance(problem, Problem):
            raise UsageError(
                f"Expected a sequence of Problem, got one that holds {type(problem).__name__}. Make a core.Problem of each row, or "
                "name a file of rows and their columns: dataset='hub:FILE', dataset_options={'columns': {...}}."
            )
    return problems
