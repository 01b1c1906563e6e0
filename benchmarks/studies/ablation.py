"""`python -m benchmarks.studies.ablation [--seeds N] [--updates K]`: which part of RLTF's feedback does what.

The arms are RLTF's Tables 4 and 5 (arXiv 2307.04349) on the procedural problems, with the demo's
small transformer. From one warm start for each seed, they are supervised learning alone, + coarse,
+ coarse and fine, + coarse, fine and adaptive feedback; and the first and the last of these three
offline, from a buffer that the warm start fills once. All arms have as many updates, and all with
feedback judge as many programs. They differ in options of the demo's recipes, listed in `ARMS`, and
in nothing else.

Two kinds of evidence stand side by side: over problems, for these very runs (means over seeds, paired permutation, Holm's
adjustment over all comparisons), and over seeds, for runs like them (Student's interval). A difference should show in both.
Stopped and started again, it goes on where it was; in the demo's folder, what the demo has trained is not trained again.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from agents.building import quiet_libraries
from agents.config import Recipe
from agents.train import train
from benchmarks import demo
from benchmarks.metrics import holm, over_runs, paired_permutation
from benchmarks.records.record import write_json
from benchmarks.studies.arms import command_of, provenance
from rltf_env.command import Parser, guarded, leave
from rltf_env.errors import UsageError
from rltf_env.intervals import rate_interval

# What compositions are called, and how the folder that measures on them ends.
SPLITS = {"seen": "", "unseen": "-unseen"}


@dataclass(frozen=True)
class Arm:
    """A row of the table: the recipe it stands on, parts of the reward that are left out, and where its programs come from."""

    name: str
    base: str
    without: tuple[str, ...] = ()
    offline: bool = False

    def overrides(self, recipe: Recipe) -> list[str]:
        """What is changed in `recipe`, its base's."""
        changed = [f"env.reward_options.weights.{part}=0.0" for part in self.without]
        if not self.offline:
            return changed
        a = recipe.agent
        refreshes = math.ceil(recipe.run.updates / a["refresh_every"])
        programs = a["fill"] + (refreshes - 1) * a["refresh"]  # as many as online
        return [
            *changed,
            f"agent.buffer={programs}",
            f"agent.fill={programs}",
            f"agent.refresh_every={recipe.run.updates}",
        ]


ARMS: Mapping[str, Arm] = {
    "warm": Arm("warm start", "warm"),
    "supervised": Arm("supervised only", "supervised"),
    "coarse": Arm("+ coarse", "rltf", ("fine", "adaptive")),
    "coarse-fine": Arm("+ coarse + fine", "rltf", ("adaptive",)),
    "rltf": Arm("+ coarse + fine + adaptive", "rltf"),
    "coarse-offline": Arm("+ coarse, offline", "rltf", ("fine", "adaptive"), offline=True),
    "rltf-offline": Arm("+ coarse + fine + adaptive, offline", "rltf", offline=True),
}
COMPARED = (
    ("coarse", "supervised"),
    ("coarse-fine", "coarse"),
    ("rltf", "coarse-fine"),
    ("rltf", "coarse"),
    ("rltf", "supervised"),
    ("rltf-offline", "coarse-offline"),
    ("coarse", "coarse-offline"),
    ("rltf", "rltf-offline"),
)


# ------------------------------------------------------------------------------------------------------------- running


def overrides(arm: Arm, id: str, out: Path, seed: int, updates: int, given: Sequence[str]) -> list[str]:
    """All overrides of an arm: the user's, the number of updates (not of the warm start), its own."""
    length = [f"run.updates={updates}", f"agent.optimiser.length={updates}"] if updates and id != "warm" else []
    shared = [*given, *length]
    return [*shared, *arm.overrides(demo.recipe(id, out, seed, shared, arm.base))]


