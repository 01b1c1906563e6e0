"""What a newcomer types first: names of the package, and signatures that editors and `help` show."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import rltf_env
from rltf_env.base import Options, UnitTestEnvBase

ENVIRONMENTS = (rltf_env.UnitTestEnv, rltf_env.UnitTestVectorEnv, rltf_env.TextEnv)


def test_every_exported_name_is_there() -> None:
    assert all(getattr(rltf_env, name) is not None for name in rltf_env.__all__)


def test_the_words_of_the_core_and_the_wrappers_are_exported() -> None:
    words = (
        "Problem StdinCase CallCase ScriptCase Program Verdict Outcome Failure Feedback Attempt ActionMask PrefixReward"
    )
    assert set(words.split()) <= set(rltf_env.__all__)
    assert rltf_env.Problem is rltf_env.core.Problem


def test_the_names_that_editors_see_are_the_exported_ones() -> None:
    tree = ast.parse(Path(rltf_env.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names = {alias.name for node in imports for alias in node.names}
    assert set(rltf_env.__all__) - names == {"__version__"}


def test_dir_shows_the_public_names_alone() -> None:
    assert dir(rltf_env) == sorted(rltf_env.__all__)


def test_importing_the_package_imports_no_environment() -> None:
    code = "import sys, rltf_env; assert not {'rltf_env.env', 'rltf_env.core', 'torch'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_signature_shows_every_argument(kind: type) -> None:
    parameters = inspect.signature(kind).parameters
    assert next(iter(parameters)) == "dataset"
    assert set(Options.__annotations__) <= set(parameters)
    assert not [each for each in parameters.values() if each.kind is inspect.Parameter.VAR_KEYWORD]


def test_options_for_editors_are_the_arguments_of_the_base() -> None:
    parameters = inspect.signature(UnitTestEnvBase.__init__).parameters
    named = {name: each.annotation for name, each in parameters.items() if each.kind is each.KEYWORD_ONLY}
    assert named == {name: each.__forward_arg__ for name, each in Options.__annotations__.items()}


@pytest.mark.parametrize("kind", ENVIRONMENTS)
def test_a_misspelt_argument_names_the_nearest(kind: type) -> None:
    with pytest.raises(rltf_env.UnknownName, match="Did you mean 'reward'"):
        kind("procedural", rewards="coarse")
