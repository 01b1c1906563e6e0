"""`python -m benchmarks.regression BEFORE [AFTER]`: which problems flipped between two models, and what they have in common.

Of two records on the same problems: those that were solved before and are not after (down), and those the other way round
(up); by tag of the problems, with an exact McNemar test of whether down and up differ there, and a second one of whether flips
gather where the tag is. Both p-values are Holm's, over the tags. A tag that goes with another, as `let` goes with `for`, shares
its flips: the second test says which one they follow. Of one record: pass@1 by tag and by difficulty.

A problem counts as solved if at least half of its programs pass. (After the auto-regression benchmark of arXiv 2407.19772.)
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks import records
from benchmarks.metrics import gathered, holm, mcnemar
from benchmarks.records.paired import common
from benchmarks.records.report import by_problem
from rltf_env import datasets
from rltf_env.command import Parser, guarded, leave
from rltf_env.core import Problem
from rltf_env.errors import DataError, UsageError
from rltf_env.intervals import rate_interval

SHOWN = 3  # problems that flipped, side by side


@dataclass(frozen=True)
class Flips:
    """Of the problems with one tag: how many there are, how many flipped each way, and how sure that is.

    Args:
        p_value: of McNemar's exact test: down and up are equally likely.
        p_gathered: that flips in the direction of the majority are no more frequent here than elsewhere.
    """

    tag: str
    problems: int
    down: int
    up: int
    p_value: float
    p_gathered: float


def flips(tags: Mapping[str, Sequence[str]], before: Mapping[str, bool], after: Mapping[str, bool]) -> list[Flips]:
    """The flips of each tag, the most telling first.

    Args:
        tags: of each problem, by id.
        before, after: whether each of these problems was solved.
    """
    down = {id for id in tags if before[id] and not after[id]}
    up = {id for id in tags if after[id] and not before[id]}
    found = []
    for tag in dict.fromkeys(tag for own in tags.values() for tag in own):
        having = {id for id, own in tags.items() if tag in own}
        counts = len(having & down), len(having & up)
        most = down if len(down) >= len(up) else up
        alone = gathered(len(tags), len(having), len(most), len(having & most))
        found.append(Flips(tag, len(having), *counts, mcnemar(*counts), alone))
    return sorted(_adjusted(found), key=lambda each: (each.p_gathered, each.p_value, each.tag))


def _adjusted(found: Sequence[Flips]) -> list[Flips]:
    changed, alone = holm([each.p_value for each in found]), holm([each.p_gathered for each in found])
    return [
        Flips(each.tag, each.problems, each.down, each.up, p, q)
        for each, p, q in zip(found, changed, alone, strict=True)
    ]


# ------------------------------------------------------------------------------------------------------------ records


def problems_of(record: records.Record, root: Path | None = None) -> dict[str, Problem]:
    """The problems of a record by id, which hold the tags.

    Raises:
        DataError: those that are there now are not those of the record.
    """
    suite = record.header["suite"]
    where = {} if root is None else {"root": root}
    found = datasets.load(suite["dataset"], split=suite["split"], **where, **suite["options"])
    if datasets.digest(found) != record.header["data"]:
        raise DataError(
            f"Expected the data of record {str(record.folder)!r}, digest {record.header['data'][:12]}, got "
            f"{datasets.digest(found)[:12]}. Name the folder of the data that it was made on with --root."
        )
    return {problem.id: problem for problem in found}


def solved(record: records.Record) -> dict[str, bool]:
    """By problem: whether at least half of its programs pass."""
    pairs = zip(record.report["problems"], record.report["passed"], strict=True)
    return {id: 2 * passed >= record.report["samples"] for id, passed in pairs}


def tags_of(problem: Problem) -> tuple[str, ...]:
    """The tags of a problem, and its difficulty."""
    return (*map(str, problem.meta.get("tags", ())), *filter(None, [problem.difficulty]))


def rates(record: records.Record, problems: Mapping[str, Problem]) -> dict[str, dict[str, Any]]:
    """pass@1 by tag and difficulty, with its 95 % interval over problems, and how many problems that is."""
    n = record.report["samples"]
    each = {id: c / n for id, c in zip(record.report["problems"], record.report["passed"], strict=True)}
    groups: dict[str, list[float]] = {}
    for id, rate in each.items():
        for tag in tags_of(problems[id]):
            groups.setdefault(tag, []).append(rate)
    return {tag: {"problems": len(r), **rate_interval(r)._asdict()} for tag, r in sorted(groups.items())}


def compared(
    before: records.Record, after: records.Record, problems: Mapping[str, Problem], *, shared: bool = False
) -> list[Flips]:
    """The flips between two records. Raises UsageError where their data or problems differ."""
    ids = common(before, after, shared=shared)
    tags = {id: tags_of(problems[id]) for id in ids}
    if not any(tags.values()):
        raise UsageError("Expected problems with tags or a difficulty to tell flips apart by, got none that has one.")
    return flips(tags, solved(before), solved(after))


# ------------------------------------------------------------------------------------------------------------ showing


def table(found: Sequence[Flips], title: str) -> Table:
    """The flips for people."""
    shown = Table(title=escape(title), title_justify="left")
    for column in ("tag", "problems", "down", "up", "p (Holm)", "p gathered (Holm)"):
        shown.add_column(column, justify="left" if column == "tag" else "right")
    for each in found:
        p = f"{each.p_value:.2g}", f"{each.p_gathered:.2g}"
        shown.add_row(escape(each.tag), str(each.problems), str(each.down), str(each.up), *p)
    return shown


def rate_table(found: Mapping[str, Mapping[str, Any]], title: str) -> Table:
    """The rates of one record for people."""
    shown = Table(title=escape(title), title_justify="left")
    for column in ("tag", "problems", "pass@1", "95 % interval"):
        shown.add_column(column, justify="left" if column == "tag" else "right")
    for tag, each in found.items():
        ends = f"{each['low']:.1%} to {each['high']:.1%}"
        shown.add_row(escape(tag), str(each["problems"]), f"{each['value']:.1%}", ends)
    return shown


def examples(
    before: records.Record, after: records.Record, problems: Mapping[str, Problem], tag: str, most: int = SHOWN
) -> Table | None:
    """Problems with this tag that were solved before and are not after: a program of each, side by side."""
    if before.samples is None or after.samples is None:
        return None
    was, now = solved(before), solved(after)
    ids = [id for id in was if was[id] and not now.get(id, True) and tag in tags_of(problems[id])][:most]
    if not ids:
        return None
    shown = Table(title=f"Down, with {escape(tag)}", title_justify="left", show_lines=True)
    for column in ("problem", before.name, after.name):
        shown.add_column(escape(column))
    right, wrong = by_problem(before.samples), by_problem(after.samples)
    for id in ids:
        good = next(s.answer.text for s in right[id] if s.passed)
        bad = next(s for s in wrong[id] if not s.passed)
        said = f"{bad.answer.text}\n# {bad.verdict.outcome}"
        shown.add_row(escape(problems[id].statement), escape(good), escape(said))
    return shown


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    return guarded(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    parser = Parser(prog="python -m benchmarks.regression", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("before", type=Path, help="a finished record")
    parser.add_argument("after", type=Path, nargs="?", help="another on the same problems; without: rates of the first")
    parser.add_argument("--shared", action="store_true", help="on the problems that both have, if not all are")
    parser.add_argument("--root", type=Path, help="folder of the data, if the problems are not the package's own")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    asked = parser.parse_args(arguments)
    return guarded(lambda: _run(asked))


def _run(asked: argparse.Namespace) -> int:
    figures = _show(asked, Console())
    if asked.json:
        records.write_json(asked.json, figures)
    return 0


def _show(asked: argparse.Namespace, console: Console) -> dict[str, Any]:
    before = records.read(asked.before)
    problems = problems_of(before, asked.root)
    if asked.after is None:
        figures = rates(before, problems)
        console.print(rate_table(figures, f"{before.name} on {before.suite}"))
        return figures
    after = records.read(asked.after)
    found = compared(before, after, problems, shared=asked.shared)
    console.print(table(found, f"{before.name} to {after.name} on {before.suite}"))
    if (side_by_side := examples(before, after, problems, found[0].tag)) is not None:
        console.print(side_by_side)
    return {each.tag: {name: value for name, value in vars(each).items() if name != "tag"} for each in found}


if __name__ == "__main__":
    leave(main())
