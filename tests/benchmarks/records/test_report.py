"""Figures of a record, worked by hand; pass@k against all draws of k."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import pytest

from benchmarks.core import Answer, JudgedAnswer, Key
from benchmarks.records.report import report
from rltf_env.core import CaseResult, Failure, Outcome, Verdict
from rltf_env.errors import UsageError

PASS = CaseResult(Outcome.PASSED)
WRONG = CaseResult(Outcome.WRONG_ANSWER, Failure("WrongAnswer"))
ERROR = CaseResult(Outcome.RUNTIME_ERROR, Failure("KeyError"))


def sample(problem: str, number: int, *results: CaseResult, **more: Any) -> JudgedAnswer:
    answer = Answer(f"x = {number}", tokens=more.pop("tokens", None), truncated=more.pop("truncated", False))
    return JudgedAnswer(Key(problem, number), answer, Verdict(results), **more)


SAMPLES = [
    sample("a", 0, PASS, PASS, tokens=10, difficulty="easy", visible=(Outcome.PASSED,)),
    sample("a", 1, PASS, WRONG, tokens=20, difficulty="easy", visible=(Outcome.PASSED,), truncated=True),
    sample("b", 0, ERROR, WRONG, tokens=30, difficulty="hard"),
    sample("b", 1, WRONG, WRONG, tokens=40, difficulty="hard"),
]


def test_report_by_hand() -> None:
    found = report(SAMPLES, 2, (1, 2))
    assert (found["problems"], found["passed"]) == (["a", "b"], [1, 0])
    assert [found["pass@k"][k]["value"] for k in ("1", "2")] == [0.25, 0.5]
    assert found["pass_ratio"]["value"] == pytest.approx((1 + 0.5 + 0 + 0) / 4)
    assert found["outcomes"]["all"] == {"WRONG_ANSWER": 2, "PASSED": 1, "RUNTIME_ERROR": 1}
    assert found["outcomes"]["hard"] == {"RUNTIME_ERROR": 1, "WRONG_ANSWER": 1}
    kinds = {"all": {"WrongAnswer": 2, "KeyError": 1}, "easy": {"WrongAnswer": 1}}
    assert found["kinds"] == {**kinds, "hard": {"KeyError": 1, "WrongAnswer": 1}}
    assert {name: value["value"] for name, value in found["difficulty"].items()} == {"easy": 0.5, "hard": 0.0}
    assert (found["gap"]["problems"], found["gap"]["visible"], found["gap"]["hidden"]) == (1, 1.0, 0.5)
    assert (found["tokens"], found["truncated"], found["distinct"]) == (
        {"programs": 4, "mean": 25.0, "most": 40},
        1,
        1.0,
    )


def test_pass_at_k_of_a_report_is_the_share_of_all_draws_that_have_a_passing_program() -> None:
    rng = np.random.default_rng(0)
    passed = rng.random((7, 6)) < 0.3
    samples = [sample(str(p), i, PASS if passed[p, i] else WRONG) for p in range(7) for i in range(6)]
    found = report(samples, 6, (1, 2, 3, 6))["pass@k"]
    for k in (1, 2, 3, 6):
        draws = [[any(row[i] for i in draw) for draw in combinations(range(6), k)] for row in passed]
        assert found[str(k)]["value"] == pytest.approx(np.mean(draws))


def test_missing_samples_are_an_error() -> None:
    with pytest.raises(UsageError, match=r"Expected 2 samples for every problem, got others for \['b'\]"):
        report(SAMPLES[:3], 2, (1,))


def test_problems_that_ask_the_same_are_one_piece_of_evidence() -> None:
    samples = [sample(f"p{i}", 0, PASS if i < 4 else WRONG) for i in range(8)]
    alone = report(samples, 1, (1,))["pass@k"]["1"]
    pairs = report(samples, 1, (1,), {"p1": "p0", "p3": "p2", "p5": "p4", "p7": "p6"})["pass@k"]["1"]
    assert pairs["value"] == alone["value"] == 0.5
    assert pairs["high"] - pairs["low"] > 1.2 * (alone["high"] - alone["low"])
