"""Every component of the project keeps its contract: found by its file, checked by `rltf_env.testing` or `agents.testing`.

A new file in `datasets/`, `sources/`, `curricula/`, `rewards/`, `sandbox/`, `agents/algorithms/` or `agents/policies/` is
tested here with no edit. What needs data that are not at hand is skipped, with the loader's own message as the reason.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from stable_baselines3.common.env_checker import check_env as sb3_check_env

from agents.building import quiet_libraries
from agents.testing import check_agent, check_learning, check_policy
from rltf_env import datasets, plugins, rewards, sandbox, sources, testing
from rltf_env.core import Sandbox
from rltf_env.env import MissingDataWarning
from rltf_env.errors import MissingData
from rltf_env.registration import specs

# What makes an agent or a policy small enough for a test; each gets those of them that it has.
SMALL_AGENT = {"buffer": 12, "fill": 8, "refresh": 4, "refresh_every": 2, "samples_per_problem": 2, "batch_size": 4}
SMALL_AGENT |= {"problems": 4}  # of an on-policy round
SMALL_AGENT |= {"discriminator": {"updates": 2, "batch_size": 4}}
# What makes it learn a toy task in seconds.
QUICK_AGENT = {"buffer": 64, "fill": 32, "refresh": 32, "refresh_every": 1, "samples_per_problem": 16, "batch_size": 32}
QUICK_AGENT |= {
    "problems": 2,
    "discriminator": {"updates": 1, "batch_size": 4},
    "baseline": "group_mean",
    "optimiser": {"lr": 2e-2, "warmup": 1, "weight_decay": 0.0, "micro_batch": 0},
}
TRUNKS = {"atc"}  # teach a trunk and not how to write: what such a one comes to know, its own test asks
SMALL_POLICY = {
    "width": 16,
    "layers": 1,
    "heads": 2,
    "vocab_size": 300,
    "dataset_options": {"size": 16},
    "max_positions": 128,
    "config": {
        "model_type": "gpt_neo",
        "hidden_size": 16,
        "num_layers": 2,
        "num_heads": 2,
        "attention_types": [[["global", "local"], 1]],
    },
}
SMALL_LIMITS = {"workers": 2, "case_seconds": 0.5, "memory_mb": 300}
QUICK = 12  # problems of a split whose references are judged outside the slow tests
ROOT = Path(__file__).resolve().parents[1]


def splits() -> list[tuple[str, str]]:
    """Each dataset with each of the splits that it lists."""
    modules = {name: importlib.import_module(f"rltf_env.datasets.{name}") for name in plugins.names("datasets")}
    return [(name, split) for name, module in modules.items() for split in module.SPLITS]


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    opened = sandbox.load("auto")
    yield opened
    opened.close()


@pytest.fixture(autouse=True)
def rltf_data(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """--data, as the loaders see it."""
    folder = request.config.getoption("--data")
    if folder:
        monkeypatch.setenv("RLTF_DATA", folder)
    else:
        monkeypatch.delenv("RLTF_DATA", raising=False)


def check_split(name: str, split: str, judge: Sandbox, limit: int | None) -> None:
    load = importlib.import_module(f"rltf_env.datasets.{name}").load
    # Where each is made first.
    fewer = {"size": limit} if limit and "size" in inspect.signature(load).parameters else {}
    try:
        problems = datasets.load(name, split, **fewer)
    except MissingData as error:
        pytest.skip(str(error))
    testing.check_dataset(problems, judge, limit=limit)


@pytest.mark.parametrize(("name", "split"), splits())
def test_dataset_keeps_its_contract(name: str, split: str, judge: Sandbox) -> None:
    check_split(name, split, judge, QUICK)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "split"), splits())
def test_every_reference_of_a_dataset_passes(name: str, split: str, judge: Sandbox) -> None:
    check_split(name, split, judge, None)


@pytest.mark.parametrize(("name", "split"), splits())
def test_source_keeps_its_contract(name: str, split: str) -> None:
    try:
        source = datasets.source(name, split)
    except MissingData as error:
        pytest.skip(str(error))
    testing.check_source(source)


@pytest.mark.parametrize("name", plugins.names("sources"))
def test_named_source_keeps_its_contract(name: str) -> None:
    testing.check_source(sources.load(name, datasets.load("procedural", size=5)))


@pytest.mark.parametrize("name", plugins.names("curricula"))
def test_curriculum_keeps_its_contract(name: str) -> None:
    testing.check_curriculum(name)


@pytest.mark.parametrize("name", plugins.names("rewards"))
def test_reward_keeps_its_contract(name: str) -> None:
    testing.check_reward(rewards.load(name))


@pytest.mark.parametrize("id", sorted(specs()))
def test_environment_keeps_gymnasiums_contract(id: str) -> None:
    """Each id passes the checkers without a warning. Stable-Baselines3's takes no texts, whoever they are from."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MissingDataWarning)  # then on the procedural problems
        env = gymnasium.make(id)
        check_env(env.unwrapped)
    if not isinstance(env.observation_space, gymnasium.spaces.Text):
        sb3_check_env(env)
    env.close()