def run(out: Path, seed: int, console: Console, updates: int = 0, given: Sequence[str] = ()) -> dict[str, Any]:
    """All arms from one warm start; the evaluation after the last update of each, on either kind of compositions, by folder."""
    found: dict[str, Any] = {}
    for id, arm in ARMS.items():
        console.rule(f"seed {seed}: {arm.name}")
        changed = overrides(arm, id, out, seed, updates, given)
        found[id] = train(demo.recipe(id, out, seed, changed, arm.base), console)
        found[f"{id}-unseen"] = train(demo.unseen(id, out, seed, changed, arm.base), console)
    return found


# ----------------------------------------------------------------------------------------------------------- the result


def table(runs: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """All figures, as plain data, of the summaries of `run` by seed."""
    figures: dict[str, Any] = {"seeds": sorted(runs)}
    for split, end in SPLITS.items():
        rates = {id: _rates(runs, f"{id}{end}") for id in ARMS}  # (S, N) each
        clusters = demo.last(runs[min(runs)][f"warm{end}"]).get("clusters")
        figures[split] = {
            "problems": rates["warm"].shape[1],
            "arms": {id: _arm(rates[id], clusters) for id in ARMS},
            "comparisons": _compared(rates, clusters),
        }
    return figures


def _rates(runs: Mapping[int, Mapping[str, Any]], folder: str) -> np.ndarray:
    """float64 (S, N): the share of programs that passed, of each seed's policy on each problem."""
    last = [demo.last(runs[seed][folder]) for seed in sorted(runs)]
    if any(evaluation["problems"] != last[0]["problems"] for evaluation in last):
        raise UsageError(f"Expected all seeds to be measured on as many problems, got different numbers in {folder!r}.")
    return np.stack([demo.rates(evaluation) for evaluation in last])


def _arm(rates: np.ndarray, clusters: Sequence[int] | None = None) -> dict[str, Any]:
    return {"pass@1": rate_interval(rates.mean(0), clusters)._asdict(), "by_seed": rates.mean(1).tolist()}


def _compared(rates: Mapping[str, np.ndarray], clusters: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """Each pair of `COMPARED`, over problems and, where there are several, over seeds."""
    rows = []
    for a, b in COMPARED:
        problems = paired_permutation(rates[a].mean(0), rates[b].mean(0), 0, clusters=clusters)
        by_seed = (rates[a] - rates[b]).mean(1)
        seeds = over_runs(by_seed)._asdict() if len(by_seed) > 1 else None
        rows.append(
            {"a": a, "b": b, "over_problems": problems._asdict(), "by_seed": by_seed.tolist(), "over_seeds": seeds}
        )
    for kind in ("over_problems", "over_seeds"):
        told = [row[kind] for row in rows if row[kind]]
        for each, p in zip(told, holm([each["p_value"] for each in told]), strict=True):
            each["p_holm"] = p
    return rows


def markdown(figures: Mapping[str, Any]) -> str:
    """The tables, to read."""
    parts = []
    for split in SPLITS:
        found = figures[split]
        seeds = figures["seeds"]
        parts += [
            f"### {split} compositions: {found['problems']} problems, seeds {', '.join(map(str, seeds))}\n",
            "| feedback | pass@1 | 95 % over problems | " + " | ".join(f"seed {seed}" for seed in seeds) + " |",
            "|---|---|---|" + "---|" * len(seeds),
            *(_row(ARMS[id].name, arm) for id, arm in found["arms"].items()),
            "\n| difference | mean | 95 % over problems | p (Holm) | 95 % over seeds | p (Holm) |",
            "|---|---|---|---|---|---|",
            *map(_difference, found["comparisons"]),
            "",
        ]
    return "\n".join(parts)


def _row(name: str, arm: Mapping[str, Any]) -> str:
    i = arm["pass@1"]
    by_seed = " | ".join(f"{rate:.1%}" for rate in arm["by_seed"])
    return f"| {name} | {i['value']:.1%} | {i['low']:.1%} to {i['high']:.1%} | {by_seed} |"


def _difference(row: Mapping[str, Any]) -> str:
    name = f"({ARMS[row['a']].name}) - ({ARMS[row['b']].name})"
    problems, seeds = row["over_problems"], row["over_seeds"]
    over_seeds = f"{_range(seeds)} | {seeds['p_holm']:.2g}" if seeds else "one seed | "
    return f"| {name} | {problems['difference']:+.1%} | {_range(problems)} | {problems['p_holm']:.2g} | {over_seeds} |"


def _range(comparison: Mapping[str, float]) -> str:
    return f"{comparison['low']:+.1%} to {comparison['high']:+.1%}"


def draw(figures: Mapping[str, Any], path: Path) -> None:
    """The arms side by side: means over seeds with intervals over problems, and each seed as a dot."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, split in zip(figure.subplots(1, len(SPLITS), sharey=True), SPLITS, strict=True):
        for y, arm in enumerate(figures[split]["arms"].values()):
            i = arm["pass@1"]
            axes.plot([100 * i["low"], 100 * i["high"]], [y, y], color="tab:green", linewidth=2)
            axes.plot(100 * i["value"], y, "o", color="tab:green")
            axes.plot([100 * rate for rate in arm["by_seed"]], [y + 0.2] * len(arm["by_seed"]), ".", color="0.5")
        axes.set(title=f"{split} compositions", xlabel="pass@1 on held-out problems, %")
        axes.set_yticks(range(len(ARMS)), [arm.name for arm in ARMS.values()])
        axes.grid(alpha=0.3)
    figure.axes[0].invert_yaxis()
    figure.savefig(path, dpi=150)


# ------------------------------------------------------------------------------------------------------------- command


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = Parser(prog="python -m benchmarks.studies.ablation", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0 to N - 1 (default: 5)")
    parser.add_argument(
        "--updates", type=int, default=0, help="of each arm after the warm start (default: the recipes')"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder for runs, tables and picture")
    parser.add_argument("overrides", nargs="*", default=[], metavar="table.key=value", help="for all recipes")
    asked = parser.parse_args(arguments)
    return guarded(lambda: _run(asked), demo.STOPPED)


def _run(asked: argparse.Namespace) -> int:
    console, runs, figures = Console(), {}, {}
    quiet_libraries()
    if asked.seeds < 1 or asked.updates < 0:
        raise UsageError(f"Expected --seeds >= 1 and --updates >= 0, got {asked.seeds} and {asked.updates}.")
    for seed in range(asked.seeds):
        runs[seed] = run(asked.out / f"seed-{seed}", seed, console, asked.updates, asked.overrides)
        figures = {**table(runs), **_makers(asked, runs)}  # after each seed, so that there is something to look at
        write_json(asked.out / "ablation.json", figures)
        (asked.out / "ablation.md").write_text(markdown(figures), encoding="utf-8")
        draw(figures, asked.out / "ablation.png")
    console.print(markdown(figures), markup=False, highlight=False)
    console.print(f"Tables and picture: {asked.out / 'ablation'}.md, .json, .png", highlight=False)
    return 0


def _makers(asked: argparse.Namespace, runs: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """What made the figures: the command and its options, commit and machine, recipes, data and versions."""
    summaries = runs[min(runs)]
    command = command_of("benchmarks.studies.ablation", asked.seeds, asked.updates, asked.overrides)
    return {
        **provenance(command),
        "options": {"seeds": asked.seeds, "updates": asked.updates, "overrides": asked.overrides},
        "updates": {id: summaries[id]["updates"] for id in ARMS},
        "recipes": {seed: {id: summaries[id]["recipe"] for id in ARMS} for seed, summaries in runs.items()},
        "data_digest": {split: summaries[f"warm{end}"]["data_digest"] for split, end in SPLITS.items()},
        "versions": summaries["warm"]["versions"],
    }


if __name__ == "__main__":
    leave(main())
