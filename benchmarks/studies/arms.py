"""What studies have in common: arms from one warm start a seed, their differences, the tables, and the command.

    warm start of a seed --recipe of each arm--> policies --whole problems--> rates (seeds, problems) --> differences

A study is declared (`Study`): arms, the comparisons that count, and a prediction that was written before its first run. Arms
have as many updates, judged programs and references as each other; they differ in what the study lists and in nothing else.
Measured is pass@1 of the policy after its last update, on two kinds of problems (`MEASURES`).

Differences are of the same problems by the same seed, with Student's interval over seeds; beside it stands a paired permutation
over problems, for these very runs. Holm's adjustment is over the comparisons of a study on one measure.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import os
import platform
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from rich.console import Console

from agents.building import quiet_libraries
from agents.config import Recipe
from agents.train import train
from benchmarks import demo
from benchmarks.metrics import holm, over_runs, paired_permutation
from benchmarks.records.record import commit, write_json
from rltf_env.command import Parser
from rltf_env.errors import UnknownName, UsageError

MEASURES = ("seen", "unseen")
TITLES: Mapping[str, str] = dict.fromkeys(MEASURES, "pass@1")
UPDATES = 480  # of an arm after the warm start
PROGRAMS = 64  # judged for an update, on average
STOPPED = "Stopped. The same command goes on from here."

T = TypeVar("T")
S = TypeVar("S", bound="Study")
Runs = dict[str, dict[str, Any]]  # evaluations by measure and arm
Run = Callable[[Any, Path, int, Console, "Size", Sequence[str]], Runs]  # of a study, in a folder, of a seed


@dataclass(frozen=True)
class Arm:
    """A row of the table: the recipe it stands on (`agents/recipes/procedural_BASE.toml`) and what is changed in it.

    `{out}`, `{updates}` and `{programs}` in a change are the study's folder, the updates, and the programs judged for them.
    """

    name: str
    base: str
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Size:
    """How long arms learn, in updates."""

    updates: int = UPDATES

    def __post_init__(self) -> None:
        if self.updates < 8:
            raise UsageError(f"Expected --updates >= 8, got {self.updates}.")

    def fill(self, text: str, out: Path) -> str:
        """A change of an arm with the study's folder, the updates and the programs in their places."""
        known = {"out": out, "updates": self.updates, "programs": PROGRAMS * self.updates}
        for name, value in known.items():
            text = text.replace(f"{{{name}}}", str(value))
        return text

    @property
    def changed(self) -> list[str]:
        """The overrides that make a recipe so long."""
        return [f"run.updates={self.updates}", f"agent.optimiser.length={self.updates}"]


@dataclass(frozen=True)
class Study:
    """Arms and the comparisons that count. `prepare` makes what the arms need in the study's folder; what stands there already
    is left alone. `shared` are overrides of the warm start, of all arms and of what measures them; `warm` of the start alone."""

    prediction: str
    arms: Mapping[str, Arm]
    compared: tuple[tuple[str, str], ...]
    prepare: Callable[[Path], None] | None = None
    shared: tuple[str, ...] = ()
    warm: tuple[str, ...] = ()

    def only(self, ids: Sequence[str]) -> Self:
        """The study with these arms alone, and the comparisons between them; without `ids`, the whole study.

        Raises:
            UnknownName: an arm that it does not have.
        """
        chosen = named(self.arms, ids)
        return replace(self, arms=chosen, compared=tuple(pair for pair in self.compared if set(pair) <= chosen.keys()))


def named(arms: Mapping[str, T], ids: Sequence[str]) -> dict[str, T]:
    """The arms of these names, in the order of `arms`; without `ids`, all. Raises UnknownName."""
    for id in ids:
        if id not in arms:
            raise UnknownName("arm", id, arms)
    return {id: arm for id, arm in arms.items() if id in (ids or arms)}


WHOLE = Size()


def run_arms(
    study: Study,
    seed: int,
    console: Console,
    warm: Recipe,
    recipe: Callable[[str], Recipe],
    measured: Callable[[str, str], Recipe],
) -> Runs:
    """All arms of a seed from one `warm` start: the `recipe` of each arm, then what each policy passes, as `measured`."""
    train(warm, console)
    evaluations: Runs = {measure: {} for measure in MEASURES}
    for id, arm in study.arms.items():
        console.rule(f"seed {seed}: {arm.name}")
        train(recipe(id), console)
        for measure in MEASURES:
            evaluations[measure][id] = demo.last(train(measured(id, measure), console))
    return evaluations


# ---------------------------------------------------------------------------------------------------------- the result


