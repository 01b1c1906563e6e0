"""Metrics against enumeration, tables worked by hand, and the coverage that their intervals promise."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from benchmarks import metrics
from benchmarks.metrics import bootstrap_interval, holm, over_runs, paired_permutation, pass_at_k, wilson_interval
from rltf_env.core import CaseResult, Failure, Outcome, Verdict
from rltf_env.errors import UsageError


def verdict(*outcomes: Outcome, kind: str = "WrongAnswer") -> Verdict:
    return Verdict(tuple(CaseResult(o, None if o is Outcome.PASSED else Failure(kind)) for o in outcomes))


# ------------------------------------------------------------------------------------------------------------ pass@k


@pytest.mark.parametrize("n", range(1, 8))
def test_pass_at_k_is_the_share_of_draws_with_a_program_that_passes(n: int) -> None:
    for c, k in itertools.product(range(n + 1), range(1, n + 1)):
        draws = list(itertools.combinations([True] * c + [False] * (n - c), k))
        assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, draws)) / len(draws), abs=1e-15)


@pytest.mark.parametrize(
    ("n", "c", "k", "expected"),
    [
        (1, 0, 1, 0.0),
        (1, 1, 1, 1.0),
        (2, 1, 1, 1 / 2),
        (4, 1, 2, 1 / 2),  # 3 of the 6 pairs hold the one that passes
        (5, 2, 2, 7 / 10),  # 1 - C(3,2)/C(5,2) = 1 - 3/10
        (5, 3, 3, 1.0),  # only two fail, so three always hold one that passes
        (10, 3, 5, 11 / 12),  # 1 - C(7,5)/C(10,5) = 1 - 21/252
        (200, 1, 100, 1 / 2),
    ],
)
def test_pass_at_k_by_hand(n: int, c: int, k: int, expected: float) -> None:
    assert pass_at_k(n, c, k) == expected


def test_pass_at_k_agrees_with_the_product_of_the_paper() -> None:
    for n, c, k in [(200, 17, 10), (1000, 3, 100), (1000, 500, 5), (10, 9, 10)]:
        product = 1.0 - np.prod(1.0 - k / np.arange(n - c + 1, n + 1)) if n - c >= k else 1.0
        assert pass_at_k(n, c, k) == pytest.approx(product, rel=1e-12)


def test_pass_at_1_is_the_share_that_passes_to_the_last_bit() -> None:
    assert all(pass_at_k(1000, c, 1) == c / 1000 for c in range(1001))


def test_pass_at_k_survives_counts_whose_binomials_overflow_a_float() -> None:
    assert pass_at_k(100_000, 1, 1_000) == 0.01
    assert pass_at_k(5_000, 2_500, 2_500) == 1.0


def test_pass_at_k_of_arrays_is_pass_at_k_of_each() -> None:
    n, c = np.array([5, 5, 10, 200]), np.array([2, 0, 3, 200])
    assert pass_at_k(n, c, 2).tolist() == [pass_at_k(int(n_), int(c_), 2) for n_, c_ in zip(n, c, strict=True)]
    assert pass_at_k(5, [0, 2, 5], 2).tolist() == [0.0, 0.7, 1.0]
    assert pass_at_k(5, np.array([[2], [0]]), 2).shape == (2, 1)


def test_pass_at_k_is_unbiased_where_the_plug_in_estimate_is_not() -> None:
    p, n, k = 0.3, 6, 4  # expectation over c ~ Binomial(n, p), exactly
    chance = [math.comb(n, c) * p**c * (1 - p) ** (n - c) for c in range(n + 1)]
    true = 1 - (1 - p) ** k
    assert sum(w * pass_at_k(n, c, k) for c, w in enumerate(chance)) == pytest.approx(true, abs=1e-12)
    assert sum(w * (1 - (1 - c / n) ** k) for c, w in enumerate(chance)) < true - 0.01


@pytest.mark.parametrize(
    ("n", "c", "k", "message"),
    [
        (5, 6, 1, "0 <= c <= n"),
        (5, -1, 1, "0 <= c <= n"),
        (5, 2, 6, "Sample more programs"),
        (5, 2, 0, "1 <= k <= n"),
        ([5, 1], [2, 1], 2, "Sample more programs"),
        (5.0, 2, 1, "whole number"),
        (5, [0.4], 1, "whole number"),
    ],
)
def test_impossible_counts_are_refused(n: object, c: object, k: int, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        pass_at_k(n, c, k)  # pyright: ignore


# -------------------------------------------------------------------------------------------------------- histograms


def test_histogram_counts_the_worst_case_of_each_program_and_keeps_zeros() -> None:
    passed, wrong = verdict(Outcome.PASSED), verdict(Outcome.PASSED, Outcome.WRONG_ANSWER)
    assert metrics.outcome_histogram([passed, wrong, wrong]) == {
        Outcome.SYNTAX_ERROR: 0,
        Outcome.RUNTIME_ERROR: 0,
        Outcome.WRONG_ANSWER: 2,
        Outcome.PASSED: 1,
    }
    assert list(metrics.outcome_histogram([])) == list(Outcome)


def test_failures_are_counted_by_kind_most_frequent_first() -> None:
    error = Outcome.RUNTIME_ERROR
    kinds = ["KeyError", "Timeout", "Timeout", "IndexError"]
    verdicts = [verdict(Outcome.PASSED), *(verdict(error, kind=kind) for kind in kinds)]
    assert list(metrics.failure_histogram(verdicts).items()) == [("Timeout", 2), ("IndexError", 1), ("KeyError", 1)]


def test_mean_pass_ratio_weighs_programs_alike_whatever_their_number_of_cases() -> None:
    half = verdict(Outcome.PASSED, Outcome.WRONG_ANSWER)
    none = verdict(*[Outcome.WRONG_ANSWER] * 8)
    assert metrics.mean_pass_ratio([half, none]) == 0.25
    with pytest.raises(UsageError, match="at least one"):
        metrics.mean_pass_ratio([])


# --------------------------------------------------------------------------------------------------------- intervals


@pytest.mark.parametrize(
    ("passed", "n", "low", "high"),
    [  # Newcombe 1998 (Statistics in Medicine 17), table I, method 3
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_interval_reproduces_published_values(passed: int, n: int, low: float, high: float) -> None:
    interval = wilson_interval(passed, n)
    assert interval == (pytest.approx(passed / n), pytest.approx(low, abs=5e-5), pytest.approx(high, abs=5e-5))


def test_wilson_interval_of_all_is_the_mirror_of_none() -> None:
    none, all_ = wilson_interval(0, 20), wilson_interval(20, 20)
    assert (all_.low, all_.high) == (pytest.approx(1 - none.high), 1.0)


def test_bootstrap_of_two_values_has_the_binomial_quantiles() -> None:
    # Of four draws from {0, 1}, the number of ones is Binomial(4, 1/2): P(0) = P(4) = 1/16, P(<=1) = P(>=3) = 5/16.
    values = [0.0, 0.0, 1.0, 1.0]
    assert bootstrap_interval(values, 0, level=0.95) == (0.5, 0.0, 1.0)  # tails of 2.5 % lie within the end points
    assert bootstrap_interval(values, 0, level=0.90) == (0.5, 0.0, 1.0)  # so do tails of 5 %
    assert bootstrap_interval(values, 0, level=0.80) == (0.5, 0.25, 0.75)  # tails of 10 % lie beyond them


def test_problems_that_ask_the_same_are_drawn_together_and_have_one_sign() -> None:
    """Clusters 1 1 1 and 0: means of two draws are 0, 3/4, 1, in 1/4, 1/2, 1/4 of all cases. Both signs of 3 reach 3."""
    values, clusters = [1.0, 1.0, 1.0, 0.0], [7, 7, 7, 2]
    assert bootstrap_interval(values, 0, level=0.60, clusters=clusters) == (0.75, 0.0, 1.0)
    assert bootstrap_interval(values, 0, level=0.40, clusters=clusters) == (0.75, 0.75, 0.75)
    result = paired_permutation(values, [0.0] * 4, 0, level=0.60, clusters=clusters)
    assert result == (0.75, 0.0, 1.0, 1.0)
    assert paired_permutation(values, [0.0] * 4, 0).p_value == 2 / 8
    with pytest.raises(UsageError, match="a cluster for each of 4 values, got 3"):
        bootstrap_interval(values, 0, clusters=clusters[:3])


def test_bootstrap_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(7)
    hits = 0
    for _ in range(300):
        interval = bootstrap_interval(rng.random(60) < 0.3, rng, samples=400)
        hits += interval.low <= 0.3 <= interval.high
    assert 0.90 <= hits / 300 <= 0.98


def test_same_seed_same_interval_and_the_global_generator_is_left_alone() -> None:
    values = np.linspace(0, 1, 50)
    before = np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002
    assert bootstrap_interval(values, 3) == bootstrap_interval(values, np.random.default_rng(3))
    assert bootstrap_interval(values, 3) != bootstrap_interval(values, 4)
    assert (np.random.get_state(legacy=False)["state"]["key"] == before).all()  # noqa: NPY002


def test_blocks_change_memory_and_not_the_result(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.linspace(0, 1, 40)
    whole = bootstrap_interval(values, 1, samples=500), paired_permutation(values, values[::-1] ** 2, 1, samples=500)
    monkeypatch.setattr(metrics, "BLOCK", 41)
    assert (
        bootstrap_interval(values, 1, samples=500),
        paired_permutation(values, values[::-1] ** 2, 1, samples=500),
    ) == whole


@pytest.mark.parametrize(
    ("a", "b", "p"),
    [
        ([1, 1, 1, 1], [0, 0, 0, 0], 2 / 16),  # only all + and all - are as far from 0
        ([1, 1, 1, 0], [0, 0, 0, 1], 10 / 16),  # sums of +-1: |2| or more in 16 - 6 patterns
        ([1, 0], [1, 0], 1.0),
        ([3, 1, 5, 5], [0, 0, 5, 5], 2 / 4),  # ties carry no sign; of +-3 +-1, two reach |4|
        ([0.1, 0.2, 0.3], [0.0, 0.0, 0.0], 2 / 8),  # sums that are equal but for rounding are equal
    ],
)
def test_permutation_p_value_by_hand(a: list[float], b: list[float], p: float) -> None:
    assert paired_permutation(a, b, 0).p_value == pytest.approx(p)


def test_difference_is_a_minus_b_and_its_interval_is_paired() -> None:
    rng = np.random.default_rng(0)
    b = rng.random(200)  # problems differ widely, the records by the same 0.1 on each
    result = paired_permutation(b + 0.1, b, rng)
    assert (result.difference, result.low, result.high) == pytest.approx((0.1, 0.1, 0.1))
    assert result.p_value == 1 / 10_001
    swapped = paired_permutation(b, b + 0.1, rng)
    assert swapped.difference == pytest.approx(-0.1)


def test_random_patterns_agree_with_all_patterns() -> None:
    a, b = np.random.default_rng(5).random((2, 12))
    exact = paired_permutation(a, b, 0, samples=4096).p_value
    assert (exact * 4096).is_integer(), "all 4,096 of them"
    assert paired_permutation(a, b, 0, samples=4095).p_value == pytest.approx(exact, abs=0.03)


def test_permutation_rejects_equal_records_no_more_often_than_it_says() -> None:
    rng = np.random.default_rng(11)
    p_values = [paired_permutation(*(rng.random((2, 40)) < 0.4), rng, samples=200).p_value for _ in range(300)]
    assert np.mean(np.array(p_values) <= 0.05) <= 0.08


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap_interval([], 0), "at least one"),
        (lambda: bootstrap_interval([0.0, math.nan], 0), "finite"),
        (lambda: bootstrap_interval([[0.0]], 0), "shape"),
        (lambda: bootstrap_interval([0.0], 0, level=95), "0.95"),
        (lambda: bootstrap_interval([0.0], 0, samples=0), "at least one resample"),
        (lambda: paired_permutation([1.0, 2.0], [1.0], 0), "same problems, got 2 and 1"),
        (lambda: wilson_interval(3, 2), "3 of 2"),
        (lambda: wilson_interval(0, 0), "n >= 1"),
    ],
)
def test_bad_input_says_what_was_expected(call, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call()


# --------------------------------------------------------------------------------------------------------- over runs


@pytest.mark.parametrize(("runs", "quantile"), [(2, 12.706), (3, 4.303), (5, 2.776), (11, 2.228), (31, 2.042)])
def test_interval_over_runs_has_students_quantile(runs: int, quantile: float) -> None:
    """Table of Student's t, 97.5 %: 1, 2, 4, 10 and 30 degrees of freedom."""
    differences = np.arange(runs, dtype=float)
    error = differences.std(ddof=1) / np.sqrt(runs)
    found = over_runs(differences)
    assert (found.high - found.difference) / error == pytest.approx(quantile, abs=1e-3)
    assert found.high - found.difference == pytest.approx(found.difference - found.low)


