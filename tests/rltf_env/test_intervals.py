"""Intervals of rates: Wilson's where he has one, never without width, wider where problems ask the same."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.metrics import bootstrap_interval, paired_permutation, wilson_interval
from rltf_env.core import Problem, StdinCase
from rltf_env.errors import UsageError
from rltf_env.intervals import rate_interval, statements


@pytest.mark.parametrize("passed", [0, 1, 3, 4])
def test_one_program_for_each_of_four_problems_is_wilsons_interval(passed: int) -> None:
    found = rate_interval([1.0] * passed + [0.0] * (4 - passed))
    assert found == pytest.approx(wilson_interval(passed, 4))
    assert found.high - found.low > 0.4


def test_programs_of_one_problem_are_not_more_problems() -> None:
    shares, ones = rate_interval([0.5, 0.5, 0.0, 1.0] * 5), rate_interval([0.0, 1.0] * 10)
    assert shares.value == ones.value
    assert wilson_interval(10, 20) == pytest.approx(ones)
    assert shares.high - shares.low < ones.high - ones.low


def test_copies_of_a_problem_add_no_evidence() -> None:
    values = [1.0, 0.0, 0.0, 1.0, 1.0]
    copies = rate_interval(values * 10, list(range(5)) * 10)
    assert copies == pytest.approx(rate_interval(values))


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(400):
        rates = rng.beta(0.6, 1.4, 12)  # twelve tasks of their own difficulty, five problems each
        found = rate_interval((rng.random((12, 5)) < rates[:, None]).ravel(), [i // 5 for i in range(60)])
        hits += found.low <= 0.3 <= found.high
    assert 0.90 <= hits / 400 <= 0.985


@pytest.mark.parametrize("values", [[], [[0.5]], [1.5], [float("nan")]])
def test_what_is_no_rate_is_refused(values: list[float]) -> None:
    with pytest.raises(UsageError, match="at least one value"):
        rate_interval(values)


@pytest.mark.parametrize(
    ("value", "low", "high"), [(0.0, -0.49, 0.49), (0.5, 0.255, 0.745), (1.0, 0.51, 1.0), (-1.0, -1.0, -0.51)]
)
def test_differences_that_are_all_the_same_are_no_certainty(value: float, low: float, high: float) -> None:
    found = bootstrap_interval([value] * 4, 0)
    assert found == (value, pytest.approx(low, abs=0.005), pytest.approx(high, abs=0.005))
    compared = paired_permutation([max(value, 0.0)] * 4, [max(-value, 0.0)] * 4, 0)
    assert compared[1:3] == found[1:]


def test_a_difference_on_copies_of_one_problem_is_one_difference() -> None:
    a, b = [1.0] * 8 + [0.0] * 2, [0.0] * 8 + [1.0] * 2
    assert paired_permutation(a, b, 0).p_value > 0.05
    ten = paired_permutation([1.0] * 10, [0.0] * 10, 0)
    one = paired_permutation([1.0] * 10, [0.0] * 10, 0, clusters=[0] * 10)
    assert (ten.p_value < 0.01, one.p_value) == (True, 1.0)
    assert one.low < 0.3 < 0.7 < ten.low


def test_statements_are_the_same_whatever_their_white_space() -> None:
    cases = [StdinCase("", "")]
    texts = ["Add one.", "Add  one.\n", "Add two.", "Add one."]
    assert statements([Problem(str(i), text, cases) for i, text in enumerate(texts)]) == [0, 0, 1, 0]
    assert statements([Problem("a", "Add.", cases), Problem("b", "Add.", cases, prefix="def f(x):")]) == [0, 1]
