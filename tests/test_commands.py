"""Every command: its start imports what it uses, its errors are sentences, its end is a status."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from rltf_env.cli import COMMANDS

ROOT = Path(__file__).resolve().parents[1]


def sources() -> list[Path]:
    """The modules that are started as a command and take arguments."""
    found = (path for package in ("rltf_env", "agents", "benchmarks") for path in (ROOT / package).rglob("*.py"))
    return [path for path in found if "def main(arguments: Sequence[str]" in path.read_text(encoding="utf-8")]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_command_is_guarded(path: Path) -> None:
    """What its work raises reaches `rltf_env.command.guarded`, so that no user sees a traceback."""
    if path.name == "cli.py":  # hands on to the others
        return
    main = next(
        node
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name == "main"
    )
    calls = {ast.unparse(node.func) for node in ast.walk(main) if isinstance(node, ast.Call)}
    assert "guarded" in calls


def test_every_command_names_the_option_that_a_misspelt_one_means() -> None:
    """They take `rltf_env.command.Parser`, or `parser`, which makes one: argparse's own does not."""
    plain = [
        str(path.relative_to(ROOT))
        for package in ("rltf_env", "agents", "benchmarks")
        for path in (ROOT / package).rglob("*.py")
        if "ArgumentParser(" in path.read_text(encoding="utf-8")
    ]
    assert not plain


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_help_imports_no_library_that_takes_seconds(name: str) -> None:
    code = (
        "import sys\nfrom rltf_env import cli\n"
        f"try: cli.main([{name!r}, '--help'])\nexcept SystemExit: pass\n"
        "sys.stderr.write(' '.join(sorted({'torch', 'transformers', 'datasets', 'matplotlib'} & set(sys.modules))))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage:" in done.stdout
