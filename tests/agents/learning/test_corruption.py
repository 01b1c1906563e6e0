"""Programs with parts missing, by hand."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from agents.learning.corruption import WORDS, completion, denoising, pivot, spans, word_starts
from rltf_env.core import Program

TOKENS = np.arange(10, 20)


def test_a_word_begins_where_no_name_goes_on() -> None:
    """`ab1 =c_ d`, in pieces: `ab` and `1` are one word, `_` goes on with `c`, a token that spells nothing with what is before."""
    program = Program(np.arange(7), "ab1 =c_ d", np.array([0, 2, 3, 5, 6, 7, 7]))
    assert word_starts(program).tolist() == [0, 2, 3, 5]


def test_denoising_by_hand() -> None:
    """Tokens 12 13 and 17 are missing."""
    sample = denoising(TOKENS, [(2, 4), (7, 8)], [90, 91, 92], 1)
    assert sample.prompt.tolist() == [10, 11, 90, 14, 15, 16, 91, 18, 19]
    assert sample.tokens.tolist() == [90, 12, 13, 91, 17, 1]
    assert sample.loss_mask.all()


def test_spans_beyond_the_sentinels_stay_where_they_are() -> None:
    sample = denoising(TOKENS, [(2, 4), (7, 8)], [90], 1)
    assert sample.prompt.tolist() == [10, 11, 90, *range(14, 20)]
    assert sample.tokens.tolist() == [90, 12, 13, 1]


def test_spans_are_of_whole_words_apart_from_each_other_and_of_the_share_that_was_asked_for() -> None:
    starts, length = np.array([0, 1, 3, 4, 8, 9, 10, 14, 15, *range(20, 60)]), 60
    shares, words = [], []
    for seed in range(200):
        made = spans(starts, length, np.random.default_rng(seed))
        edges = [*starts.tolist(), length]
        assert all(a in edges and b in edges for a, b in made)
        assert all(b < c for (_, b), (c, _) in itertools.pairwise(made))
        words += [edges.index(b) - edges.index(a) for a, b in made]
        shares.append(sum(b - a for a, b in made) / length)
    assert min(shares) >= 0.15
    assert np.mean(shares) < 0.22
    assert set(words) == set(range(1, WORDS + 1))
    assert np.mean(words) == pytest.approx(3, abs=0.3)


def test_a_program_of_one_word_is_missing_as_a_whole() -> None:
    assert spans(np.array([0]), 4, np.random.default_rng(0)) == [(0, 4)]


def test_completion_by_hand() -> None:
    sample = completion(TOKENS, 4, 1, [7])
    assert sample.prompt.tolist() == [10, 11, 12, 13]
    assert sample.tokens.tolist() == [*range(14, 20), 1]
    whole = completion(TOKENS, 0, 1, [7])
    assert whole.prompt.tolist() == [7]
    assert whole.tokens.tolist() == [*range(10, 20), 1]


def test_half_of_the_programs_are_cut_between_a_tenth_and_nine_tenths() -> None:
    rng = np.random.default_rng(0)
    cuts = np.array([pivot(100, rng) for _ in range(1000)])
    assert (cuts == 0).mean() == pytest.approx(0.5, abs=0.05)
    assert (cuts[cuts > 0].min(), cuts.max()) == (10, 89)
    assert {pivot(1, rng) for _ in range(50)} == {0}