def test_p_value_over_runs_by_hand() -> None:
    """Two runs: t = 1 with one degree of freedom, Cauchy's distribution: P(|T| > 1) = 1/2."""
    assert over_runs([0.0, 1.0]).p_value == pytest.approx(0.5, abs=1e-6)
    assert over_runs([-1.0, 0.0]).p_value == pytest.approx(0.5, abs=1e-6)
    assert over_runs([1.0, -1.0]).p_value == pytest.approx(1.0, abs=1e-6)
    assert over_runs([0.1, 0.12, 0.11, 0.1, 0.13]).p_value < 0.001


def test_equal_runs_do_not_say_how_much_runs_differ() -> None:
    """A fair sign is the same in R runs with probability 2^(1 - R)."""
    assert over_runs([0.2, 0.2]) == (0.2, 0.2, 0.2, 0.5)
    seeds = [0.14333 - 0.12, 0.07667 - 0.05334, 0.12167 - 0.09834]  # equal, but for rounding
    assert over_runs(seeds).p_value == 0.25
    assert over_runs([0.0, 0.0, 0.0]) == (0.0, 0.0, 0.0, 1.0)


def test_one_run_does_not_say_how_runs_differ() -> None:
    with pytest.raises(UsageError, match="at least two runs"):
        over_runs([0.1])


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []


# ------------------------------------------------------------------------------------------------------ exact tests


@pytest.mark.parametrize(
    ("down", "up", "p"), [(9, 2, 134 / 2048), (2, 9, 134 / 2048), (6, 0, 2 / 64), (0, 0, 1.0), (3, 3, 1.0)]
)
def test_mcnemar_is_the_sum_worked_by_hand(down: int, up: int, p: float) -> None:
    assert metrics.mcnemar(down, up) == pytest.approx(p)


def test_gathered_is_the_tail_worked_by_hand() -> None:
    assert metrics.gathered(4, 2, 2, 2) == pytest.approx(1 / 6)
    assert metrics.gathered(8, 4, 4, 3) == pytest.approx(17 / 70)  # Fisher's tea: 16 + 1 of 70
    assert metrics.gathered(6, 2, 3, 2) == pytest.approx(1 / 5)  # 1 * 4 of 20
    assert metrics.gathered(5, 2, 3, 0) == 1.0
    with pytest.raises(UsageError, match="counts that fit together"):
        metrics.gathered(4, 2, 2, 3)
    with pytest.raises(UsageError, match=">= 0"):
        metrics.mcnemar(-1, 2)
