"""`python -m agents.train RECIPE [table.key=value ...]`: one run, from a recipe to a trained policy.

The same command continues a run that was cut off, from its last checkpoint, to the same numbers as if it had not been.
Ctrl-C ends a run after its running update, with a checkpoint. Under `torchrun` each process is a rank of the run.
`python -m agents.report RUN` makes a page of it.
What a run writes, and where, is in `agents/training.py`, whose names are found here too. Nothing heavy is imported
before the first line is on the screen.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console

from agents.running.launch import Launch
from rltf_env.command import guarded, importing, leave, parser

if TYPE_CHECKING:
    from agents.training import TIMINGS, Measure, make_env, make_policy, save_policy, train

__all__ = ["TIMINGS", "Measure", "main", "make_env", "make_policy", "save_policy", "train"]
STOPPED = "Stopped. The same command goes on from the last checkpoint, if there is one."


def __getattr__(name: str) -> Any:
    """The names of `agents.training`, imported at first use: torch takes seconds."""
    if name.startswith("__"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("agents.training"), name)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; errors of the user's making are one message, not a traceback."""
    made = parser("agents.train", __doc__)
    made.add_argument("recipe", help="a TOML file; agents/recipes/ has some")
    made.add_argument(
        "overrides", nargs="*", default=[], metavar="table.key=value", help="e.g. run.seed=3 agent.clip=0.2"
    )
    options = made.parse_args(arguments)
    return guarded(lambda: _run(options), STOPPED)


def _run(options: argparse.Namespace) -> int:
    launch = Launch.from_environment()
    console = Console(quiet=bool(launch and not launch.leads))
    _say(console, f"{options.recipe}: importing PyTorch and transformers")
    with importing(STOPPED):
        from agents import training
        from agents.building import quiet_libraries
        from agents.config import read

    recipe = read(options.recipe, options.overrides)
    quiet_libraries()
    training.train(recipe, console)
    out = recipe.run.out or f"runs/{recipe.run.name}"
    _say(console, f"Finished: {out}. Next: rltf report {out}, or rltf evaluate SUITE --agent {out}")
    return 0


def _say(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    leave(main())
