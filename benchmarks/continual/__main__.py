"""`python -m benchmarks.continual SEQUENCE [--method METHOD]`: tasks one after another, and what becomes of the old ones.

SEQUENCE is a file (see `benchmarks/continual/sequence.py`) or the name of one of that folder, such as "retold". Each
task is an ordinary run of `agents.train`, which begins with the policy that the one before has left; after each,
the policy is measured on all tasks. The command prints the matrix of results, average, forgetting,
backward and forward transfer, and draws a heat map. Stopped at any time, the same command goes on from there.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rltf_env.command import at_least, check_writable, guarded, importing, leave, parser

STOPPED = "Stopped. The same command goes on from here."
METHODS = "finetune, replay, joint, separate, pool, pool-forced"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    made = parser("benchmarks.continual", __doc__)
    made.add_argument("sequence", help="a TOML file of tasks, or the name of a shipped one: retold")
    made.add_argument("--method", default="finetune", help=f"one of {METHODS} (default: finetune)")
    made.add_argument("--agent", default="", help="which of the file's agents learns (default: its first)")
    made.add_argument("--order", default="", help="the tasks in another order: NAME,NAME,...")
    made.add_argument("--seeds", type=at_least(1), default=1, help="seeds 0 to N - 1 (default: 1)")
    made.add_argument("--out", type=Path, help="folder of all runs (default: runs/continual/SEQUENCE)")
    made.add_argument("--results", action="store_true", help="only collect what has run")
    made.add_argument("overrides", nargs="*", default=[], metavar="table.key=value", help="changes of the file")
    asked = made.parse_intermixed_args(arguments)  # options may stand between the sequence and its changes
    return guarded(lambda: _run(asked), STOPPED)


def _run(asked: argparse.Namespace) -> int:
    from rich.console import Console

    console = Console()
    console.print(f"{asked.sequence}: importing PyTorch and transformers", markup=False, highlight=False)
    with importing(STOPPED):
        from agents.building import quiet_libraries
        from benchmarks.continual import chain, sequence

    quiet_libraries()
    tasks = sequence.read(asked.sequence, asked.overrides)
    ordered = tasks.ordered(tuple(filter(None, asked.order.split(","))))
    out = (asked.out or Path("runs") / "continual" / tasks.name).resolve()
    check_writable(out, folder=True)
    chains = {
        seed: chain.Chain(ordered, asked.method, asked.agent, out, seed, tasks.names) for seed in range(asked.seeds)
    }
    results: dict[int, Any] = {}
    for seed, each in chains.items():
        if not asked.results:
            chain.run(each, console)
        results[seed] = chain.collect(each)
        write(each, results, asked.overrides)  # after each seed, so that there is something to look at
    folder = out / chains[0].label
    console.print((folder / "figures.md").read_text(encoding="utf-8"), markup=False, highlight=False)
    console.print(f"Picture: {folder / 'matrix.png'}, figures: {folder / 'figures.json'}", soft_wrap=True)
    return 0


def write(each: Any, results: dict[int, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Figures, tables and picture of a method's chains so far, into a folder of its own; the figures."""
    from importlib.metadata import version

    from benchmarks.continual import figures
    from benchmarks.records import write_json

    content = {
        "sequence": each.sequence.name,
        "tasks": list(each.sequence.names),
        "method": each.method,
        "agent": each.agent or next(iter(each.sequence.agents)),
        "score": each.sequence.score,
        "seeds": sorted(results),
        "chained": all(result["matrix"] is not None for result in results.values()),
        "results": {str(seed): result for seed, result in results.items()},
        "mean_matrix": figures.mean_matrix(results).tolist(),
        "measures": figures.over_seeds(results),
        "overrides": list(overrides),
        "versions": {name: version(name) for name in ("rltf", "gymnasium", "numpy", "torch", "transformers")},
    }
    folder = each.out / each.label
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / "figures.json", content)
    (folder / "figures.md").write_text(figures.markdown(content), encoding="utf-8")
    figures.draw(content, folder / "matrix.png")
    return content


if __name__ == "__main__":
    leave(main())
