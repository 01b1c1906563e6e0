"""A small policy, the folder that servers are started with, and servers that write with it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fake_vllm import FakeVLLM
from served import twin

from agents.engines._folder import Shared
from agents.policies import tiny
from agents.policies.causal import CausalPolicy

Serve = Callable[..., FakeVLLM]


@pytest.fixture(scope="module")
def original() -> CausalPolicy:
    return tiny.load(width=32, layers=1, heads=2, vocab_size=300, dataset_options={"size": 4}, max_positions=256)


@pytest.fixture(scope="module")
def started(original: CausalPolicy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served")
    Shared(folder).save_start(original)
    return folder / "start"


@pytest.fixture
def folder(started: Path, tmp_path: Path) -> Path:
    shutil.copytree(started, tmp_path / "start")
    return tmp_path


@pytest.fixture
def writer(original: CausalPolicy) -> CausalPolicy:
    return twin(original)


@pytest.fixture
def serve(original: CausalPolicy, folder: Path) -> Iterator[Serve]:
    with ExitStack() as stack:
        yield lambda **how: stack.enter_context(FakeVLLM(twin(original), folder / "start", **how))
