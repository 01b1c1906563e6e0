"""The table of all algorithms: its arms as recipes, its tiers and differences on figures made by hand."""

from __future__ import annotations

import importlib
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from agents.decoding.sampling import Sampling
from agents.options import build
from benchmarks.studies import table
from benchmarks.studies.arms import MEASURES, Size
from benchmarks.studies.sharing import held
from benchmarks.studies.table import ROWS, SETS, Place
from rltf_env.errors import UsageError

TRAINED = [id for id in ROWS if id != "warm"]


def place(out: Path, problems: str = "P2", updates: int = 480) -> Place:
    return Place(SETS[problems], out / "seed-3", 3, Size(updates))


@pytest.mark.parametrize("problems", SETS)
@pytest.mark.parametrize("id", TRAINED)
def test_every_arm_is_a_recipe_that_its_agent_takes_at_its_rate(problems: str, id: str, tmp_path: Path) -> None:
    recipe = table.recipe(place(tmp_path, problems), id, 2e-3)
    options = dict(recipe.agent)
    config: Any = build(importlib.import_module(f"agents.algorithms.{options.pop('kind')}").Config, options, "agent")
    assert config.optimiser.lr == 2e-3
    assert config.optimiser.length == recipe.run.updates == 480
    assert Path(recipe.policy["path"]) == tmp_path / "seed-3" / "warm" / "policy"
    if config.batch_size not in (64, 72):
        assert config.batch_size == 128  # of every second update, as the buffer's agents have it


@pytest.mark.parametrize("id", [id for id in TRAINED if id != "supervised"])
def test_every_arm_has_64_judged_programs_an_update(id: str, tmp_path: Path) -> None:
    recipe = table.recipe(place(tmp_path), id, 6e-4)
    a = recipe.agent
    if "problems" in a:
        judged = recipe.run.updates * a["batch_size"] / a["epochs"]
    else:
        judged = a["fill"] + (-(-recipe.run.updates // a["refresh_every"]) - 1) * a["refresh"]
    assert judged == 64 * 480


def test_no_two_arms_are_one(tmp_path: Path) -> None:
    recipes = [table.recipe(place(tmp_path), id, 6e-4) for id in TRAINED]
    assert len({json.dumps([r.env, r.agent], sort_keys=True) for r in recipes}) == len(recipes)


def test_references_go_to_those_that_read_them_and_to_no_others(tmp_path: Path) -> None:
    def references(id: str) -> Any:
        return table.recipe(place(tmp_path), id, 6e-4).agent.get("references")

    assert references("rltf") == references("supervised") == {"size": 300, "depths": [1, 2]}
    assert not references("grpo")
    assert not references("rltf-alone")


@pytest.mark.parametrize("measure", [*MEASURES, "validation"])
def test_measuring_trains_nothing_and_takes_the_split_that_it_names(measure: str, tmp_path: Path) -> None:
    looked = table.measured(place(tmp_path), "grpo", measure)
    assert looked.run.updates == 0
    assert looked.eval.split == {"seen": "seen", "unseen": "test", "validation": "validation"}[measure]
    assert (looked.eval.size, looked.eval.samples) == (460, 2)
    assert looked.eval.sampling == Sampling(temperature=0.6, top_p=0.95)
    wide = table.measured(place(tmp_path), "grpo", measure, 100, samples=8, temperature=1.0)
    assert (wide.eval.size, wide.eval.samples, wide.eval.sampling) == (100, 8, Sampling())
    assert wide.run.out != looked.run.out
    assert looked.policy == {"kind": "causal", "path": str(tmp_path / "seed-3" / "grpo" / "policy")}


def test_an_arm_opens_a_tier_when_it_is_surely_below_the_best_of_the_one_above() -> None:
    rates = {
        "best": np.array([0.50, 0.52, 0.51]),
        "near": np.array([0.52, 0.46, 0.49]),  # 0.02 below on average, but now above and now below
        "low": np.array([0.30, 0.32, 0.31]),
        "below": np.array([0.29, 0.33, 0.30]),
    }
    assert table.tiers(rates) == {"best": 1, "near": 1, "low": 2, "below": 2}


def test_one_seed_makes_one_tier() -> None:
    assert table.tiers({"a": np.array([0.9]), "b": np.array([0.1])}) == {"a": 1, "b": 1}


def run(*rates: float, distinct: float = 1.0, curve: tuple[float, ...] = ()) -> dict[str, Any]:
    points = [[8 * (i + 1), value] for i, value in enumerate(curve)]
    return {
        "rates": {measure: list(rates) for measure in MEASURES},
        "curve": points,
        "distinct": distinct,
        "outcomes": {},
    }


def test_the_table_pairs_seeds_and_problems_and_adjusts_over_all_arms() -> None:
    runs = {
        "supervised": {0: run(0.0, 0.5, curve=(0.2, 0.4)), 1: run(0.5, 0.5)},
        "rltf": {0: run(0.5, 1.0), 1: run(1.0, 0.5)},
        "grpo": {0: run(0.5, 0.5, distinct=2.0), 1: run(0.5, 1.0, distinct=4.0)},
    }
    made = table.figures(runs)
    assert (made["seeds"], made["problems"]) == ([0, 1], 2)
    rltf = made["arms"]["rltf"]["seen"]
    assert rltf["by_seed"] == [0.75, 0.75]
    assert rltf["- supervised"]["difference"] == pytest.approx(0.375)  # 0.5 and 0.25
    grpo = made["arms"]["grpo"]
    assert grpo["seen"]["- rltf"]["difference"] == pytest.approx(-0.125)
    assert grpo["seen"]["- supervised"]["p_holm"] >= grpo["seen"]["- supervised"]["p_value"]
    assert grpo["distinct"] == 3
    assert made["arms"]["supervised"]["area"] == pytest.approx(0.3)
    assert "- supervised" not in made["arms"]["supervised"]["seen"]
    assert json.loads(json.dumps(made)) == made


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--sets", "P9"], "problem set"),
        (["--arms", "grp0"], "grpo"),
        (["--seeds", "0"], "--seeds >= 1"),
        (["--updates", "80"], "--updates >= 96"),
    ],
)
def test_what_is_asked_wrongly_is_said(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert table.main(arguments) == 2
    assert words in capsys.readouterr().err


def work(out: Path, updates: int = 480) -> table.Work:
    return table.Work("P2", Place(SETS["P2"], out / "P2", 0, Size(updates)), Console(quiet=True))


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, str, float]]:
    """Arms that were run, as (seed, arm, rate); nothing is trained."""
    made: list[tuple[int, str, float]] = []

    def run_arm(place: Place, id: str, rate: float, console: Console) -> dict[str, Any]:
        made.append((place.seed, id, rate))
        return run(0.5, 1.0, curve=(0.5,))

    monkeypatch.setattr(table, "run_arm", run_arm)
    monkeypatch.setattr(table, "chosen_rate", lambda place, id, console: (2e-3, {"0.002": 1.0}))
    monkeypatch.setattr(table, "train", lambda recipe, console: {})
    return made


