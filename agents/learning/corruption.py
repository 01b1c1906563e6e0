"""Programs with parts missing, and the parts (CodeT5+, arXiv 2305.07922, section 3.2): what a model learns of code alone.

denoising    spans of whole words are replaced by sentinels; to be written are the sentinels, each with what it stands for
completion   a program is cut in two; to be written is the rest after its beginning
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agents.core import TrainingSample
from agents.policies.pair_heads import plain_sample
from rltf_env.core import IntArray, Program

RATE = 0.15  # of a program's tokens that are missing
WORDS = 5  # a span has 1 to 5 words, 3 in the mean (CodeT5, arXiv 2109.00859, section 3.2)
PIVOTS = 0.1, 0.9  # the shares of a program between which it is cut


def word_starts(program: Program) -> IntArray:
    """int64 (W,): the tokens that begin a word: those before which no name or number goes on.

    A token that spells nothing by itself belongs to the word before it.
    """
    text, starts = program.text, program.starts
    inside = [0 < s < len(text) and _of_a_name(text[s - 1]) and _of_a_name(text[s]) for s in starts.tolist()]
    empty = np.concatenate([[False], np.diff(starts) == 0])
    begins = ~np.array(inside, bool) & ~empty
    return np.flatnonzero(begins)


def _of_a_name(character: str) -> bool:
    return character.isalnum() or character == "_"


def spans(starts: IntArray, length: int, rng: np.random.Generator, rate: float = RATE) -> list[tuple[int, int]]:
    """Spans [a, b) of whole words, in order, of which no two touch, until `rate` of `length` tokens are in one, or none fits.

    Args:
        starts: int64 (W,), the tokens that begin a word, the first of them 0.
        length: of the program, in tokens.
        rng: draws places and numbers of words.
        rate: the share of the tokens.
    """
    edges = np.append(starts, length)
    free = np.ones(len(starts), bool)
    made: list[tuple[int, int]] = []
    for first in rng.permutation(len(starts)).tolist():
        if sum(b - a for a, b in made) >= rate * length:
            break
        last = min(first + int(rng.integers(1, WORDS + 1)), len(starts))
        if free[first:last].all():
            free[max(0, first - 1) : last + 1] = False
            made.append((int(edges[first]), int(edges[last])))
    return sorted(made)


def denoising(
    tokens: IntArray, missing: Sequence[tuple[int, int]], sentinels: Sequence[int], end: int
) -> TrainingSample:
    """The tokens with a sentinel in the place of each span; to be written, each sentinel and its span, then the end.

    Spans beyond the number of sentinels are left where they are.
    """
    shown: list[int] = []
    hidden: list[int] = []
    at = 0
    for (a, b), sentinel in zip(missing, sentinels, strict=False):
        shown += [*tokens[at:a].tolist(), sentinel]
        hidden += [sentinel, *tokens[a:b].tolist()]
        at = b
    shown += tokens[at:].tolist()
    return plain_sample(np.array(shown, np.int64), np.array([*hidden, end], np.int64))


def completion(tokens: IntArray, pivot: int, end: int, mark: Sequence[int] = ()) -> TrainingSample:
    """What follows the first `pivot` tokens, and the end; at 0 the whole program, after the `mark` that asks for it."""
    told = tokens[:pivot] if pivot else np.array(mark, np.int64)
    return plain_sample(told.astype(np.int64), np.append(tokens[pivot:], end).astype(np.int64))


def pivot(length: int, rng: np.random.Generator) -> int:
    """Where a program of so many tokens is cut: in half of all draws at 0, else evenly between the shares of `PIVOTS`."""
    if rng.random() < 0.5:
        return 0
    low, high = PIVOTS
    return min(max(1, int(length * rng.uniform(low, high))), max(0, length - 1))
