"""What an import costs and does: `import rltf_env` and `gym.make` are light, silent and leave the process as it was.

Each check runs in a process of its own, because this one has imported everything already. Weight is counted in modules, not
in seconds, so that a busy machine changes nothing.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from rltf_env._moved import Redirect

ROOT = Path(__file__).parents[1]
HEAVY = (
    "torch",
    "transformers",
    "tokenizers",
    "stable_baselines3",
    "accelerate",
    "matplotlib",
    "scipy",
    "pandas",
    "rich",
    "pygments",
    "ray",
    "datasets",
    "huggingface_hub",
    "pyarrow",
)
OWN_BUDGET = 11  # modules that `import rltf_env` may add to those of Gymnasium


def modules_after(code: str) -> set[str]:
    """Names in `sys.modules` after `code`, in a fresh interpreter in which warnings are errors; it must print nothing."""
    script = f"import json, sys\n{code}\nsys.stdout.write(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return set(json.loads(done.stdout))


def heavy(modules: set[str]) -> set[str]:
    return {name for name in modules if name.split(".")[0] in HEAVY}


def test_the_check_sees_a_heavy_import() -> None:
    assert "matplotlib" in heavy(modules_after("import matplotlib"))


def test_the_check_sees_output_and_warnings() -> None:
    with pytest.raises(json.JSONDecodeError):
        modules_after("print('hello')")
    with pytest.raises(AssertionError, match="UserWarning"):
        modules_after("import warnings; warnings.warn('old', UserWarning)")


@pytest.mark.parametrize(
    "code",
    [
        "import rltf_env",
        "import rltf_env.core, rltf_env.env, rltf_env.sources, rltf_env.prompts, rltf_env.tokenizers, rltf_env.testing",
        "from rltf_env import plugins; [plugins.names(folder) for folder in ('datasets', 'rewards', 'sandbox')]",
        "import agents, benchmarks.metrics",
    ],
    ids=["package", "modules", "names", "metrics"],
)
def test_import_loads_nothing_heavy(code: str) -> None:
    assert not heavy(modules_after(code))


@pytest.mark.parametrize(("package", "absent"), [("agents", "torch"), ("agents", "tomli_w"), ("benchmarks", "rich")])
def test_what_is_not_installed_is_told_with_the_extra_that_brings_it(package: str, absent: str) -> None:
    code = f"import sys; sys.modules[{absent!r}] = None; import {package}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100)
    assert f"{package} needs {absent}" in done.stderr
    assert "run from a checkout: pip install -e '.[agents]' there" in done.stderr


def test_making_and_playing_the_environment_loads_nothing_heavy() -> None:
    code = """
import gymnasium, rltf_env
env = gymnasium.make("RLTF-Procedural-v0")
env.reset(seed=0)
env.step(env.unwrapped.tokenizer.eos_id)
env.close()
"""
    assert not heavy(modules_after(code))


def test_import_adds_few_modules_to_those_of_gymnasium() -> None:
    added = modules_after("import gymnasium, numpy, rltf_env") - modules_after("import gymnasium, numpy")
    assert len(added) <= OWN_BUDGET, sorted(added)


def test_import_reads_no_dataset_and_no_sandbox() -> None:
    parts = ("rltf_env.datasets.", "rltf_env.sandbox.", "rltf_env.rewards.")
    assert not {name for name in modules_after("import rltf_env") if name.startswith(parts)}


def test_import_leaves_random_states_threads_and_signals_as_they_were() -> None:
    code = """
import random, signal, threading
import numpy
def state():
    generator = numpy.random.get_state(legacy=False)["state"]
    handlers = [signal.getsignal(number) for number in signal.valid_signals()]
    return random.getstate(), generator["key"].tolist(), generator["pos"], threading.active_count(), handlers
import gymnasium
before = state()
import rltf_env, rltf_env.env, rltf_env.sandbox
assert state() == before
"""
    modules_after(code)


@pytest.mark.parametrize("package", ["rltf_env", "benchmarks"])
def test_old_paths_lead_to_modules_that_are_there_and_hide_none(package: str) -> None:
    importlib.import_module(package)
    places = {old: new for each in sys.meta_path if isinstance(each, Redirect) for old, new in each.places.items()}
    for old, new in places.items():
        if old.startswith(f"{package}."):
            assert importlib.util.find_spec(new), f"{old} leads to {new}, which is not there"
            path = ROOT.joinpath(*old.split("."))
            assert not path.with_suffix(".py").exists(), f"the redirection of {old} hides a module of that name"
            assert not (path / "__init__.py").exists(), f"the redirection of {old} hides a package of that name"


@pytest.mark.parametrize(
    ("module", "old", "new"),
    [
        ("benchmarks.core", "Writer", "Solver"),
        ("rltf_env.base", "Judging", "UnitTestEnvBase"),
        ("rltf_env.judging", "Judging", "UnitTestEnvBase"),
        ("rltf_env.masking", "Follower", "PrefixTracker"),
        ("rltf_env.render", "ansi", "frame"),
        ("rltf_env.tokenizers", "opening", "fitting_prefix"),
    ],
)
def test_old_names_are_the_new_ones_and_say_so(module: str, old: str, new: str) -> None:
    code = f"""
import importlib, warnings
warnings.simplefilter("ignore")
module = importlib.import_module({module!r})
with warnings.catch_warnings(record=True, action="always") as caught:
    assert getattr(module, {old!r}) is getattr(module, {new!r})
assert str(caught[0].message).endswith(".{new}.")
"""
    modules_after(code)
