"""The study of line rewards: each arm is a run that could begin, controls are what they say, figures are those of the runs."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agents import line_training
from agents.line_labels import LineLabels
from agents.options import build
from agents.policies import tiny
from benchmarks.studies import process
from benchmarks.studies.arms import Size
from benchmarks.studies.process import ARMS, STUDY
from rltf_env.core import CaseResult, Failure, Outcome, Verdict

NAME = "agents.rewards.line_model:load"
LINES = ("dense", "both", "value")


@pytest.mark.parametrize("id", ARMS)
def test_every_arm_is_a_recipe_that_its_agent_takes(id: str, tmp_path: Path) -> None:
    recipe = process.recipe(id, tmp_path, 3)
    options = dict(recipe.agent)
    module = importlib.import_module(f"agents.algorithms.{options.pop('kind')}")
    config = build(module.Config, options, "agent")
    assert (recipe.run.updates, recipe.run.seed, config.optimiser.length) == (480, 3, 480)
    assert recipe.policy["path"] == str(tmp_path / "seed-3" / "warm" / "policy")
    model = "shuffled" if id.endswith("shuffled") else "lines"
    path = str(tmp_path / "seed-3" / model)
    dense, value = id.startswith(("dense", "both")), id.startswith(("value", "both"))
    assert recipe.env.get("reward_options", {}) == ({NAME: {"path": path}} if dense else {})
    assert recipe.env["reward"] == (f"coarse+{NAME}" if dense else "coarse")
    assert config.value.path == (path if value else "")
    assert config.value.trunk == ("own" if value or id == "own" else "shared")
    for measure, split in process.SPLITS.items():
        looked = process.measured(id, tmp_path, 3, measure)
        assert looked.eval.split == split
        assert (looked.run.updates, looked.env["reward"]) == (0, "coarse")
        assert looked.policy["path"] == str(tmp_path / "seed-3" / id / "policy")


def test_arms_differ_in_what_they_name_and_all_are_compared(tmp_path: Path) -> None:
    recipes = {id: process.recipe(id, tmp_path, 0).to_dict() for id in ARMS if id != "more"}
    assert len({json.dumps({**r, "run": None}, sort_keys=True) for r in recipes.values()}) == len(recipes)
    assert {id for pair in STUDY.compared for id in pair} == set(ARMS)
    assert process.warm(tmp_path, 0).agent["kind"] == "supervised"
    assert process.warm(tmp_path, 0).env["max_program_tokens"] == recipes["ppo"]["env"]["max_program_tokens"]


def test_one_arm_has_as_many_more_programs_as_the_labels_cost(tmp_path: Path) -> None:
    made = process.recipe("ppo", tmp_path, 0)  # a round of 128 programs is learnt from in 4 updates
    assert process.more(made, 0) == Size(480)
    assert process.more(made, 128) == Size(484)
    assert process.more(made, 33) == Size(482)
    more = process.recipe("more", tmp_path, 0, process.more(made, 128))
    assert (more.run.updates, more.agent["optimiser"]["length"]) == (484, 484)


def test_shuffled_labels_are_the_same_on_other_lines_that_hold_code() -> None:
    made = [
        LineLabels(f"p{i}", "a\n\nb\nc\n", Outcome.WRONG_ANSWER, 0, 1 + i % 3, (1, 0, 1 if i % 3 else -1, -1))
        for i in range(30)
    ]
    moved = process.shuffled(made, np.random.default_rng(0))
    assert Counter(label for each in moved for label in each.labels) == Counter(
        label for each in made for label in each.labels
    )
    assert all(each.labels[1] == 0 and 0 not in (each.labels[0], *each.labels[2:]) for each in moved)
    assert [each.text for each in moved] == [each.text for each in made]
    place = [line_training.spearman(np.tile([3, 2, 1], 30), _code(some)) for some in (made, moved)]
    assert place[0] is not None
    assert place[1] is not None
    assert place[0] > 0.7 > 0.3 > abs(place[1])


def _code(labels: list[LineLabels]) -> np.ndarray:
    return np.array([label for each in labels for label in each.labels if label])


def test_one_of_several_programs_is_chosen_in_each_way() -> None:
    """Lines of two programs a problem are worth .9 and -.9: the better one passes in the first, the likelier one in the second."""

    def episode(worth: float, logprob: float, passed: bool) -> Any:
        result = CaseResult(Outcome.PASSED) if passed else CaseResult(Outcome.WRONG_ANSWER, Failure("x"))
        row = np.full(2, logprob, np.float32)
        program = SimpleNamespace(tokens=np.array([int(10 * worth), 0]), prefix_length=0, truncated=False)
        return SimpleNamespace(
            program=program, logprobs=row, behaviour_logprobs=row, verdict=Verdict((result,)), prompt=row
        )

    groups = [
        [episode(-0.9, -1, False), episode(0.9, -2, True)],
        [episode(0.9, -2, False), episode(-0.9, -1, True)],
        [episode(0.9, -1, True), episode(-0.9, -2, False)],
    ]
    model = SimpleNamespace(
        tokenizer=SimpleNamespace(offsets=lambda tokens: ("ab", np.array([0, 2]), None)),
        fitted=lambda prompt, tokens, ends: (tokens, ends),
        scores=lambda samples: [np.array([tokens[0] / 10, 0.0], np.float32) for tokens in samples],
    )
    result = process.choices(model, groups)  # type: ignore[arg-type]
    expected = {"at random": 0.5, "any": 1.0, "likeliest": 2 / 3, "min": 2 / 3, "mean": 2 / 3, "last": 2 / 3}
    assert result["rates"] == pytest.approx(expected)
    assert result["compared"]["min - at random"]["difference"] == pytest.approx(2 / 3 - 0.5)
    assert result["compared"]["min - likeliest"]["difference"] == pytest.approx(0)


def _result(shift: float) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    evaluations = {
        m: {
            id: {"samples": 1, "passed": (rng.random(40) < 0.3 + shift * (id == "both")).astype(int).tolist()}
            for id in ARMS
        }
        for m in process.MEASURES
    }
    unseen = {"signs": 0.75, "most_frequent": 0.5, "rank_correlation": None, "place": 0.25}
    ranked = {"rates": {"at random": 0.25, "min": 0.5}, "compared": {}}
    beside = {"labels": {"programs": 8, "completions": 16}, "models": {"lines": unseen}, "spent": {}, "ranked": ranked}
    return {"evaluations": evaluations, "beside": beside}


def test_figures_are_split_by_the_length_of_references_and_written_out() -> None:
    lengths = {m: np.array([60] * 30 + [61] * 10) for m in process.MEASURES}
    results = {seed: _result(0.4) for seed in (0, 1)}
    result = process.figures(results, lengths)
    for name, part in (("all", slice(None)), ("short", slice(30)), ("long", slice(30, None))):
        passed = results[0]["evaluations"]["seen"]["both"]["passed"][part]
        assert result["tables"][name]["seen"]["arms"]["both"]["by_seed"][0] == pytest.approx(np.mean(passed))
    text = process.in_words(json.loads(json.dumps(result)))
    assert "## More than 60 tokens" in text
    assert "| 0 | 8 | 16 | lines | 0.75 | 0.50 |  | 0.25 |" in text
    assert "| seed 1 | 25.0% | 50.0% |" in text
    assert "(+ dense, value start) - (PPO)" in text
    short = {m: np.full(40, 20) for m in process.MEASURES}
    assert set(process.figures(results, short)["tables"]) == {"all"}, "no long references, no table of them"


def test_references_are_measured_in_the_tokens_of_the_warm_start(tmp_path: Path) -> None:
    policy = tiny.load(width=16, layers=1, heads=2, vocab_size=280, dataset_options={"size": 4})
    policy.save(tmp_path / "seed-0" / "warm" / "policy")
    result = process.reference_lengths(tmp_path, ["eval.options.size=5"])
    assert {m: row.shape for m, row in result.items()} == {"seen": (5,), "unseen": (5,)}
    assert min(row.min() for row in result.values()) > 5


def test_what_is_labelled_to_its_end_is_not_labelled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    trained: list[int] = []
    labelled: list[str] = []
    monkeypatch.setattr(process, "train", lambda recipe, console: trained.append(recipe.run.updates))
    monkeypatch.setattr(process.labelling, "label_run", lambda run, s, out, console: labelled.append(out.name))
    process.label(tmp_path, 0, None, Size(), [], process.LABELS)  # type: ignore[arg-type]
    assert (trained, labelled) == ([240, 480], ["labels-half", "labels-end"])
    half = tmp_path / "seed-0" / "labels-half"
    process.labelling.begin(half, {"settings": {"problems": 1, "chunk": 1}})
    (half / "labels.jsonl").write_text('{"programs": 1, "completions": 0, "labels": []}\n')
    process.label(tmp_path, 0, None, Size(), [], process.LABELS)  # type: ignore[arg-type]
    assert trained[2:] == [480], "a run that is beyond its half cannot go back"
    assert replace(process.MODEL, keep="all").keep == "all"
