"""The command that trains a critic of a finished run's programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents import train_critic
from agents.config import finished, trained_with
from agents.critics.outcome import Critic
from agents.decoding.sampling import Sampling
from agents.policies.causal import CausalPolicy
from rltf_env.errors import MissingData

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


def test_command_makes_a_critic_that_can_be_loaded(policy: CausalPolicy, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "policy").mkdir()
    policy.save(tmp_path / "policy")
    (tmp_path / "recipe.toml").write_text(RECIPE)
    arguments = [str(tmp_path), "--problems", "4", "--samples", "2", "--updates", "2", "--batch-size", "4"]
    out = tmp_path / "[red]critic[" / "x]"  # no markup, but the name of a folder
    assert train_critic.main([*arguments, "--references", "0", "--out", str(out)]) == 0
    measured = json.loads((out / "critic_training.json").read_text())
    assert measured["settings"]["problems"] == 4
    assert measured["outcomes"]["PASSED"] + sum(measured["outcomes"].values()) >= 8
    assert Critic.load(out, device="cpu").classes == 2
    shown = capsys.readouterr().out
    assert "right" in shown
    assert f"Critic: {out}" in shown.replace("\n", "")


def test_unfinished_run_says_so(tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(MissingData, match="finished run"):
        finished(tmp_path)
    assert train_critic.main([str(tmp_path)]) == 2
    assert "finished run" in capsys.readouterr().err


def test_a_run_of_any_kind_of_policy_can_be_used_afterwards(tmp_path: Path, policy: CausalPolicy) -> None:
    (tmp_path / "recipe.toml").write_text(
        RECIPE.replace('kind = "tiny"', 'kind = "shape"\nshape = "codegen_350m"\ndevice = "cpu"')
        + 'sampling = { stop = ["#"], top_p = 0.9 }\n'
    )
    policy.save(tmp_path / "policy")
    recipe = finished(tmp_path)
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
