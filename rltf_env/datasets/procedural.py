"""Procedural problems: endless, seeded, no download. The embedded default.

A problem of depth d applies d typed operations in sequence to the argument `x` of the function `f`. Statement, reference
and cases all come from the same draw; expected results are found by running the reference, which is printed from `ast`
nodes (after arXiv 2407.19772, which generates code tests from abstract syntax trees).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np

from rltf_env.core import Attempt, CallCase, Problem, Problems, Source
from rltf_env.datasets._procedural_ops import (
    DEEPEST,
    INT,
    INTS,
    OPS,
    SPLITS,
    STR,
    STRS,
    Op,
    Signature,
    Step,
    check_depth,
    followers,
    print_program,
    runnable,
    signatures,
    split_of,
    step,
)
from rltf_env.errors import UnknownName, UsageError

__all__ = ["DEEPEST", "OPS", "SPLITS", "Op", "draw", "find", "load", "signatures", "source", "split_of"]

EXAMPLES, CASES, EDGES = 2, 6, 2  # public examples, hidden cases, and how many of these are edge inputs at most
LARGEST, LONGEST = 9999, 60  # bounds on |int| and on lengths, at every step of the way
_ID = re.compile(r"procedural/(train|validation|test)/([1-9])/(0|[1-9][0-9]{0,18})")


# --------------------------------------------------------------------------------------------------------------- API


def load(
    split: str = "train",
    root: object = None,
    *,
    size: int = 256,
    seed: int = 0,
    depths: Sequence[int] | None = None,
) -> Problems:
    """`size` problems of `split`, the same ones for the same arguments; a larger `size` only adds to the end.

    `root` is ignored: there are no files. `depths` takes turns; None stands for 1, 2, 3 in train and 2, 3 elsewhere.

    Raises:
        UsageError: an unknown split, no such depth, or depth 1 outside train.
    """
    depths = _depths(split, depths)
    if size < 1:
        raise UsageError(f"Expected size >= 1, got {size}.")
    rng, chosen = np.random.default_rng(seed), dict[str, Problem]()
    while len(chosen) < size:
        problem = draw(rng, split, depths[len(chosen) % len(depths)])
        chosen.setdefault(problem.id, problem)
    return Problems(chosen.values())


def draw(rng: np.random.Generator, split: str = "train", depth: int = 2) -> Problem:
    """A fresh problem of `depth` ops whose signature belongs to `split`; takes one number from `rng`."""
    _depths(split, (depth,))
    return _problem(split, depth, int(rng.integers(2**48)))


def find(id: str) -> Problem:
    """The problem `procedural/SPLIT/DEPTH/NUMBER`: the id says all that is needed to make it again, anywhere.

    Raises:
        UnknownName: the id is not of that form.
        UsageError: depth 1 outside train, or too deep.
    """
    match = _ID.fullmatch(id)
    if match is None:
        raise UnknownName("problem", id, (f"procedural/{split}/DEPTH/NUMBER" for split in SPLITS))
    split, depth, number = match.groups()
    _depths(split, (int(depth),))
    return _problem(split, int(depth), int(number))


def source(split: str = "train", *, depths: Sequence[int] | None = None) -> Source:
    """A `Source` of endless fresh problems of `split`, the depth drawn from `depths` (None: as in `load`)."""
    return _Endless(split, _depths(split, depths))


class _Endless:
    def __init__(self, split: str, depths: tuple[int, ...]) -> None:
        self.split, self.depths = split, depths

    def draw(self, rng: np.random.Generator) -> Problem:
        return draw(rng, self.split, self.depths[int(rng.integers(len(self.depths)))])

    def find(self, id: str) -> Problem:
        return find(id)

    def observe(self, attempt: Attempt) -> None:
        """Every draw is independent of what came before."""


def _depths(split: str, depths: Sequence[int] | None) -> tuple[int, ...]:
    if split not in SPLITS:
        raise UnknownName("split", split, SPLITS)
    depths = ((1, 2, 3) if split == "train" else (2, 3)) if depths is None else tuple(depths)
    if not depths:
        raise UsageError("Expected at least one depth, got none.")
    for depth in depths:
        check_depth(depth)
    if split != "train" and 1 in depths:
        raise UsageError(f"Expected depths of 2 or more in {split!r}, got {depths}: single ops are all in 'train'.")
    return depths


# ----------------------------------------------------------------------------------------------------------- drawing


class _Stream:
    """Numbers from a key. Raw bits of PCG64, whose stream numpy never changes (NEP 19); Generator methods may change."""

    def __init__(self, *key: int) -> None:
        self._generator = np.random.PCG64(key)
        self._bits: Iterator[int] = iter(())

    def below(self, n: int) -> int:
        """An integer in [0, n)."""
        bits = next(self._bits, None)
        if bits is None:
            self._bits = iter(self._generator.random_raw(128).tolist())
            bits = next(self._bits)
        return bits % n

    def between(self, low: int, high: int) -> int:
        """An integer in [low, high]."""
        return low + self.below(high - low + 1)

    def pick(self, options: Sequence[Any]) -> Any:
        return options[self.below(len(options))]


def _problem(split: str, depth: int, number: int) -> Problem:
    stream = _Stream(SPLITS.index(split), depth, number)
    id = f"procedural/{split}/{depth}/{number}"
    while True:
        steps = [_draw_step(stream, name) for name in _draw_signature(stream, split, depth)]
        inputs = _draw_inputs(stream, steps)
        if inputs is not None and not _degenerate(steps, inputs[EXAMPLES:]):
            return _written(id, steps, inputs)


def _draw_signature(stream: _Stream, split: str, depth: int) -> Signature:
    names = tuple(OPS)
    while True:
        walk = [stream.pick(names)]
        while len(walk) < depth and (options := followers(walk[-1])):
            walk.append(stream.pick(options))
        if len(walk) == depth and split_of(walk) == split:
            return tuple(walk)


def _draw_step(stream: _Stream, name: str) -> Step:
    return step(name, tuple(stream.pick(choice) for choice in OPS[name].choices.values()))


def _written(id: str, steps: Sequence[Step], inputs: Sequence[Any]) -> Problem:
    reference = print_program(steps)
    solve = runnable(reference)
    cases = [CallCase((x,), solve(x)) for x in inputs]
    signature = tuple(step.op.name for step in steps)
    return Problem(
        id=id,
        statement=f"Given {_NOUNS[steps[0].op.takes]} x, {', then '.join(s.phrase for s in steps)}, and return the result.",
        cases=tuple(cases[EXAMPLES:]),
        entry_point="f",
        examples=tuple(cases[:EXAMPLES]),
        solutions=(reference,),
        difficulty=f"depth-{len(steps)}",
        meta={"signature": signature, "ops": tuple((step.op.name, step.parameters) for step in steps)},
    )


# ------------------------------------------------------------------------------------------------------------ inputs

_NOUNS = {INT: "an integer", INTS: "a list of integers", STR: "a text", STRS: "a list of words"}
_WORDS = (
    "a to red sky cat eel owl tree Moon blue rain apple otter river stone queue Alice violet banana "
    "silver orange Tom tea igloo oboe pi zebra axe toe area"
).split()


def _int(stream: _Stream) -> int:
    return stream.between(*stream.pick(((-20, 20), (0, 20), (-99, 99), (10, 300))))


def _ints(stream: _Stream) -> list[int]:
    low, high = stream.pick(((-9, 20), (-3, 6), (0, 12)))
    return [stream.between(low, high) for _ in range(stream.between(2, 6))]


def _words(stream: _Stream) -> list[str]:
    return [stream.pick(_WORDS) for _ in range(stream.between(2, 5))]


def _text(stream: _Stream) -> str:
    return " ".join(stream.pick(_WORDS) for _ in range(stream.between(1, 3)))


_TYPICAL: dict[str, Callable[[_Stream], Any]] = {INT: _int, INTS: _ints, STR: _text, STRS: _words}
_EDGE: dict[str, Sequence[Any]] = {
    INT: (0, 1, -1, -12, 10),
    INTS: ([], [0], [-7], [5], [3, 3, 3]),
    STR: ("", "a", "X", "Sky"),
    STRS: ([], ["a"], ["Tree"], ["to", "to"]),
}


def _draw_inputs(stream: _Stream, steps: Sequence[Step]) -> list[Any] | None:
    """Examples first, then hidden inputs, edges last; all different. None if the steps suit too few inputs."""
    kind = steps[0].op.takes
    edges = [stream.pick(_EDGE[kind]) for _ in range(EDGES)]
    drawn = [_TYPICAL[kind](stream) for _ in range(2 * (EXAMPLES + CASES))]
    edges = _usable(steps, edges, [])
    typical = _usable(steps, drawn, edges)[: EXAMPLES + CASES - len(edges)]
    return [*typical, *edges] if len(typical) + len(edges) == EXAMPLES + CASES else None


def _usable(steps: Sequence[Step], inputs: Sequence[Any], taken: Sequence[Any]) -> list[Any]:
    usable: list[Any] = []
    for x in inputs:
        if x not in taken and x not in usable and _run(steps, x) is not None:
            usable.append(x)
    return usable


def _run(steps: Sequence[Step], x: Any) -> Any:
    """The result of the steps on `x`; None if it grows too large on the way."""
    for step in steps:
        if not _small(x) or (isinstance(x, int) and abs(x) > step.op.most):
            return None
        x = step.apply(x)
    return x if _small(x) else None


def _small(x: Any) -> bool:
    if isinstance(x, int):
        return abs(x) <= LARGEST
    return len(x) <= LONGEST and (isinstance(x, str) or all(map(_small, x)))


def _degenerate(steps: Sequence[Step], inputs: Sequence[Any]) -> bool:
    """True if one answer suits more than half of the inputs, or the program with some steps left out suits all."""
    results = [_run(steps, x) for x in inputs]
    if max(map(results.count, results)) > len(results) // 2:
        return True
    shorter = (part for n in range(len(steps)) for part in combinations(steps, n))
    return any(
        _fits(part, steps) and all(_run(part, x) == r for x, r in zip(inputs, results, strict=True)) for part in shorter
    )


def _fits(part: Sequence[Step], steps: Sequence[Step]) -> bool:
    """True if the types of `part` fit each other and the ends of `steps`."""
    types = [steps[0].op.takes, *(kind for step in part for kind in (step.op.takes, step.op.gives)), steps[-1].op.gives]
    return all(types[i] == types[i + 1] for i in range(0, len(types), 2))
