"""A mixture of datasets: drawn from by weight, loaded as one, and as strict as its parts."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from rltf_env import datasets, testing
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UnknownName, UsageError

OLD = {"dataset": "retold", "dataset_options": {"tasks": ["refine"], "size": 5, "depths": [2]}, "source": "uniform"}
NEW = {"dataset": "procedural", "dataset_options": {"depths": [2]}}


def test_a_mixture_keeps_the_contracts_of_datasets_and_sources() -> None:
    listed = {**NEW, "dataset_options": {"size": 5, "depths": [2]}, "split": "test"}
    testing.check_dataset("mixture", parts=[OLD, listed], split="seen")
    testing.check_source(datasets.source("mixture", "train", parts=[{**OLD, "weight": 0.5}, NEW]))


def test_parts_are_drawn_from_by_weight() -> None:
    source = datasets.source("mixture", "train", parts=[{**OLD, "weight": 0.2}, {**NEW, "weight": 0.8}])
    rng = np.random.default_rng(0)
    drawn = Counter(source.draw(rng).id.partition("/")[0] for _ in range(300))
    assert 40 <= drawn["retold"] <= 80
    assert not hasattr(source, "problems")  # one part is endless


def test_a_part_has_the_split_of_the_whole_unless_it_names_its_own() -> None:
    own = {**NEW, "dataset_options": {"size": 3, "depths": [2]}, "split": "test"}
    problems = datasets.load("mixture", "seen", parts=[OLD, own])
    assert [p.id.split("/")[-3] for p in problems] == ["seen"] * 5 + ["test"] * 3


def test_an_environment_poses_a_mixture_and_says_what_it_poses() -> None:
    listed = {**OLD, "dataset_options": {**OLD["dataset_options"], "tasks": ["copy"]}}  # type: ignore[dict-item]
    options = {"parts": [OLD, {**listed, "dataset_options": {**listed["dataset_options"], "seed": 1}}]}
    env = UnitTestEnv("mixture", dataset_options=options, sandbox="scripted", max_prompt_tokens=900)
    assert len(env.source.problems) == 10  # type: ignore[attr-defined]
    assert env.data_digest == datasets.digest(datasets.load("mixture", **options))
    env.reset(seed=0)
    env.close()


@pytest.mark.parametrize(
    ("parts", "kind", "message"),
    [
        ([], UsageError, "parts as a list"),
        ([{"split": "train"}], UsageError, "a dataset in each part"),
        ([{**NEW, "wait": 1}], UnknownName, "Did you mean 'weight'"),
        ([OLD, OLD], UsageError, "in two"),
        ([{**NEW, "weight": 0}], UsageError, "one is above 0"),
        ([{**NEW, "weight": -1}, NEW], UsageError, "weights >= 0"),
    ],
)
def test_what_is_no_mixture_is_refused(parts: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        datasets.source("mixture", "train", parts=parts)
