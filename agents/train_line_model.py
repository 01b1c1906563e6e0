"""`python -m agents.train_line_model RUN`: a line reward model of the labels of a run's programs.

    RUN/line_labels --programs with labelled lines--> LineModel.learn --> RUN/line_model

`python -m agents.label_lines RUN` makes the labels; `--labels FOLDER`, which may be repeated, reads those
of other runs. `agents/line_training.py` says from what the model learns and how well it does;
`line_model_training.json` in its folder has the figures.

Ctrl-C ends it after the running update, with a checkpoint; the same command goes on from there, to
the same model.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from agents.critics.line_settings import KEEP, LABELS_FOLDER, MODEL_FOLDER, LineModelSettings
from rltf_env.command import Parser, check_writable, guarded, importing, leave

STOPPED = "Stopped. The same command goes on from the last checkpoint, if there is one."


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    words = (__doc__ or "").split("\n\n")[0]
    parser = Parser(prog="python -m agents.train_line_model", description=words)
    parser.add_argument("run", type=Path, help="the folder of a finished run of agents.train")
    which = f"a folder of labels (default: RUN/{LABELS_FOLDER}); may be repeated"
    parser.add_argument("--labels", type=Path, action="append", help=which)
    parser.add_argument("--out", type=Path, help=f"the model's folder (default: RUN/{MODEL_FOLDER})")
    parser.add_argument("--device", default="", help="of the model")
    for name, value in vars(LineModelSettings()).items():
        choice = f"one of {', '.join(KEEP)} " if name == "keep" else ""
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=type(value), default=value, help=f"{choice}(default: {value})")
    options = parser.parse_args(arguments)
    return guarded(lambda: _run(options), STOPPED)


def _run(options: argparse.Namespace) -> int:
    console, out = Console(), options.out or options.run / MODEL_FOLDER
    settings = LineModelSettings(**{name: getattr(options, name) for name in vars(LineModelSettings())})
    check_writable(out, folder=True)
    _print(console, f"{options.run}: importing PyTorch and transformers")
    with importing(STOPPED):
        from agents.building import quiet_libraries
        from agents.labelling import read
        from agents.line_training import in_words, train_run

    quiet_libraries()
    labels = [each for folder in options.labels or [options.run / LABELS_FOLDER] for each in read(folder)[0]]
    report = train_run(options.run, labels, settings, out, console, options.device)
    _print(console, in_words(report["unseen"]))
    _print(console, f"Line model: {out}")
    return 0


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    leave(main())
