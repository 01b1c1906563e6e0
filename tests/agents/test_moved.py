"""Old import paths: who used one is told the new one, in one sentence, and the new one is there."""

from __future__ import annotations

import importlib
import re

import numpy as np
import pytest

from agents.core import Completion, TrainingSample

OLD = (
    "actor_critic", "dapo", "dr_grpo", "grpo", "policy_gradient", "ppo", "reinforce", "rloo", "rltf", "supervised",
    "checkpoint", "critic", "folders", "frames", "generator", "journal", "learner", "live", "public", "reference",
    "replay", "rounds", "scale", "trackers", "_svg", "decoding._vllm",
)  # fmt: skip


@pytest.mark.parametrize("name", OLD)
def test_an_old_path_names_the_new_one(name: str) -> None:
    with pytest.raises(ModuleNotFoundError, match=rf"^agents\.{re.escape(name)} is now \S+: import that\.$") as caught:
        importlib.import_module(f"agents.{name}")
    new = str(caught.value).split(" is now ")[1].partition(":")[0]
    assert importlib.import_module(new).__name__ == new


def test_both_ways_to_import_a_module_are_answered() -> None:
    with pytest.raises(ImportError, match=r"agents\.algorithms\.grpo"):
        from agents import grpo  # noqa: F401  # pyright: ignore[reportAttributeAccessIssue]
    with pytest.raises(ImportError, match=r"agents\.algorithms\.grpo"):
        import agents.grpo  # noqa: F401  # pyright: ignore[reportMissingImports]


def test_what_never_was_there_is_not_there() -> None:
    with pytest.raises(ModuleNotFoundError, match="nonsense"):
        importlib.import_module("agents.nonsense")


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("agents.rollout", "Sample", "agents.core.TrainingSample"),
        ("agents.rollout", "batch", "agents.batching.batch"),
        ("agents.core", "generators", "agents.core.rngs"),
        ("agents.decoding.sampling", "alike", "agents.engines.own.similar_length_chunks"),
    ],
)
def test_an_old_name_works_and_names_the_new_one(module: str, old: str, new: str) -> None:
    where, _, name = new.rpartition(".")
    with pytest.warns(DeprecationWarning, match=rf"^{re.escape(module)}\.{old} is now {re.escape(new)}\.$"):
        found = getattr(importlib.import_module(module), old)
    assert found is getattr(importlib.import_module(where), name)


@pytest.mark.parametrize("module", ["agents.rollout", "agents.core", "agents.decoding.sampling"])
def test_a_name_that_never_was_is_an_attribute_error(module: str) -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        importlib.import_module(module).nonsense  # noqa: B018


def test_fields_are_built_and_read_by_their_old_names_with_a_warning() -> None:
    tokens, zeros = np.arange(2), np.zeros(2, np.float32)
    with pytest.warns(DeprecationWarning, match=r"Completion\.behaviour is now Completion\.behaviour_logprobs\."):
        made = Completion(tokens=tokens, logprobs=zeros, behaviour=zeros, given=0, truncated=False)  # type: ignore[call-arg]
    assert made.behaviour_logprobs is zeros
    sample = TrainingSample(tokens, tokens, zeros > 0, zeros, zeros)
    for old, new in (("learn", "loss_mask"), ("logprobs", "old_logprobs")):
        with pytest.warns(DeprecationWarning, match=rf"TrainingSample\.{old} is now TrainingSample\.{new}\."):
            assert getattr(sample, old) is getattr(sample, new)
    with pytest.raises(TypeError, match="nonsense"):
        TrainingSample(tokens, tokens, zeros > 0, zeros, zeros, nonsense=1)  # type: ignore[call-arg]
