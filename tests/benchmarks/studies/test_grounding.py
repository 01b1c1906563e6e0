"""The study of learning without tests: each arm is a run that could begin, its controls are what they say, and no test leaks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.algorithms.grounding import Grounding
from agents.building import check
from benchmarks.studies import grounding
from benchmarks.studies.arms import MEASURES, Size
from benchmarks.studies.grounding import STUDY

ARMS = [id for id in STUDY.arms if id != "warm"]


@pytest.mark.parametrize("id", ARMS)
def test_every_arm_is_a_recipe_that_can_be_trained(id: str, tmp_path: Path) -> None:
    made = grounding.recipe(id, tmp_path, 3)
    check(made)
    assert (made.run.updates, made.run.seed) == (480, 3)
    assert made.env["dataset_options"] == {"size": 2000, "depths": [2]}
    assert made.env["source"] == "uniform"
    for measure in MEASURES:
        looked = grounding.measured(id, tmp_path, 3, measure)
        assert looked.env.get("sandbox", "auto") == "auto"
        assert looked.run.updates == 0


def test_no_arm_but_the_ceiling_runs_a_program_while_it_learns(tmp_path: Path) -> None:
    made = {id: grounding.recipe(id, tmp_path, 0) for id in ARMS}
    runs = {id for id, recipe in made.items() if recipe.env.get("sandbox") != "static"}
    assert runs == {"supervised", "tests"}
    assert made["supervised"].agent["kind"] == "supervised"  # which has nothing judged


def test_arms_have_equal_programs_and_the_stale_discriminator_as_many_steps(tmp_path: Path) -> None:
    made = {id: grounding.recipe(id, tmp_path, 0).agent for id in ARMS}
    sizes = {
        (a["problems"], a["samples_per_problem"], a["batch_size"], a["epochs"]) for a in made.values() if "epochs" in a
    }
    assert sizes == {(16, 8, 128, 4)}
    assert made["supervised"]["batch_size"] == 128
    rounds = 480 // 4
    assert made["stale"]["discriminator"]["updates"] == made["rlcf"]["discriminator"]["updates"] * rounds
    assert made["stale"]["discriminator"]["every"] > rounds
    optimisers = {json.dumps(agent["optimiser"], sort_keys=True) for agent in made.values() if "epochs" in agent}
    assert len(optimisers) == 1
    assert made["supervised"]["optimiser"] | {"lr": 0} == made["rlcf"]["optimiser"] | {"lr": 0}


def test_no_two_arms_are_one_and_what_is_compared_is_there(tmp_path: Path) -> None:
    recipes = [json.dumps({**grounding.recipe(id, tmp_path, 0).to_dict(), "run": None}, sort_keys=True) for id in ARMS]
    assert len(set(recipes)) == len(ARMS)
    assert {id for pair in STUDY.compared for id in pair} <= set(STUDY.arms)
    assert "Predicted before the first run" in (grounding.__doc__ or "")


def test_shuffled_scores_are_the_same_amounts() -> None:
    made: Any = grounding.ShuffledGrounding.__new__(grounding.ShuffledGrounding)
    made.rng, made.config = np.random.default_rng(0), type("C", (), {"weight": 1.0})
    scores = np.linspace(0, 1, 20)
    paid = made.pay(scores)
    assert sorted(paid) == pytest.approx(sorted(Grounding.pay(made, scores)))
    assert (paid != Grounding.pay(made, scores)).any()


def test_tables_say_what_became_of_programs() -> None:
    outcomes = {"SYNTAX_ERROR": 1, "RUNTIME_ERROR": 2, "WRONG_ANSWER": 3, "PASSED": 2}
    evaluation = {"outcomes": outcomes, "copied": 0.25}
    assert grounding.became(evaluation) == pytest.approx((0.875, 0.625, 0.25))
    text = grounding.words({measure: dict.fromkeys(STUDY.arms, evaluation) for measure in MEASURES})
    assert "| + discriminator (RLCF) | 87.5% | 62.5% | 25.0% |" in text


def test_another_length_keeps_the_stale_discriminator_at_as_many_steps(tmp_path: Path) -> None:
    made = grounding.recipe("stale", tmp_path, 0, Size(240))
    assert made.run.updates == made.agent["optimiser"]["length"] == 240
    assert made.agent["discriminator"]["updates"] == 240 // 4 * 8


def test_the_start_is_one_recipe_whoever_asks(tmp_path: Path) -> None:
    assert grounding.recipe("warm", tmp_path, 0, Size(240)) == grounding.recipe("warm", tmp_path, 0)