def test_every_id_is_one_that_is_checked() -> None:
    assert {id for id in gymnasium.registry if id.startswith("RLTF-")} == set(specs())


def open_sandbox(name: str) -> Any:
    """With limits that keep hostile programs short, if it knows them."""
    if name == "http":  # the limits are its service's
        return sandbox.load(name)
    known = inspect.signature(plugins.find("sandbox", name)).parameters
    any_name = any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values())
    return sandbox.load(name, **{key: value for key, value in SMALL_LIMITS.items() if any_name or key in known})


@pytest.fixture
def service(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """For a sandbox that asks others: a service that is there for the test, or Ray, which is started with the sandbox."""
    if request.getfixturevalue("name") == "ray":
        pytest.importorskip("ray", reason="needs Ray: pip install 'rltf[ray]'")
    if request.getfixturevalue("name") != "http":
        yield
        return
    pytest.importorskip("fastapi", reason="needs FastAPI: pip install 'rltf[serve]'")
    from rltf_env.serve.app import background
    from rltf_env.serve.settings import Settings

    with background(Settings(port=0, options=SMALL_LIMITS)) as url:
        monkeypatch.setenv("RLTF_JUDGE_URL", url)
        yield


@pytest.mark.parametrize("name", plugins.names("sandbox"))
def test_sandbox_keeps_its_contract(name: str, service: None) -> None:
    with open_sandbox(name) as opened:
        testing.check_sandbox(opened)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", plugins.names("sandbox"))
def test_no_hostile_program_deceives_a_sandbox(name: str, service: None) -> None:
    with open_sandbox(name) as opened:
        testing.check_sandbox(opened, battery=True)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Numbers to the bit, also on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    quiet_libraries()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("name", plugins.names("algorithms", package="agents"))
def test_agent_keeps_its_contract(name: str, one_thread: None) -> None:
    module = importlib.import_module(f"agents.algorithms.{name}")
    known = {field.name for field in dataclasses.fields(module.Config)}
    options: dict[str, Any] = {key: value for key, value in SMALL_AGENT.items() if key in known}
    check_agent(lambda policy, env, seed: module.load(policy, env, seed=seed, **options))


@pytest.mark.parametrize("seeds", [(0, 1), pytest.param((2, 3, 4), marks=pytest.mark.slow)], ids=["two", "more"])
@pytest.mark.parametrize("name", sorted({*plugins.names("algorithms", package="agents")} - TRUNKS))
def test_agent_learns_a_toy_task_from_several_seeds(name: str, seeds: tuple[int, ...], one_thread: None) -> None:
    module = importlib.import_module(f"agents.algorithms.{name}")
    known = {field.name for field in dataclasses.fields(module.Config)}
    options: dict[str, Any] = {key: value for key, value in QUICK_AGENT.items() if key in known}
    check_learning(lambda policy, env, seed: module.load(policy, env, seed=seed, **options), seeds=seeds)


def test_an_agent_that_learns_nothing_is_found_out(one_thread: None) -> None:
    from agents.algorithms import grpo

    options = QUICK_AGENT | {"optimiser": {"lr": 1e-30, "weight_decay": 0.0}}
    options = {key: value for key, value in options.items() if key in {f.name for f in dataclasses.fields(grpo.Config)}}
    with pytest.raises(AssertionError, match="Expected a gain of at least"):
        check_learning(lambda policy, env, seed: grpo.load(policy, env, seed=seed, **options), updates=1)


@pytest.mark.parametrize("name", plugins.names("policies", package="agents"))
def test_policy_keeps_its_contract(name: str, one_thread: None, tmp_path: Path) -> None:
    """One that loads weights loads those of the tiny policy of its family that was saved."""
    load = plugins.find("policies", name, package="agents")
    known = inspect.signature(load).parameters
    options: dict[str, Any] = {key: value for key, value in SMALL_POLICY.items() if key in known}
    if "path" in known:
        small = plugins.find("policies", "tiny_seq2seq" if name == "seq2seq" else "tiny", package="agents")
        small(**{k: v for k, v in SMALL_POLICY.items() if k in inspect.signature(small).parameters}).save(tmp_path)
        options["path"] = str(tmp_path)
    check_policy(load(**options))


@pytest.mark.parametrize(
    "folder",
    [
        "rltf_env/datasets",
        "rltf_env/curricula",
        "rltf_env/rewards",
        "rltf_env/sandbox",
        "agents/algorithms",
        "agents/policies",
        "agents/rewards",
    ],
)
def test_every_file_that_defines_load_is_found(folder: str) -> None:
    package, _, part = folder.partition("/")
    files = (ROOT / folder).glob("[!_]*.py")
    assert plugins.names(part, package=package) == tuple(
        sorted(f.stem for f in files if "\ndef load(" in f.read_text(encoding="utf-8"))
    )
