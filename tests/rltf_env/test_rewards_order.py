"""No crash beats a wrong answer: the order of the outcomes, over all failures, baselines, lines, lengths and rewards.

What is compared is everything that an agent may learn from: the return of the episode (`Feedback.total`), what every token weighs
(`Feedback.program_reward`) and what the program's tokens weigh in the mean (`Feedback.weights`).
"""

from __future__ import annotations

import builtins
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rltf_env import rewards
from rltf_env.core import (
    Attempt,
    CaseResult,
    ComparativeReward,
    Failure,
    FailureKind,
    Feedback,
    Outcome,
    Problem,
    Program,
    StdinCase,
    Verdict,
)
from rltf_env.rewards._categories import TABLE_2
from rltf_env.rewards.fine import ALPHAS
from rltf_env.rewards.rltf import PAPER, RELEASED_CODE

PROBLEM = Problem("p", "Any.", [StdinCase("", "")] * 4)
KINDS = sorted({*TABLE_2, *(value for name, value in vars(FailureKind).items() if name.isupper()), "OSError", "Own"})
KINDS.remove(FailureKind.WRONG_ANSWER)
STRICT: list[tuple[str, dict[str, Any]]] = [  # a better outcome earns more
    ("rltf", {}),
    *(("rltf", {"alpha": alpha}) for alpha in ALPHAS),
    ("rltf", {"applies": "ordered", "weights": {"adaptive": 9.0}}),
    ("rltf", {"weights": {"fine": 0.0, "adaptive": 1.3}}),
    ("rltf", dict(RELEASED_CODE)),
    ("rltf", {"combine": "replace"}),
    ("coarse", {}),
    ("coarse+fine", {}),
    ("coarse+adaptive", {}),
    ("coarse+fine+adaptive", {}),
]
LOOSE: list[tuple[str, dict[str, Any]]] = [("adaptive", {}), ("fine", {}), ("fine+adaptive", {})]  # or the same


def failure(name: str, line: int | None) -> Failure:
    kind, _, detail = name.partition(":")
    found = getattr(builtins, kind, None)
    bases = tuple(base.__name__ for base in found.__mro__[1:-1]) if isinstance(found, type) else ("Exception",)
    return Failure(kind, "", line, detail, () if kind in vars(FailureKind).values() else bases)


