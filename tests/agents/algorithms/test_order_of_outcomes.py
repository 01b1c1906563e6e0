"""No agent learns more from a crash than from a wrong answer: every way of turning feedback into what a program learns from."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_args

import numpy as np
import pytest
import torch

from agents import trl
from agents.algorithms import actor_critic, policy_gradient, ppo, rltf
from agents.core import Episode
from agents.policies.causal import CausalPolicy
from rltf_env import rewards
from rltf_env.core import Attempt, CaseResult, Failure, FailureKind, Outcome, Problem, Program, Verdict
from rltf_env.env import UnitTestEnv

MakeEnv = Callable[..., UnitTestEnv]
CRASHES = [
    *((Outcome.RUNTIME_ERROR, kind, line) for kind in ("IndexError", FailureKind.TIMEOUT) for line in (None, 2, 3)),
    (Outcome.RUNTIME_ERROR, "RecursionError", 2),
    (Outcome.RUNTIME_ERROR, FailureKind.KILLED, None),
    (Outcome.SYNTAX_ERROR, "SyntaxError", 2),
    (Outcome.SYNTAX_ERROR, "IndentationError", 2),
]


def program() -> Program:
    """200 tokens of one character each; the second line has 10."""
    text = "x" * 94 + "\n" + "y" * 10 + "\n" + "z" * 94
    return Program(np.zeros(200, np.int64), text, np.arange(200))


def verdict(passed: int, worst: CaseResult | None = None) -> Verdict:
    worst = worst or CaseResult(Outcome.WRONG_ANSWER, Failure(FailureKind.WRONG_ANSWER))
    return Verdict((CaseResult(Outcome.PASSED),) * passed + (worst,) * (4 - passed))


def crashes() -> Iterator[Verdict]:
    """Each way to crash, with no case passed and with three of four."""
    for outcome, kind, line in CRASHES:
        bases = ("SyntaxError",) if outcome is Outcome.SYNTAX_ERROR else ()
        for passed in (0, 3):
            yield verdict(passed, CaseResult(outcome, Failure(kind, "", line, "", bases)))


def episodes(reward: Any, problem: Problem) -> list[Episode]:
    """One group: passed, wrong with three, one and no case of four passed, and each way to crash; best first."""
    judged = [verdict(4), verdict(3), verdict(1), verdict(0), *crashes()]
    zeros = np.zeros(200, np.float32)
    return [
        Episode(
            problem.id, zeros[:3].astype(int), program(), zeros, zeros, v, reward(Attempt(problem, program(), v)), 0
        )
        for v in judged
    ]


def assert_ordered(earned: Sequence[float]) -> None:
    """Each of the first four more than the next, and the last of them more than any crash."""
    assert earned[0] > earned[1] > earned[2] > earned[3] > max(earned[4:]) + 1e-3, np.round(earned, 3)


@pytest.fixture(params=[("rltf", {}), ("rltf", {"weights": {"adaptive": 0.1}}), ("coarse+fine+adaptive", {})])
def reward(request: pytest.FixtureRequest) -> Any:
    name, options = request.param
    return rewards.load(name, **options)


@pytest.mark.parametrize("baseline", get_args(rltf.Baseline))
@pytest.mark.parametrize("measured", [verdict(4), verdict(3), verdict(0), *itertools.islice(crashes(), 0, None, 5)])
def test_rltf(
    policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem], reward: Any, baseline: Any, measured: Verdict
) -> None:
    agent = rltf.load(policy, make_env(reward=reward), seed=0, baseline=baseline)
    against = measured if baseline in ("best_so_far", "greedy") else None
    found = agent._weights(problems[0], episodes(reward, problems[0]), against)
    assert_ordered([float(w.mean(dtype=np.float64)) for w in found])


@pytest.mark.parametrize("advantage", get_args(policy_gradient.Advantage))
@pytest.mark.parametrize("credit", get_args(policy_gradient.Credit))
def test_groups(
    policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem], reward: Any, advantage: Any, credit: Any
) -> None:
    group = episodes(reward, problems[0])
    c = policy_gradient.Config(advantage=advantage, credit=credit, samples_per_problem=len(group))
    agent = policy_gradient.PolicyGradient(policy, make_env(reward=reward), c, 0)
    returns = agent._returns([group], [policy_gradient.bare_sample(e) for e in group])
    assert float(torch.cat(returns).abs().max()) <= 2, "of the scale of the outcome, and not of the program's length"
    found = agent._weights([group], returns)
    assert_ordered([float(w.mean(dtype=np.float64)) for w in found])


@pytest.mark.parametrize("credit", get_args(policy_gradient.Credit))
def test_ppo(problems: list[Problem], reward: Any, credit: Any) -> None:
    group = episodes(reward, problems[0])
    c = ppo.Config(credit=credit)
    returns = [float(ppo.earned(e, 512.0, c).sum(dtype=np.float64)) for e in group]
    assert_ordered(returns)
    assert max(map(abs, returns)) <= 2


@pytest.mark.parametrize("credit", get_args(policy_gradient.Credit))
def test_actor_critic(
    policy: CausalPolicy, make_env: MakeEnv, problems: list[Problem], reward: Any, credit: Any
) -> None:
    agent = actor_critic.load(policy, make_env(reward=reward), seed=0, credit=credit)
    group = episodes(reward, problems[0])
    returns = [float(agent._sample(e).extra["rewards"].sum(dtype=np.float64)) for e in group]
    assert_ordered(returns)
    assert max(map(abs, returns)) <= 2


def test_agents_of_others_by_the_return(make_env: MakeEnv, problems: list[Problem]) -> None:
    """TRL, Stable-Baselines3, RLlib, CleanRL: one number an episode, which must not grow with the program."""
    worst = [verdict(4), verdict(3), verdict(1), verdict(0), *crashes()]
    rules = {f"{'#' * (5 * i)}{i}": v for i, v in enumerate(worst)}
    env = make_env(lambda source, _: rules[source], problems=problems[:1], max_program_tokens=200)
    judge = trl.reward_function(env, extract=None)
    earned = judge(completions=list(rules), problem=[problems[0].id] * len(rules))
    assert_ordered([float(value) for value in earned if value is not None])
    assert max(abs(float(value)) for value in earned if value is not None) < 2


def test_standardised_returns_of_one_group_tell_a_crash_from_a_wrong_answer(problems: list[Problem]) -> None:
    """A guilty line once summed to -0.3 a token of the program, and an IndentationError, which charges no line, looked good."""
    group = episodes(rewards.load("rltf"), problems[0])[3:]
    totals = torch.tensor([[e.feedback.total for e in group]])
    best, *rest = policy_gradient.ADVANTAGES["standardised"](totals)[0].tolist()
    assert best > 2
    assert max(rest) < best - 1
