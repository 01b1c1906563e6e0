"""A saved policy under `python -m rltf_env.play`."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from agents.policies.causal import CausalPolicy
from rltf_env import play


def test_a_saved_policy_can_be_watched_twice_the_same(
    policy: CausalPolicy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy.save(tmp_path)
    shown = []
    for seed in (0, 0, 1):
        out = io.StringIO()
        options = ["--with", f"path={tmp_path}", "--with", f"seed={seed}", "--with", "temperature=1.0"]
        asked = ["--seed", "0", "--policy", "agents.play:watch", *options, "--env", "max_program_tokens=12"]
        assert play.main(asked, io.StringIO(), out) == 0, capsys.readouterr().err
        shown.append(out.getvalue())
    assert "/12 tokens" in shown[0]
    assert shown[0] == shown[1] != shown[2]
