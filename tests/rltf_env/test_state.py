"""A moment can be saved, gone back to, and gone on from elsewhere: in this environment, in another, in another process."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import data_equivalence

from rltf_env import datasets
from rltf_env.core import Outcome, Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UnknownName, UsageError
from rltf_env.sandbox.scripted import ScriptedSandbox
from rltf_env.sources import Cycle, Mapped, Uniform
from rltf_env.text import TextEnv

EOS = 256
PROBLEMS = datasets.load("procedural", size=5)


def by_length(source: str, problem: Problem) -> Outcome:
    return Outcome(len(source) % 3)


def make(kind: type = UnitTestEnv, **options: Any) -> Any:
    options = {"dataset": PROBLEMS, "sandbox": ScriptedSandbox(by_length, False), "max_program_tokens": 12} | options
    return kind(**options)


def play(env: Any, actions: Any) -> list[Any]:
    """What these actions give, with a new episode wherever one ends."""
    seen = []
    for action in actions:
        seen.append(env.step(action))
        if seen[-1][2] or seen[-1][3]:
            seen.append(env.reset())
    return seen


def assert_same(one: Any, other: Any) -> None:
    assert data_equivalence(one, other, exact=True), f"expected {other}, got {one}"


TOKENS = [65, 66, EOS, 67, *[68] * 14, EOS, EOS, 69]
TEXTS = ["", "a", "ab", "abc", "b", "ö", "", "x" * 20]
REPAIR = {"max_turns": 3}


@pytest.mark.parametrize("after", range(6))
@pytest.mark.parametrize(
    ("kind", "options", "actions"), [(UnitTestEnv, {}, TOKENS), (TextEnv, REPAIR, TEXTS)], ids=["tokens", "texts"]
)
def test_the_same_actions_give_the_same_again(kind: type, options: dict[str, Any], actions: Any, after: int) -> None:
    env = make(kind, **options)
    observation, _ = env.reset(seed=8, options={"prefix": "x"})
    for action in actions[:after]:
        observation, _, terminated, truncated, _ = env.step(action)
        if terminated or truncated:
            observation, _ = env.reset()
    saved = pickle.loads(pickle.dumps(env.get_state()))
    expected = play(env, actions[after:])
    other = make(kind, **options)
    for place in (env, other, other):  # back here, elsewhere, and there again
        assert_same(place.set_state(saved), observation)
        assert_same(play(place, actions[after:]), expected)


def test_forks_do_not_know_of_each_other() -> None:
    env, fork = make(), make()
    env.reset(seed=0)
    env.step(65)
    saved = env.get_state()
    kept = json.loads(json.dumps(saved))
    fork.set_state(saved)
    fork.step(66)
    fork.reset()
    env.step(67)
    assert saved == kept
    assert bytes(env.get_state()["tokens"]) == b"AC"


def test_a_running_episode_survives_json() -> None:
    env, twin = make(), make()
    env.reset(seed=3)
    env.step(65)
    twin.set_state(json.loads(json.dumps(env.get_state())))
    assert_same(play(twin, TOKENS), play(env, TOKENS))


@pytest.mark.parametrize("kind", [UnitTestEnv, TextEnv])
def test_the_end_can_be_gone_back_to(kind: type) -> None:
    env, twin = make(kind, render_mode="ansi"), make(kind, render_mode="ansi")
    env.reset(seed=0)
    end = env.step(EOS if kind is UnitTestEnv else "x")
    assert_same(twin.set_state(env.get_state()), end[0])
    assert twin.render() == env.render()
    with pytest.raises(ResetNeeded):
        twin.step(EOS if kind is UnitTestEnv else "x")
    assert_same(twin.reset(), env.reset())


def test_a_source_that_goes_round_goes_back_too() -> None:
    env = make(source=Cycle(PROBLEMS))
    env.reset()
    saved = env.get_state()
    following = [env.reset()[1]["problem"] for _ in range(3)]
    env.set_state(saved)
    assert [env.reset()[1]["problem"] for _ in range(3)] == following


def test_a_source_whose_problems_are_changed_goes_back_too() -> None:
    env = make(source=Mapped(Cycle(PROBLEMS), lambda problem: problem))
    env.reset()
    saved = env.get_state()
    following = [env.reset()[1]["problem"] for _ in range(3)]
    env.set_state(saved)
    assert [env.reset()[1]["problem"] for _ in range(3)] == following
    assert Mapped(Uniform(PROBLEMS), lambda problem: problem).get_state() is None


def test_a_time_limit_is_part_of_the_moment() -> None:
    env = gymnasium.make("RLTF-Procedural-v0", max_episode_steps=3, sandbox="scripted")
    env.reset(seed=0)
    env.step(65)
    twin = UnitTestEnv(sandbox="scripted")
    twin.set_state(env.unwrapped.get_state())
    assert twin.step(65)[3] is False
    assert twin.step(65)[3] is True


def test_the_state_goes_to_another_process() -> None:
    code = """
