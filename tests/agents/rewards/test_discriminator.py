"""A frozen discriminator as a reward: what it pays on a table, the contract of rewards, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.critics.discriminator import Discriminator
from agents.policies import tiny
from agents.rewards.discriminator import DiscriminatorReward, load
from rltf_env import rewards, testing
from rltf_env.core import Attempt, CallCase, CaseResult, Failure, Outcome, Problem, Program, Verdict
from rltf_env.env import UnitTestEnv
from rltf_env.errors import MissingData, UnknownName, UsageError

NAME = "agents.rewards.discriminator:load"
PROBLEM = Problem("p", "Give one.", [CallCase((), 1)], "f")
PROGRAM = Program(np.arange(3), "f=1", np.arange(3))
PASSED = Verdict((CaseResult(Outcome.PASSED),))
FAILED = Verdict((CaseResult(Outcome.RUNTIME_ERROR, Failure("UndefinedName", line=1)),))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    policy = tiny.load(width=16, layers=1, heads=2, vocab_size=300, dataset_options={"size": 16}, max_positions=128)
    made = Discriminator(policy, max_prompt_tokens=64, max_program_tokens=48)
    for _ in range(3):
        made.learn([made.sample(PROBLEM, "def f():\n    return 1\n")], [made.sample(PROBLEM, "f=1")])
    made.save(tmp_path_factory.mktemp("discriminator") / "d")
    return str(tmp_path_factory.getbasetemp() / "discriminator0" / "d")


class Says(Discriminator):
    """One that says what it is told to."""

    def __init__(self, score: float) -> None:
        self.score = score

    def sample(self, problem: Problem, text: str, *, ended: bool = True) -> Any:
        return text

    def scores(self, samples: Any, *, alone: bool = False) -> np.ndarray:
        return np.full(len(samples), self.score)


@pytest.mark.parametrize(("score", "expected"), [(0.9, 0.8), (0.5, 0.0), (0.1, -0.8)])
def test_it_pays_twice_the_score_less_one(score: float, expected: float) -> None:
    feedback = DiscriminatorReward(Says(score))(Attempt(PROBLEM, PROGRAM, PASSED))
    assert feedback.total == pytest.approx(expected)
    assert feedback.program_reward == pytest.approx(expected)
    half = DiscriminatorReward(Says(score), weight=0.5)(Attempt(PROBLEM, PROGRAM, PASSED))
    assert half.total == pytest.approx(expected / 2)


def test_a_program_with_a_finding_is_paid_only_where_all_are() -> None:
    attempt = Attempt(PROBLEM, PROGRAM, FAILED)
    assert DiscriminatorReward(Says(0.9))(attempt).total == 0
    assert DiscriminatorReward(Says(0.9), where="all")(attempt).total == pytest.approx(0.8)


def test_a_program_is_read_by_itself_and_with_its_end_if_it_has_one() -> None:
    asked: list[Any] = []

    class Asked(Says):
        def sample(self, problem: Problem, text: str, *, ended: bool = True) -> Any:
            asked.append((text, ended))
            return text

        def scores(self, samples: Any, *, alone: bool = False) -> np.ndarray:
            asked.append(alone)
            return super().scores(samples)

    for truncated in (False, True):
        DiscriminatorReward(Asked(0.5))(Attempt(PROBLEM, replace(PROGRAM, truncated=truncated), PASSED))
    assert asked == [("f=1", True), True, ("f=1", False), True]


def test_it_keeps_the_contract_of_rewards(folder: str) -> None:
    testing.check_reward(NAME, path=folder)


def test_it_is_named_in_a_sum_and_tells_a_reference_from_others(folder: str) -> None:
    options: dict[str, Any] = {"coarse": {"passed": 0.0}, NAME: {"path": folder}}
    problems = [PROBLEM]
    with UnitTestEnv(problems, reward=f"coarse+fine+{NAME}", reward_options=options, sandbox="static") as env:
        like, unlike = (env.judge(PROBLEM, text).feedback for text in ("def f():\n    return 1\n", "f=1"))
        wrong = env.judge(PROBLEM, "f=x").feedback
    assert like.total > unlike.total
    assert -1 <= unlike.total <= 1
    assert wrong.parts["discriminator"] == 0
    assert not hasattr(rewards.load(NAME, path=folder), "relative")


def test_what_makes_no_reward_is_refused(folder: str, tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="train_discriminator"):
        load(str(tmp_path))
    for weight in (-1.0, float("inf"), True):
        with pytest.raises(UsageError, match="weight"):
            load(folder, weight=weight)
    with pytest.raises(UnknownName, match="passed"):
        load(folder, where="failed")  # type: ignore[arg-type]
