"""`python -m benchmarks.demo [--seed N]`, which is `make demo`: what unit test feedback adds to a small transformer.

A random model learns from references (the warm start); from there, RLTF and a control, supervised learning alone, get the
same number of updates. All three are measured twice: on held-out problems that compose operations as training does, and on
compositions that training never shows. Prints pass@1 with 95 % intervals over problems and what became of the programs, draws
the learning curves, and can be stopped and started again at any time.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from benchmarks.metrics import Comparison, Interval, paired_permutation
from benchmarks.records import write_json
from rltf_env.command import at_least, guarded, importing, leave, parser
from rltf_env.core import Outcome
from rltf_env.intervals import rate_interval

if TYPE_CHECKING:
    from agents.config import Recipe

STOPPED = "Stopped. The same command goes on from here."
RECIPES = Path(__file__).parent.parent / "agents" / "recipes"
STAGES = ("warm", "rltf", "supervised")
COMPARISONS = [(other, where) for where in ("", "-unseen") for other in ("warm", "supervised")]
NAMES = {"warm": "warm start", "rltf": "RLTF", "supervised": "supervised control"}


def recipe(stage: str, out: Path, seed: int, overrides: Sequence[str] = (), base: str = "") -> Recipe:
    """The recipe of a stage, in a folder of its own below `out`, starting from the warm stage's policy if it is not that.

    Its file is that of the stage `base`, or its own.
    """
    from agents.config import read

    start = [] if stage == "warm" else [f"policy.path={json.dumps(str(out / 'warm' / 'policy'))}"]
    own = [f"run.out={json.dumps(str(out / stage))}", f"run.seed={seed}", *start]
    return read(RECIPES / f"procedural_{base or stage}.toml", [*own, *overrides])


def unseen(stage: str, out: Path, seed: int, overrides: Sequence[str] = (), base: str = "") -> Recipe:
    """A recipe without updates, which measures the stage's policy on compositions that training never shows."""
    from agents.config import read

    trained = f"policy={{kind = 'causal', path = {json.dumps(str(out / stage / 'policy'))}}}"
    own = [f"run.out={json.dumps(str(out / f'{stage}-unseen'))}", f"run.seed={seed}", "run.updates=0", trained]
    return read(RECIPES / f"procedural_{base or stage}.toml", [*overrides, *own, "eval.split=test"])


