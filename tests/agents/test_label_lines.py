"""The command that labels lines: what it writes, that it goes on where it was, what it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agents import label_lines, labelling
from agents.config import read as read_recipe
from agents.critics.line_settings import LabelSettings as Settings
from agents.decoding.sampling import Sampling
from agents.labelling import LABELS, for_labels, read, tally
from agents.policies.causal import CausalPolicy
from rltf_env.core import CaseResult, Failure, Outcome, Verdict
from rltf_env.env import UnitTestEnv
from rltf_env.errors import DataError, MissingData, UsageError

RECIPE = """
[run]
name = "little"
updates = 1
[env]
id = "RLTF-Procedural-v0"
prompt_style = "statement"
max_program_tokens = 12
reward = "rltf+executed"
reward_options = { rltf = { alpha = "none" } }
source = "uniform"
curriculum = "cccs"
dataset_options = { size = 6, depths = [1] }
sandbox_options = { workers = 1 }
[policy]
kind = "tiny"
[agent]
kind = "supervised"
"""
SMALL = Settings(problems=5, samples=2, completions=2, chunk=2)


def by_length(source: str, problem: Any) -> Verdict:
    """A third of all texts pass; each line holds code."""
    passed = len(source) % 3 == 0
    result = CaseResult(Outcome.PASSED) if passed else CaseResult(Outcome.WRONG_ANSWER, Failure("x"))
    return Verdict((result,), code=frozenset(range(1, 99)))


@pytest.fixture
def run(policy: CausalPolicy, tmp_path: Path) -> Path:
    policy.save(tmp_path / "run" / "policy")
    (tmp_path / "run" / "recipe.toml").write_text(RECIPE)
    return tmp_path / "run"


def labels(policy: CausalPolicy, env: UnitTestEnv, out: Path, stop_at: int = 99, settings: Settings = SMALL) -> Any:
    progress: list[int] = []

    def advance(done: int, counts: Any) -> None:
        progress.append(done)
        if done >= stop_at:
            raise KeyboardInterrupt

    out.mkdir(exist_ok=True)
    labelling.begin(out, {"settings": vars(settings)})
    return labelling.label_lines(policy, env, settings, Sampling(), out, advance), progress


def test_a_labelling_in_two_parts_is_the_labelling_in_one(
    policy: CausalPolicy, make_env: Callable[..., UnitTestEnv], tmp_path: Path
) -> None:
    whole, progress = labels(policy, make_env(by_length), tmp_path / "whole")
    assert progress == [0, 2, 4, 5]
    with pytest.raises(KeyboardInterrupt):
        labels(policy, make_env(by_length), tmp_path / "parts", stop_at=2)
    with pytest.raises(MissingData, match="got some of them"):
        read(tmp_path / "parts")
    with open(tmp_path / "parts" / LABELS, "a") as file:
        file.write('{"chunk": 1, "labe')  # of a killed writer
    again, progress = labels(policy, make_env(by_length), tmp_path / "parts")
    assert progress == [2, 4, 5]
    assert again == whole
    assert (tmp_path / "parts" / LABELS).read_text() == (tmp_path / "whole" / LABELS).read_text()
    result, about = read(tmp_path / "whole")
    assert about["counts"] == dict(whole)
    assert whole["programs"] == 10
    assert whole["distinct"] == len(result) <= 10
    assert 0 < whole["passed"] == sum(each.outcome is Outcome.PASSED for each in result)
    assert whole["completions"] > 0


def test_a_program_counts_once_for_each_problem(
    policy: CausalPolicy, make_env: Callable[..., UnitTestEnv], tmp_path: Path
) -> None:
    env = make_env(by_length)
    problems = [env.source.find("p0"), env.source.find("p1")]
    # Four times the same.
    result = labelling.label_chunk(policy, env, problems, Settings(samples=4), 0, Sampling(temperature=0.0))
    assert sorted(each.problem for each in result.labels) == ["p0", "p1"]


def test_the_draws_of_a_chunk_depend_on_its_number_and_the_seed_alone(
    policy: CausalPolicy, make_env: Callable[..., UnitTestEnv]
) -> None:
    env = make_env(by_length)
    problems = [env.source.find("p0"), env.source.find("p1")]

    def labels_of(number: int, seed: int = 0) -> Any:
        return labelling.label_chunk(policy, env, problems, Settings(samples=2, seed=seed), number, Sampling()).labels

    assert labels_of(1) == labels_of(1)
    assert len({labels_of(0), labels_of(1), labels_of(0, seed=1)}) == 3


def test_whole_problems_are_labelled_and_no_reward_is_paid(run: Path) -> None:
    recipe = for_labels(read_recipe(run / "recipe.toml"))
    assert recipe.env["reward"] == "coarse"
    assert not {"reward_options", "curriculum"} & set(recipe.env)
    assert recipe.env["max_program_tokens"] == 12


def test_the_command_labels_with_the_judge_itself_and_says_what_came(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(run), "--problems", "3", "--samples", "2", "--completions", "1", "--chunk", "2"]
    assert label_lines.main(words) == 0
    output = capsys.readouterr().out
    assert "of 6: " in output
    assert "Next: python -m agents.train_line_model" in output
    result, about = read(run / "line_labels")
    assert about["settings"]["completions"] == 1
    assert about["counts"]["programs"] == 6
    assert all(len(each.labels) > 0 for each in result)
    before = (run / "line_labels" / LABELS).read_bytes()
    assert label_lines.main(words) == 0
    assert (run / "line_labels" / LABELS).read_bytes() == before, "what is done is not done again"
    capsys.readouterr()
    assert label_lines.main([*words, "--seed", "1"]) == 2
    assert "or remove this one" in capsys.readouterr().err


def test_ctrl_c_is_one_line(run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(labelling, "label_chunk", interrupted)
    assert label_lines.main([str(run), "--problems", "2"]) == 130
    assert capsys.readouterr().err == "Stopped. The same command goes on from here.\n"


def test_what_cannot_be_says_so(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong in ({"problems": 0}, {"samples": 0}, {"completions": 0}, {"chunk": 0}):
        with pytest.raises(UsageError, match="Expected problems, samples, completions, chunk >= 1"):
            Settings(**wrong)
    with pytest.raises(MissingData, match="got none"):
        read(tmp_path / "nothing")
    assert label_lines.main([str(tmp_path / "nothing")]) == 2
    assert "finished run" in capsys.readouterr().err
    labelling.begin(tmp_path, {"a": 1})
    with pytest.raises(DataError, match="remove this one"):
        labelling.begin(tmp_path, {"a": 2})
    assert json.loads((tmp_path / "about.json").read_text()) == {"a": 1}
    assert tally([])["programs"] == 0
