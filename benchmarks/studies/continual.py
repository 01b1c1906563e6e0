"""`python -m benchmarks.studies.continual [--seeds N] [--orders M]`: which way of learning tasks in turn forgets least.

The sequence is `benchmarks/continual/retold.toml`: four tasks, 300 updates and 500 problems each, after a
run before all on other problems of these tasks and of a fifth, which a seed's arms share. The arms are the
paper's methods (CodeTask-CL and prompt pooling with teacher forcing, arXiv 2307.02435), and one of ours:
fine-tuning by RLTF instead of by references. All arms have as many updates a task and see the same problems.
Joint training sees all tasks at once, for as many updates as the others have together: what a sequence costs.
Separate policies forget nothing, by construction: what sharing one policy costs.

Written down before the first run:

    forgetting    finetune > pool > pool-forced        (the paper's order)
    average       joint >= replay > pool-forced > pool (the paper's order)
    learned       finetune > pool: 32 vectors steer less than half a million weights do
    rltf          forgets less than finetune; nothing is predicted of what it learns

What may spoil the comparison: the model has half a million weights, and has seen little. A frozen model
that cannot do a task at all cannot be told to by prompts. Where `learned` of a pool is near what was there
before (`forward` says so too), little forgetting means little learnt, and the table shows both beside each
other. "Pools learn nothing here" would be a result about size. RLTF has its own programs judged besides, 512
every 8 updates, so that only its forgetting at equal `learned` speaks for or against it.

Sizes were chosen after that was written (seed 100, which no table has; the first task alone, 200 other problems).
After a run before all on the fifth task alone, 300 updates of fine-tuning pass 46 %, those of a pool with teacher
forcing 0.5 to 1 %, of whatever size: five were tried. After one on all five tasks the start passes 61 %, fine-tuning
66.5, pools of 4, 16 and 32 vectors 61.5, 65.5 and 64.5. So the file's run before all is the latter, and its
`[pooled]` the second.

Evidence is over seeds: each seed's mean over orders is one number, paired between arms of that seed, with
Student's interval; Holm's adjustment is over all comparisons. Stopped and started again, the study goes on.

Estimated from short runs, two free cores take about 6 minutes for an arm of supervised learning, a seed and an
order, about 12 with RLTF, and 3 for the run before all, once a seed. Three seeds and three orders of all arms
are about 6 hours.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.metrics import holm, over_runs
from rltf_env.command import Parser, check_writable, guarded, leave
from rltf_env.errors import UsageError

STOPPED = "Stopped. The same command goes on from here."
MEASURES = ("average", "learned", "forgetting", "backward", "forward")


@dataclass(frozen=True)
class Arm:
    """A row of the table: a method and the agent that learns."""

    name: str
    method: str
    agent: str = "supervised"


ARMS: Mapping[str, Arm] = {
    "finetune": Arm("fine-tuning", "finetune"),
    "replay": Arm("replay, a fifth", "replay"),
    "joint": Arm("all tasks at once", "joint"),
    "separate": Arm("a policy for each task", "separate"),
    "pool": Arm("prompt pooling", "pool"),
    "pool-forced": Arm("prompt pooling, teacher forcing", "pool-forced"),
    "finetune-rltf": Arm("fine-tuning by RLTF", "finetune", "rltf"),
}
COMPARED = (
    ("forgetting", "finetune", "pool"),
    ("forgetting", "pool", "pool-forced"),
    ("forgetting", "finetune", "finetune-rltf"),
    ("learned", "finetune", "pool"),
    ("learned", "finetune-rltf", "finetune"),
    ("average", "joint", "replay"),
    ("average", "replay", "finetune"),
    ("average", "replay", "pool-forced"),
    ("average", "pool-forced", "pool"),
)
ORDERS = (  # no task is the first of two of them, or the last
    ("generate", "refine", "translate", "complete"),
    ("translate", "complete", "generate", "refine"),
    ("complete", "generate", "refine", "translate"),
)
Measures = Mapping[str, float | None]
Runs = Mapping[str, Mapping[int, Sequence[Measures]]]  # arm, seed, order


def orders_of(arm: Arm, orders: int) -> tuple[tuple[str, ...], ...]:
    """The orders that make a difference to an arm."""
    return ORDERS[:1] if arm.method in ("joint", "separate") else ORDERS[:orders]


def table(runs: Runs) -> dict[str, Any]:
    """All figures, as plain data. A seed's figure is its mean over orders."""
    by_seed = {
        id: {name: [_mean([order[name] for order in seeds[seed]]) for seed in sorted(seeds)] for name in MEASURES}
        for id, seeds in runs.items()
    }
    return {"arms": by_seed, "seeds": sorted(next(iter(runs.values()))), "comparisons": _compared(by_seed)}


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _compared(by_seed: Mapping[str, Mapping[str, Sequence[float | None]]]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for name, a, b in COMPARED:
        if a in by_seed and b in by_seed:
            difference = np.array(by_seed[a][name], float) - np.array(by_seed[b][name], float)
            seeds = over_runs(difference)._asdict() if len(difference) > 1 else None
            rows.append({"measure": name, "a": a, "b": b, "by_seed": difference.tolist(), "over_seeds": seeds})
    tested = [row["over_seeds"] for row in rows if row["over_seeds"]]
    for each, p in zip(tested, holm([each["p_value"] for each in tested]), strict=True):
        each["p_holm"] = p
    return rows


def markdown(figures: Mapping[str, Any]) -> str:
    """The tables, to read: per cent, mean over seeds."""
    seeds = ", ".join(map(str, figures["seeds"]))
    parts = [f"### Four tasks in turn, seeds {seeds}, %\n", "| arm | " + " | ".join(MEASURES) + " |"]
    parts.append("|---|" + "---:|" * len(MEASURES))
    for id, found in figures["arms"].items():
        parts.append(f"| {ARMS[id].name} | " + " | ".join(_cell(found[name]) for name in MEASURES) + " |")
    parts += ["", "| | difference | mean | 95 % over seeds | p (Holm) |", "|---|---|---:|---|---:|"]
    parts += map(_difference, figures["comparisons"])
    return "\n".join(parts) + "\n"


def draw(figures: Mapping[str, Any], path: Path) -> None:
    """The matrices of the arms that learn one task after another, in the first order, mean over seeds."""
    from benchmarks.continual.figures import draw_beside

    matrices = {ARMS[id].name: matrix for id, matrix in figures["matrices"].items() if len(matrix) > 2}
    if matrices:
        draw_beside(matrices, figures["tasks"], path, chained=True)


def _cell(values: Sequence[float | None]) -> str:
    mean = _mean(values)
    return "-" if mean is None else f"{100 * mean:.1f}"


def _difference(row: Mapping[str, Any]) -> str:
    name = f"({ARMS[row['a']].name}) - ({ARMS[row['b']].name})"
    over, mean = row["over_seeds"], f"{100 * np.mean(row['by_seed']):+.1f}"
    if not over:
        return f"| {row['measure']} | {name} | {mean} | one seed | |"
    between = f"{100 * over['low']:+.1f} to {100 * over['high']:+.1f}"
    return f"| {row['measure']} | {name} | {mean} | {between} | {over['p_holm']:.2g} |"


# ------------------------------------------------------------------------------------------------------------- running


def run(asked: argparse.Namespace) -> int:
    """All arms, seed by seed; tables after each seed, so that there is something to look at."""
    from rich.console import Console

    from agents.building import quiet_libraries
    from benchmarks.continual import chain, figures, sequence
    from benchmarks.records import write_json
    from benchmarks.studies.arms import provenance

    console = Console()
    quiet_libraries()
    if asked.seeds < 1 or not 1 <= asked.orders <= len(ORDERS):
        raise UsageError(f"Expected --seeds >= 1 and --orders 1 to {len(ORDERS)}, got {asked.seeds}, {asked.orders}.")
    out = asked.out.resolve()
    arms = _arms(asked.arms)
    check_writable(out, folder=True)
    tasks = sequence.read("retold", asked.overrides)
    runs: dict[str, dict[int, list[Measures]]] = {id: {} for id in arms}
    in_order: dict[str, dict[int, Mapping[str, Any]]] = {id: {} for id in arms}  # the file's, for the matrices
    for seed in range(asked.seeds):
        for id, arm in arms.items():
            found = []
            for order in orders_of(arm, asked.orders):
                each = chain.Chain(tasks.ordered(order), arm.method, arm.agent, out, seed, tasks.names)
                chain.run(each, console)
                found.append(chain.collect(each))
            runs[id][seed] = [figures.of_seed(result) for result in found]
            in_order[id][seed] = found[0]
        matrices = {id: figures.mean_matrix(results).tolist() for id, results in in_order.items()}
        shown = {"tasks": tasks.ordered(ORDERS[0]).names, "matrices": matrices}
        content = {**provenance(_command(asked)), **table(runs), **shown, "overrides": asked.overrides}
        write_json(out / "study.json", content)
        draw(content, out / "study.png")
        (out / "study.md").write_text(markdown(content), encoding="utf-8")
    console.print((out / "study.md").read_text(encoding="utf-8"), markup=False, highlight=False)
    return 0


def _arms(names: str) -> Mapping[str, Arm]:
    """The arms of these names with commas between, all without any. Raises UnknownName."""
    from benchmarks.studies.arms import named

    return named(ARMS, names.split(",") if names else [])


def _command(asked: argparse.Namespace) -> str:
    options = f"--seeds {asked.seeds} --orders {asked.orders}" + (f" --arms {asked.arms}" if asked.arms else "")
    return " ".join(["python -m benchmarks.studies.continual", options, *asked.overrides])


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    words = (__doc__ or "").split("\n\n")[0]
    parser = Parser(prog="python -m benchmarks.studies.continual", description=words)
    parser.add_argument("--seeds", type=int, default=3, help="seeds 0 to N - 1 (default: 3)")
    parser.add_argument("--orders", type=int, default=3, help="orders of the tasks, 1 to 3 (default: 3)")
    parser.add_argument(
        "--arms", default="", help="names of arms with commas between; the table grows by them (default: all)"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/continual/study"), help="folder of runs and tables")
    parser.add_argument("overrides", nargs="*", default=[], metavar="table.key=value", help="changes of the sequence")
    asked = parser.parse_intermixed_args(arguments)
    return guarded(lambda: run(asked), STOPPED)


if __name__ == "__main__":
    leave(main())