import gymnasium, json, rltf_env, sys
env = gymnasium.make("RLTF-Procedural-v0", max_program_tokens=6).unwrapped
observation = env.set_state(json.load(sys.stdin))
rewards = [env.step(token)[1] for token in b" - 1"]
print(json.dumps([observation["program"].tolist(), rewards, env.reset()[1]["problem"]]))
env.close()
"""
    env = gymnasium.make("RLTF-Procedural-v0", max_program_tokens=6)
    env.reset(seed=4)
    env.step(ord("1"))
    observation, *_ = env.step(ord("0"))
    state = json.dumps(env.unwrapped.get_state())
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        input=state,
        capture_output=True,
        text=True,
        timeout=100,
        env=os.environ | {"PYTHONHASHSEED": "7"},
        cwd=Path(__file__).parent,
    )
    assert done.returncode == 0, done.stderr
    rewards = [env.step(token)[1] for token in b" - 1"]
    assert json.loads(done.stdout) == [observation["program"].tolist(), rewards, env.reset()[1]["problem"]]
    env.close()


def test_a_beam_finds_the_program_that_the_judge_wants() -> None:
    """Search by state: of all texts over three letters, the one that passes, without a reset in between."""
    env = make(sandbox=ScriptedSandbox({"bab": True}, False), max_program_tokens=3, reward="coarse")
    env.reset(seed=0)
    beams = [env.get_state()]
    for _ in range(3):
        grown = []
        for state in beams:
            for token in b"ab":
                env.set_state(state)
                _, reward, *_ = env.step(token)
                grown.append((reward, env.get_state()))
        beams = [state for _, state in sorted(grown, key=lambda one: -one[0])]
    assert bytes(beams[0]["tokens"]) == b"bab"


# ----------------------------------------------------------------------------------------------------------- refusals


def test_there_is_no_state_before_the_first_episode() -> None:
    for kind in (UnitTestEnv, TextEnv):
        with pytest.raises(ResetNeeded):
            make(kind).get_state()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"tokns": []}, UnknownName, "Did you mean 'tokens'"),
        ({"tokens": None}, UsageError, "with tokens too"),
        ({"tokens": [300]}, UsageError, "another tokenizer"),
        ({"tokens": [65] * 13}, UsageError, "at most 12 tokens, got 13"),
        ({"limit": 13}, UsageError, "of at most 13"),
        ({"problem": "procedural/trian"}, UnknownName, "procedural"),
        ({"random": {"bit_generator": "MT19937"}}, UsageError, "a PCG64 generator, got one of MT19937"),
    ],
)
def test_what_is_no_state_of_such_an_environment_is_refused(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    env = make()
    env.reset(seed=0)
    env.step(65)
    before = env.get_state()
    saved = {key: value for key, value in (before | change).items() if value is not None or key == "judgement"}
    saved.setdefault("source", None)
    with pytest.raises(error, match=message):
        env.set_state(saved)
    assert env.get_state() == before
    for what in (3, None, "state"):
        with pytest.raises(UsageError, match="a mapping"):
            env.set_state(what)


def test_the_random_generator_is_saved_and_not_shared() -> None:
    env, twin = make(), make()
    env.reset(seed=1)
    saved = env.get_state()
    twin.set_state(saved)
    drawn = [env.reset()[1]["problem"] for _ in range(4)]
    assert [twin.reset()[1]["problem"] for _ in range(4)] == drawn
    assert isinstance(twin.np_random, np.random.Generator)
    assert twin.np_random is not env.np_random
