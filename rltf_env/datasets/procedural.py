"""Procedural problems: endless, seeded, no download. The embedded default.

A problem of depth d applies d typed operations, one after the other, to the argument `x` of a function `f`:

    Given a list of integers x, keep the odd numbers, then add 3 to each number, then take the sum, and return the result.

Statement, reference and cases come from one draw. The reference is printed from `ast` nodes and run to find what the cases
expect (after arXiv 2407.19772, which makes unseen code tests from abstract syntax trees; its grammar is not public, so
ops, depths and splits are ours). No case set is taken that one answer suits for more than half, or that a program passes
that leaves some of the steps out.

OPS, by type (phrases and code are in `_procedural_ops.py`):

    list[int] -> list[int]  keep_odd keep_multiples keep_above add_each multiply_each square_each sort_up sort_down
                            reverse_list take_first append_number running_sums unique until_negative
    list[int] -> int        sum largest count alternate_sum
    list[str] -> list[str]  sort_words reverse_words long_words
    list[str] -> list[int]  lengths
    list[str] -> int        count_words
    list[str] -> str        join_words longest
    str -> str              upper reverse_text replace_letter remove_vowels double_characters take_text repeat
    str -> int              length count_vowels
    str -> list[str]        words
    str -> list[int]        positions
    int -> int              add multiply square remainder at_least halve_or_add next_multiple digit_sum
    int -> list[int]        count_up digits
    int -> str              to_text

Splits are made by what is composed, not by what is drawn: a *signature* is the tuple of op names, constants left out.
Single ops are in train alone. A hash of its names puts a pair of neighbours into test (20 %), validation (10 %) or train.
A longer signature is as held out as its most held-out pair of neighbours, so train never shows a held-out pair at any depth.

The split "seen" has train's signatures with constants that train never puts side by side (10 % of the pairs that have any, by a
hash): "seen" says whether a policy learned, "test" whether it learned to compose.

No reference outside train is, letter for letter, one of train's: `len(x)` counts words as well as numbers, so where one of the
two is in train, the other is left out of what evaluates.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, combinations, count, islice, repeat
from typing import Any

import numpy as np

from rltf_env.core import Attempt, CallCase, Problem, Problems, Source
from rltf_env.datasets._files import Root, check_split
from rltf_env.datasets._procedural_ops import (
    DEEPEST,
    INT,
    INTS,
    OPS,
    SPLITS,
    STR,
    STRS,
    Signature,
    Step,
    belongs,
    check_depth,
    compositions,
    followers,
    print_program,
    runnable,
    signatures,
    split_of,
    step,
)
from rltf_env.datasets._stream import Stream
from rltf_env.errors import UnknownName, UsageError

__all__ = ["DEEPEST", "OPS", "SPLITS", "draw", "find", "load", "signatures", "source", "split_of"]

EXAMPLES, CASES, EDGES = 2, 6, 2  # public examples, hidden cases, and how many of these are edge inputs at most
LARGEST, LONGEST_LIST, LONGEST_STR = 9999, 20, 40  # bounds on |int| and on lengths, for every value on the way
PATIENCE = 20  # draws without a new statement after which `load` goes through the list of what there is
LISTABLE = 2  # the greatest depth whose compositions are few enough for a list
BY_COMPOSITION = 2**48  # numbers from here on name a place in that list; no draw gives one
TRIES = 60  # for inputs that make a composition of the list a problem
_ID = re.compile(rf"procedural/({'|'.join(SPLITS)})/([1-{DEEPEST}])/(0|[1-9][0-9]{{0,17}})")


# --------------------------------------------------------------------------------------------------------------- API


def load(
    split: str = "train",
    root: Root = None,
    *,
    size: int = 256,
    seed: int = 0,
    depths: Sequence[int] | None = None,
) -> Problems:
    """`size` problems of a split: the same for the same arguments, and a larger `size` only adds to the end.

    No two have the same statement. A depth whose statements have run out (there are 163 of depth 1)
    leaves its turns to the others. When all have, these are all there are, and `.skipped` says how many.

    Args:
        split: "train", "validation", "test" or "seen".
        root: ignored by design, there are no files.
        depths: they take turns. None stands for 1, 2, 3 in train and for 2, 3 elsewhere.

    Raises:
        UnknownName: no such split.
        UsageError: no such depth, or depth 1 outside train.
    """
    depths = _depths(split, depths)
    if size < 1:
        raise UsageError(f"Expected size >= 1, got {size}.")
    rng = np.random.default_rng(seed)
    seen: set[str] = set()
    fresh = {depth: _fresh(rng, split, depth, seen) for depth in depths}
    problems = list(islice(_in_turn([fresh[depth] for depth in depths]), size))
    return Problems(problems, () if len(problems) == size else [_all_there_are(split, fresh, size, len(problems))])


def _all_there_are(split: str, depths: Iterable[int], size: int, count: int) -> tuple[str, str]:
    where = f"procedural/{split}, depth {' and '.join(map(str, depths))}"
    return where, f"{count} different statements exist and {size} were asked for; these are all"


def _in_turn(sources: Sequence[Iterator[Problem]]) -> Iterator[Problem]:
    """One of each in turn; what has ended is passed over."""
    open_ones = list(sources)
    while open_ones:
        for one in list(open_ones):
            problem = next(one, None)
            if problem is None:
                open_ones = [other for other in open_ones if other is not one]
            else:
                yield problem


def _fresh(rng: np.random.Generator, split: str, depth: int, seen: set[str]) -> Iterator[Problem]:
    """Problems whose statements are not in `seen`, which gets them; it ends when there are no more."""
    for problem in chain(_random_problems(rng, split, depth, seen), _all_problems(rng, split, depth)):
        if problem.statement not in seen:
            seen.add(problem.statement)
            yield problem


def _random_problems(rng: np.random.Generator, split: str, depth: int, seen: set[str]) -> Iterator[Problem]:
    """Draws, until too many in a row bring nothing new."""
    patience = 0
    while patience < (PATIENCE if depth <= LISTABLE else 50 * PATIENCE):
        problem = draw(rng, split, depth)
        patience = patience + 1 if problem.statement in seen else 0
        yield problem


def _all_problems(rng: np.random.Generator, split: str, depth: int) -> Iterator[Problem]:
    """Each composition in its turn, in random order. Nothing where there are too many to list."""
    if depth <= LISTABLE:
        for i in rng.permutation(len(compositions(split, depth))).tolist():
            yield _problem(split, depth, BY_COMPOSITION + i)


def draw(rng: np.random.Generator, split: str = "train", depth: int = 2) -> Problem:
    """A fresh problem of `depth` ops that belongs to `split`. Takes one number from `rng`."""
    _depths(split, (depth,))
    return _problem(split, depth, int(rng.integers(2**48)))


def find(id: str) -> Problem:
    """The problem `procedural/SPLIT/DEPTH/NUMBER`: the id holds all that is needed to make it again, anywhere.

    Raises:
        UnknownName: the id has another form.
        UsageError: depth 1 outside train.
    """
    match = _ID.fullmatch(id)
    if match is None:
        raise UnknownName("problem", id, (f"procedural/{split}/DEPTH/NUMBER" for split in SPLITS))
    split, depth, number = match.groups()
    _depths(split, (int(depth),))
    return _problem(split, int(depth), int(number))


def source(split: str = "train", root: Root = None, *, depths: Sequence[int] | None = None) -> Source:
    """Endless fresh problems of a split, each of a depth drawn from `depths` (split, root, depths: as in `load`).

    It finds any problem of its own split by id, and no other's.
    """
    return Endless(split, _depths(split, depths))


@dataclass(frozen=True)
class Endless:
    """The `Source` that `source` makes."""

    split: str
    depths: tuple[int, ...]

    def draw(self, rng: np.random.Generator) -> Problem:
        """A new problem."""
        return draw(rng, self.split, self.depths[int(rng.integers(len(self.depths)))])

    def find(self, id: str) -> Problem:
        """The problem of an id, made again."""
        problem = find(id)
        if not id.startswith(f"procedural/{self.split}/"):
            raise UnknownName("problem", id, (f"procedural/{self.split}/DEPTH/NUMBER",), hint="It is of another split.")
        return problem

    def observe(self, attempt: Attempt) -> None:
        """Nothing: each draw is independent of what came before."""


def _depths(split: str, depths: Sequence[int] | None) -> tuple[int, ...]:
    check_split("procedural", split, SPLITS)
    if depths is None:
        return (1, 2, 3) if split == "train" else (2, 3)
    if not isinstance(depths, Sequence) or isinstance(depths, str) or not depths:
        raise UsageError(f"Expected depths as a list such as [1, 2], got {depths!r}.")
    for depth in depths:
        check_depth(depth)
    if split != "train" and 1 in depths:
        raise UsageError(
            f"Expected depths of 2 or more in {split!r}, got {list(depths)}: every single op is in 'train'. Leave out 1."
        )
    return tuple(depths)


# ----------------------------------------------------------------------------------------------------------- drawing


def _problem(split: str, depth: int, number: int) -> Problem:
    stream = Stream(SPLITS.index(split), depth, number)
    id = f"procedural/{split}/{depth}/{number}"
    from_list = depth <= LISTABLE and number >= BY_COMPOSITION
    candidates = _from_list(split, depth, number) if from_list else _at_random(stream, split, depth)
    for steps in candidates:
        inputs = _draw_inputs(stream, steps)
        if inputs is not None and not _degenerate(steps, inputs[EXAMPLES:]):
            return _as_problem(id, steps, inputs)
    raise AssertionError(f"no composition of {split}, depth {depth}, suits any inputs")


def _at_random(stream: Stream, split: str, depth: int) -> Iterator[Sequence[Step]]:
    while True:
        steps = [_draw_step(stream, name) for name in _draw_signature(stream, split, depth)]
        if belongs(steps, split):
            yield steps


def _from_list(split: str, depth: int, number: int) -> Iterator[Sequence[Step]]:
    """The composition that the number names, some times over, then the ones after it: a few suit no inputs."""
    every = compositions(split, depth)
    for i in count(number - BY_COMPOSITION):
        yield from repeat(every[i % len(every)], TRIES)


def _draw_signature(stream: Stream, split: str, depth: int) -> Signature:
    names = tuple(OPS)
    split = "train" if split == "seen" else split
    while True:
        walk = [stream.pick(names)]
        while len(walk) < depth and (options := followers(walk[-1])):
            walk.append(stream.pick(options))
        if len(walk) == depth and split_of(walk) == split:
            return tuple(walk)


def _draw_step(stream: Stream, name: str) -> Step:
    return step(name, tuple(stream.pick(choice) for choice in OPS[name].choices.values()))


def _as_problem(id: str, steps: Sequence[Step], inputs: Sequence[Any]) -> Problem:
    reference = print_program(steps)
    solve = runnable(reference)
    cases = [CallCase((x,), solve(x)) for x in inputs]
    signature = tuple(one.op.name for one in steps)
    return Problem(
        id=id,
        statement=f"Given {_NOUNS[steps[0].op.takes]} x, {', then '.join(s.phrase for s in steps)}, and return the result.",
        cases=tuple(cases[EXAMPLES:]),
        entry_point="f",
        examples=tuple(cases[:EXAMPLES]),
        solutions=(reference,),
        difficulty=f"depth-{len(steps)}",
        meta={
            "signature": signature,
            "ops": tuple((one.op.name, dict(one.constants)) for one in steps),
            "tags": tuple(dict.fromkeys(signature)),
        },
    )


# ------------------------------------------------------------------------------------------------------------ inputs

_NOUNS = {INT: "an integer", INTS: "a list of integers", STR: "a string", STRS: "a list of words"}
_WORDS = tuple(
    "a to red sky cat eel owl tree Moon blue rain apple otter river stone queue Alice violet banana "
    "silver orange Tom tea igloo oboe pi zebra axe toe area".split()
)


def _int(stream: Stream) -> int:
    return stream.between(*stream.pick(((-20, 20), (0, 20), (-99, 99), (10, 300))))


def _ints(stream: Stream) -> list[int]:
    low, high = stream.pick(((-9, 20), (-3, 6), (0, 12)))
    return [stream.between(low, high) for _ in range(stream.between(2, 6))]


def _words(stream: Stream) -> list[str]:
    return [stream.pick(_WORDS) for _ in range(stream.between(2, 5))]


def _text(stream: Stream) -> str:
    return " ".join(stream.pick(_WORDS) for _ in range(stream.between(1, 3)))


_TYPICAL: dict[str, Callable[[Stream], Any]] = {INT: _int, INTS: _ints, STR: _text, STRS: _words}
_EDGE: dict[str, Sequence[Any]] = {
    INT: (0, 1, -1, -12, 10),
    INTS: ([], [0], [-7], [5], [3, 3, 3]),
    STR: ("", "a", "X", "Sky"),
    STRS: ([], ["a"], ["Tree"], ["to", "to"]),
}


def _draw_inputs(stream: Stream, steps: Sequence[Step]) -> list[Any] | None:
    """Examples first, then hidden inputs, edges last; all different. None if the steps suit too few inputs."""
    kind = steps[0].op.takes
    edges = _usable(steps, (copy.copy(stream.pick(_EDGE[kind])) for _ in range(EDGES)), (), EDGES)
    size = EXAMPLES + CASES - len(edges)
    typical = _usable(steps, (_TYPICAL[kind](stream) for _ in range(2 * size)), edges, size)
    return [*typical, *edges] if len(typical) == size else None


def _usable(steps: Sequence[Step], inputs: Iterable[Any], edges: Sequence[Any], size: int) -> list[Any]:
    """The first `size` of the inputs that are new and that the steps can be run on."""
    usable: list[Any] = []
    for x in inputs:
        if x not in edges and x not in usable and _run(steps, x) is not None:
            usable.append(x)
            if len(usable) == size:
                break
    return usable


def _run(steps: Sequence[Step], x: Any) -> Any:
    """The result of the steps on `x`; None if something on the way is too large or not of the type that a step needs."""
    try:
        for one in steps:
            if not _small(x) or (isinstance(x, int) and abs(x) > one.op.most):
                return None
            x = one.apply(x)
        return x if _small(x) else None
    except (TypeError, AttributeError):  # only in a program with some steps left out, whose types may not fit
        return None


def _small(x: Any) -> bool:
    """True if `x` is within the bounds; a list is known by its first item."""
    if isinstance(x, int):
        return -LARGEST <= x <= LARGEST
    if isinstance(x, str):
        return len(x) <= LONGEST_STR
    if not x or len(x) > LONGEST_LIST:
        return not x
    return max(map(len, x)) <= LONGEST_STR if isinstance(x[0], str) else -LARGEST <= min(x) <= max(x) <= LARGEST


def _degenerate(steps: Sequence[Step], inputs: Sequence[Any]) -> bool:
    """True if one answer suits more than half of the inputs, or a program with some of the steps left out suits all."""
    results = [_run(steps, x) for x in inputs]
    if max(map(results.count, results)) > len(results) // 2:
        return True
    shorter = (part for n in range(len(steps)) for part in combinations(steps, n))
    return any(all(_run(part, x) == result for x, result in zip(inputs, results, strict=True)) for part in shorter)
