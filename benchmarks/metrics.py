"""Numbers and how sure they are: pass@k, histograms of outcomes, intervals over problems, paired comparison of two records.

Last stop of the flow: verdicts become the figures that are published. Everything is a pure function of arrays; randomness is
an argument. N is the number of problems, the unit that is resampled: samples of one problem are not independent evidence.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple, overload

import numpy as np
import numpy.typing as npt

from rltf_env.core import Outcome, Verdict
from rltf_env.errors import UsageError
from rltf_env.intervals import Interval, wilson

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.integer] | Sequence[int]
Seed = int | np.random.Generator  # an int seeds a generator of the call's own

BLOCK = 2_000_000  # resampled values held at a time: bounds memory whatever N and the number of resamples


class Comparison(NamedTuple):
    """How much better `a` is than `b` on the same problems: mean of a - b, its interval, and the two-sided p-value."""

    difference: float
    low: float
    high: float
    p_value: float


# ------------------------------------------------------------------------------------------------------------ pass@k


@overload
def pass_at_k(n: int, c: int, k: int) -> float: ...
@overload
def pass_at_k(n: Counts, c: int | Counts, k: int) -> Floats: ...
@overload
def pass_at_k(n: int, c: Counts, k: int) -> Floats: ...
def pass_at_k(n: int | Counts, c: int | Counts, k: int) -> float | Floats:
    """Chance that at least one of k programs, drawn without replacement from n of which c pass, passes.

        pass@k = 1 - C(n - c, k) / C(n, k)                       (HumanEval, arXiv 2107.03374, eq. 1)

    The unbiased estimator; 1 - (1 - c/n)^k is biased downwards. Computed in whole numbers and rounded once, so it is exact to
    the last bit where the paper's product of c factors gathers rounding errors.

    Args:
        n: programs sampled per problem, a whole number or an array (N,).
        c: how many of them passed, 0 <= c <= n, of a shape that broadcasts with `n`.
        k: 1 <= k <= n.

    Returns:
        In [0, 1]: a float, or float64 (N,) if `n` or `c` is an array. The benchmark's figure is its mean over problems.
    """
    ns, cs = np.broadcast_arrays(_whole(n, "n"), _whole(c, "c"))
    _check_counts(ns, cs, k)
    each = [_pass_at_k(n_, c_, k) for n_, c_ in zip(ns.ravel().tolist(), cs.ravel().tolist(), strict=True)]
    return np.array(each, np.float64).reshape(ns.shape) if ns.ndim else each[0]


@lru_cache(maxsize=65_536)  # a benchmark's problems share few counts
def _pass_at_k(n: int, c: int, k: int) -> float:
    ways = math.comb(n, k)
    return (ways - math.comb(n - c, k)) / ways  # whole numbers of any size; Python rounds their quotient correctly


def _whole(value: npt.ArrayLike, name: str) -> npt.NDArray[np.int64]:
    array = np.asarray(value)
    if not np.issubdtype(array.dtype, np.integer):
        raise UsageError(f"Expected {name} to be a whole number or an array of them, got {array.dtype}: {value!r}.")
    return array.astype(np.int64)


def _check_counts(n: npt.NDArray[np.int64], c: npt.NDArray[np.int64], k: int) -> None:
    if ((c < 0) | (c > n)).any():
        raise UsageError(f"Expected 0 <= c <= n programs that pass, got c from {c.min()} to {c.max()}, n = {n.min()}.")
    if k < 1 or (n < k).any():
        raise UsageError(
            f"Expected 1 <= k <= n, got k = {k} with {n.min() if n.size else 0} programs for some problem. "
            "Sample more programs per problem, or ask for a smaller k."
        )


# -------------------------------------------------------------------------------------------------------- histograms


def outcome_histogram(verdicts: Iterable[Verdict]) -> dict[Outcome, int]:
    """How many programs had each outcome, worst first; outcomes that did not occur count 0."""
    count = Counter(verdict.outcome for verdict in verdicts)
    return {outcome: count[outcome] for outcome in Outcome}


def failure_histogram(verdicts: Iterable[Verdict]) -> dict[str, int]:
    """How many programs failed by each `Failure.kind` (that of their worst case), most frequent first, ties by name."""
    count = Counter(verdict.failure.kind for verdict in verdicts if verdict.failure is not None)
    return dict(sorted(count.items(), key=lambda item: (-item[1], item[0])))


def mean_pass_ratio(verdicts: Iterable[Verdict]) -> float:
    """Mean over programs of the share of cases passed, in [0, 1]."""
    return float(_values([verdict.pass_ratio for verdict in verdicts], "pass ratios").mean())


# --------------------------------------------------------------------------------------------------------- intervals


def wilson_interval(passed: int, n: int, *, level: float = 0.95) -> Interval:
    """Interval of a share of n independent yes/no results (Wilson 1927); never empty, also for 0 or n passed.

    With z the normal quantile of (1 + level)/2 and p = passed/n:

        (p + z^2/2n  -+  z sqrt(p (1 - p)/n + z^2/4n^2)) / (1 + z^2/n)

    For one program for each of n different problems; else `rltf_env.intervals.rate_interval`.
    """
    if n < 1 or not 0 <= passed <= n:
        raise UsageError(f"Expected 0 <= passed <= n and n >= 1, got {passed} of {n}.")
    p = passed / n
    return Interval(p, *wilson(p, n, level))


def bootstrap_interval(
    values: npt.ArrayLike,
    rng: Seed,
    *,
    level: float = 0.95,
    samples: int = 10_000,
    clusters: Sequence[int] | None = None,
) -> Interval:
    """Percentile bootstrap interval of the mean over problems (Efron 1979), for figures in [-1, 1] such as differences.

    Args:
        values: (N,), one figure per problem.
        rng: a generator or a seed.
        level: confidence, in (0, 1).
        samples: number of resamples.
        clusters: (N,), problems that are drawn together because they ask the same; None: each stands alone.

    Values that are all the same have no spread to resample. That is no certainty: with n clusters of the same value c, at
    least 1 - q of all others have it too, q = z^2 / (n + z^2) by Wilson; the rest may differ not at all, or as much as can
    be: in the direction of c, in both if c is 0. For rates there is `rltf_env.intervals.rate_interval`.
    """
    array = _values(values, "values")
    sums, sizes = _clustered(array, clusters)
    value, draws = float(array.mean()), _samples(samples)
    if np.ptp(array) == 0:
        share = wilson(1.0, len(sums), _level(level))[0]
        low, high = (value * share + rest * (1 - share) for rest in (-(value <= 0), value >= 0))
        return Interval(value, low, high)
    means = _resampled(sums, sizes, np.random.default_rng(rng), draws)
    return Interval(value, *_percentiles(means, level))


def paired_permutation(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    rng: Seed,
    *,
    level: float = 0.95,
    samples: int = 10_000,
    clusters: Sequence[int] | None = None,
) -> Comparison:
    """Is `a` better than `b` on the same problems? Sign-flip permutation test, with a paired bootstrap interval.

    If the two do not differ, each problem's difference is as likely to have the other sign. The p-value is the share of sign
    patterns whose mean difference is at least as far from 0 as the one seen: over all patterns where there are no more than
    `samples` of them, otherwise over `samples` random ones with the one seen counted in (so it is never 0).

    Args:
        a, b: (N,), figures of two records for the same problems in the same order.
        rng: a generator or a seed.
        level: confidence of the interval of mean(a - b), which resamples problems (`bootstrap_interval`).
        samples: number of random sign patterns, and of resamples.
        clusters: (N,), problems that ask the same: their differences have one sign, and are drawn together.
    """
    first, second = _values(a, "a"), _values(b, "b")
    if first.shape != second.shape:
        raise UsageError(f"Expected figures for the same problems, got {len(first)} and {len(second)} of them.")
    generator, difference = np.random.default_rng(rng), first - second
    sums = _clustered(difference, clusters)[0]
    p_value = _sign_flip(sums[sums != 0], generator, _samples(samples))
    interval = bootstrap_interval(difference, generator, level=level, samples=samples, clusters=clusters)
    return Comparison(interval.value, interval.low, interval.high, p_value)


def _clustered(values: Floats, clusters: Sequence[int] | None) -> tuple[Floats, Floats]:
    """The sum of each cluster's values (G,), and how many they are (G,)."""
    if clusters is None:
        return values, np.ones(len(values))
    if len(clusters) != len(values):
        raise UsageError(f"Expected a cluster for each of {len(values)} values, got {len(clusters)} of them.")
    groups = np.unique(np.asarray(clusters), return_inverse=True)[1]
    return np.bincount(groups, values).astype(np.float64), np.bincount(groups).astype(np.float64)


