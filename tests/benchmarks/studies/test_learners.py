"""Studies of other ways to learn: each arm is a run that could begin, and its figures are those of the same problems."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.algorithms.supervised import reference_source
from agents.building import make_env
from agents.options import build
from agents.policies import tiny
from benchmarks.studies import arms, learners
from benchmarks.studies.learners import STUDIES
from rltf_env import datasets
from rltf_env.core import Attempt, CallCase, CaseResult, Failure, Outcome, Problem, Program, Verdict
from rltf_env.errors import UnknownName

ARMS = [(study, id) for study, made in STUDIES.items() for id in made.arms]


@pytest.mark.parametrize(("study", "id"), ARMS)
def test_every_arm_is_a_recipe_that_its_agent_takes(study: str, id: str, tmp_path: Path) -> None:
    recipe = learners.recipe(STUDIES[study], id, tmp_path, 3)
    options = dict(recipe.agent)
    module = importlib.import_module(f"agents.algorithms.{options.pop('kind')}")
    config = build(module.Config, options, "agent")
    assert config.batch_size == 128
    assert recipe.run.updates == arms.UPDATES
    assert recipe.run.seed == 3
    assert Path(recipe.policy["path"]) == tmp_path / "seed-3" / "warm" / "policy"
    refreshes = -(-recipe.run.updates // config.refresh_every) - 1 if config.refresh else 0
    assert config.fill + refreshes * config.refresh == arms.UPDATES * arms.PROGRAMS


@pytest.mark.parametrize("study", STUDIES)
def test_arms_and_comparisons_are_there_and_no_two_arms_are_one(study: str, tmp_path: Path) -> None:
    made = STUDIES[study]
    assert {id for pair in made.compared for id in pair} <= set(made.arms)
    recipes = [learners.recipe(made, id, tmp_path, 0) for id in made.arms]
    assert len({json.dumps([r.env, r.agent], sort_keys=True) for r in recipes}) == len(recipes)
    measures = [learners.measured(made, id, tmp_path, 0, measure) for id in made.arms for measure in arms.MEASURES]
    assert len({recipe.run.out for recipe in (*recipes, *measures)}) == 3 * len(recipes)
    assert {recipe.env["prompt_style"] for recipe in measures} == {r.env["prompt_style"] for r in recipes}
    assert made.prediction


def test_what_passed_earns_one_and_all_else_nothing() -> None:
    program = Program(np.array([1, 2]), "ab", np.array([0, 1]))
    results = (CaseResult(Outcome.PASSED), CaseResult(Outcome.WRONG_ANSWER, Failure("WrongAnswer")))
    problem = Problem("p", "s", [CallCase((), 1)], "f")
    earned = [learners.passed()(Attempt(problem, program, Verdict((result,)))) for result in results]
    assert [feedback.total for feedback in earned] == [1.0, 0.0]
    assert [feedback.program_reward for feedback in earned] == [1.0, 0.0]


def evaluation(*counts: int) -> dict[str, Any]:
    return {"passed": list(counts), "samples": 2}


def test_differences_are_of_the_same_problems_by_the_same_seed() -> None:
    study = STUDIES["made-tests"]
    first = {"original": evaluation(1, 0), "made": evaluation(2, 1), "drawn": evaluation(0, 0)}
    second = {"original": evaluation(1, 1), "made": evaluation(2, 1), "drawn": evaluation(0, 2)}
    runs = {seed: dict.fromkeys(arms.MEASURES, passed) for seed, passed in enumerate((first, second))}
    figures = arms.table(study, runs)
    rows = figures["seen"]["comparisons"]
    assert [row["by_seed"] for row in rows] == [[0.5, 0.25], [0.75, 0.25]]
    assert rows[0]["over_seeds"]["difference"] == pytest.approx(0.375)
    assert json.loads(json.dumps(figures)) == figures
    text = arms.markdown(figures)
    assert study.prediction in text
    assert "| made tests | 75.0% | 75.0%, 75.0% |" in text


def test_tests_are_made_once(tmp_path: Path) -> None:
    for name in ("made", "drawn", "original"):
        (tmp_path / f"{name}.jsonl").write_text("kept")
    learners.make_tests(tmp_path)
    assert (tmp_path / "made.jsonl").read_text() == "kept"


def test_another_study_is_unknown_and_the_nearest_is_named() -> None:
    with pytest.raises(UnknownName, match="soft-q"):
        arms.find(STUDIES, "softq")


def test_some_arms_alone_are_compared_among_themselves() -> None:
    study = STUDIES["soft-q"].only(["rltf", "soft-q", "v-trace"])
    assert list(study.arms) == ["rltf", "soft-q", "v-trace"]
    assert study.compared == (("soft-q", "rltf"), ("soft-q", "v-trace"))
    assert STUDIES["soft-q"].only([]) == STUDIES["soft-q"]
    with pytest.raises(UnknownName, match=r"soft-q-alone"):
        STUDIES["soft-q"].only(["soft-q-alon"])


@pytest.mark.parametrize("id", STUDIES["made-tests"].arms)
def test_problems_of_a_file_are_learnt_from_with_its_tests_alone(id: str, tmp_path: Path) -> None:
    (problem,) = datasets.load("procedural", "train", size=1)
    datasets.dump([problem], tmp_path / f"{id}.jsonl")
    recipe = learners.recipe(STUDIES["made-tests"], id, tmp_path, 0)
    assert recipe.agent["supervised"] == 0
    with make_env(recipe, tiny.load(width=8, layers=1, heads=1)) as env:
        drawn = reference_source(env, recipe.agent["references"]).draw(np.random.default_rng(0))
    assert drawn.cases == problem.cases


@pytest.mark.slow
def test_the_tests_of_the_control_are_other_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = list(datasets.load("procedural", "train", size=4, seed=7, depths=[2]))
    with monkeypatch.context() as patched:
        patched.setattr(datasets, "load", lambda *args, **options: few)
        learners.make_tests(tmp_path)
    made, drawn, own = (list(datasets.load(str(tmp_path / f"{name}.jsonl"))) for name in ("made", "drawn", "original"))
    assert [p.id for p in made] == [p.id for p in drawn] == [p.id for p in own]
    for first, second in ((made, drawn), (made, own), (drawn, own)):
        assert any(a.cases != b.cases for a, b in zip(first, second, strict=True))
