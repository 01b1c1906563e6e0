"""Training a discriminator on what a run's policy writes: what it learns, what it is measured on, the command."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from agents import discriminator_training, train_discriminator
from agents.config import read
from agents.core import Episode
from agents.critics.discriminator import Discriminator
from agents.critics.settings import DiscriminatorSettings
from agents.decoding.sampling import Sampling
from agents.discriminator_training import static
from agents.policies import tiny
from agents.policies.causal import CausalPolicy
from rltf_env.core import CallCase, Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError
from rltf_env.tokenizers import HuggingFace

RECIPE = """
[run]
name = "little"
updates = 1
[env]
id = "RLTF-Procedural-v0"
dataset_options = { size = 24, depths = [1] }
source = "cycle"
prompt_style = "statement"
max_prompt_tokens = 128
max_program_tokens = 64
reward = "executed+fine"
sandbox_options = { case_seconds = 0.5 }
[policy]
kind = "tiny"
[agent]
kind = "supervised"
"""


@pytest.fixture(scope="module")
def policy() -> CausalPolicy:
    return tiny.load(width=16, layers=1, heads=2, vocab_size=300, dataset_options={"size": 16}, max_positions=256)


def written(text: str) -> Any:
    """What stands in for a policy that writes this text for every problem."""

    def collect(policy: Any, env: UnitTestEnv, problems: Sequence[Problem], decoder: Any, **how: Any) -> Any:
        return [[_episode(env, problem, text)] * how["repeats"] for problem in problems]

    return collect


def _episode(env: UnitTestEnv, problem: Problem, text: str) -> Episode:
    program = env.program_of(problem, text)
    nothing = np.zeros(len(program), np.float32)
    return Episode(problem.id, env.encode_prompt(problem), program, nothing, nothing, *env.judge(problem, program), 0)


def problems(count: int = 40) -> list[Problem]:
    return [
        Problem(f"p{i}", f"Give {i}.", [CallCase((), i)], "f", solutions=[f"f = lambda: {i}\n"]) for i in range(count)
    ]


def test_it_learns_to_tell_references_of_problems_it_has_not_seen(
    policy: CausalPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discriminator_training, "collect", written("def f():\n    return 1\n"))
    before = {name: tensor.clone() for name, tensor in policy.model.state_dict().items()}
    settings = DiscriminatorSettings(problems=40, samples=1, updates=25, batch_size=16, lr=1e-2, unseen=0.4)
    tokenizer = HuggingFace(policy.tokenizer)
    with UnitTestEnv(problems(), tokenizer=tokenizer, max_program_tokens=32, sandbox="static") as env:
        _, figures = discriminator_training.train_discriminator(policy, env, settings, Sampling(), Console(quiet=True))
    unseen = figures["unseen"]
    assert unseen["looks"] >= 8
    assert unseen["right"] >= 0.9 * unseen["looks"]
    assert figures["loss"] < 0.69
    assert all(tensor.equal(before[name]) for name, tensor in policy.model.state_dict().items())


def test_without_a_program_to_learn_from_it_says_so(policy: CausalPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discriminator_training, "collect", written("def f(:\n"))
    with (
        UnitTestEnv(problems(), tokenizer=HuggingFace(policy.tokenizer), sandbox="static") as env,
        pytest.raises(UsageError, match="without findings"),
    ):
        discriminator_training.train_discriminator(
            policy, env, DiscriminatorSettings(problems=8, samples=1), Sampling(), Console(quiet=True)
        )


def test_the_command_writes_a_folder_that_loads(
    policy: CausalPolicy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discriminator_training, "collect", written("def f(x):\n    return x\n"))
    (tmp_path / "recipe.toml").write_text(RECIPE)
    policy.save(tmp_path / "policy")
    arguments = [str(tmp_path), "--problems", "24", "--samples", "1", "--updates", "2", "--batch-size", "4"]
    assert train_discriminator.main(arguments) == 0
    figures = json.loads((tmp_path / "discriminator" / "discriminator_training.json").read_text())
    assert figures["settings"]["updates"] == 2
    assert Discriminator.load(tmp_path / "discriminator").style == "statement"


def test_no_program_is_run_and_no_other_reward_read(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text(RECIPE)
    env = static(read(tmp_path / "recipe.toml")).env
    assert (env["sandbox"], env["reward"], env["source"]) == ("static", "coarse", "cycle")
    assert "sandbox_options" not in env


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train_discriminator.main([str(tmp_path)]) == 2
    assert "finished run" in capsys.readouterr().err
    with pytest.raises(UsageError, match="problems, samples"):
        DiscriminatorSettings(problems=0)