def run(out: Path, seed: int, console: Console, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The three stages and their measurements on unseen compositions; summaries by name. Nothing is done twice."""
    from agents.training import train

    summaries: dict[str, Any] = {}
    for number, stage in enumerate(STAGES, 1):
        console.rule(f"{number} of {len(STAGES)}: {NAMES[stage]}")
        summaries[stage] = train(recipe(stage, out, seed, overrides), console)
        console.print("On compositions that training never shows:")
        summaries[f"{stage}-unseen"] = train(unseen(stage, out, seed, overrides), console)
    return summaries


# ----------------------------------------------------------------------------------------------------------- the result


def curve(summary: dict[str, Any]) -> list[tuple[int, Interval]]:
    """pass@1 with its 95 % interval over problems, after each number of updates at which it was measured."""
    points = sorted((int(step), evaluation) for step, evaluation in summary["evaluations"].items())
    return [(step, rate_interval(rates(e), e.get("clusters"))) for step, e in points]


def rates(evaluation: dict[str, Any]) -> np.ndarray:
    """float64 (problems,): the share of each problem's programs that passed."""
    return np.array(evaluation["passed"]) / evaluation["samples"]


def last(summary: dict[str, Any]) -> dict[str, Any]:
    """The evaluation after the last update."""
    return summary["evaluations"][str(summary["updates"])]


def tables(summaries: dict[str, Any]) -> tuple[Table, Table]:
    """pass@1 with intervals, and the histogram of outcomes on the problems whose compositions training shows."""
    count = len(last(summaries["warm"])["passed"])
    scores = Table(title=f"pass@1 in %, 95 % intervals, on {count} problems each", box=SIMPLE_HEAD)
    for column in ("", "updates", "seen", "interval", "unseen", "interval"):
        scores.add_column(column, justify="right" if column else "left")
    outcomes = Table(title="what became of the programs (seen compositions)", box=SIMPLE_HEAD)
    outcomes.add_column("")
    for outcome in reversed(Outcome):
        outcomes.add_column(outcome.name.lower().replace("_", " "), justify="right")
    for stage in STAGES:
        before = 0 if stage == "warm" else summaries["warm"]["updates"]
        updates = f"{before} + {summaries[stage]['updates']}" if before else str(summaries[stage]["updates"])
        scores.add_row(NAMES[stage], updates, *_score(summaries[stage]), *_score(summaries[f"{stage}-unseen"]))
        evaluation = last(summaries[stage])
        total = sum(evaluation["outcomes"].values())
        outcomes.add_row(NAMES[stage], *(f"{evaluation['outcomes'][o.name] / total:.1%}" for o in reversed(Outcome)))
    return scores, outcomes


def _score(summary: dict[str, Any]) -> tuple[str, str]:
    interval = curve(summary)[-1][1]
    return f"{100 * interval.value:.1f}", f"{100 * interval.low:.1f} to {100 * interval.high:.1f}"


def result(summaries: dict[str, Any]) -> dict[str, Any]:
    """The figures as plain data: for each stage and its measurement on unseen compositions, and the paired differences."""
    keys = ("recipe", "data_digest", "updates")
    figures: dict[str, Any] = {}
    for name, summary in summaries.items():
        points = [[step, *np.round([i.value, i.low, i.high], 4).tolist()] for step, i in curve(summary)]
        evaluation = last(summary)
        counts = {"problems": len(evaluation["passed"]), "samples": evaluation["samples"]}
        known = {key: summary[key] for key in keys}
        figures[name] = {**known, **counts, "pass@1": points, "outcomes": evaluation["outcomes"]}
    for other, where in COMPARISONS:
        compared = _compared(summaries, other, where)
        figures[f"rltf{where} - {other}{where}"] = {
            name: round(getattr(compared, name), 4) for name in ("difference", "low", "high", "p_value")
        }
    return figures


def verdicts(summaries: dict[str, Any]) -> list[str]:
    """The comparisons in words: RLTF with the warm start, RLTF with the control, on seen and on unseen compositions."""
    return [_verdict(summaries, other, where) for other, where in COMPARISONS]


def _verdict(summaries: dict[str, Any], other: str, where: str) -> str:
    ours, theirs = (curve(summaries[f"{name}{where}"])[-1][1] for name in ("rltf", other))
    apart = "do not overlap" if ours.low > theirs.high or ours.high < theirs.low else "overlap"
    compared = _compared(summaries, other, where)
    return (
        f"{'unseen' if where else 'seen'} compositions, RLTF - {NAMES[other]}: {compared.difference:+.1%} "
        f"({compared.low:+.1%} to {compared.high:+.1%}), p = {compared.p_value:.2g}; the two intervals {apart}"
    )


def _compared(summaries: dict[str, Any], other: str, where: str) -> Comparison:
    ours, theirs = (last(summaries[f"{name}{where}"]) for name in ("rltf", other))
    return paired_permutation(rates(ours), rates(theirs), 0, clusters=ours.get("clusters"))


def draw(summaries: dict[str, Any], path: Path) -> None:
    """The learning curves as a picture: pass@1 against updates after the warm start, with intervals."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    start = curve(summaries["warm"])[-1][1]
    axes.axhline(100 * start.value, color="0.5", linestyle="--", label=NAMES["warm"])
    axes.axhspan(100 * start.low, 100 * start.high, color="0.5", alpha=0.15, linewidth=0)
    for stage, colour in (("rltf", "tab:green"), ("supervised", "tab:orange")):
        points = [(0, start), *curve(summaries[stage])]
        at = [step for step, _ in points]
        axes.plot(at, [100 * i.value for _, i in points], color=colour, marker="o", markersize=4, label=NAMES[stage])
        low, high = [100 * i.low for _, i in points], [100 * i.high for _, i in points]
        axes.fill_between(at, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set(xlabel="updates after the warm start", ylabel="pass@1 on held-out problems, %", ylim=(0, None))
    axes.set_xlim(0, None)
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    figure.savefig(path, dpi=150)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    made = parser("benchmarks.demo", __doc__)
    made.add_argument("--seed", type=at_least(0), default=0, help="of all three runs (default: 0)")
    made.add_argument("--out", type=Path, help="folder for runs and picture (default: runs/demo/seed-N)")
    made.add_argument("overrides", nargs="*", default=[], metavar="table.key=value", help="for all three recipes")
    options = made.parse_args(arguments)
    return guarded(lambda: _run(options, options.out or Path("runs/demo") / f"seed-{options.seed}"), STOPPED)


def _run(options: argparse.Namespace, out: Path) -> int:
    console = Console()
    console.print(f"{out}: importing PyTorch and transformers", markup=False, highlight=False)
    with importing(STOPPED):
        from agents.building import quiet_libraries

    quiet_libraries()
    summaries = run(out, options.seed, console, options.overrides)
    console.rule("result")
    console.print(*tables(summaries), sep="\n")
    console.print(*verdicts(summaries), sep="\n", highlight=False)
    draw(summaries, out / "curve.png")
    write_json(out / "result.json", result(summaries))
    console.print(f"Picture: {out / 'curve.png'}, figures: {out / 'result.json'}", highlight=False, soft_wrap=True)
    console.print(
        f"Next: rltf report {out / 'rltf'}, rltf evaluate procedural-unseen --agent {out / 'rltf'}", soft_wrap=True
    )
    return 0


if __name__ == "__main__":
    leave(main())
