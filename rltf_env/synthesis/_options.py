"""What the commands that make tests take alike: `synthesize` and `strengthen`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any


def add_options(parser: argparse.ArgumentParser, things: str, settings: Any, sizes: Sequence[str]) -> None:
    """Adds the data set, where the problems go, the judge, and whole numbers of the settings.

    Args:
        parser: of a command.
        things: what the data set has: "problems", "functions".
        settings: at their defaults.
        sizes: fields of theirs that an option of the same name sets.
    """
    parser.add_argument("name", help="what datasets.load takes: mbpp, FILE.jsonl, hub:owner/name, ...")
    parser.add_argument("--out", required=True, metavar="FILE.jsonl", help="where to write the problems")
    parser.add_argument("--split", help="without it, the dataset's own default")
    parser.add_argument("--root", help="folder of the data; without it, $RLTF_DATA")
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="an option of the dataset")
    parser.add_argument("--limit", type=int, help=f"the first so many {things} only")
    parser.add_argument("--seed", type=int, default=0, help="of the inputs and mutants (default: 0)")
    parser.add_argument("--sandbox", default="auto", help="which judge: auto, forkserver, subprocess")
    parser.add_argument("--seconds", type=float, default=2.0, help="time limit of a case (default: 2)")
    for name in sizes:
        default = getattr(settings, name)
        parser.add_argument(f"--{name}", type=int, default=default, help=f"see Settings (default: {default})")
