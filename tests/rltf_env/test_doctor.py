"""The doctor tells what the judge is worth here, and its exit status says it to scripts."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import pytest

from rltf_env import doctor
from rltf_env.errors import UsageError
from rltf_env.sandbox.cage import isolation

HEALTH = doctor.Health("forkserver/filtered:rlimits+seccomp", "filtered", ("rlimits", "seccomp"), "", 500.0, 0.1)


def test_the_doctor_says_what_is_missing_and_how_to_get_it() -> None:
    text = doctor.report(HEALTH, "filtered")
    assert "seccomp   in force" in text
    assert "landlock  MISSING: needs Linux 5.13" in text
    assert text.endswith("sound")
    assert set(doctor.REMEDIES) | {"user", "caps"} == set(isolation.LAYERS)


def test_a_service_is_asked_with_its_own_limits_and_a_judge_of_this_machine_with_short_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[dict[str, Any]] = []

    def load(name: str, **options: Any) -> Any:
        asked.append({"name": name, **options})
        raise UsageError("Expected a service, got none.")

    monkeypatch.setattr(doctor.sandbox, "load", load)
    for arguments in (["--sandbox", "http", "--set", "urls=http://a:1"], [], ["--set", "case_seconds=2"]):
        assert doctor.main(arguments) == 2
    assert asked == [
        {"name": "http", "urls": "http://a:1"},
        {"name": "auto", "case_seconds": 0.5, "cache": 0},
        {"name": "auto", "case_seconds": 2, "cache": 0},
    ]


def test_a_report_on_a_service_says_that_it_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RLTF_JUDGE_URL", "http://a:1")
    text = doctor.report(replace(HEALTH, service=True), "filtered")
    assert "a service (http://a:1)" in text
    assert "processors" not in text


def test_a_weak_level_or_a_broken_contract_is_not_sound() -> None:
    assert HEALTH.sound("filtered")
    assert not HEALTH.sound("full")
    broken = replace(HEALTH, complaint="paid a cheat")
    assert not broken.sound("none")
    assert "NOT sound" in doctor.report(broken, "none")
    assert "paid a cheat" in doctor.report(broken, "none")


def test_the_command_s_exit_status_is_the_finding() -> None:
    command = [sys.executable, "-m", "rltf_env.doctor", "--require", "limits"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "contract  holds" in done.stdout


def test_a_judge_that_does_not_start_has_a_status_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    assert doctor.main([]) == 2