def test_an_arm_is_run_once_a_seed_and_the_table_grows(tmp_path: Path, ran: list[tuple[int, str, float]]) -> None:
    table._run_set(work(tmp_path), ["warm", "supervised"], 1)
    table._run_set(work(tmp_path), ["warm", "supervised", "rltf"], 2)
    first = [(0, "warm", 2e-4), (0, "supervised", 2e-3)]
    assert ran == [*first, (0, "rltf", 2e-3), (1, "warm", 2e-4), (1, "supervised", 2e-3), (1, "rltf", 2e-3)]
    made = json.loads((tmp_path / "P2.json").read_text())
    assert (list(made["arms"]), made["seeds"]) == (["warm", "supervised", "rltf"], [0, 1])


def test_an_arm_that_another_process_has_is_left_to_it(
    tmp_path: Path, ran: list[tuple[int, str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = held(tmp_path / "P2" / "supervised.lock")
    other.__enter__()
    monkeypatch.setattr(time, "sleep", lambda seconds: other.__exit__(None, None, None))
    table._run_set(work(tmp_path), ["warm", "supervised", "rltf"], 1)
    assert [id for _, id, _ in ran] == ["warm", "rltf", "supervised"]


def test_what_another_process_added_meanwhile_is_kept(
    tmp_path: Path, ran: list[tuple[int, str, float]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_arm(place: Place, id: str, rate: float, console: Console) -> dict[str, Any]:
        if id == "rltf":
            table._add(work(tmp_path), 0, "grpo", (6e-4, {}), run(0.5))
        return run(0.5)

    monkeypatch.setattr(table, "run_arm", run_arm)
    table._run_set(work(tmp_path), ["rltf"], 1)
    done = json.loads((tmp_path / "P2.runs.json").read_text())
    assert (set(done["runs"]), set(done["rates"])) == ({"grpo", "rltf"}, {"grpo", "rltf"})


def test_a_table_of_other_updates_is_refused(tmp_path: Path, ran: list[tuple[int, str, float]]) -> None:
    table._run_set(work(tmp_path), ["warm"], 1)
    with pytest.raises(UsageError, match="Expected --updates 480"):
        table._run_set(work(tmp_path, 160), ["warm"], 1)
