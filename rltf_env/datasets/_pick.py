"""Which problems, and which of their cases: plain functions of problems, the same for every dataset.

    keep(problems, difficulty="easy", tag=("graphs", "trees"))     filters
    part(problems, "train")                                        a split of problems that come without splits
    hold_out(problem, 0.5)                                         some cases set aside; unseen(problem) asks just these

Nothing here is random: a problem's split depends on its id alone and a case's side on the id and its own content, so both stay
what they are when others come or go, on every machine.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, overload

from rltf_env.core import CallCase, Case, Problem, Problems, ScriptCase, StdinCase
from rltf_env.datasets._digest import case_digest
from rltf_env.errors import DataError, UnknownName, UsageError

SPLITS = ("train", "validation", "test")
FRACTIONS = (0.8, 0.1, 0.1)
KINDS: dict[type[Case], str] = {StdinCase: "stdin", CallCase: "call", ScriptCase: "script"}

Choice = str | Collection[str] | None

# ------------------------------------------------------------------------------------------------------------ filters


def kind_of(problem: Problem) -> str:
    """`stdin`, `call` or `script`: what the first case of the problem is."""
    kind = getattr(problem.cases, "kind", None)  # cases that lie in a large file know without reading it
    return KINDS[kind if kind is not None else type(problem.cases[0])]


def tags_of(problem: Problem) -> tuple[str, ...]:
    """`meta["tags"]`."""
    tags = problem.meta.get("tags", ())
    if isinstance(tags, str) or not all(isinstance(tag, str) for tag in tags):
        raise DataError(f"Expected meta['tags'] of problem {problem.id!r} to be a list of strings, got {tags!r}.")
    return tuple(tags)


FILTERS: dict[str, Callable[[Problem], tuple[str, ...]]] = {
    "difficulty": lambda problem: (problem.difficulty,),
    "kind": lambda problem: (kind_of(problem),),
    "source": lambda problem: (str(problem.meta.get("source", "")),),
    "tag": tags_of,
}


def keep(problems: Problems, **filters: Choice) -> Problems:
    """The problems that have, for each filter, one of the values that it names.

    Args:
        filters: by `difficulty`, by `kind` (`stdin`, `call`, `script`), by `source` (`meta["source"]`) and by `tag`
            (`meta["tags"]`): a value or several; None lets all pass.

    Raises:
        UnknownName: no such filter, or a value that no problem has; the message counts those that there are.
        UsageError: no problem has all that was asked for.
    """
    rows: Iterable[Problem] = problems
    for name, values in filters.items():
        if name not in FILTERS:
            raise UnknownName("filter", name, FILTERS)
        if values is not None:
            allowed = _values(name, values, problems)
            rows = [problem for problem in rows if allowed.intersection(FILTERS[name](problem))]
    rest = Problems(rows, problems.skipped)
    if problems and not rest:
        request = ", ".join(f"{name}={values!r}" for name, values in filters.items() if values is not None)
        raise UsageError(
            f"Expected some of {len(problems)} problems to have {request}, got none that has it all. Ask for less."
        )
    return rest


def _values(name: str, values: str | Collection[str], problems: Problems) -> set[str]:
    """The values asked for, each of which some problem has."""
    choice = {values} if isinstance(values, str) else set(values)
    counts = Counter(value for problem in problems for value in FILTERS[name](problem))
    for value in choice:
        if value not in counts:
            listing = ", ".join(f"{each!r} {count}" for each, count in counts.most_common(20)) or "no values"
            raise UnknownName(name, str(value), counts, hint=f"In {len(problems)} problems: {listing}.")
    return choice


# ------------------------------------------------------------------------------------------------------------- splits


def part(problems: Problems, split: str, fractions: Sequence[float] = FRACTIONS) -> Problems:
    """The problems of a split, of a list that comes without splits; `"all"` is the list itself.

    The first eight bytes of SHA-256 of a problem's id, as a share of 2^64, say where it stands between 0 and 1; train takes the
    first of the `fractions` of that line, validation the second, test the rest. So the parts only come near these fractions.

    Raises:
        UnknownName: no such split.
        UsageError: fractions that are not three shares that add up to 1; or nothing falls into this split.
    """
    if split == "all":
        return problems
    if split not in SPLITS:
        raise UnknownName("split of a list of problems:", split, (*SPLITS, "all"))
    _check_fractions(fractions)
    index = SPLITS.index(split)
    low, high = sum(fractions[:index]), sum(fractions[: index + 1])
    last = index == len(SPLITS) - 1
    share = [p for p in problems if low <= _position(p.id) and (last or _position(p.id) < high)]
    if not share:
        raise UsageError(
            f"Expected some of {len(problems)} problems in split {split!r}, got none with fractions {tuple(fractions)}. "
            "Take other fractions, or more problems."
        )
    return Problems(share, problems.skipped)


def _check_fractions(fractions: Sequence[float]) -> None:
    fine = len(fractions) == 3 and all(isinstance(f, float | int) and f >= 0 for f in fractions)
    if not fine or not math.isclose(sum(fractions), 1):
        raise UsageError(
            f"Expected fractions of train, validation and test that add up to 1, say {FRACTIONS}, got {fractions!r}."
        )


def _position(text: str) -> float:
    """A number in [0, 1) that depends on `text` alone."""
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:8], "big") / 2**64


# ------------------------------------------------------------------------------------------------------ held-out cases


def hold_out(problem: Problem, share: float) -> Problem:
    """The problem with a share of its cases moved from `cases` to `held_out`.

    Of n different cases, max(1, floor(share n)) are held out, those whose SHA-256 with the problem's id comes first; of one
    case, none. Copies of a case stay on one side. An example that is held out is shown no more: a program written to
    fit what it saw cannot have seen it. Cases that load lazily still do.

    Args:
        share: in (0, 1).
    """
    check_share(share)
    if problem.held_out:
        raise UsageError(f"Expected problem {problem.id!r} with all its cases, got one with cases held out already.")
    trained_on, aside = Side(problem, share, aside=False), Side(problem, share, aside=True)
    if not isinstance(problem.cases, tuple | list) and not problem.examples:
        return replace(problem, cases=trained_on, held_out=aside)
    hidden = set(map(case_digest, aside))
    examples = tuple(case for case in problem.examples if case_digest(case) not in hidden)
    return replace(problem, cases=tuple(trained_on), held_out=tuple(aside), examples=examples)


def check_share(share: float) -> None:
    """Raises `UsageError` unless `share` lies in (0, 1)."""
    if isinstance(share, bool) or not isinstance(share, float | int) or not 0 < share < 1:
        raise UsageError(f"Expected held_out to be a share of the cases in (0, 1), say 0.5, got {share!r}.")


def unseen(problem: Problem) -> Problem | None:
    """The same problem judged on its held-out cases alone; None if it has none."""
    return replace(problem, cases=problem.held_out, held_out=()) if problem.held_out else None


class Side(Sequence[Case]):
    """The cases of a problem that are held out, or those that are not: chosen at first use."""

    def __init__(self, problem: Problem, share: float, *, aside: bool) -> None:
        self._id, self._all, self._share, self._aside = problem.id, problem.cases, share, aside

    @property
    def kind(self) -> type[Case] | None:
        """The one kind of all cases, where that is known without reading them; else None."""
        return getattr(self._all, "kind", None)

    @cached_property
    def _indices(self) -> tuple[int, ...]:
        digests = [case_digest(case) for case in self._all]
        key = self._id.encode("utf-8", "surrogatepass")
        ranked = sorted(set(digests), key=lambda digest: hashlib.sha256(key + digest).digest())
        count = max(1, math.floor(self._share * len(ranked))) if len(ranked) > 1 else 0
        hidden = set(ranked[:count])
        return tuple(i for i, digest in enumerate(digests) if (digest in hidden) is self._aside)

    def __bool__(self) -> bool:
        return not self._aside or bool(self._indices)  # one is always left to train on

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> Case: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Case]: ...
    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return tuple(self._all[i] for i in self._indices[index])
        return self._all[self._indices[index]]

    def __iter__(self) -> Iterator[Case]:
        everything = tuple(self._all)  # a large file is read once, not for each case
        return iter([everything[i] for i in self._indices])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]
