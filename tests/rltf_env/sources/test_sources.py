"""Sources: which problem comes next."""

from __future__ import annotations

import pickle
from collections import Counter

import numpy as np
import pytest

from rltf_env import datasets, sources
from rltf_env.core import Problem, Problems, StdinCase
from rltf_env.errors import UnknownName, UsageError
from rltf_env.sources import Cycle, Uniform
from rltf_env.testing import check_source

PROBLEMS = [Problem(f"p/{number}", "Echo.", (StdinCase("x", "x"),)) for number in range(5)]


@pytest.mark.parametrize("name", ["procedural", "grown", "humaneval", "mbpp", "apps"])  # all are in test_contracts
def test_sources_of_the_datasets_keep_the_contract(name: str, request: pytest.FixtureRequest):
    if name in ("apps", "mbpp"):
        check_source(datasets.source(name, "train", root=request.getfixturevalue("data")))
    else:
        check_source(datasets.source(name, "test"))


def test_uniform_gives_every_problem_its_share():
    rng, source = np.random.default_rng(0), Uniform(PROBLEMS)
    counts = Counter(source.draw(rng).id for _ in range(5000))
    assert len(counts) == 5
    assert all(880 < count < 1120 for count in counts.values())  # 1000 +- 4 standard deviations


def test_cycle_goes_round_and_leaves_the_generator_alone():
    rng, source = np.random.default_rng(0), Cycle(PROBLEMS)
    before = rng.bit_generator.state
    assert [source.draw(rng).id for _ in range(7)] == ["p/0", "p/1", "p/2", "p/3", "p/4", "p/0", "p/1"]
    assert rng.bit_generator.state == before


def test_cycle_goes_on_where_its_copy_was_made():
    rng, source = np.random.default_rng(0), Cycle(PROBLEMS)
    source.draw(rng)
    assert pickle.loads(pickle.dumps(source)).draw(rng).id == "p/1"


@pytest.mark.parametrize("kind", [Uniform, Cycle])
def test_unknown_id_names_the_nearest(kind: type):
    with pytest.raises(UnknownName, match=r"Unknown problem 'p/33'\. Did you mean 'p/3'"):
        kind(PROBLEMS).find("p/33")
    assert kind(PROBLEMS).find("p/3") == PROBLEMS[3]


def test_unknown_id_among_many_does_not_list_them_all():
    many = Uniform(Problem(f"p/{number}", "Echo.", (StdinCase("x", "x"),)) for number in range(1000))
    with pytest.raises(UnknownName, match="and 980 more"):
        many.find("q")


@pytest.mark.parametrize("kind", [Uniform, Cycle])
def test_ids_must_be_unique(kind: type):
    with pytest.raises(UsageError, match="unique ids, got 'p/2' twice"):
        kind([*PROBLEMS, PROBLEMS[2]])


@pytest.mark.parametrize("kind", [Uniform, Cycle])
def test_no_problems_at_all_is_an_error(kind: type):
    with pytest.raises(UsageError, match="at least one problem to draw from, got none"):
        kind([])


# ------------------------------------------------------------------------------------------------ the contract can fail


class Moody(Uniform):
    def draw(self, rng: np.random.Generator) -> Problem:
        return self.problems[int(np.random.default_rng().integers(5))]


class Careless(Uniform):
    def draw(self, rng: np.random.Generator) -> Problem:
        np.random.random()  # noqa: NPY002
        return super().draw(rng)


class Forgetful(Uniform):
    def find(self, id: str) -> Problem:
        return self.problems[0]


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Moody, "to depend on its generator alone"),
        (Careless, "global random generators to be left alone"),
        (Forgetful, "Expected find to know"),
    ],
)
def test_check_source_tells_a_bad_one(kind: type, message: str):
    with pytest.raises(AssertionError, match=message):
        check_source(kind(PROBLEMS))


def test_a_source_is_found_by_the_name_of_its_file() -> None:
    assert [type(sources.load(name, Problems(PROBLEMS))) for name in ("uniform", "cycle")] == [Uniform, Cycle]
    with pytest.raises(UnknownName, match="Did you mean 'cycle'"):
        sources.load("cycel", Problems(PROBLEMS))


def test_options_that_a_source_does_not_take_are_named() -> None:
    with pytest.raises(UsageError, match=r"Source 'cycle': .*'pace'"):
        sources.load("cycle", Problems(PROBLEMS), pace=2)


def test_what_makes_no_source_is_refused() -> None:
    with pytest.raises(UsageError, match="to be a function that makes a source"):
        sources.load("builtins:list", Problems(PROBLEMS))
