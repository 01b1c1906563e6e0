"""How sure an evaluation is, for a terminal and a page: one method for both."""

from __future__ import annotations

import math

Z = 1.959964  # standard deviations on each side that hold 95 % of a normal distribution


def interval(rate: float, standard_error: float | None, problems: int) -> tuple[float, float] | None:
    """The ends of a 95 % interval of a rate over problems; None for fewer than two problems.

    Wilson's (1927), for as many yes/no results as give this standard error: where all problems have the
    same rate there is none to go by, and each problem counts as one. 0 of 4 is 0 % to 49 %, not 0 % to 0 %.
    """
    if problems < 2 or standard_error is None or math.isnan(standard_error):
        return None
    n = rate * (1 - rate) / standard_error**2 if standard_error > 0 and 0 < rate < 1 else problems
    centre = (rate + Z * Z / (2 * n)) / (1 + Z * Z / n)
    half = Z * math.sqrt(rate * (1 - rate) / n + Z * Z / (4 * n * n)) / (1 + Z * Z / n)
    return (0.0 if rate == 0 else centre - half), (1.0 if rate == 1 else centre + half)
