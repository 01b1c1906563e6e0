"""How sure a rate is, by one method everywhere: terminal, report, record, leaderboard, demo.

A rate is the mean of one figure in [0, 1] for each problem: its pass@k, its share of cases passed. Problems that share a
statement are one task, whatever they are called: they stand in one *cluster*, and clusters are the evidence.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rltf_env.core import Problem
from rltf_env.errors import UsageError


class Interval(NamedTuple):
    """An estimate with the ends of its confidence interval."""

    value: float
    low: float
    high: float


def statements(problems: Iterable[Problem]) -> list[int]:
    """A number for each problem (N,): equal for those that ask the same, white space and given code considered."""
    seen: dict[tuple[str, str, str | None], int] = {}
    asked = ((" ".join(p.statement.split()), p.prefix.strip(), p.entry_point) for p in problems)
    return [seen.setdefault(each, len(seen)) for each in asked]


def rate_interval(values: npt.ArrayLike, clusters: Sequence[int] | None = None, *, level: float = 0.95) -> Interval:
    """The mean of `values` with Wilson's interval (1927) for as many yes/no results as the values are worth.

    With m the mean of N values, r_g the sum of (value - m) over cluster g of G, and z the normal quantile:

        se^2 = sum_g r_g^2 / N^2                    the variance of m over clusters
        n    = m (1 - m) / se^2                     results that would give it (Korn and Graubard 1998); G if it is 0
        (m + z^2/2n  -+  z sqrt(m (1 - m)/n + z^2/4n^2)) / (1 + z^2/n)

    For one program for each of N different problems that is Wilson's own interval. It never has no width: 0 of 4 is 0 %
    to 49 %.

    Args:
        values: (N,), in [0, 1].
        clusters: (N,), which values belong together; None: each stands alone.
        level: confidence, in (0, 1).

    Raises:
        UsageError: no values, or values beyond [0, 1].
    """
    array = np.asarray(values, np.float64)
    if array.ndim != 1 or not len(array) or not ((array >= 0) & (array <= 1)).all():
        raise UsageError(f"Expected at least one value, each in [0, 1], of shape (N,), got {array!r:.200}.")
    mean = min(max(float(array.mean()), 0.0), 1.0)
    groups = np.arange(len(array)) if clusters is None else np.unique(np.asarray(clusters), return_inverse=True)[1]
    sums = np.bincount(groups, array - mean)
    count = len(sums)
    variance = float((sums**2).sum()) / len(array) ** 2
    low, high = wilson(mean, mean * (1 - mean) / variance if variance > 1e-18 else count, level)
    return Interval(mean, low, high)


def wilson(rate: float, n: float, level: float = 0.95) -> tuple[float, float]:
    """The ends of Wilson's interval of a rate of `n` independent yes/no results; exactly 0 and 1 for rates of 0 and 1."""
    if not 0 < level < 1:
        raise UsageError(f"Expected a confidence level in (0, 1), say 0.95, got {level}.")
    z = NormalDist().inv_cdf((1 + level) / 2)
    centre = rate + z * z / (2 * n)
    half = z * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    return (0.0 if rate == 0 else (centre - half) / scale), (1.0 if rate == 1 else (centre + half) / scale)
