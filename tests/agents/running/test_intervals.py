"""Intervals of evaluations: never without width, the same method whatever the count."""

from __future__ import annotations

import math

import numpy as np
import pytest

from agents.running.intervals import interval
from benchmarks.metrics import wilson_interval


@pytest.mark.parametrize("passed", [0, 4])
def test_all_or_none_of_four_problems_is_no_certainty(passed: int) -> None:
    ends = interval(passed / 4, 0.0, 4)
    assert ends == pytest.approx(wilson_interval(passed, 4)[1:], abs=1e-6)
    assert ends is not None
    assert ends[1] - ends[0] > 0.4


def test_one_program_a_problem_is_wilson_s_interval() -> None:
    rates = np.array([1.0] * 30 + [0.0] * 70)
    error = float(rates.std() / math.sqrt(len(rates)))
    assert interval(0.3, error, 100) == pytest.approx(wilson_interval(30, 100)[1:], abs=1e-6)


def test_programs_that_agree_within_their_problem_are_no_more_evidence() -> None:
    narrow, wide = interval(0.5, 0.02, 100), interval(0.5, 0.06, 100)
    assert narrow is not None
    assert wide is not None
    assert wide[1] - wide[0] > 2.5 * (narrow[1] - narrow[0])


def test_of_one_problem_nothing_is_known() -> None:
    assert interval(1.0, None, 1) is None
    assert interval(1.0, math.nan, 1) is None
    assert interval(1.0, math.nan, 3) is None
