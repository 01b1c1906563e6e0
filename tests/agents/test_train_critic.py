"""Training a critic on what a run's policy writes: what it learns, what it is measured on, the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from agents import train_critic
from agents.algorithms.supervised import draw_pairs
from agents.config import trained_with
from agents.core import TrainingSample
from agents.critics.outcome import Critic
from agents.decoding.sampling import Sampling
from agents.learning.learner import OptimiserConfig
from agents.policies import tiny
from agents.policies.causal import CausalPolicy
from agents.train_critic import Settings
from rltf_env.core import CallCase, Outcome, Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import MissingData, UsageError

RECIPE = """
[run]
name = "little"
updates = 1
[env]
id = "RLTF-Procedural-v0"
prompt_style = "statement"
max_program_tokens = 12
sandbox_options = { workers = 1 }
[policy]
kind = "tiny"
[agent]
kind = "supervised"
"""


def trained(policy: CausalPolicy, env: UnitTestEnv, **options: Any) -> tuple[Critic, dict[str, Any]]:
    own = tiny.load(width=16, layers=1, heads=2, vocab_size=280, dataset_options={"size": 4}, max_positions=128)
    critic = Critic(own, classes=options.get("classes", 2), optimiser=OptimiserConfig(lr=1e-2, warmup=0))
    settings = Settings(**{"problems": 24, "samples": 8, "updates": 60, "batch_size": 16, **options})
    return critic, train_critic.train_critic(policy, critic, env, settings, Sampling(), Console(quiet=True))


def test_critic_learns_what_becomes_of_programs_it_has_not_seen(
    policy: CausalPolicy, make_env: Callable[..., UnitTestEnv]
) -> None:
    """A rule that can be read off the statement, on problems that it was not taught."""
    words = ("Double it", "Add it up", "Halve it")
    problems = [Problem(f"p{i}", f"{words[i % 3]}: {i}.", [CallCase((), 1)], "f") for i in range(400)]
    env = make_env(lambda source, problem: problem.statement.startswith("Halve"), problems=problems)
    weights = {name: t.clone() for name, t in policy.model.state_dict().items()}
    _, said = trained(policy, env, references=0.0, unseen=0.25)
    assert said["unseen"]["programs"] == 8 * said["unseen"]["problems"]
    assert said["unseen"]["accuracy"] > said["unseen"]["most_frequent"] + 0.1
    assert sum(said["outcomes"].values()) == 24 * 8
    assert all(torch.equal(t, weights[name]) for name, t in policy.model.state_dict().items())


def test_references_count_as_passed(
    policy: CausalPolicy, make_env: Callable[..., UnitTestEnv], monkeypatch: Any
) -> None:
    env = make_env(lambda source, problem: "NameError")
    env.max_program_tokens = 40
    seen: list[tuple[list[TrainingSample], list[Outcome]]] = []
    monkeypatch.setattr(Critic, "learn", lambda self, samples, outcomes: (seen.append((samples, outcomes)), {})[1])
    trained(policy, env, references=0.25, updates=3, problems=20)
    assert len(seen) == 3
    for samples, outcomes in seen:
        assert outcomes == [Outcome.RUNTIME_ERROR] * 12 + [Outcome.PASSED] * 4
        assert all("f" in env.tokenizer.program(s.tokens).text for s in samples[12:])


def test_accuracy_stands_beside_that_of_the_most_frequent_outcome(policy: CausalPolicy) -> None:
    critic = Critic(policy)  # fresh: names the first class
    row = np.zeros(2, np.float32)
    samples = [TrainingSample(np.array([5]), np.array([40, 41 + i]), np.ones(2, bool), row, row) for i in range(4)]
    outcomes = [Outcome.SYNTAX_ERROR, Outcome.PASSED, Outcome.PASSED, Outcome.PASSED]
    assert train_critic.accuracy(critic, samples, outcomes) == {
        "programs": 4, "accuracy": 0.25, "most_frequent": 0.75
    }  # fmt: skip


def test_a_problem_that_is_drawn_again_is_not_taught_and_measured_at_once(
    policy: CausalPolicy, make_env: Callable[..., UnitTestEnv]
) -> None:
    env = make_env(problems=[Problem("only", "Do it.", [CallCase((), 1)], "f")])
    with pytest.raises(UsageError, match="different problems"):
        trained(policy, env, references=0.0)


def test_wrong_settings_say_so() -> None:
    for wrong in ({"problems": 1}, {"updates": 0}, {"unseen": 0.0}, {"references": 1.0}, {"lr": 0.0}):
        with pytest.raises(UsageError, match="Expected"):
            Settings(**wrong)


def test_command_makes_a_critic_that_can_be_loaded(policy: CausalPolicy, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "policy").mkdir()
    policy.save(tmp_path / "policy")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    arguments = [str(tmp_path), "--problems", "4", "--samples", "2", "--updates", "2", "--batch-size", "4"]
    out = tmp_path / "[red]critic[" / "x]"  # no markup, but the name of a folder
    assert train_critic.main([*arguments, "--references", "0", "--out", str(out)]) == 0
    said = json.loads((out / "critic_training.json").read_text())
    assert said["settings"]["problems"] == 4
    assert said["outcomes"]["PASSED"] + sum(said["outcomes"].values()) >= 8
    assert Critic.load(out, device="cpu").classes == 2
    shown = capsys.readouterr().out
    assert "right" in shown
    assert f"Critic: {out}" in shown.replace("\n", "")


def test_unfinished_run_says_so(tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(MissingData, match="finished run"):
        train_critic.finished(tmp_path)
    assert train_critic.main([str(tmp_path)]) == 2
    assert "finished run" in capsys.readouterr().err


def test_references_of_problems_that_are_held_out_are_not_taught(make_env: Callable[..., UnitTestEnv]) -> None:
    env = make_env()
    held = {f"p{i}" for i in range(4)}
    prompts = {tuple(env.encode_prompt(env.source.find(id))): id for id in (*held, "p4", "given")}
    pairs = draw_pairs(env, env.source, np.random.default_rng(0), 50, held)
    drawn = {prompts[tuple(sample.prompt)] for sample in pairs}
    assert drawn == {"p4", "given"}
    with pytest.raises(UsageError, match="besides those held out"):
        draw_pairs(env, env.source, np.random.default_rng(0), 1, held | drawn)


def test_a_run_of_any_kind_of_policy_can_be_used_afterwards(tmp_path: Path, policy: CausalPolicy) -> None:
    (tmp_path / "recipe.toml").write_text(
        RECIPE.replace('kind = "tiny"', 'kind = "shape"\nshape = "codegen_350m"\ndevice = "cpu"')
        + 'sampling = { stop = ["#"], top_p = 0.9 }\n'
    )
    policy.save(tmp_path / "policy")
    recipe = train_critic.finished(tmp_path)
    assert recipe.policy == {"kind": "causal", "path": str(tmp_path / "policy"), "device": "cpu"}
    assert trained_with(recipe) == Sampling(stop=("#",), top_p=0.9)


@pytest.mark.parametrize("name", ["[red]x", "[/red]x"])
def test_a_path_is_printed_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    assert train_critic.main([str(tmp_path / name)]) == 2
    assert name in capsys.readouterr().err.replace("\n", "")


def test_a_message_names_its_table(policy: CausalPolicy, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy.save(tmp_path / "policy")
    (tmp_path / "recipe.toml").write_text(RECIPE.replace('id = "RLTF-Procedural-v0"', ""))
    assert train_critic.main([str(tmp_path)]) == 2
    assert "[env]: expected id" in capsys.readouterr().err
