"""Grown programs: endless, nested, many-branched, with a case for every branch. No download.

    Given an integer x, if x is below 3, return x plus 4; else if x is even, return 7; otherwise, return x times 2.

Where `procedural` has chains of operations, this has what makes programs hard to get right: conditions in conditions, loops
that stop and skip, two arguments. Of three kinds: a `ladder` of conditions, a `nest` of conditions in conditions, a `loop`
that gathers a number, with a ladder on it. The number of conditionals E (conditions of `if` and `else if`, and loops), from
1 to 9, is the dial of difficulty.

A problem's statement is its tree read out, unambiguously; the reference is the tree printed; the cases are inputs that take
every branch, so that every condition negated, every value 1 greater and every `break` or `continue` left out fails one of
them. (After arXiv 2407.19772, which makes unseen code tests from abstract syntax trees. Its grammar is not public.)

Splits are made by what stands in what. A hash puts each pair (parent, child) of nodes whose child is an operation, such as a sum in
a comparison or a comparison in an `and`, into test (20 %), validation (10 %) or train. A program is as held out as its most
held-out pair, so no pair of test ever occurs in train. "seen" has train's pairs, with constants that train never shows with an
operation (10 %, by a hash).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np

from rltf_env.core import Attempt, CallCase, Problem, Problems
from rltf_env.datasets._files import Root, check_split
from rltf_env.datasets._grown_drawing import CASES, KINDS, SPLITS, Draw, Failed, choose, split_of
from rltf_env.datasets._grown_grammar import (
    CHANGES,
    COMPARISONS,
    NODES,
    PARITIES,
    code,
    conditionals,
    pairs,
    tags,
    words,
)
from rltf_env.datasets._stream import Stream
from rltf_env.errors import UnknownName, UsageError

__all__ = ["KINDS", "MOST", "NODES", "SPLITS", "draw", "find", "load", "source"]

MOST = 9  # conditionals
PATIENCE = 2000  # draws in a row without what is asked for
_ID = re.compile(rf"grown/({'|'.join(SPLITS)})/([1-{MOST}])/(0|[1-9][0-9]{{0,17}})")

Range = tuple[int, int] | Sequence[int]


def load(
    split: str = "train",
    root: Root = None,
    *,
    size: int = 256,
    seed: int = 0,
    conditionals: Range = (2, 6),
    nodes: Sequence[str] | None = None,
    cases: int | None = None,
) -> Problems:
    """`size` problems of a split: the same for the same arguments, and a larger `size` only adds to the end.

    No two have the same statement. Where there are no more, these are all, and `.skipped` says so.

    Args:
        split: "train", "validation", "test" or "seen".
        root: ignored by design, there are no files.
        conditionals: the least and the greatest E; the numbers between take turns.
        nodes: the nodes of `NODES` that may occur, such as ["if", "below", "plus"]; None: all.
        cases: hidden cases that are kept, of 12. The first show the most; with two, as many programs of the wild
            have, some branches have no case.

    Raises:
        UnknownName: no such split or node.
        UsageError: an impossible range, number of cases, or set of nodes.
    """
    made = source(split, conditionals=conditionals, nodes=nodes, cases=cases)
    if size < 1:
        raise UsageError(f"Expected size >= 1, got {size}.")
    rng, found, misses = np.random.default_rng(seed), dict[str, Problem](), 0
    for turn in count():
        problem = made.drawn(rng, made.low + turn % (made.high - made.low + 1))
        misses = misses + 1 if problem.statement in found else 0
        found.setdefault(problem.statement, problem)
        if len(found) == size or misses == PATIENCE:
            break
    skipped = (f"grown/{split}", f"{size} were asked for; after {PATIENCE} draws without a new one, these are all")
    return Problems(found.values(), () if len(found) == size else [skipped])


def source(
    split: str = "train",
    root: Root = None,
    *,
    conditionals: Range = (2, 6),
    nodes: Sequence[str] | None = None,
    cases: int | None = None,
) -> Endless:
    """Endless fresh problems of a split (arguments as in `load`). It finds any problem of its split by id, and no other's."""
    check_split("grown", split, SPLITS)
    low, high = _range(conditionals)
    if cases is not None and not 1 <= cases <= CASES:
        raise UsageError(f"Expected 1 to {CASES} cases, got {cases}.")
    return Endless(split, low, high, None if nodes is None else _nodes(nodes, low), cases)


def draw(rng: np.random.Generator, split: str = "train", conditionals: int = 3) -> Problem:
    """A fresh problem of a split with so many conditionals. Takes one number from `rng`."""
    return source(split, conditionals=(conditionals, conditionals)).draw(rng)


