"""The measures of a sequence, on matrices worked by hand, and BLEU on sentences."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.continual import bleu, transfer
from benchmarks.continual.bleu import bleu4
from rltf_env.core import StdinCase
from rltf_env.errors import UsageError

MATRIX = [[50, 10, 5], [40, 60, 8], [30, 45, 70]]
HELPED = [[50, 10, 5], [55, 60, 8], [30, 45, 70]]  # the second task helped the first
BEFORE = [4, 6, 2]


def test_the_measures_of_three_tasks_are_those_worked_by_hand() -> None:
    assert transfer.average(MATRIX[-1]) == pytest.approx(48.3333, abs=1e-4)
    assert transfer.learned(MATRIX) == 60.0
    assert transfer.forgetting(MATRIX) == 17.5
    assert transfer.backward(MATRIX) == -17.5
    assert transfer.forward(MATRIX, BEFORE) == 5.0


def test_what_a_later_task_gave_and_the_last_took_is_forgotten_too() -> None:
    assert transfer.forgetting(HELPED) == 20.0
    assert transfer.backward(HELPED) == -17.5


def test_the_last_row_is_no_best_of_its_own_so_a_gain_is_below_zero() -> None:
    assert transfer.forgetting([[10, 0], [30, 50]]) == -20.0


def test_of_one_task_nothing_is_forgotten_or_transferred_and_that_is_not_zero() -> None:
    assert transfer.forgetting([[50]]) is None
    assert transfer.backward([[50]]) is None
    assert transfer.forward([[50]], [1]) is None
    assert transfer.average([50]) == transfer.learned([[50]]) == 50.0


@pytest.mark.parametrize("matrix", [[[1, 2]], [], [[float("nan")]], [1.0]])
def test_what_is_no_matrix_of_scores_is_refused(matrix: list) -> None:
    with pytest.raises(UsageError, match="square matrix of finite scores"):
        transfer.forgetting(matrix)
    with pytest.raises(UsageError, match="a score before the first task"):
        transfer.forward([[1, 2], [3, 4]], [1])
    with pytest.raises(UsageError, match="a finite score for each"):
        transfer.average([])


# ----------------------------------------------------------------------------------------------------------------- BLEU


@pytest.mark.parametrize(
    ("candidate", "reference", "expected"),
    [
        ("a b c d", "a b c d", 1.0),
        ("a b c d", "a b c e", 0.6580),  # (3/4 * 3/4 * 2/3 * 1/2)^(1/4)
        ("a b", "a b c d", 0.3679),  # all precisions 1; exp(1 - 4/2)
        ("a a a a", "a b", 0.3195),  # (1/4 * 1/4 * 1/3 * 1/2)^(1/4): one a counts once
        ("b a", "a b", 0.8409),  # (1 * 1/2 * 1 * 1)^(1/4)
        ("x y", "a b", 0.0),
        ("", "a", 0.0),
        ("a", "", 0.0),
    ],
)
def test_bleu_is_that_worked_by_hand(candidate: str, reference: str, expected: float) -> None:
    assert bleu4(candidate.split(), reference.split()) == pytest.approx(expected, abs=1e-4)


def test_a_longer_candidate_pays_in_precision_and_a_shorter_one_in_brevity() -> None:
    reference = list("abcdefgh")
    assert bleu4(reference[:6], reference) == pytest.approx(math.exp(1 - 8 / 6))
    assert bleu4([*reference, "x"], reference) == pytest.approx((8 / 9 * 8 / 9 * 7 / 8 * 6 / 7) ** 0.25)


def test_tokens_are_words_and_single_signs_and_the_nearest_reference_counts() -> None:
    assert bleu.tokens("x = f(n_1)+2;") == ["x", "=", "f", "(", "n_1", ")", "+", "2", ";"]
    assert bleu.best("return  a\n", ["return b", "return a"]) == 1.0


def test_a_row_of_two_texts_is_a_problem_whose_reference_is_the_target() -> None:
    problem = bleu.text_pair({"java": "int a;", "cs": "int b;", "id": 3})
    assert problem is not None
    assert (problem.id, problem.statement, problem.solutions) == ("3", "int a;", ["int b;"])
    assert problem.cases == [StdinCase("", "int b;")]
    summary = bleu.text_pair({"code": "int a;", "docstring": ["an", "int"]})
    assert summary is not None
    assert summary.solutions == ["an int"]
    assert len(summary.id) == 16
    assert bleu.text_pair({"text": "a"}) is None
    assert bleu.text_pair({"source": "a", "target": ""}) is None


def test_scores_may_be_any_array() -> None:
    assert transfer.forgetting(np.array(MATRIX) / 100) == pytest.approx(0.175)
