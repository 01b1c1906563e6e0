"""The command `rltf`: one word for what `python -m` runs by module. A command's code is imported when it is asked for.

`demo`, `init`, `train`, `continual`, `evaluate`, `compare`, `leaderboard`, `report` and `audit` belong to `agents` and
`benchmarks`, which are research code run from a checkout. The folder in which the command is called counts as one.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from typing import NamedTuple, NoReturn

from rltf_env import __version__, _starting
from rltf_env.command import called, guarded, importing, leave


class Command(NamedTuple):
    """A word, the module that does the work (its `main(arguments)`), and what it is for."""

    module: str
    help: str
    first: tuple[str, ...] = ()  # words that go before the user's


COMMANDS = {
    "demo": Command("benchmarks.demo", "train a small model with test feedback; show what it gains"),
    "init": Command("agents.init", "write a recipe to start from: FILE"),
    "train": Command("agents.train", "run a recipe: RECIPE [table.key=value ...]"),
    "continual": Command("benchmarks.continual.__main__", "learn tasks one after another: SEQUENCE --method METHOD"),
    "report": Command("agents.report", "one HTML page of a run: RUN"),
    "evaluate": Command("benchmarks.evaluate", "measure a model on a suite: SUITE --agent AGENT"),
    "compare": Command("benchmarks.compare", "is record A better than B: A B"),
    "leaderboard": Command("benchmarks.leaderboard", "rank the records of a folder: FOLDER"),
    "audit": Command("benchmarks.studies.audit", "what the tests of a dataset let pass: DATASET"),
    "play": Command("rltf_env.play", "write programs yourself, or watch a policy: [ID]"),
    "serve": Command("rltf_env.serve.__main__", "the judge and the problems over HTTP"),
    "doctor": Command("rltf_env.doctor", "what the judge is worth on this machine"),
    "check": Command("rltf_env.datasets.__main__", "find problems whose references fail: DATASET", ("check",)),
    "synthesize": Command("rltf_env.synthesis.__main__", "make tests for typed functions: DATASET --out FILE"),
    "strengthen": Command("rltf_env.strengthen", "add tests that wrong programs fail: DATASET --out FILE"),
}
SHELLS = {
    "bash": """_rltf() {{
    COMPREPLY=()
    if [ "$COMP_CWORD" -eq 1 ]; then
        COMPREPLY=($(compgen -W "{words}" -- "${{COMP_WORDS[1]}}"))
    fi
}}
complete -o default -F _rltf rltf
""",
    "zsh": """#compdef rltf
_rltf() {{
    if (( CURRENT == 2 )); then
        compadd -- {words}
    else
        _files
    fi
}}
compdef _rltf rltf
""",
}


def usage() -> str:
    """What `rltf --help` prints: it fits a screen of 80 columns and 24 lines."""
    lines = [f"  {name:<12} {command.help}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            "usage: rltf COMMAND [...]    (rltf COMMAND --help: what a command takes)",
            "",
            *lines,
            f"  {'completion':<12} print a completion script: bash or zsh",
            "",
            "  --version    the version of the package",
            "",
        ]
    )


def completion(shell: str) -> str:
    """A completion script: `eval "$(rltf completion bash)"`.

    Raises:
        KeyError: a shell other than "bash" and "zsh".
    """
    return SHELLS[shell].format(words=" ".join([*COMMANDS, "completion", "--help", "--version"]))


def absent(module: str) -> str:
    """Why a module of the research code cannot be used, in one sentence; "" if it can.

    Another project's package of that name is recognised by what it lacks, and none of its code runs.
    """
    package, _, below = module.partition(".")
    spec = importlib.util.find_spec(package)
    places = list(spec.submodule_search_locations or ()) if spec else []
    path = os.path.join(*below.split(".")) + ".py"
    if any(os.path.isfile(os.path.join(place, path)) for place in places):
        return ""
    remedy = "Run rltf in a checkout of rltf, or put one on PYTHONPATH."
    if spec is None:
        return f"Expected the package {package!r} of rltf, got none. {remedy}"
    place = spec.origin or next(iter(places), "?")
    return f"Expected the package {package!r} of rltf, got another one of that name, {place}. {remedy}"


def run(name: str, arguments: Sequence[str]) -> int:
    """Runs one command. Returns the exit status: 2 where its package is not there."""
    command = COMMANDS[name]
    package = command.module.partition(".")[0]
    if package != "rltf_env":
        if os.getcwd() not in sys.path:  # as `python -m` does: a checkout goes before what is installed
            sys.path.insert(0, os.getcwd())
        if complaint := absent(command.module):
            sys.stderr.write(f"rltf {name}: {complaint}\n")
            return 2
    shown = "rltf" if command.first else f"rltf {name}"  # the first words are the parser's to add
    with called(command.module.removesuffix(".__main__"), shown):
        return guarded(lambda: _work(command)([*command.first, *arguments]))


def _work(command: Command) -> Callable[[Sequence[str]], int]:
    with importing():
        return importlib.import_module(command.module).main


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if not words or words[0] in ("-h", "--help"):
        print(usage(), end="")
        return 0
    if words[0] == "--version":
        print(f"rltf {__version__}")
        return 0
    if words[0] == "completion":
        return _completion(words[1:])
    if words[0] not in COMMANDS:
        from rltf_env.errors import UnknownName

        sys.stderr.write(f"rltf: {UnknownName('command', words[0], [*COMMANDS, 'completion'])}\n")
        return 2
    return run(words[0], words[1:])


def entry() -> NoReturn:
    """What the installed command `rltf` calls."""
    _starting.end()
    leave(main())


def _completion(words: Sequence[str]) -> int:
    if words and words[0] in ("-h", "--help"):
        print('usage: rltf completion {bash,zsh}\n\nPrints a completion script: eval "$(rltf completion bash)"')
        return 0
    if len(words) != 1 or words[0] not in SHELLS:
        sys.stderr.write(f"rltf completion: expected bash or zsh, got {' '.join(words) or 'nothing'}.\n")
        return 2
    print(completion(words[0]), end="")
    return 0


if __name__ == "__main__":
    leave(main())