def table(study: Study, runs: Mapping[int, Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """All figures, as plain data, of the evaluations by seed, measure and arm."""
    figures: dict[str, Any] = {"prediction": study.prediction, "seeds": sorted(runs)}
    for measure in MEASURES:
        # (S, N) each.
        rates = {id: np.stack([demo.rates(runs[seed][measure][id]) for seed in sorted(runs)]) for id in study.arms}
        arms = {
            id: {
                "name": study.arms[id].name,
                "by_seed": rates[id].mean(1).tolist(),
                **_outcomes(runs, measure, id),
                **_shares(runs, measure, id),
            }
            for id in study.arms
        }
        problems = next(iter(rates.values())).shape[1]
        figures[measure] = {"problems": problems, "arms": arms, "comparisons": compared(study.compared, rates)}
    return figures


def _outcomes(runs: Mapping[int, Mapping[str, Mapping[str, Any]]], measure: str, id: str) -> dict[str, dict[str, int]]:
    """How many of an arm's programs came to what, over seeds, if its evaluations say so."""
    counts = Counter[str]()
    for run in runs.values():
        counts.update(run[measure][id].get("outcomes", {}))
    return {"outcomes": dict(counts)} if counts else {}


def _shares(runs: Mapping[int, Mapping[str, Mapping[str, Any]]], measure: str, id: str) -> dict[str, dict[str, Any]]:
    """What else was counted of an arm's programs, by its name and seed, if its evaluations have `shares`."""
    found = [run[measure][id].get("shares", {}) for _, run in sorted(runs.items())]
    return {"shares": {name: [each[name] for each in found] for name in found[0]}} if found[0] else {}


def compared(pairs: Sequence[tuple[str, str]], rates: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """The difference of each pair of arms, over seeds and over problems; `rates` (S, N) by arm."""
    rows: list[dict[str, Any]] = []
    for a, b in pairs:
        by_seed = (rates[a] - rates[b]).mean(1)
        problems = paired_permutation(rates[a].mean(0), rates[b].mean(0), 0)._asdict()
        seeds = over_runs(by_seed)._asdict() if len(by_seed) > 1 else None
        rows.append({"a": a, "b": b, "by_seed": by_seed.tolist(), "over_problems": problems, "over_seeds": seeds})
    for kind in ("over_problems", "over_seeds"):
        tested = [row[kind] for row in rows if row[kind]]
        for each, p in zip(tested, holm([each["p_value"] for each in tested]), strict=True):
            each["p_holm"] = p
    return rows


def markdown(figures: Mapping[str, Any], titles: Mapping[str, str] = TITLES) -> str:
    """The tables, to read. `titles` are the measures, each with what it is a rate of."""
    parts = [f"Predicted before the first run: {figures['prediction']}\n"]
    for measure, title in titles.items():
        found = figures[measure]
        parts += [
            f"### {measure}: {found['problems']} problems, seeds {', '.join(map(str, figures['seeds']))}\n",
            f"| arm | {title} | by seed |",
            "| --- | --- | --- |",
            *map(_arm, found["arms"].values()),
            "\n| difference | mean | 95 % over seeds | p (Holm) | p over problems (Holm) |",
            "| --- | --- | --- | --- | --- |",
            *(_difference(row, found["arms"]) for row in found["comparisons"]),
            "",
            *_shared(found["arms"]),
        ]
    return "\n".join(parts)


def _shared(arms: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A table of what else was counted, one for all arms, if anything was."""
    names = next(iter(arms.values())).get("shares", {})
    if not names:
        return []
    rows = [[arm["name"], *(f"{np.mean(arm['shares'][name]):.1%}" for name in names)] for arm in arms.values()]
    lines = (["arm", *names], ["---"] * (1 + len(names)), *rows)
    return [*(f"| {' | '.join(cells)} |" for cells in lines), ""]


def _arm(arm: Mapping[str, Any]) -> str:
    seeds = ", ".join(f"{rate:.1%}" for rate in arm["by_seed"])
    return f"| {arm['name']} | {np.mean(arm['by_seed']):.1%} | {seeds} |"


def _difference(row: Mapping[str, Any], arms: Mapping[str, Any]) -> str:
    seeds = row["over_seeds"]
    over = f"{seeds['low']:+.1%} to {seeds['high']:+.1%} | {seeds['p_holm']:.2g}" if seeds else "one seed | "
    name = f"({arms[row['a']]['name']}) - ({arms[row['b']]['name']})"
    return f"| {name} | {np.mean(row['by_seed']):+.1%} | {over} | {row['over_problems']['p_holm']:.2g} |"


# ------------------------------------------------------------------------------------------------------------- command


def find(studies: Mapping[str, Study], name: str) -> Any:
    """The study of that name. Raises UnknownName."""
    if name not in studies:
        raise UnknownName("study", name, studies)
    return studies[name]


def options(
    module: str, words: str, out: Path | None, what: str = "of each arm", *, seeds: int = 5, updates: int = UPDATES
) -> argparse.ArgumentParser:
    """The parser of a study's command with what all of them take; without `out`, the study's name makes the folder."""
    parser = Parser(prog=f"python -m {module}", description=words.split("\n\n")[0])
    parser.add_argument("--seeds", type=int, default=seeds, help=f"seeds 0 to N - 1 (default: {seeds})")
    parser.add_argument("--updates", type=int, default=updates, help=f"{what} (default: {updates})")
    where = f"(default: {out or 'runs/STUDY'})"
    parser.add_argument("--out", type=Path, default=out, help=f"folder for runs and tables {where}")
    return parser


def add_arms(parser: argparse.ArgumentParser) -> None:
    """Lets a study's command take some of its arms alone; `chosen_arms` reads them."""
    parser.add_argument(
        "--arms", default="", help="names of arms with commas between; the table grows by them (default: all)"
    )


def chosen_arms(study: S, asked: argparse.Namespace) -> tuple[S, list[str]]:
    """The study with the arms that were asked for, and the option that says so again. Raises UnknownName."""
    return study.only(asked.arms.split(",") if asked.arms else []), [f"--arms {asked.arms}"] if asked.arms else []


def command(module: str, words: str, studies: Mapping[str, Study], run: Run, given: Sequence[str] | None) -> int:
    """`python -m MODULE STUDY`: runs one of `studies` seed by seed and writes its tables after each. The exit status."""
    parser = options(module, words, None)
    parser.add_argument("study", help=f"one of {', '.join(studies)}")
    add_arms(parser)
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="table.key=value", help="for all arms, not for the warm start"
    )
    return _run(parser.parse_intermixed_args(given), module, studies, run)


def _run(asked: argparse.Namespace, module: str, studies: Mapping[str, Study], run: Run) -> int:
    study, chosen = chosen_arms(find(studies, asked.study), asked)
    asked.out = asked.out or Path("runs") / asked.study

    def run_seed(console: Console, out: Path, seed: int, size: Size) -> Runs:
        if seed == 0 and study.prepare:
            study.prepare(out)
        return run(study, out, seed, console, size, asked.overrides)

    words = command_of(module, asked.seeds, asked.updates, [*chosen, *asked.overrides], asked.study)
    return seed_by_seed(asked, words, run_seed, lambda runs: table(study, runs), markdown)


def check_problems(asked: argparse.Namespace, fewest: int) -> None:
    """Refuses a study without seeds, or with fewer `--problems` than it can do with.

    Raises:
        UsageError: so few.
    """
    if asked.seeds < 1 or asked.problems < fewest:
        raise UsageError(f"Expected --seeds >= 1 and --problems >= {fewest}, got {asked.seeds} and {asked.problems}.")


def seed_by_seed(
    asked: argparse.Namespace,
    command: str,
    run: Callable[[Console, Path, int, Size], T],
    figures: Callable[[Mapping[int, T]], Mapping[str, Any]],
    in_words: Callable[[Mapping[str, Any]], str],
) -> int:
    """Runs a study seed after seed. After each, the `figures` of the seeds so far are written, and said `in_words`.

    Args:
        asked: what `options` takes.

    Raises:
        UsageError: no seed, or too few updates.
    """
    console, out, size = Console(), asked.out.resolve(), Size(asked.updates)
    if asked.seeds < 1:
        raise UsageError(f"Expected --seeds >= 1, got {asked.seeds}.")
    quiet_libraries()
    out.mkdir(parents=True, exist_ok=True)
    runs: dict[int, T] = {}
    text = ""
    for seed in range(asked.seeds):
        runs[seed] = run(console, out, seed, size)
        found = figures(runs)
        text = in_words(found)
        write_json(out / "figures.json", {**provenance(command), **found})
        (out / "figures.md").write_text(text, encoding="utf-8")
    console.print(text, markup=False, highlight=False)
    return 0


def command_of(module: str, seeds: int, updates: int, more: Sequence[str] = (), study: str = "") -> str:
    """A study's command with its options, to be run again."""
    return " ".join(["python -m", module, *([study] if study else []), f"--seeds {seeds} --updates {updates}", *more])


def provenance(command: str) -> dict[str, Any]:
    """What made the figures: the command, its date and commit, the machine and the versions of what was used."""
    known = ("torch", "transformers", "numpy", "gymnasium")
    return {
        "command": command,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": commit(),
        "machine": f"{os.cpu_count()} CPU cores",
        "python": platform.python_version(),
        "versions": {name: importlib.metadata.version(name) for name in known},
    }
