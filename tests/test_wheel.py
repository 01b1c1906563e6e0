"""The wheel holds `rltf_env` alone, and the README's first block runs where nothing but NumPy and Gymnasium is beside it."""

from __future__ import annotations

import importlib.metadata
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
BESIDE = ("numpy", "gymnasium", "cloudpickle", "typing-extensions", "farama-notifications")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of what it is made from, without the index."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    for name in ("rltf_env", "agents", "benchmarks"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-index", "--no-build-isolation"]
    done = subprocess.run([*command, "-w", str(folder), str(source)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a new environment: the wheel, and links to what it depends on."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, symlinks=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        str(folder / "bin" / "python"),
        "install",
        "-q",
        "--no-deps",
        "--no-index",
    ]
    subprocess.run([*pip, str(wheel)], check=True, capture_output=True)
    for name in BESIDE:
        for top in {
            Path(file).parts[0] for file in importlib.metadata.files(name) or () if ".." not in Path(file).parts
        }:
            if not (packages / top).exists() and top != "__pycache__":
                (packages / top).symlink_to(Path(str(importlib.metadata.distribution(name).locate_file(top))))
    return folder / "bin" / "python"


def test_the_wheel_holds_the_environment_alone(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"rltf_env"}
    assert {"rltf_env/py.typed", "rltf_env/sandbox/battery/programs.txt"} <= set(names)


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_the_first_block_of_the_readme_runs_in_a_clean_environment(python: Path, tmp_path: Path) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    match = re.search(r"```python\n(.*?)```\n\n<!-- prints -->\n```text\n(.*?)```", readme, re.DOTALL)
    assert match
    check = "import importlib.util as u\nassert not any(map(u.find_spec, ('torch', 'rich', 'agents', 'benchmarks')))\n"
    done = subprocess.run(
        [str(python), "-W", "error", "-c", check + match[1]],
        cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == match[2]


@pytest.mark.skipif(sys.platform == "win32", reason="links")
def test_the_command_says_what_the_wheel_leaves_out(python: Path, tmp_path: Path) -> None:
    command = [str(python.with_name("rltf")), "train", "recipe.toml"]
    done = subprocess.run(
        command, cwd=tmp_path, env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "Expected the package 'agents' of rltf, got none" in done.stderr


def test_every_folder_of_the_environment_is_installed_and_no_research_code() -> None:
    found = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"][
        "find"
    ]
    assert found["include"] == ["rltf_env*"]  # agents and benchmarks clash with other packages of these names
    assert not found["namespaces"]  # folders of data are no packages
    folders = {path.parent for path in (ROOT / "rltf_env").rglob("*.py")}
    bare = sorted(str(each.relative_to(ROOT)) for each in folders if not (each / "__init__.py").is_file())
    assert not bare, f"folders with sources and no __init__.py, which would not be installed: {bare}"
