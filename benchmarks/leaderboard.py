"""`python -m benchmarks.leaderboard FOLDER`: the records below a folder as a table, Markdown, CSV and one HTML page.

A suite's records are ranked by its first pass@k, each compared with the best: paired permutation test over problems, p-values
adjusted for their number (Holm). Ranked is what a suite's frozen protocol made on its frozen data, whose completions are
there and as they were, and whose verification did not fail; everything else is shown apart, with the reason. Figures are
computed anew from the completions, never taken from a record's word.
"""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks import records
from benchmarks.records import page
from benchmarks.records.boards import Board, Entry, boards, load
from rltf_env.command import guarded, leave, parser
from rltf_env.errors import MissingData

# -------------------------------------------------------------------------------------------------------------- output

COLUMNS = (
    "suite", "rank", "model", "problems", "samples", "k", "pass@k", "low", "high", "pass_ratio", "difference to best",
    "difference low", "difference high", "p adjusted", "gap", "verified", "commit", "not ranked because",
)  # fmt: skip


def row(board: Board, each: Entry) -> list[list[Any]]:
    """The lines of an entry in the CSV: one for each k."""
    figures, behind = each.figures, each.behind
    rows = []
    for k, value in figures["pass@k"].items():
        apart = behind if k == each.first else None
        difference = (
            [f"{apart.difference:.4f}", f"{apart.low:.4f}", f"{apart.high:.4f}", f"{each.adjusted:.4g}"]
            if apart
            else [""] * 4
        )
        rows.append(
            [
                board.suite, each.rank or "", each.record.name, len(figures["problems"]), figures["samples"], k,
                *(f"{value[end]:.4f}" for end in ("value", "low", "high")), f"{figures['pass_ratio']['value']:.4f}",
                *difference, f"{figures['gap']['gap']['value']:.4f}" if figures["gap"] else "", each.checked,
                each.record.header["commit"], "; ".join(each.reasons),
            ]
        )  # fmt: skip
    return rows


def as_csv(found: Sequence[Board]) -> str:
    """Every figure, a line for each k."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for board in found:
        for each in board.entries:
            writer.writerows([_inert(cell) for cell in line] for line in row(board, each))
    return out.getvalue()


def _inert(cell: Any) -> Any:
    """A text that a spreadsheet will not take for a formula."""
    return f"'{cell}" if isinstance(cell, str) and cell[:1] in ("=", "+", "@", "\t", "\r") else cell


def cells(each: Entry) -> list[str]:
    """rank, model, pass@k ..., cases passed, difference, gap: for people."""
    scores = [
        f"{v['value']:.1%} ({v['low']:.1%} to {v['high']:.1%})"
        for v in (each.figures["pass@k"].get(str(k)) for k in each.record.header["suite"]["ks"])
        if v
    ]
    gap = f"{each.figures['gap']['gap']['value']:+.1%}" if each.figures["gap"] else ""
    return [str(each.rank or ""), each.record.name, ", ".join(scores), difference(each), gap, each.checked]


def difference(each: Entry) -> str:
    """To the best, in words."""
    if each.behind is None:
        return "best" if each.rank == 1 else ""
    told = f"{each.behind.difference:+.1%} ({each.behind.low:+.1%} to {each.behind.high:+.1%}), p = {each.adjusted:.2g}"
    return told if each.adjusted < page.LEVEL else f"{told}: not told apart"


HEADS = ("#", "model", "pass@k (95 % interval)", "difference to the best", "gap", "")


def as_table(board: Board) -> Table:
    """A board in a terminal."""
    table = Table(title=f"{board.suite}: {escape(board.about)}", title_justify="left")
    for head in HEADS:
        table.add_column(head, justify="right" if head == "#" else "left")
    for each in board.ranked:
        table.add_row(*map(escape, cells(each)))
    for each in board.apart:
        _, name, scores, _, gap, _ = map(escape, cells(each))
        table.add_row("-", name, scores, f"[dim]not ranked: {escape('; '.join(each.reasons))}[/]", gap, "")
    return table


def as_markdown(found: Sequence[Board]) -> str:
    """All boards; what models are called cannot break a table."""
    lines = ["# Leaderboard", ""]
    for board in found:
        lines += [f"## {board.suite}", "", board.about, ""]
        if board.ranked:
            lines += [_line((*HEADS[:-1], "verified")), _line(["---"] * len(HEADS))]
            lines += [_line(cells(each)) for each in board.ranked] + [""]
        if board.apart:
            lines += ["Not ranked:", "", _line(["model", "pass@k (95 % interval)", "why not"]), _line(["---"] * 3)]
            lines += [_line([*cells(each)[1:3], "; ".join(each.reasons)]) for each in board.apart] + [""]
    return "\n".join(lines)


def _line(texts: Sequence[str]) -> str:
    safe = (text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", " ") for text in texts)
    return f"| {' | '.join(safe)} |"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    made = parser("benchmarks.leaderboard", __doc__)
    made.add_argument("folder", type=Path, help="the records, at any depth, such as runs/evaluations")
    made.add_argument("--out", type=Path, help="where the files go (default: the folder itself)")
    made.add_argument("--root", help="the data folder, for the problems' statements (default: $RLTF_DATA)")
    made.add_argument("--megabytes", type=float, default=8.0, help="most MB of the page (default: 8)")
    made.add_argument("--title", default="Unit test leaderboard", help="of the page (default: %(default)s)")
    asked = made.parse_args(arguments)
    return guarded(lambda: _run(asked))


def _run(asked: argparse.Namespace) -> int:
    console = Console()
    entries, broken = load(asked.folder)
    if not entries and not broken:
        raise MissingData(
            f"Expected records below {asked.folder}, got none. `python -m benchmarks.evaluate` makes them."
        )
    found = boards(entries)
    out = asked.out or asked.folder
    out.mkdir(parents=True, exist_ok=True)
    html, told = page.render(found, broken, title=asked.title, limit=int(asked.megabytes * 1e6), root=asked.root)
    for name, text in (
        ("leaderboard.html", html),
        ("leaderboard.md", as_markdown(found)),
        ("leaderboard.csv", as_csv(found)),
    ):
        records.write_bytes(out / name, text.encode())
    console.print(*map(as_table, found), sep="\n")
    for path, why in broken:
        console.print(f"{escape(str(path))} is left out: {escape(why)}", highlight=False)
    console.print(
        f"{escape(str(out))}: leaderboard.html ({len(html) / 1e6:.2f} MB; {told}), .md, .csv", highlight=False
    )
    return 0


if __name__ == "__main__":
    leave(main())
