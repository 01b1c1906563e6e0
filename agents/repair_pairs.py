"""`python -m agents.repair_pairs RUN`: wrong programs and right ones, as pairs that teach a policy to repair.

    RUN's policy --programs--> judge --wrong ones--> public examples --report--> RUN/repairs

`agents/repairing.py` says how. With `--record FOLDER` the programs are those of a finished record of `benchmarks.evaluate`, or
of a file of its lines, for the problems that RUN trains on. An agent that reads references learns from the folder:
`agent.references={ repairs = "RUN/repairs" }`.

Ctrl-C loses the problems that are being done; the same command goes on from there, to the same pairs.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from agents.repairs import RepairSettings
from rltf_env.command import Parser, check_writable, guarded, importing, leave
from rltf_env.errors import UsageError

FOLDER = "repairs"  # of a run
WRITING = ("problems", "samples", "temperature", "seed")  # of no use where the programs are written already

STOPPED = "Stopped. The same command goes on from here."


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = Parser(prog="python -m agents.repair_pairs", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("run", type=Path, help="the folder of a finished run of agents.train")
    parser.add_argument("--record", type=Path, help="take the programs of this record of benchmarks.evaluate")
    parser.add_argument("--out", type=Path, help=f"folder of the pairs (default: RUN/{FOLDER})")
    parser.add_argument("--device", default="", help="of the policy")
    for name, value in vars(RepairSettings()).items():
        parser.add_argument(f"--{name}", type=type(value), help=f"(default: {value})")
    options = parser.parse_args(arguments)
    return guarded(lambda: _run(options), STOPPED)


def _run(options: argparse.Namespace) -> int:
    console, out = Console(), options.out or options.run / FOLDER
    chosen = {name: getattr(options, name) for name in vars(RepairSettings()) if getattr(options, name) is not None}
    idle = [f"--{name}" for name in WRITING if options.record and name in chosen]
    if idle:
        raise UsageError(f"Expected no {', '.join(idle)} with --record, whose programs are written already.")
    settings = RepairSettings(**chosen)
    check_writable(out, folder=True)
    _print(console, f"{options.run}: importing PyTorch and transformers")
    with importing(STOPPED):
        from agents.building import quiet_libraries
        from agents.repairing import in_words, repair_run

    quiet_libraries()
    counts = repair_run(options.run, settings, out, console, options.record, options.device)
    _print(console, in_words(counts))
    _print(console, f"Pairs: {out}")
    _print(console, f"Next: a recipe with agent.references={{ repairs = '{out}' }}")
    return 0


def _print(console: Console, text: str) -> None:
    console.print(text, markup=False, highlight=False, soft_wrap=True)


if __name__ == "__main__":
    leave(main())
