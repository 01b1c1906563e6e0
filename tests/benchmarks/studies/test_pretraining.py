"""A study of pre-training: each arm is a run that could begin, rates are right by hand, and the whole of it, small, runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.algorithms import codet5p
from agents.options import build
from agents.policies import pair_heads, tiny_seq2seq
from agents.train import train
from benchmarks.studies import pretraining
from benchmarks.studies.arms import markdown
from benchmarks.studies.pretraining import ARMS, COMPARED, TITLES
from rltf_env import datasets
from rltf_env.env import UnitTestEnv
from rltf_env.tokenizers import HuggingFace

SMALL: dict[str, Any] = {"width": 16, "layers": 1, "heads": 2, "vocab_size": 280, "dataset_options": {"size": 4}}


@pytest.mark.parametrize("id", ARMS)
def test_every_arm_is_a_recipe_that_its_agent_takes(id: str, tmp_path: Path) -> None:
    made = pretraining.start(id, tmp_path, 3)
    options = dict(made.agent)
    assert options.pop("kind") == "codet5p"
    config = build(codet5p.Config, options, "agent")
    assert made.run.updates == config.optimiser.length == (600 * pretraining.LONGER if id == "longer" else 600)
    assert (made.run.seed, config.batch_size, config.references["size"]) == (3, 32, 2000)
    then = pretraining.after(id, tmp_path, 3)
    assert then.policy == {"kind": "seq2seq", "path": str(tmp_path / "seed-3" / id / "policy")}
    last = pretraining.after(id, tmp_path, 3, "test", ["run.updates=9"])
    assert (last.run.updates, last.eval.split) == (0, "test")
    assert last.policy["path"] == str(Path(then.run.out) / "policy")


def test_no_two_arms_are_one_and_all_that_is_compared_is_measured(tmp_path: Path) -> None:
    recipes = [pretraining.start(id, tmp_path, 0) for id in ARMS]
    assert len({json.dumps([r.agent, r.run.updates], sort_keys=True) for r in recipes}) == len(ARMS)
    rows = {f"{id}/{rule}" for id, arm in ARMS.items() for rule in ("likelihood", *arm.rules)}
    for name, pairs in COMPARED.items():
        assert {row for pair in pairs for row in pair} <= (rows if name in ("recall", "auc", "rerank") else set(ARMS))


def test_rates_by_hand() -> None:
    found = [np.array([0.5, 0.1, 0.4]), np.array([0.2, 0.2, 0.1, 0.6]), np.array([0.3])]
    assert pretraining.recall(found[:2]) == [1.0, 0.0]
    assert pretraining.auc(found) == [1.0, 0.5, 0.5]


def test_candidates_hold_the_own_reference_first_and_once() -> None:
    policy = tiny_seq2seq.load(**SMALL)
    problems = datasets.load("procedural", "seen", size=8, depths=[2])
    env = UnitTestEnv(problems, tokenizer=HuggingFace(policy.tokenizer), sandbox="scripted", max_prompt_tokens=400)
    for problem, group in zip(problems, pretraining.candidates(env, problems, 0), strict=True):
        texts = [env.tokenizer.program(sample.tokens).text for sample in group]
        assert texts[0].rstrip() == problem.solutions[0].rstrip()
        assert texts.count(texts[0]) == 1
        assert len({sample.prompt.tobytes() for sample in group}) == 1
        assert 7 < len(group) <= pretraining.CANDIDATES
    matcher = pretraining.Matcher(policy, pair_heads.on(policy, 8))
    pairs = pretraining.candidates(env, problems, 0)[:2]
    for rule in ("likelihood", "embedding", "match"):
        assert [len(found) for found in pretraining.scores(matcher, pairs, rule)] == [len(group) for group in pairs]


def test_figures_are_of_the_same_problems_by_the_same_seed() -> None:
    rng = np.random.default_rng(0)
    rows = {
        name: {row: rng.random(4).round(2).tolist() for row in {row for pair in pairs for row in pair}}
        for name, pairs in COMPARED.items()
    }
    figures = pretraining.table({0: rows, 1: rows})
    assert figures["prediction"].startswith("contrast and match find references")
    assert len(figures["prediction"]) > 200
    first = figures["recall"]["comparisons"][0]
    expected = np.mean(rows["recall"]["all/embedding"]) - np.mean(rows["recall"]["t2c/likelihood"])
    assert first["by_seed"] == pytest.approx([expected] * 2)
    assert json.loads(json.dumps(figures)) == figures
    assert "| + match, by embedding |" in markdown(figures, TITLES)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_small_arm_is_trained_and_measured_with_the_pool_of_the_first(tmp_path: Path) -> None:
    few = [
        "policy.width=32", "policy.layers=1", "policy.heads=2", "policy.dataset_options.size=64", "run.updates=3",
        "agent.references.size=64", "agent.optimiser.length=0", 'agent.optimiser.decay="constant"',
    ]  # fmt: skip
    for id in ("t2c", "all"):
        train(pretraining.start(id, tmp_path, 0, few), None)
        rates = pretraining.measure(id, tmp_path, 0, 6)
        assert set(rates["recall"]) == {f"{id}/{rule}" for rule in ("likelihood", *ARMS[id].rules)}
        assert {len(values) for rows in rates.values() for values in rows.values()} == {6}
        assert pretraining.measure(id, tmp_path, 0, 6) == rates


def test_some_arms_run_alone_with_those_comparisons_that_are_left(capsys: pytest.CaptureFixture[str]) -> None:
    rates = {"t2c/likelihood": [0.5, 0.0], "all/match": [1.0, 0.5], "all/embedding": [0.0, 0.0]}
    runs = {
        0: {name: rates if name in ("recall", "auc", "rerank") else {"t2c": [0.0], "all": [1.0]} for name in COMPARED}
    }
    figures = pretraining.table(runs)
    pairs = [(row["a"], row["b"]) for row in figures["recall"]["comparisons"]]
    assert pairs == [("all/embedding", "t2c/likelihood"), ("all/match", "t2c/likelihood")]
    assert [(row["a"], row["b"]) for row in figures["seen"]["comparisons"]] == [("all", "t2c")]
    assert pretraining.main(["--arms", "all"]) == 2
    assert "Expected t2c among --arms" in capsys.readouterr().err