def over_runs(differences: npt.ArrayLike, *, level: float = 0.95) -> Comparison:
    """The mean of `differences` (R,), one for each pair of runs that share a seed, with Student's interval and p-value (1908).

    What other seeds would give: runs, not problems, are the evidence. With few runs the interval is wide, as it should be. It
    supposes differences of about normal distribution. Equal ones, which rates of few problems can be by chance, do not say how
    much runs differ: the interval then has no width, and the p-value is that of equal signs alone, 2^(1 - R).

    Raises:
        UsageError: fewer than two runs.
    """
    array = _values(differences, "differences")
    freedom = len(array) - 1
    if freedom < 1:
        raise UsageError("Expected at least two runs to know how much runs differ, got one. Train with more seeds.")
    mean, error = float(array.mean()), float(array.std(ddof=1) / math.sqrt(len(array)))
    if error <= 1e-9 * abs(mean):  # equal, but for rounding
        return Comparison(mean, mean, mean, 1.0 if mean == 0 else 2.0**-freedom)
    half = _student_quantile((1 + _level(level)) / 2, freedom) * error
    return Comparison(mean, mean - half, mean + half, 2 * _student_tail(abs(mean) / error, freedom))


def _student_tail(t: float, freedom: int) -> float:
    """P(T > t) for t >= 0. With t = sqrt(v) tan(a), T's density becomes cos(a)^(v-1) on (-pi/2, pi/2)."""
    angles = np.linspace(math.atan2(t, math.sqrt(freedom)), math.pi / 2, 20_001)
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    heights = np.cos(angles) ** (freedom - 1)
    return float(scale * (heights[1:] + heights[:-1]).sum() / 2 * (angles[1] - angles[0]))


