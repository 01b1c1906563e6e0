"""Studies of what is practised: each arm is a run that could begin, and the controls are what they say."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

from agents.options import build
from benchmarks.studies import arms, practice
from benchmarks.studies.practice import STUDIES
from rltf_env import curricula, rewards
from rltf_env.core import Attempt, CallCase, CaseResult, Failure, Outcome, Problem, Program, Verdict
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UnknownName
from rltf_env.rewards.executed import Executed
from rltf_env.testing import check_curriculum, check_reward

ARMS = [(study, id) for study, made in STUDIES.items() for id, arm in made.arms.items() if arm.base != "warm"]


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(practice, "TRAINED", 8)
        patch.setattr(practice, "MEASURED", 4)
        practice.make_problems(made)
    return made


@pytest.mark.parametrize(("study", "id"), ARMS)
def test_every_arm_is_a_recipe_that_its_agent_and_its_environment_take(study: str, id: str, out: Path) -> None:
    recipe = practice.recipe(STUDIES[study], id, out, 3)
    options = dict(recipe.agent)
    module = importlib.import_module(f"agents.algorithms.{options.pop('kind')}")
    build(module.Config, options, "agent")
    assert (recipe.run.updates, recipe.run.seed) == (arms.UPDATES, 3)
    known = {key: value for key, value in recipe.env.items() if key != "id"}
    env = UnitTestEnv(**known)
    problem = env.source.draw(np.random.default_rng(0))
    assert problem.solutions[0].startswith(problem.prefix)
    env.close()
    for measure in arms.MEASURES:
        looked = practice.measured(STUDIES[study], id, out, 3, measure)
        assert "curriculum" not in looked.env
        assert looked.eval.split == practice.SPLITS[measure]
        assert looked.run.updates == 0


@pytest.mark.parametrize("study", STUDIES)
def test_arms_and_comparisons_are_there_and_no_two_arms_are_one(study: str, out: Path) -> None:
    made = STUDIES[study]
    assert {id for pair in made.compared for id in pair} <= set(made.arms)
    assert made.prediction
    recipes = {id: practice.recipe(made, id, out, 0).to_dict() for id in made.arms}
    programs = {json.dumps({**r, "run": None}, sort_keys=True) for r in recipes.values()}
    assert len(programs) == len(made.arms)
    assert practice.warm(made, out, 0).agent["kind"] == "supervised"


def test_problems_have_two_conditionals_or_more_and_are_made_once(out: Path) -> None:
    from rltf_env import datasets

    for split, size in (("train", 8), ("seen", 4), ("test", 4)):
        problems = datasets.load(str(out / "problems"), split)
        assert len(problems) == size
        assert all(practice._conditionals(problem) >= 2 for problem in problems)
    before = (out / "problems" / "train.jsonl").stat().st_mtime_ns
    practice.make_problems(out)
    assert (out / "problems" / "train.jsonl").stat().st_mtime_ns == before


def test_a_random_line_is_any_and_learns_nothing() -> None:
    check_curriculum(practice.random_line)
    from rltf_env import datasets
    from rltf_env.sources import Cycle

    source = curricula.load(practice.random_line, Cycle(datasets.load("procedural", size=1, depths=[3])))
    rng = np.random.default_rng(0)
    drawn = [source.draw(rng).prefix for _ in range(60)]
    assert "" in drawn
    assert len(set(drawn)) > 2


TEXT = "def f(x):\n    if x < 0:\n        y = -x\n    else:\n        y = x + 1\n    # done\n    return y\n"
PROGRAM = Program(np.arange(len(TEXT) + 1), TEXT, np.arange(len(TEXT) + 1))
PROBLEM = Problem("p", "", [CallCase((-3,), 3), CallCase((4,), 4)], "f")


def verdict(*ran: set[int]) -> Verdict:
    results = [CaseResult(Outcome.PASSED, executed=frozenset(ran[0]))]
    results += [CaseResult(Outcome.WRONG_ANSWER, Failure("WrongAnswer"), executed=frozenset(r)) for r in ran[1:]]
    return Verdict(tuple(results), frozenset().union(*ran), code=frozenset({1, 2, 3, 5, 7}))


def test_as_many_tokens_are_masked_at_random() -> None:
    check_reward(practice.as_many_at_random())
    attempt = Attempt(PROBLEM, PROGRAM, verdict({1, 2, 3, 7}))
    at_random, executed = practice.as_many_at_random()(attempt), Executed()(attempt)
    assert at_random.loss_mask.sum() == executed.loss_mask.sum() == 64
    assert (at_random.loss_mask != executed.loss_mask).any()


def test_shuffled_blame_pays_other_lines_the_same_for_each_token() -> None:
    attempt = Attempt(PROBLEM, PROGRAM, verdict({1, 2, 3, 7}, {1, 2, 5, 7}))
    blame = rewards.load("blame", alpha="none")(attempt)
    shuffled = practice.shuffled_blame(alpha="none")(attempt)
    assert set(np.unique(shuffled.token_rewards)) == set(np.unique(blame.token_rewards))
    assert (shuffled.token_rewards != blame.token_rewards).any()
    assert rewards.needs(rewards.load("rltf+benchmarks.studies.practice:shuffled_blame")) == {"trace_cases"}


def test_another_study_is_unknown_and_the_nearest_is_named() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'curricula'"):
        arms.find(STUDIES, "curriculum")


def test_a_warm_start_is_measured_on_the_problems_of_the_arms_that_go_on_from_it(tmp_path: Path) -> None:
    for study in (STUDIES["feedback"], STUDIES["feedback"].only(["warm"])):
        looked = [practice.measured(STUDIES["feedback"], "rltf", tmp_path, 0, "seen")]
        looked.append(practice.measured(study, "warm", tmp_path, 0, "seen"))
        assert looked[0].eval == looked[1].eval
        assert looked[0].env == looked[1].env
        assert looked[1].policy["path"] == str(tmp_path / "seed-0" / "warm" / "policy")
    assert practice.recipe(STUDIES["feedback"], "warm", tmp_path, 0) == practice.warm(STUDIES["feedback"], tmp_path, 0)
