"""What chains came to, for people: figures over seeds, a table, and a picture of the matrix."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.continual import transfer
from benchmarks.metrics import over_runs

MEASURES = ("average", "learned", "forgetting", "backward", "forward")


def of_seed(result: Mapping[str, Any]) -> dict[str, float | None]:
    """The measures of one chain, from what `chain.collect` gives; None where there is none."""
    matrix = result["matrix"]
    found: dict[str, float | None] = dict.fromkeys(MEASURES)
    found["average"] = transfer.average(result["final"])
    if matrix is not None:
        found |= {"learned": transfer.learned(matrix), "forgetting": transfer.forgetting(matrix)}
        found |= {"backward": transfer.backward(matrix), "forward": transfer.forward(matrix, result["before"])}
    return found


def over_seeds(results: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """Each measure by seed, with its mean and, of two seeds or more, Student's 95 % interval."""
    by_seed = {seed: of_seed(result) for seed, result in sorted(results.items())}
    figures: dict[str, Any] = {}
    for name in MEASURES:
        values = [found[name] for found in by_seed.values()]
        known = [value for value in values if value is not None]
        figures[name] = {"by_seed": values, **_spread(known)}
    return figures


def _spread(values: Sequence[float]) -> dict[str, float | None]:
    if not values:
        return {"mean": None, "low": None, "high": None}
    if len(values) == 1:
        return {"mean": values[0], "low": None, "high": None}
    interval = over_runs(values)
    return {"mean": interval.difference, "low": interval.low, "high": interval.high}


def mean_matrix(results: Mapping[int, Mapping[str, Any]]) -> np.ndarray:
    """(rows, T), mean over seeds: before the first task, then after each; without a matrix, before and at the end."""
    each = [[r["before"], *(r["matrix"] if r["matrix"] is not None else [r["final"]])] for r in results.values()]
    return np.array(each, np.float64).mean(0)


def row_names(tasks: Sequence[str], rows: int) -> list[str]:
    """What the rows of `mean_matrix` are called."""
    return ["before", *(f"after {task}" for task in tasks)] if rows == len(tasks) + 1 > 2 else ["before", "at the end"]


def markdown(figures: Mapping[str, Any]) -> str:
    """The tables, to read."""
    tasks, matrix = figures["tasks"], figures["mean_matrix"]
    seeds = ", ".join(map(str, figures["seeds"]))
    parts = [
        f"### {figures['method']}, {figures['agent']}: {figures['sequence']}, seeds {seeds}\n",
        f"| {figures['score']}, % | " + " | ".join(tasks) + " |",
        "|---|" + "---:|" * len(tasks),
    ]
    names = row_names(tasks, len(matrix)) if figures["chained"] else ["before", "at the end"]
    for name, row in zip(names, matrix, strict=True):
        parts.append(f"| {name} | " + " | ".join(f"{100 * value:.1f}" for value in row) + " |")
    parts += ["", "| | mean | 95 % over seeds | by seed |", "|---|---:|---|---|"]
    parts += [measure_line(name, figures["measures"][name]) for name in MEASURES]
    return "\n".join(parts) + "\n"


def measure_line(name: str, figure: Mapping[str, Any]) -> str:
    """A measure as a row of a table."""
    by_seed = ", ".join("-" if value is None else f"{100 * value:.1f}" for value in figure["by_seed"])
    mean = "-" if figure["mean"] is None else f"{100 * figure['mean']:.1f}"
    between = "-" if figure["low"] is None else f"{100 * figure['low']:.1f} to {100 * figure['high']:.1f}"
    return f"| {name} | {mean} | {between} | {by_seed} |"


def draw(figures: Mapping[str, Any], path: Path) -> None:
    """The mean matrix as a heat map: a row after each task, a column for each task, the task just learnt framed."""
    title = f"{figures['method']}, {figures['agent']}: {figures['score']}, %"
    draw_beside({title: figures["mean_matrix"]}, figures["tasks"], path, figures["chained"])


def draw_beside(
    matrices: Mapping[str, Sequence[Sequence[float]]], tasks: Sequence[str], path: Path, chained: bool
) -> None:
    """Mean matrices beside each other, in one scale of colours.

    Args:
        matrices: a title, and (rows, T) as `mean_matrix` has them, for each.
        tasks: the names of the columns.
        path: of the picture.
        chained: whether in each of them a task was learnt after another.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    highest = max(len(matrix) for matrix in matrices.values())
    brightest = max(1.0, 100 * max(float(np.max(matrix)) for matrix in matrices.values()))
    size = (2.2 + 1.1 * len(tasks) * len(matrices), 1.6 + 0.6 * highest)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(matrices), squeeze=False)[0]
    images = []
    for axes, (title, matrix) in zip(panels, matrices.items(), strict=True):
        images.append(_panel(axes, 100 * np.array(matrix), tasks, chained, brightest))
        axes.set_title(title)
    figure.colorbar(images[0], ax=panels.tolist())
    figure.savefig(path, dpi=150 if len(matrices) == 1 else 80)


def _panel(axes: Any, matrix: np.ndarray, tasks: Sequence[str], chained: bool, brightest: float) -> Any:
    from matplotlib.patches import Rectangle

    image = axes.imshow(matrix, cmap="viridis", vmin=0, vmax=brightest, aspect="auto")
    for (row, column), value in np.ndenumerate(matrix):
        colour = "black" if value > 0.6 * brightest else "white"
        axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=colour)
    if chained:
        for i in range(len(tasks)):
            axes.add_patch(Rectangle((i - 0.5, i + 0.5), 1, 1, fill=False, edgecolor="white", linewidth=2))
    names = row_names(tasks, len(matrix)) if chained else ["before", "at the end"]
    axes.set_xticks(range(len(tasks)), tasks)
    axes.set_xlabel("measured on")
    axes.set_yticks(range(len(matrix)), names)
    return image
