"""RLCF as a run: without a test, measured with tests, and with warnings where its discriminator is noise."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from small_runs import AGENTS, COMMON, OVERRIDES, place_judge

from agents import training
from agents.algorithms.rlcf import RLCF
from agents.building import MEASURING, check
from agents.config import Recipe, read
from agents.running.journal import FOUND, Shown
from agents.testing import by_checksum
from rltf_env import sandbox
from rltf_env.errors import UsageError

MakeRecipe = Callable[..., Recipe]


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> MakeRecipe:
    place_judge(tmp_path, monkeypatch)

    def make(*overrides: str, without: str = "") -> Recipe:
        path = tmp_path / "rlcf.toml"
        path.write_text(COMMON + AGENTS["rlcf"])
        usual = [text for text in OVERRIDES["rlcf"] if not without or without not in text]
        return read(path, [f"run.out={json.dumps(str(tmp_path / 'run'))}", "run.updates=2", *usual, *overrides])

    return make


def test_it_learns_from_a_judge_that_runs_nothing_and_is_measured_by_another(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged = []
    judge = sandbox.load(
        "scripted", rules=lambda source, problem: judged.append(source) or by_checksum(source, problem)
    )
    # Under a name of its own: a judge of the usual name may still be shared with what another test left open.
    monkeypatch.setattr("judge_by_rule.counting", lambda: judge, raising=False)
    summary = training.train(recipe('eval.sandbox="judge_by_rule:counting"'))
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        assert sum(line[name] for name in FOUND.values()) == pytest.approx(1)
        assert not [name for name in line if name.startswith("outcome/") or name == "pass_ratio"]
        assert "reward/discriminator" in line
        assert "copied" in line
    assert len(judged) == 2 * 3  # two evaluations of three programs each, and nothing of the training
    assert set(summary["evaluations"]) == {"0", "2"}
    samples = (tmp_path / "run" / "samples.jsonl").read_text().splitlines()
    shown = [Shown.from_dict(json.loads(line)["program"]) for line in samples]
    assert shown
    assert {each.count for each in shown} == {"not run"}
    assert {each.words for each in shown} <= {"found syntax error", "found finding", "found nothing"}


@pytest.mark.parametrize(
    ("overrides", "without"),
    [((), "eval.sandbox"), (('eval.sandbox="static"',), ""), (('eval.sandbox="static"', "env.sandbox=auto"), "")],
)
def test_a_recipe_that_would_measure_without_running_is_refused_before_it_begins(
    recipe: MakeRecipe, tmp_path: Path, overrides: tuple[str, ...], without: str
) -> None:
    with pytest.raises(UsageError, match=r"\[eval\] sandbox") as caught:
        training.train(recipe(*overrides, without=without))
    assert MEASURING in str(caught.value)
    assert "static" in str(caught.value)
    assert not (tmp_path / "run" / "recipe.toml").exists()


def test_options_of_a_judge_that_is_not_named_are_refused(recipe: MakeRecipe) -> None:
    with pytest.raises(UsageError, match="sandbox_options"):
        recipe("eval.sandbox_options={ case_seconds = 1.0 }", without="eval.sandbox")


def test_a_discriminator_that_is_noise_is_told_in_the_summary(
    recipe: MakeRecipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RLCF, "warnings", ["Its reward is noise."])
    summary = training.train(recipe("run.eval_every=0"))
    assert summary["warnings"] == ["Its reward is noise."]
    assert json.loads((tmp_path / "run" / "summary.json").read_text())["warnings"] == ["Its reward is noise."]


def test_the_shipped_recipe_can_be_trained_with() -> None:
    made = read(Path(training.__file__).parent / "recipes" / "procedural_rlcf.toml")
    check(made)
    assert (made.env["sandbox"], made.eval.sandbox) == ("static", "auto")