@st.composite
def verdicts(draw: st.DrawFn) -> Verdict:
    """Any verdict on four cases."""
    passed = draw(st.integers(0, 4))
    good, wrong = CaseResult(Outcome.PASSED), CaseResult(Outcome.WRONG_ANSWER, Failure(FailureKind.WRONG_ANSWER))
    results = [good] * passed + [wrong] * (4 - passed)
    if draw(st.booleans()):
        why = failure(draw(st.sampled_from(KINDS)), draw(st.sampled_from([None, 1, 2, 3, 9])))
        syntax = why.is_a("SyntaxError") and draw(st.booleans())
        results[-1] = CaseResult(Outcome.SYNTAX_ERROR if syntax else Outcome.RUNTIME_ERROR, why)
    return Verdict(tuple(results[:1] if passed == 0 and draw(st.booleans()) else results))


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Three lines of a token a character, some of them given, cut off or not."""
    text = "\n".join(draw(st.sampled_from(["", "a", "bb" * 9, "c" * 80])) for _ in range(3))
    tokens = np.arange(len(text) + 1)
    return Program(tokens, text, tokens, draw(st.integers(0, len(text))), draw(st.booleans()))


def learnt(feedback: Feedback, program: Program) -> tuple[float, float, float]:
    return (
        feedback.total,
        feedback.program_reward,
        float(feedback.weights[program.generated_mask].mean(dtype=np.float64)),
    )


def earned(reward: Any, program: Program, verdict: Verdict, baseline: Verdict | None) -> tuple[float, float, float]:
    attempt = Attempt(PROBLEM, program, verdict)
    return learnt(reward(attempt) if baseline is None else reward.relative(attempt, baseline), program)


def rank(verdict: Verdict) -> tuple[int, float]:
    """A crash is a crash, whatever it passed before."""
    outcome = max(verdict.outcome, Outcome.RUNTIME_ERROR)
    return int(outcome), verdict.pass_ratio if outcome is Outcome.WRONG_ANSWER else 0.0


@pytest.mark.parametrize(("name", "options"), STRICT + LOOSE)
@settings(max_examples=150)
@given(program=programs(), pair=st.tuples(verdicts(), verdicts()), baseline=st.none() | verdicts())
def test_no_crash_beats_a_wrong_answer_and_no_wrong_answer_a_better_one(
    name: str, options: dict[str, Any], program: Program, pair: tuple[Verdict, Verdict], baseline: Verdict | None
) -> None:
    worse, better = sorted(pair, key=rank)
    if rank(worse) == rank(better):
        return
    reward = rewards.load(name, **options)
    assert isinstance(reward, ComparativeReward)
    strict = (name, options) in STRICT and rank(worse)[0] < rank(better)[0]
    margin = 1e-3 if strict else -1e-5
    pairs = zip(earned(reward, program, better, baseline), earned(reward, program, worse, baseline), strict=True)
    assert all(more >= less + margin for more, less in pairs), (better, worse)


@settings(max_examples=150)
@given(program=programs(), pair=st.tuples(verdicts(), verdicts()), baseline=st.none() | verdicts())
def test_what_runs_beats_what_is_no_python(
    program: Program, pair: tuple[Verdict, Verdict], baseline: Verdict | None
) -> None:
    worse, better = sorted(pair, key=lambda verdict: verdict.outcome)
    if worse.outcome is Outcome.SYNTAX_ERROR and better.outcome is Outcome.RUNTIME_ERROR:
        total, _, mean = earned(rewards.load("rltf"), program, better, baseline)
        less, _, less_mean = earned(rewards.load("rltf"), program, worse, baseline)
        assert total > less
        assert mean > less_mean


@settings(max_examples=150)
@given(program=programs(), verdict=verdicts(), baseline=verdicts(), alpha=st.sampled_from(ALPHAS))
def test_a_return_is_of_the_scale_of_the_outcome_however_long_the_program(
    program: Program, verdict: Verdict, baseline: Verdict, alpha: str
) -> None:
    reward = rewards.load("rltf", alpha=alpha)
    assert -1.6 - 1e-5 <= earned(reward, program, verdict, None)[0] <= 1.0
    assert -2.6 - 1e-5 <= earned(reward, program, verdict, baseline)[0] <= 2.3 + 1e-5


@settings(max_examples=100)
@given(program=programs(), verdict=verdicts(), baseline=verdicts())
def test_a_baseline_is_the_same_number_for_every_program(program: Program, verdict: Verdict, baseline: Verdict) -> None:
    reward: Any = rewards.load("rltf")
    above = [earned(reward, program, v, None)[1] - earned(reward, program, v, baseline)[1] for v in (verdict, baseline)]
    assert above[0] == pytest.approx(above[1])


def test_the_papers_own_reading_pays_a_crash_more_than_a_wrong_answer() -> None:
    """What the default departs from, and why."""
    reward: Any = rewards.load("rltf", **PAPER)
    tokens = np.arange(4)
    wrong = Verdict((CaseResult(Outcome.WRONG_ANSWER, Failure(FailureKind.WRONG_ANSWER)),))
    stuck = Verdict((CaseResult(Outcome.RUNTIME_ERROR, Failure(FailureKind.TIMEOUT)),))
    passed = Verdict((CaseResult(Outcome.PASSED),))
    found = [earned(reward, Program(tokens, "abc", tokens), verdict, passed)[0] for verdict in (wrong, stuck)]
    assert found == pytest.approx([-2.6, -1.9])
