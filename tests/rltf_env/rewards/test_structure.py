"""The structure reward on literal programs, its order against passing, and its bounds."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from rltf_env import datasets, facts, rewards
from rltf_env.core import Attempt, CallCase, CaseResult, Failure, Outcome, Problem, Program, Verdict
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UnknownName, UsageError
from rltf_env.rewards.structure import Structure, share

SUM = "def f(x):\n    n = 0\n    for v in x:\n        n = n + v\n    return n\n"
FROM_ONE = "def f(x):\n    k = 1\n    for a in x:\n        k = k + a\n    return k\n"
BUILTIN = "def f(x):\n    return sum(x)\n"
KINDS = {Outcome.SYNTAX_ERROR: "SyntaxError", Outcome.WRONG_ANSWER: "WrongAnswer"}


def attempt(text: str, outcome: Outcome, references: tuple[str, ...] = (SUM,)) -> Attempt:
    problem = Problem("p", "", [CallCase(([1],), 1)], "f", solutions=references)
    failure = None if outcome is Outcome.PASSED else Failure(KINDS[outcome])
    verdict = Verdict((CaseResult(outcome, failure),), facts=facts.of(text))
    count = len(text) + 1
    return Attempt(problem, Program(np.arange(count), text, np.arange(count)), verdict)


@pytest.mark.parametrize(
    ("text", "outcome", "ast", "flow"),
    [
        (SUM, Outcome.PASSED, 1.0, 1.0),
        (FROM_ONE, Outcome.WRONG_ANSWER, 1.0, 1.0),
        (SUM.replace("n = n + v", "n = v"), Outcome.WRONG_ANSWER, 3 / 8, 3 / 4),
        (BUILTIN, Outcome.PASSED, 1 / 8, 0.0),
        ("def f(x:", Outcome.SYNTAX_ERROR, 0.0, 0.0),
    ],
)
def test_shares_are_those_counted_by_hand(text: str, outcome: Outcome, ast: float, flow: float) -> None:
    feedback = Structure()(attempt(text, outcome))
    assert dict(feedback.parts) == pytest.approx({"ast": ast, "flow": flow})
    assert feedback.program_reward == pytest.approx(ast + flow)


def test_each_share_has_a_weight_of_its_own() -> None:
    reward = rewards.load("structure", ast=0.5, flow=2.0)
    feedback = reward(attempt(SUM.replace("n = n + v", "n = v"), Outcome.WRONG_ANSWER))
    assert dict(feedback.parts) == pytest.approx({"ast": 3 / 16, "flow": 3 / 2})


def test_what_parses_and_does_not_compile_earns_nothing() -> None:
    stray = "return 1\n"
    assert facts.of(stray) is not None
    assert Structure()(attempt(stray, Outcome.SYNTAX_ERROR, (stray,))).total == 0.0


def test_weights_of_one_put_a_wrong_copy_above_a_right_program_and_a_quarter_does_not() -> None:
    def both(weight: float) -> tuple[float, float]:
        reward = rewards.load("coarse+structure", structure={"ast": weight, "flow": weight})
        wrong, right = attempt(FROM_ONE, Outcome.WRONG_ANSWER), attempt(BUILTIN, Outcome.PASSED)
        return reward(wrong).total, reward(right).total

    assert both(1.0) == pytest.approx((1.7, 1.125))
    assert both(0.25) == pytest.approx((0.2, 1.03125))


def test_the_best_match_of_several_references_counts() -> None:
    assert Structure()(attempt(BUILTIN, Outcome.PASSED, (SUM, BUILTIN))).total == 2.0
    assert Structure()(attempt(BUILTIN, Outcome.PASSED, ("not python (", SUM))).total == 0.125


def test_a_subtree_answers_for_one_of_the_reference() -> None:
    assert share(["a"], ["a", "a"]) == 0.5
    assert share(["a", "a", "b"], ["a"]) == 1.0
    assert (share([], []), share(["a"], [])) == (1.0, 0.0)


def test_without_reference_or_facts_nothing_is_earned() -> None:
    assert Structure()(attempt(SUM, Outcome.PASSED, ())).total == 0.0
    bare = attempt(SUM, Outcome.PASSED)
    assert Structure()(Attempt(bare.problem, bare.program, Verdict(bare.verdict.results))).total == 0.0


def test_only_failing_programs_earn_it_where_that_is_asked() -> None:
    assert Structure(when="fails")(attempt(SUM, Outcome.PASSED)).total == 0.0
    assert Structure(when="fails")(attempt(FROM_ONE, Outcome.WRONG_ANSWER)).total == 2.0
    with pytest.raises(UnknownName, match="compiles"):
        Structure(when="compile")


def test_own_references_score_one_and_all_scores_lie_between_zero_and_one() -> None:
    problems = datasets.load("procedural", size=40)
    for problem, other in pairwise(problems):
        own, strange = facts.of(problem.solutions[0]), facts.of(other.solutions[0])
        assert own is not None
        assert strange is not None
        assert share(own.tree, own.tree) == share(own.flow, own.flow) == 1.0
        assert 0.0 <= share(strange.tree, own.tree) <= 1.0


def test_the_environment_judges_with_facts_and_refuses_problems_without_references() -> None:
    (problem,) = datasets.load("procedural", size=1)
    with UnitTestEnv([problem], reward="coarse+structure", sandbox_options={"workers": 1}) as env:
        assert env.judge(problem, problem.solutions[0]).feedback.total == 3.0
    bare = Problem("bare", "", [CallCase((1,), 1)], "f")
    with pytest.raises(UsageError, match="references"):
        UnitTestEnv([bare], reward="structure")
    with pytest.raises(UsageError, match="could lie"):
        UnitTestEnv([problem], reward="structure", sandbox="subprocess").judge(problem, "x = 1")
