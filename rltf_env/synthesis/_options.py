"""What the commands that make tests take alike: `synthesize` and `strengthen`."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from rltf_env.command import at_least


def add_options(parser: argparse.ArgumentParser, things: str, settings: Any, sizes: Mapping[str, str]) -> None:
    """Adds the data set, where the problems go, the judge, and whole numbers of the settings.

    Args:
        parser: of a command.
        things: what the data set has: "problems", "functions".
        settings: at their defaults.
        sizes: fields of theirs that an option of the same name sets, each with its help.
    """
    parser.add_argument("name", help="what datasets.load takes: mbpp, FILE.jsonl, hub:owner/name, ...")
    parser.add_argument("--out", required=True, metavar="FILE.jsonl", help="where to write the problems")
    parser.add_argument("--split", help="without it, the dataset's own default")
    parser.add_argument("--root", help="folder of the data; without it, $RLTF_DATA")
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="an option of the dataset")
    parser.add_argument("--limit", type=at_least(1), help=f"the first so many {things} only")
    parser.add_argument("--seed", type=at_least(0), default=0, help="of the inputs and mutants (default: 0)")
    parser.add_argument("--sandbox", default="auto", help="which judge: auto, forkserver, subprocess")
    parser.add_argument("--seconds", type=float, default=2.0, help="time limit of a case (default: 2)")
    for name, words in sizes.items():
        default = getattr(settings, name)
        parser.add_argument(f"--{name}", type=at_least(0), default=default, help=f"{words} (default: {default})")
