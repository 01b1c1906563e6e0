"""A folder of weights that is not there is refused at once, with the one that may have been meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.policies import _whereabouts, causal
from rltf_env.datasets import hub
from rltf_env.errors import MissingData


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[int]:
    """A hub that nobody reaches, and how often it was asked; runs/rltf stands in the present folder."""
    calls: list[int] = []

    def unreachable() -> str:
        calls.append(1)
        return "https://hub does not answer (ConnectError: no route)"

    monkeypatch.setattr(hub, "unreachable", unreachable)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "rltf" / "policy").mkdir(parents=True)
    return calls


@pytest.mark.parametrize("where", ["./nothere", "/nothere/policy", "~/policy", "runs/rltff/policy", "nothere/"])
def test_what_can_be_no_hub_id_is_refused_without_a_question(asked: list[int], where: str) -> None:
    with pytest.raises(MissingData, match="there is no such folder"):
        causal.load(where)
    assert not asked


def test_the_folder_that_was_meant_is_named(asked: list[int]) -> None:
    with pytest.raises(MissingData, match=r"Did you mean 'runs/rltf'\?"):
        causal.load("runs/rltff")
    with pytest.raises(MissingData, match=r"Did you mean 'runs/rltf/policy'\?"):
        causal.load("runs/rltf/polcy")
    assert asked == [1]


def test_what_may_be_a_hub_id_is_asked_for_once(asked: list[int]) -> None:
    with pytest.raises(
        MissingData, match=r"no folder here, nothing in the hub's cache, and https://hub does not answer"
    ):
        causal.load("nothere")
    assert asked == [1]


def test_a_folder_that_is_there_needs_no_hub(asked: list[int]) -> None:
    assert _whereabouts.out_of_reach("runs") == ""
    assert not asked


def test_the_recipe_is_named_that_makes_the_policy_another_one_begins_with(asked: list[int]) -> None:
    with pytest.raises(MissingData, match=r"Make it first: rltf train agents/recipes/procedural_warm\.toml$"):
        causal.load("runs/procedural_warm/policy")
    assert not asked