def _student_quantile(p: float, freedom: int) -> float:
    """t with P(T <= t) = p, for p > 1/2, by bisection on the angle."""
    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        tail = _student_tail(math.sqrt(freedom) * math.tan(middle), freedom)
        low, high = (middle, high) if tail > 1 - p else (low, middle)
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def mcnemar(down: int, up: int) -> float:
    """Two-sided exact p-value that flips one way are as likely as the other (McNemar 1947): 2 P(X <= min), X ~ B(n, 1/2).

    Args:
        down, up: pairs that changed each way; those that did not change say nothing.
    """
    if min(down, up) < 0:
        raise UsageError(f"Expected numbers of pairs >= 0, got {down} and {up}.")
    n = down + up
    tail = sum(math.comb(n, i) for i in range(min(down, up) + 1))
    return min(1.0, 2 * tail / 2**n)


def gathered(n: int, marked: int, chosen: int, both: int) -> float:
    """Exact p-value that the marked are no more frequent among the chosen than elsewhere (Fisher 1935, one-sided).

    P(X >= `both`), where X counts the marked among `chosen` of `n` drawn without replacement, `marked` of which are marked.
    """
    if not (0 <= both <= min(marked, chosen) and max(marked, chosen) <= n and marked + chosen - both <= n):
        raise UsageError(f"Expected counts that fit together, got n={n}, {marked}, {chosen} and {both} in both.")
    ways = sum(math.comb(marked, i) * math.comb(n - marked, chosen - i) for i in range(both, min(marked, chosen) + 1))
    return ways / math.comb(n, chosen)


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values of several comparisons, adjusted so that one false alarm among all is as unlikely as each promises.

    Holm 1979: the i-th smallest of m is multiplied by m - i + 1, and is at least the one before, at most 1. In the order given.
    """
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted, largest = [1.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * p_values[i]))
        adjusted[i] = largest
    return adjusted


def _sign_flip(difference: Floats, rng: np.random.Generator, samples: int) -> float:
    """Two-sided p-value; `difference` (M,) without zeros, which no sign changes."""
    m = len(difference)
    observed = abs(difference.sum()) - 1e-9 * np.abs(difference).sum()  # equal sums may differ by rounding: they count
    if 2**m <= samples:
        patterns = 1 - 2 * (np.arange(2**m)[:, None] >> np.arange(m) & 1)  # (2^M, M)
        return float((np.abs(patterns @ difference) >= observed).mean())

    def draw(rows: int) -> Floats:
        return rng.choice(np.array([-1.0, 1.0]), size=(rows, m)) @ difference

    extreme = sum(int((np.abs(sums) >= observed).sum()) for sums in _blocks(draw, samples, m))
    return (1 + extreme) / (1 + samples)


def _resampled(sums: Floats, sizes: Floats, rng: np.random.Generator, samples: int) -> Floats:
    """Means of `samples` draws of G clusters with replacement: (samples,)."""
    n, alone = len(sums), bool((sizes == 1).all())

    def draw(rows: int) -> Floats:
        chosen = rng.integers(0, n, size=(rows, n))
        return sums[chosen].mean(axis=1) if alone else sums[chosen].sum(axis=1) / sizes[chosen].sum(axis=1)

    return np.concatenate(list(_blocks(draw, samples, n)))


def _blocks(draw: Callable[[int], Floats], samples: int, width: int) -> Iterator[Floats]:
    """`draw(rows)` until there are `samples` rows, a bounded number of values at a time."""
    step = max(1, BLOCK // width)
    for start in range(0, samples, step):
        yield draw(min(step, samples - start))


def _percentiles(means: Floats, level: float) -> tuple[float, float]:
    tail = (1 - _level(level)) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _values(values: npt.ArrayLike, name: str) -> Floats:
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not len(array):
        raise UsageError(f"Expected {name} of shape (N,), one per problem and at least one, got shape {array.shape}.")
    if not np.isfinite(array).all():
        raise UsageError(f"Expected finite {name}, got {int((~np.isfinite(array)).sum())} that are NaN or infinite.")
    return array


def _level(level: float) -> float:
    if not 0 < level < 1:
        raise UsageError(f"Expected a confidence level in (0, 1), say 0.95, got {level}.")
    return level


def _samples(samples: int) -> int:
    if samples < 1:
        raise UsageError(f"Expected at least one resample, got {samples}.")
    return samples
