"""Every component of the project keeps its contract: found by its file, checked by `rltf_env.testing`.

A new file in `datasets/`, `rewards/` or `sandbox/` is tested here with no edit. What needs data that are not at hand is
skipped, with the loader's own message as the reason.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from rltf_env import datasets, plugins, rewards, sandbox, testing
from rltf_env.core import Sandbox
from rltf_env.errors import MissingData

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
    try:
        problems = datasets.load(name, split)
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


@pytest.mark.parametrize("name", plugins.names("rewards"))
def test_reward_keeps_its_contract(name: str) -> None:
    testing.check_reward(rewards.load(name))


@pytest.mark.parametrize("name", plugins.names("sandbox"))
def test_sandbox_keeps_its_contract(name: str) -> None:
    with sandbox.load(name) as opened:
        testing.check_sandbox(opened)


@pytest.mark.parametrize("folder", ["datasets", "rewards", "sandbox"])
def test_every_file_that_defines_load_is_found(folder: str) -> None:
    files = (ROOT / "rltf_env" / folder).glob("[!_]*.py")
    assert plugins.names(folder) == tuple(
        sorted(f.stem for f in files if "\ndef load(" in f.read_text(encoding="utf-8"))
    )
