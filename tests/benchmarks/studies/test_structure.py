"""The study of structure: arms that are runs, a control that pays another problem's shape, shapes that are a policy's own."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agents.options import build
from benchmarks.studies import learners
from benchmarks.studies import structure as study
from benchmarks.studies.arms import Size, table
from rltf_env import facts
from rltf_env.core import Attempt, CallCase, CaseResult, Failure, Outcome, Problem, Program, Verdict
from rltf_env.rewards.structure import share
from rltf_env.testing import check_reward

LEARNING = [id for id in study.STUDY.arms if id != "warm"]
OUT = Path("study")


@pytest.mark.parametrize("id", LEARNING)
def test_every_arm_is_a_recipe_that_its_agent_and_its_rewards_take(id: str) -> None:
    from rltf_env import rewards

    made = learners.recipe(study.STUDY, id, OUT, 3, Size(64))
    options = dict(made.agent)
    config: Any = importlib.import_module(f"agents.algorithms.{options.pop('kind')}").Config
    assert build(config, options, "agent").optimiser.length == made.run.updates == 64
    rewards.load(made.env.get("reward", "rltf"), **made.env.get("reward_options", {}))


def test_arms_of_ppo_differ_in_the_reward_alone() -> None:
    made = [learners.recipe(study.STUDY, id, OUT, 0, Size(64)) for id in ("coarse", "quarter", "whole", "other")]
    assert len({json.dumps(each.agent, sort_keys=True) for each in made}) == 1
    assert len({json.dumps(each.env, sort_keys=True) for each in made}) == 4


def attempt(text: str, problem: Problem, verdict: Verdict) -> Attempt:
    return Attempt(problem, Program(np.arange(len(text)), text, np.arange(len(text))), verdict)


def test_the_control_pays_the_shape_of_another_problem_and_always_of_the_same() -> None:
    check_reward(study.other_reference())
    problem = Problem("p", "p", (CallCase((1,), 1),), "f", solutions=("def f(x):\n    return x\n",))
    program = "def f(x):\n    y = len(x) + 1\n    return y\n"
    verdict = Verdict((CaseResult(Outcome.WRONG_ANSWER, Failure("WrongAnswer")),), facts=facts.of(program))
    paid = [study.other_reference(ast=1.0, flow=0.0)(attempt(program, problem, verdict)).rewards.sum() for _ in "ab"]
    pool = study._references()
    others = {share(_tree(program), _tree(reference)) for reference in pool}
    assert paid[0] == paid[1] != share(_tree(program), _tree(problem.solutions[0]))
    assert any(paid[0] == pytest.approx(other) for other in others)
    assert problem.solutions[0] not in pool


def _tree(source: str) -> tuple[str, ...]:
    found = facts.of(source)
    assert found
    return tuple(found.tree)


def test_a_shape_of_its_own_is_right_and_no_tree_of_a_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    same, other = "def f(x):\n    return x + 1\n", "def f(x):\n    return 1 + x\n"
    problem = Problem("p", "p", (CallCase((1,), 2),), "f", solutions=(same,))

    def episode(text: str, outcome: Outcome) -> Any:
        failure = None if outcome is Outcome.PASSED else Failure("WrongAnswer")
        return SimpleNamespace(verdict=Verdict((CaseResult(outcome, failure),), facts=facts.of(text)))

    right, wrong = Outcome.PASSED, Outcome.WRONG_ANSWER
    renamed = same.replace("x", "value")
    group = [episode(same, right), episode(renamed, right), episode(other, right), episode(other, wrong)]
    monkeypatch.setattr(learners, "make_policy", lambda recipe: SimpleNamespace(device="cpu"))
    monkeypatch.setattr(learners, "make_env", lambda recipe, policy: _nothing())
    monkeypatch.setattr(learners, "Measure", lambda *parts: SimpleNamespace(problems=(problem,)))
    monkeypatch.setattr(learners, "collect", lambda *parts, **how: [group])
    made = learners.measured(study.STUDY, "coarse", OUT, 0, "seen")
    assert study.own_shapes(made) == pytest.approx(1 / 3)  # names do not make another shape


class _nothing:
    def __enter__(self) -> None: ...
    def __exit__(self, *error: object) -> None: ...


def test_shares_stand_in_the_figures_by_seed() -> None:
    def seed(share: float) -> dict[str, Any]:
        each = {"passed": [1, 0], "samples": 1, "shares": {study.OWN: share}}
        return {measure: dict.fromkeys(study.STUDY.arms, each) for measure in ("seen", "unseen")}

    figures = table(replace(study.STUDY, compared=(("whole", "coarse"),)), {0: seed(0.25), 1: seed(0.75)})
    assert figures["seen"]["arms"]["whole"]["shares"] == {study.OWN: [0.25, 0.75]}
