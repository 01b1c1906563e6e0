"""The command that makes repair pairs: what it writes and says, what it goes on with, what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents import repair_pairs, repairing
from agents.policies.causal import CausalPolicy
from agents.repairs import PAIRS, read

RECIPE = """
[run]
name = "little"
updates = 1
[env]
id = "RLTF-Procedural-v0"
prompt_style = "statement"
max_program_tokens = 12
reward = "coarse+executed"
source = "uniform"
dataset_options = { size = 6, depths = [1] }
sandbox_options = { workers = 1 }
[policy]
kind = "tiny"
[agent]
kind = "supervised"
[eval]
split = "seen"
size = 2
options = { size = 2, depths = [2] }
"""


@pytest.fixture
def run(policy: CausalPolicy, tmp_path: Path) -> Path:
    policy.save(tmp_path / "run" / "policy")
    (tmp_path / "run" / "recipe.toml").write_text(RECIPE)
    return tmp_path / "run"


def test_the_command_makes_pairs_with_the_judge_itself_and_says_what_came(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(run), "--problems", "3", "--samples", "2", "--chunk", "2"]
    assert repair_pairs.main(words) == 0
    output = capsys.readouterr().out
    assert "pairs of 6 programs" in output
    assert f"agent.references={{ repairs = '{run / 'repairs'}' }}" in output
    pairs, about = read(run / "repairs")
    assert about["settings"]["samples"] == 2
    assert pairs
    assert all("-> " in pair.report for pair in pairs)
    before = (run / "repairs" / PAIRS).read_bytes()
    assert repair_pairs.main(words) == 0
    assert (run / "repairs" / PAIRS).read_bytes() == before, "what is done is not done again"
    capsys.readouterr()
    assert repair_pairs.main([*words, "--seed", "1"]) == 2
    assert "to hold repair pairs of" in capsys.readouterr().err


def test_ctrl_c_is_one_line_and_what_a_record_has_no_use_for_is_refused(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(repairing, "pairs_of", interrupted)
    assert repair_pairs.main([str(run), "--problems", "2"]) == 130
    assert capsys.readouterr().err == "Stopped. The same command goes on from here.\n"
    assert repair_pairs.main([str(run), "--record", "x", "--samples", "2", "--seed", "1"]) == 2
    assert "no --samples, --seed with --record" in capsys.readouterr().err
    assert repair_pairs.main([str(run), "--target", "nothing"]) == 2
    assert "reference, success" in capsys.readouterr().err
