"""The command `rltf`: a screen of help, quick, and one sentence where the research code is not there."""

from __future__ import annotations

import argparse
import importlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from rltf_env import __version__, cli

ROOT = Path(__file__).parents[2]


def test_help_fits_a_screen_and_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80
    assert all(any(line.startswith(f"  {name} ") for line in lines) for name in (*cli.COMMANDS, "completion"))


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_command_has_a_main_that_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert callable(importlib.import_module(cli.COMMANDS[name].module).main)
    with pytest.raises(SystemExit) as stopped:
        cli.main([name, "--help"])
    assert stopped.value.code == 0
    shown = capsys.readouterr().out
    assert shown.startswith(f"usage: rltf {name} ")
    assert f"python -m {cli.COMMANDS[name].module}" not in shown


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_a_module_that_is_run_names_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = cli.COMMANDS[name]
    with pytest.raises(SystemExit):
        importlib.import_module(command.module).main([*command.first, "--help"])
    own = "rltf serve" if name == "serve" else f"python -m {command.module.removesuffix('.__main__')}"
    assert capsys.readouterr().out.startswith(f"usage: {own} ")


@pytest.mark.parametrize(("name", "missing"), [("train", "recipe"), ("continual", "sequence"), ("report", "run")])
def test_what_is_missing_is_named_and_nothing_else(name: str, missing: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main([name])
    assert f"rltf {name}: error: the following arguments are required: {missing}\n" in capsys.readouterr().err


def options(name: str, monkeypatch: pytest.MonkeyPatch) -> list[argparse.Action]:
    """What the parser of a command takes, its subcommands' too, but for --help."""
    made: list[argparse.ArgumentParser] = []

    def parse(self: argparse.ArgumentParser, *_: object) -> None:
        made.append(self)
        raise SystemExit

    monkeypatch.setattr(argparse.ArgumentParser, "parse_known_args", parse)
    with pytest.raises(SystemExit):
        cli.main([name])
    actions = [*made[0]._actions]
    for action in made[0]._actions:
        if isinstance(action, argparse._SubParsersAction):
            actions += [each for parser in action.choices.values() for each in parser._actions]
    return [each for each in actions if not isinstance(each, argparse._HelpAction | argparse._SubParsersAction)]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_every_option_has_words_and_every_count_a_lower_bound(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for action in options(name, monkeypatch):
        assert action.help, action.dest
        assert action.type is not int, f"{action.dest}: use at_least, so that -1 is refused"


@pytest.mark.parametrize("text", ["-1", "0", "1.5", "many"])
def test_a_count_below_its_bound_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["check", "mine.jsonl", "--limit", text])
    assert f"argument --limit: expected a whole number of at least 1, got '{text}'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (["evaluate", "humaneval", "--agent", "x", "--decodr", "y"], "--decoder"),
        (["check", "mbpp", "--quarantin3=x"], "--quarantine"),
        (["serve", "--hots", "::"], "--host"),
    ],
)
def test_a_misspelt_option_names_the_nearest(words: list[str], near: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(words)
    assert capsys.readouterr().err.endswith(f". Did you mean {near}?\n")


def test_an_option_in_place_of_an_override_says_how_one_is_written(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["train", "mine.toml", "--updates", "3"])
    assert "changed by table.key=value, without dashes, such as run.updates=3" in capsys.readouterr().err


def test_help_imports_no_command() -> None:
    code = "import sys; from rltf_env import cli; cli.main(['--help']); heavy = {'torch', 'rich', 'rltf_env.play', 'agents'}"
    subprocess.run(
        [sys.executable, "-c", f"{code}; assert not heavy & set(sys.modules)"], check=True, stdout=subprocess.DEVNULL
    )


def test_an_unknown_command_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["trian"]) == 2
    assert "Did you mean 'train'?" in capsys.readouterr().err


def test_the_version_is_the_package_s(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out == f"rltf {__version__}\n"
    assert f'version = "{__version__}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


@pytest.fixture
def only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is the whole path for packages, and the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.setattr(sys, "meta_path", [each for each in sys.meta_path if "editable" not in str(each)])
    for name in [name for name in sys.modules if name.partition(".")[0] in ("agents", "benchmarks")]:
        monkeypatch.delitem(sys.modules, name)
    return tmp_path


def test_without_a_checkout_one_sentence_says_so(only: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["train", "recipe.toml"]) == 2
    assert capsys.readouterr().err == (
        "rltf train: Expected the package 'agents' of rltf, got none. "
        "Run rltf in a checkout of rltf, or put one on PYTHONPATH.\n"
    )


def test_a_foreign_package_is_named_and_not_run(only: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (only / "agents").mkdir()
    (only / "agents" / "__init__.py").write_text("raise SystemExit('run')")
    assert cli.main(["train", "recipe.toml"]) == 2
    assert str(only / "agents" / "__init__.py") in capsys.readouterr().err


@pytest.mark.parametrize("shell", cli.SHELLS)
def test_completion_has_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", shell]) == 0
    assert " ".join(cli.COMMANDS) in capsys.readouterr().out


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_the_first_word() -> None:
    script = cli.completion("bash") + '\nCOMP_WORDS=(rltf le); COMP_CWORD=1; _rltf; echo "${COMPREPLY[@]}"'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "leaderboard\n"


def test_every_command_has_help_and_is_known_where_one_is_misspelt(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: rltf completion {bash,zsh}\n")
    assert cli.main(["completoin"]) == 2
    assert "Did you mean 'completion'?" in capsys.readouterr().err


def test_completion_for_another_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["completion", "fish"]) == 2
    assert "expected bash or zsh, got fish" in capsys.readouterr().err


IMPATIENT = """
import os, signal, sys

class Impatient:
    def find_spec(self, name, path=None, target=None):
        if name == {name!r}:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Impatient())
"""
INTERRUPTED = """
sys.argv = [{command!r}, "--version"]
from rltf_env.cli import entry
entry()
"""


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("name", ["gymnasium", "rltf_env.command"])
def test_ctrl_c_while_the_package_is_imported_ends_the_command_without_a_traceback(name: str) -> None:
    code = IMPATIENT.format(name=name) + INTERRUPTED.format(command="/usr/bin/rltf")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("rltf_env.datasets", "gymnasium"),
        ("benchmarks.leaderboard", "gymnasium"),
        ("benchmarks.leaderboard", "rich.console"),
        ("agents.train", "rich.console"),
    ],
)
def test_ctrl_c_while_a_module_that_is_run_is_imported_is_told_in_a_word(
    module: str, name: str, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(IMPATIENT.format(name=name))
    paths = os.pathsep.join([str(tmp_path), str(ROOT)])
    command, environment = [sys.executable, "-m", module, "--help"], {**os.environ, "PYTHONPATH": paths}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "Stopped.\n")


def test_ctrl_c_is_left_alone_in_other_programs_and_after_the_start() -> None:
    code = "import signal, sys\nsys.argv = [{!r}]\nimport rltf_env\nprint(signal.getsignal(signal.SIGINT).__name__)\n"
    code += "assert sys.excepthook is sys.__excepthook__"
    other = subprocess.run([sys.executable, "-c", code.format("train.py")], capture_output=True, text=True, check=True)
    assert other.stdout == "default_int_handler\n"
    code = (
        "import signal\nfrom rltf_env import _starting\nsignal.signal(signal.SIGINT, signal.SIG_DFL)\n_starting.end()\n"
    )
    code += "print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)"
    after = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert after.stdout == "True\n"
