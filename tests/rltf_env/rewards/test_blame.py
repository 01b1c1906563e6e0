"""Blame: formulas on published tables, and which tokens pay for a wrong answer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest

from rltf_env import rewards, sandbox
from rltf_env.core import Attempt, CallCase, CaseResult, Failure, Outcome, Problem, Program, Verdict
from rltf_env.errors import UnknownName, UsageError
from rltf_env.rewards import blame
from rltf_env.rewards.blame import Blame

TEXT = "def f(x):\n    if x < 0:\n        y = -x\n    else:\n        y = x + 1\n    return y\n"
BRANCH = [({1, 2, 3, 6}, True), ({1, 2, 3, 6}, True), ({1, 2, 5, 6}, False), ({1, 2, 5, 6}, False)]


def verdict(cases: Sequence[tuple[set[int], bool]]) -> Verdict:
    wrong = Failure("WrongAnswer")
    return Verdict(
        tuple(
            CaseResult(
                Outcome.PASSED if good else Outcome.WRONG_ANSWER, None if good else wrong, executed=frozenset(lines)
            )
            for lines, good in cases
        )
    )


def program(text: str = TEXT, given: int = 0) -> Program:
    count = len(text) + 1
    return Program(np.arange(count), text, np.arange(count), given)


def attempt(cases: Sequence[tuple[set[int], bool]], given: int = 0) -> Attempt:
    return Attempt(Problem("p", "", [CallCase((1,), 1)], "f"), program(given=given), verdict(cases))


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        ("ochiai", {1: 0.7071, 2: 0.7071, 3: 0.0, 5: 1.0, 6: 0.7071}),
        ("tarantula", {1: 0.5, 2: 0.5, 3: 0.0, 5: 1.0, 6: 0.5}),
        ("dstar", {1: 2.0, 2: 2.0, 3: 0.0, 5: math.inf, 6: 2.0}),
    ],
)
def test_the_branch_of_the_failing_cases_is_the_most_suspicious(formula: str, expected: dict[int, float]) -> None:
    assert blame.suspicion(verdict(BRANCH), formula) == pytest.approx(expected, abs=5e-5)


DSTAR_TABLE = [(4, 8), (4, 8), (4, 7), (4, 7), (1, 5), (3, 2), (1, 1), (2, 1), (0, 1)]  # e_f, e_p of F = 4, P = 8


@pytest.mark.parametrize(
    ("formula", "expected"),
    [
        (blame.dstar, [2, 2, 2.2857, 2.2857, 0.125, 3, 0.25, 1.3333, 0]),
        (blame.ochiai, [0.5774, 0.5774, 0.603, 0.603, 0.2041, 0.6708, 0.3536, 0.5774, 0]),
        (partial(blame.dstar, exponent=3), [8, 8, 9.1429, 9.1429, 0.125, 9, 0.25, 2.6667, 0]),
    ],
)
def test_formulas_give_the_table_of_the_dstar_paper(formula: object, expected: list[float]) -> None:
    assert [formula(f, p, 4, 8) for f, p in DSTAR_TABLE] == pytest.approx(expected, abs=5e-5)  # type: ignore[operator]


def test_tarantula_gives_its_own_example() -> None:
    counts = [(1, 5)] * 3 + [(1, 3), (0, 1), (1, 2), (1, 1), (0, 2), (0, 2), (0, 1), (0, 1), (0, 0), (1, 5)]
    expected = [0.5, 0.5, 0.5, 0.625, 0, 0.7143, 0.8333, 0, 0, 0, 0, 0, 0.5]
    assert [blame.tarantula(f, p, 1, 5) for f, p in counts] == pytest.approx(expected, abs=5e-5)


def test_an_error_is_a_failing_case_and_without_a_passing_one_lines_differ_by_failures() -> None:
    """Lines 1 2 3 of an error and 1 2 4 of a wrong answer: F = 2, P = 0; Ochiai 2 / sqrt(2 * 2), 1 / sqrt(2 * 1)."""
    error = CaseResult(Outcome.RUNTIME_ERROR, Failure("KeyError"), executed=frozenset({1, 2, 3}))
    both = Verdict((error, *verdict([({1, 2, 4}, False)]).results))
    assert blame.suspicion(both) == pytest.approx({1: 1.0, 2: 1.0, 3: 0.7071, 4: 0.7071}, abs=5e-5)
    assert blame.suspicion(both, "tarantula") == {1: 1.0, 2: 1.0, 3: 1.0, 4: 1.0}
    assert blame.suspicion(verdict([({1, 2}, True)])) == {}


def test_doubling_cases_changes_neither_ochiai_nor_tarantula() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        failing, passing = (int(n) for n in rng.integers(1, 9, 2))
        failed, passed = int(rng.integers(0, failing + 1)), int(rng.integers(0, passing + 1))
        one, two = (failed, passed, failing, passing), (2 * failed, 2 * passed, 2 * failing, 2 * passing)
        assert blame.ochiai(*one) == pytest.approx(blame.ochiai(*two))
        assert blame.tarantula(*one) == pytest.approx(blame.tarantula(*two))
        assert blame.tarantula(*one) == pytest.approx(blame.tarantula(failed, 2 * passed, failing, 2 * passing))


def test_tokens_of_the_most_suspicious_line_pay_in_the_ratio_of_eq_9() -> None:
    feedback = Blame()(attempt(BRANCH))
    line = "        y = x + 1"
    at = TEXT.index(line)
    alpha = len(program()) / len(line)
    assert feedback.token_rewards[at : at + len(line)] == pytest.approx(-0.3 * alpha)
    assert np.count_nonzero(feedback.rewards) == np.count_nonzero(feedback.token_rewards) == len(line)
    assert feedback.program_reward == 0.0
    bare = Blame(alpha="none")(attempt(BRANCH))
    assert bare.token_rewards.sum() == pytest.approx(-0.3 * len(line), abs=1e-5)
    assert bare.total == pytest.approx(feedback.total) == pytest.approx(-0.3)
    clipped = rewards.load("blame", alpha="clipped", clip=2.0)(attempt(BRANCH))
    assert clipped.token_rewards[at] == pytest.approx(-0.6)
    assert clipped.total == pytest.approx(-0.3)


def test_all_lines_share_by_their_suspicion() -> None:
    feedback = Blame(share="all")(attempt(BRANCH))
    assert feedback.total == pytest.approx(-0.3)
    credit = feedback.token_rewards
    starts = [0, *(i + 1 for i, char in enumerate(TEXT) if char == "\n")]
    assert [credit[start] for start in starts[:6]] == pytest.approx([-0.2121, -0.2121, 0, 0, -0.3, -0.2121], abs=5e-5)
    infinite = Blame(share="all", formula="dstar")(attempt(BRANCH)).token_rewards
    assert [infinite[start] for start in starts[:6]] == pytest.approx([0, 0, 0, 0, -0.3, 0])


def test_a_token_on_two_lines_pays_for_the_more_suspicious() -> None:
    """Ochiai of lines a, b, c: 1, .7071, .7071; the first token spells `a` and `b`, the second `c`."""
    text = "a\nb\nc\n"
    spelled = Program(np.arange(3), text, np.array([0, 4, 6]))
    cases = verdict([({1, 2, 3}, False), ({2, 3}, True)])
    feedback = Blame(share="all")(Attempt(attempt(BRANCH).problem, spelled, cases))
    assert feedback.token_rewards.tolist() == pytest.approx([-0.3, -0.2121, 0], abs=5e-5)


@pytest.mark.parametrize(
    "cases",
    [
        [({1, 2, 3}, False), ({1, 2, 3}, False)],
        [({1, 2, 3}, False), ({1, 2, 5}, False)],
        [({1, 2, 3}, True), ({1, 2, 3}, False)],
        [({1, 2, 3}, True), ({1, 2, 4}, True)],
        [(set(), False), ({1, 2}, True)],
    ],
    ids=["none passes", "none passes on two paths", "one path", "passed", "failing case not traced"],
)
def test_nothing_is_paid_where_there_is_nothing_to_tell(cases: list[tuple[set[int], bool]]) -> None:
    assert not Blame()(attempt(cases)).rewards.any()


def test_an_error_is_left_to_other_rewards() -> None:
    failed = CaseResult(Outcome.RUNTIME_ERROR, Failure("KeyError"), executed=frozenset({1, 5}))
    mixed = Verdict((*verdict(BRANCH).results, failed))
    assert not Blame()(Attempt(attempt(BRANCH).problem, program(), mixed)).total


def test_lines_that_no_failing_case_ran_and_given_tokens_earn_nothing() -> None:
    for share in blame.SHARES:
        assert not Blame(share=share)(attempt(BRANCH)).rewards[26:40].any()
    assert not Blame()(attempt(BRANCH, given=len(TEXT) - 14)).rewards.any()


def test_options_without_sense_are_refused() -> None:
    with pytest.raises(UnknownName, match="ochiai"):
        rewards.load("blame", formula="ochai")
    with pytest.raises(UsageError, match="clipped"):
        rewards.load("blame", clip=3.0)
    with pytest.raises(UsageError, match="trace_cases=True"):
        Blame()(Attempt(attempt(BRANCH).problem, program(), Verdict((CaseResult(Outcome.PASSED),))))


@pytest.mark.parametrize("backend", ["forkserver", "subprocess"])
def test_the_judge_and_the_reward_find_the_wrong_branch(backend: str) -> None:
    cases = [CallCase((x,), abs(x)) for x in (-3, -1, 0, 4)]
    problem = Problem("abs", "", cases, "f")
    with sandbox.load(backend, workers=1, trace_cases=True) as judge:
        result = judge.run(TEXT, problem)
    assert result.pass_ratio == 0.5
    feedback = rewards.load("rltf+blame")(Attempt(problem, program(), result))
    assert feedback.parts["blame"] == pytest.approx(-0.3)
    assert feedback.parts["fine"] == 0.0
