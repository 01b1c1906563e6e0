"""Shared fixtures. Real data are read from `--data FOLDER` or `$RLTF_DATA`; tests that need them skip when there are none."""

from __future__ import annotations

import compileall
import os
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parents[1]


settings.register_profile(
    "same", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("same")  # a test has the same examples in every run, and a busy machine is no fault of theirs


def pytest_configure() -> None:
    """Keeps compiled sources, also where PYTHONDONTWRITEBYTECODE is set.

    Tests start hundreds of judges and commands. Each judge is three processes or more, which write no bytecode themselves and
    would compile their sources anew: half of the time that it takes to start one. What is compiled already is left alone.
    """
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    for package in ("rltf_env", "agents", "benchmarks"):
        compileall.compile_dir(ROOT / package, quiet=2)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--data", default=os.environ.get("RLTF_DATA"), help="folder with real data (default: $RLTF_DATA)")


@pytest.fixture(scope="session", autouse=True)
def interrupts() -> None:
    """What Ctrl-C does in processes that tests start: a shell's background jobs, and all that they start, ignore it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def logs_of_stable_baselines(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where Stable-Baselines3 logs, which else makes a folder a run that nobody removes."""
    os.environ.setdefault("SB3_LOGDIR", str(tmp_path_factory.mktemp("sb3")))


@pytest.fixture(scope="session")
def data(request: pytest.FixtureRequest) -> Path:
    """The folder of real data: `mbpp/`, `apps/`, `humaneval/`, `hostile/`."""
    folder = request.config.getoption("--data")
    if not folder:
        pytest.skip("no real data: pass --data FOLDER or set RLTF_DATA")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"--data / RLTF_DATA: expected a folder, got {folder!r}, which does not exist")
    return path
