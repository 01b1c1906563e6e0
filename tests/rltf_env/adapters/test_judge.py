"""Problems and judge of an adapter: opened once, by name; a failure of the judge is never a number."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from rltf_env import datasets
from rltf_env.adapters import judge
from rltf_env.errors import DataError, MissingData, SandboxError, UnknownName, UsageError


def test_equal_arguments_open_one_environment_and_others_another(double: str) -> None:
    first = judge.opened(double, reward="coarse", reward_options={})
    assert judge.opened(double, reward_options={}, reward="coarse") is first
    assert judge.opened(double, reward="rltf") is not first


def test_configurations_of_a_library_are_plain_data_here(double: str) -> None:
    from types import MappingProxyType

    assert judge.opened(double, reward_options=MappingProxyType({})) is judge.opened(double, reward_options={})


def test_objects_are_told_apart_by_identity(double: str, world: Any) -> None:
    one, other = world.made(), world.made()
    options = {"reward": "coarse"}
    assert judge.opened(double, sandbox=one.sandbox, **options) is not judge.opened(
        double, sandbox=other.sandbox, **options
    )


def test_an_environment_comes_back_as_it_is_and_takes_no_options(world: Any) -> None:
    env = world.made()
    assert judge.opened(env) is env
    with pytest.raises(UsageError, match="no options"):
        judge.opened(env, reward="coarse")


def test_a_list_of_an_endless_set_is_found_again() -> None:
    options = {"size": 3, "seed": 2307, "depths": [2]}
    (*_, last) = judge.problems("procedural", "test", **options)
    env = judge.opened("procedural", split="test", dataset_options=options, reward="coarse")
    assert env.source.find(last.id) == last
    assert judge.opened("procedural", split="test").source.find(last.id).id == last.id


@pytest.mark.filterwarnings("error")
def test_missing_data_have_no_stand_in(tmp_path: Path) -> None:
    with pytest.raises(MissingData):
        judge.opened("apps", root=str(tmp_path))


def test_an_unknown_option_names_the_nearest(double: str) -> None:
    with pytest.raises(UnknownName, match="reward"):
        judge.opened(double, rewards="coarse")


def test_an_answer_in_words_is_judged_by_the_program_in_it(world: Any) -> None:
    env = world.made()
    right, half, raises = (judge.judge(env, world.problem, text) for text in (world.right, world.half, world.raises))
    assert (right.reward, right.notes) == (1.0, {"passed": 1.0, "pass_ratio": 1.0})
    assert (half.passed, half.notes["pass_ratio"]) == (False, 0.5)
    assert raises.failure == "TypeError in line 2"
    assert right.program.text.startswith("def f(x):")


def test_the_loop_goes_on_while_a_program_is_judged(world: Any) -> None:
    result = asyncio.run(judge.judged(world.made(), world.problem, world.right))
    assert result.passed


def test_a_failure_of_the_judge_is_raised_in_both_ways(world: Any) -> None:
    env = world.made(world.down)
    with pytest.raises(SandboxError):
        judge.judge(env, world.problem, world.right)
    with pytest.raises(SandboxError):
        asyncio.run(judge.judged(env, world.problem, world.right))


def test_problems_of_another_digest_are_refused(double: str, world: Any) -> None:
    digest = datasets.digest([world.problem])
    assert judge.problems(double, digest=digest[:8])[0].id == "double"
    with pytest.raises(DataError, match="digest"):
        judge.problems(double, digest="0" * 64)
    with pytest.raises(UsageError, match="8 digits"):
        judge.problems(double, digest=digest[:3])
