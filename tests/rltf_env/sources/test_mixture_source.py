"""Several sources as one: by weight, with the state of each."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from rltf_env import datasets
from rltf_env.errors import UnknownName, UsageError
from rltf_env.sources import Cycle, Mixture, Uniform
from rltf_env.testing import check_source

FIRST = datasets.load("procedural", size=4, depths=[1])
SECOND = datasets.load("procedural", "test", size=4, depths=[2])


def test_a_mixture_keeps_the_contract_of_sources() -> None:
    check_source(Mixture([(Uniform(FIRST), 1), (Uniform(SECOND), 3)]))


@pytest.mark.parametrize("weights", [(1.0, 3.0), (0.25, 0.75), (10, 30)])
def test_chances_are_in_proportion_to_the_weights(weights: tuple[float, float]) -> None:
    source = Mixture([(Uniform(FIRST), weights[0]), (Uniform(SECOND), weights[1])])
    rng = np.random.default_rng(0)
    first = sum(source.draw(rng) in FIRST for _ in range(400))
    assert 70 <= first <= 130


def test_what_weighs_nothing_is_found_and_not_drawn() -> None:
    source = Mixture([(Uniform(FIRST), 0), (Uniform(SECOND), 1)])
    rng = np.random.default_rng(0)
    assert Counter(source.draw(rng) in SECOND for _ in range(50)) == {True: 50}
    assert source.find(FIRST[0].id) == FIRST[0]
    assert len(source.problems) == 8
    with pytest.raises(UnknownName):
        source.find("other")


def test_sources_go_on_where_they_were() -> None:
    def draws(source: Mixture, count: int, seed: int) -> list[str]:
        rng = np.random.default_rng(seed)
        return [source.draw(rng).id for _ in range(count)]

    source = Mixture([(Cycle(FIRST), 1), (Uniform(SECOND), 1)])
    draws(source, 5, 0)
    other = Mixture([(Cycle(FIRST), 1), (Uniform(SECOND), 1)])
    other.set_state(source.get_state())
    assert draws(source, 8, 1) == draws(other, 8, 1)
    assert draws(Mixture([(Cycle(FIRST), 1), (Uniform(SECOND), 1)]), 8, 1) != draws(other, 8, 1)


@pytest.mark.parametrize("parts", [[], [(Uniform(FIRST), 0)], [(Uniform(FIRST), float("nan"))]])
def test_weights_that_choose_nothing_are_refused(parts: list) -> None:
    with pytest.raises(UsageError, match="one is above 0"):
        Mixture(parts)
