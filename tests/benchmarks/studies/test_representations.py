"""A study of trunks: each arm is a run that could begin, what is frozen is said, and the whole of it, small, runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from agents.algorithms import atc, supervised
from agents.building import check
from agents.options import build
from agents.train import train
from benchmarks.studies import representations
from benchmarks.studies.representations import ARMS, COMPARED, OVERALL, PROBED, TRUNKS, in_words


@pytest.mark.parametrize("id", TRUNKS)
def test_trunks_have_equal_models_references_and_updates(id: str, tmp_path: Path) -> None:
    made = representations.trunk(id, tmp_path, 3)
    check(made)
    options = dict(made.agent)
    kind = {"atc": atc.Config, "supervised": supervised.Config}[options.pop("kind")]
    config = build(kind, options, "agent")
    assert made.run.updates == (0 if id == "random" else 600)
    assert (made.run.seed, made.policy["layers"], config.batch_size) == (3, 4, 32)
    assert config.references == {"size": 300, "depths": [1, 2]}
    assert config.optimiser.length == 600


@pytest.mark.parametrize("id", ARMS)
def test_arms_go_on_from_their_trunk_and_stay_frozen_as_long_as_they_learn(id: str, tmp_path: Path) -> None:
    folder, arm = tmp_path / "seed-3", ARMS[id]
    stages = [representations.taught(id, tmp_path, 3), representations.after(id, tmp_path, 3)]
    paths = [folder / f"trunk-{arm.trunk}" / "policy", folder / f"{id}-taught" / "policy"]
    for made, path in zip(stages, paths, strict=True):
        frozen = {"freeze": "trunk", "thaw": 1} if arm.frozen else {}
        assert made.policy == {"kind": "causal", "path": str(path), **frozen}
    assert Path(stages[0].run.out) == paths[1].parent
    last = representations.after(id, tmp_path, 3, "test", ["run.updates=9"])
    assert (last.run.updates, last.eval.split) == (0, "test")
    assert last.policy == {"kind": "causal", "path": str(Path(stages[1].run.out) / "policy")}


def test_no_two_trunks_are_one_and_all_that_is_compared_is_measured(tmp_path: Path) -> None:
    recipes = [representations.trunk(id, tmp_path, 0) for id in TRUNKS]
    assert len({json.dumps([r.agent, r.run.updates], sort_keys=True) for r in recipes}) == len(TRUNKS)
    assert len({(arm.trunk, arm.frozen) for arm in ARMS.values()}) == len(ARMS)
    for measure, pairs in COMPARED.items():
        assert {row for pair in pairs for row in pair} <= set(PROBED if measure == "within" else ARMS)


def test_figures_are_of_the_same_problems_by_the_same_seed() -> None:
    rng = np.random.default_rng(0)
    runs = {}
    for seed in range(2):
        rates = {m: {row: rng.random(4).tolist() for row in (PROBED if m == "within" else ARMS)} for m in COMPARED}
        runs[seed] = rates, {id: {measure: float(rng.random()) for measure in OVERALL} for id in PROBED}
    figures = representations.table(runs)
    assert figures["prediction"].startswith("in the probes ATC's trunk")
    assert "nothing is predicted" in figures["prediction"]
    expected = [np.mean(runs[s][0]["seen"]["atc"]) - np.mean(runs[s][0]["seen"]["random"]) for s in range(2)]
    assert figures["seen"]["comparisons"][0]["by_seed"] == pytest.approx(expected)
    probes = figures["probes"]["passed"]["comparisons"][0]
    assert probes["by_seed"] == pytest.approx(
        [runs[s][1]["atc"]["passed"] - runs[s][1]["random"]["passed"] for s in range(2)]
    )
    assert json.loads(json.dumps(figures)) == figures
    words = in_words(figures)
    assert "| ATC, end to end |" in words
    assert "| next token, then RLTF |" in words
    assert "### seen" not in in_words({k: v for k, v in figures.items() if k not in ("seen", "unseen")})


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_small_trunks_are_made_and_probed_with_the_same_programs(tmp_path: Path) -> None:
    few = [
        "policy.width=32", "policy.heads=2", "policy.dataset_options.size=64", "run.updates=3", "agent.references.size=64",
        "agent.optimiser.length=0", 'agent.optimiser.decay="constant"',
    ]  # fmt: skip
    for id in TRUNKS:
        train(representations.trunk(id, tmp_path, 0, few), None)
    for id in ("end", "atc"):
        train(representations.taught(id, tmp_path, 0, ["run.updates=2"]), None)
        small = ["run.updates=2", "agent.fill=64", "agent.refresh=64", "agent.batch_size=16"]
        train(representations.after(id, tmp_path, 0, overrides=small), None)
    overall, within = representations.probed(tmp_path, 0, 20)
    assert set(overall) == set(within) == set(PROBED)
    assert {len(row) for row in within.values()} == {4}
    assert representations.probed(tmp_path, 0, 20)[0] == overall
