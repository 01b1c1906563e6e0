"""Errors cross processes, and other libraries build them anew: what they say arrives."""

from __future__ import annotations

import pickle

import gymnasium
import pytest

import agents.actors.core
import agents.parallel
import benchmarks.solvers.endpoint  # noqa: F401 - so that its errors are among those below
import rltf_env  # noqa: F401 - the ids
from rltf_env import cluster
from rltf_env.base import UnknownRenderMode
from rltf_env.errors import RLTFError, UnknownName


def kinds(kind: type[RLTFError]) -> set[type[RLTFError]]:
    """An error's class with all below it."""
    return {kind}.union(*map(kinds, kind.__subclasses__()))


NAMED = (UnknownName, UnknownRenderMode)
ERRORS: list[RLTFError] = [kind("Expected one.") for kind in sorted(kinds(RLTFError), key=lambda each: each.__name__)]
ERRORS += [kind("color", "redd", {"red": 1, "blue": 2}, hint="Look.") for kind in NAMED]


def test_errors_of_every_layer_are_looked_at() -> None:
    seen = {type(error) for error in ERRORS}
    assert {cluster.StoreFull, agents.actors.core.GeneratorError, agents.parallel.RankError} <= seen


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_an_error_says_the_same_in_another_process(error: RLTFError) -> None:
    there = pickle.loads(pickle.dumps(error))
    assert (type(there), str(there), vars(there)) == (type(error), str(error), vars(error))


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_an_error_that_is_built_anew_keeps_its_message(error: RLTFError) -> None:
    assert str(type(error)(str(error))) == str(error)
    assert str(type(error)(error)) == str(error)


def test_gymnasium_says_which_render_mode_is_unknown() -> None:
    with (
        pytest.raises(TypeError, match=r"Unknown render mode 'humna'\. Did you mean 'human'"),
        pytest.warns(UserWarning, match="not in the possible render_modes"),
    ):
        gymnasium.make("RLTF-Procedural-v0", render_mode="humna")


@pytest.mark.parametrize("id", ["RLTF-Procedural-v0", "RLTF-Procedural-Text-v0"])
def test_reset_options_that_are_no_dict_are_refused(id: str) -> None:
    env = gymnasium.make(id).unwrapped
    with pytest.raises(ValueError, match=r"options of reset\(\) as a dict, such as .*, got 'seen/1'"):
        env.reset(options="seen/1")  # type: ignore[arg-type]
    rows = gymnasium.make_vec(id, 1)
    with pytest.raises(ValueError, match=r"options of reset\(\) as a dict"):
        rows.reset(options="seen/1")  # type: ignore[arg-type]
