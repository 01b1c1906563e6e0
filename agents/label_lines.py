"""`python -m agents.label_lines RUN`: labels the lines of programs that a finished run's policy writes.

    RUN's policy --programs--> judge --wrong ones--> bisection by completions --> RUN/line_labels

`agents/labelling.py` says how. `python -m agents.train_line_model RUN` learns from the folder, or from
those of several runs.

Ctrl-C loses the problems that are being labelled; the same command goes on from there, to the same
labels.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from agents.critics.line_settings import LABELS_FOLDER, LabelSettings
from rltf_env.command import Parser, check_writable, guarded, importing, leave

STOPPED = "Stopped. The same command goes on from here."


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = Parser(prog="python -m agents.label_lines", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("run", type=Path, help="the folder of a finished run of agents.train")
    parser.add_argument("--out", type=Path, help=f"folder of the labels (default: RUN/{LABELS_FOLDER})")
    parser.add_argument("--device", default="", help="of the policy")
    for name, value in vars(LabelSettings()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value, help=f"(default: {value})")
    options = parser.parse_args(arguments)
    return guarded(lambda: _run(options), STOPPED)


def _run(options: argparse.Namespace) -> int:
    console, out = Console(), options.out or options.run / LABELS_FOLDER
    settings = LabelSettings(**{name: getattr(options, name) for name in vars(LabelSettings())})
    check_writable(out, folder=True)
    _print(console, f"{options.run}: importing PyTorch and transformers")
    with importing(STOPPED):
        from agents.building import quiet_libraries
        from agents.labelling import in_words, label_run

    quiet_libraries()
    _print(console, in_words(label_run(options.run, settings, out, console, options.device)))
    _print(console, f"Labels: {out}")
    _print(console, f"Next: python -m agents.train_line_model {options.run}")
    return 0


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    leave(main())