def find(id: str) -> Problem:
    """The problem `grown/SPLIT/E/NUMBER`: the id holds all that is needed to make it again, anywhere.

    Raises:
        UnknownName: the id has another form.
    """
    match = _ID.fullmatch(id)
    if match is None:
        raise UnknownName("problem", id, (f"grown/{split}/E/NUMBER" for split in SPLITS))
    split, number_of_conditionals, number = match.groups()
    return _problem(split, int(number_of_conditionals), int(number))


@dataclass(frozen=True)
class Endless:
    """The `Source` that `source` makes. `low` and `high` are the least and the greatest E."""

    split: str
    low: int
    high: int
    nodes: frozenset[str] | None
    cases: int | None

    def draw(self, rng: np.random.Generator) -> Problem:
        """A fresh problem."""
        return self.drawn(rng, int(rng.integers(self.low, self.high + 1)))

    def drawn(self, rng: np.random.Generator, conditionals: int) -> Problem:
        """A fresh problem with so many conditionals."""
        for _ in range(PATIENCE if self.nodes is not None else 1):
            problem = _problem(self.split, conditionals, int(rng.integers(2**48)))
            if self.nodes is None or self.nodes.issuperset(problem.meta["tags"]):
                return self._cut(problem)
        raise UsageError(
            f"Expected nodes that programs of {conditionals} conditionals can be made of in {self.split!r}, got "
            f"{sorted(self.nodes or ())}, of which {PATIENCE} draws had none. Allow more nodes."
        )

    def find(self, id: str) -> Problem:
        """The problem with this id; raises `UnknownName` also on those of another split."""
        problem = find(id)
        if not id.startswith(f"grown/{self.split}/"):
            raise UnknownName("problem", id, (f"grown/{self.split}/E/NUMBER",), hint="It is of another split.")
        return self._cut(problem)

    def observe(self, attempt: Attempt) -> None:
        """Nothing: each draw is independent of what came before."""

    def _cut(self, problem: Problem) -> Problem:
        return problem if self.cases is None else replace(problem, cases=tuple(problem.cases[: self.cases]))


def _range(given: Range) -> tuple[int, int]:
    ends = tuple(given) if isinstance(given, Sequence) and not isinstance(given, str) else ()
    if len(ends) != 2 or not all(isinstance(end, int) for end in ends) or not 1 <= ends[0] <= ends[1] <= MOST:
        raise UsageError(
            f"Expected conditionals as the least and the greatest number, within 1 and {MOST}, such as [2, 6], got {given!r}."
        )
    return ends[0], ends[1]


def _nodes(names: Sequence[str], low: int) -> frozenset[str]:
    """The nodes, checked: what cannot do without another is told which."""
    if isinstance(names, str):
        raise UsageError(f"Expected nodes as a list such as ['if', 'below', 'plus'], got {names!r}.")
    for name in names:
        if name not in NODES:
            raise UnknownName("node", str(name), NODES)
    found = frozenset(names)
    compared = (*COMPARISONS, *PARITIES)
    partners = [("if", compared), ("for", tuple(CHANGES)), ("for", ("let",))]
    for name, others in partners:
        if name in found and not found.intersection(others):
            raise UsageError(
                f"Expected {name!r} among the nodes together with {' or '.join(map(repr, others))}, got it without."
            )
    if not found & {"if", "for"} or (low > 1 and "if" not in found):
        raise UsageError(
            f"Expected 'if' among the nodes, without which no program has {low} conditionals, got {sorted(found)}."
        )
    return found


def _problem(split: str, number_of_conditionals: int, number: int) -> Problem:
    stream = Stream(SPLITS.index(split), number_of_conditionals, number, 2407)
    while True:
        try:
            drawn = Draw(stream, split, number_of_conditionals)
            if split_of(drawn.program) != split:
                continue
            cases, examples = choose(drawn.program, drawn.pool)
        except Failed:
            continue
        id = f"grown/{split}/{number_of_conditionals}/{number}"
        return _written(id, drawn, cases, examples)


def _written(id: str, drawn: Draw, cases: Sequence[Any], examples: Sequence[Any]) -> Problem:
    program = drawn.program
    return Problem(
        id=id,
        statement=words(program),
        cases=tuple(CallCase(given, result) for given, result in cases),
        entry_point="f",
        examples=tuple(CallCase(given, result) for given, result in examples),
        solutions=(code(program),),
        difficulty=f"conditionals-{conditionals(program)}",
        meta={"kind": drawn.kind, "nodes": pairs(program), "tags": tags(program)},
    )
