"""`python -m benchmarks.compare A B`: is A better than B? Two records on the same problems, paired by problem.

For each pass@k and for the share of cases passed: the difference, its 95 % interval over problems, and the p-value of a paired
permutation test. Says how many problems each solves that the other does not.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks import records
from benchmarks.metrics import Comparison
from benchmarks.records.paired import alone, common, compared
from rltf_env.command import guarded, leave, parser


def table(a: records.Record, b: records.Record, found: dict[str, Comparison]) -> Table:
    """The comparisons for people."""
    shown = Table(title=f"{escape(a.name)} - {escape(b.name)}", title_justify="left")
    for column in ("", "difference", "95 % interval", "p"):
        shown.add_column(column, justify="right" if column else "left")
    for name, each in found.items():
        shown.add_row(name, f"{each.difference:+.1%}", f"{each.low:+.1%} to {each.high:+.1%}", f"{each.p_value:.2g}")
    return shown


def plain(found: dict[str, Comparison]) -> dict[str, Any]:
    """For JSON."""
    return {name: each._asdict() for name, each in found.items()}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    made = parser("benchmarks.compare", __doc__)
    made.add_argument("a", type=Path, help="the folder of a record, as benchmarks.evaluate leaves it")
    made.add_argument("b", type=Path, help="the one that it is compared with")
    made.add_argument("--shared", action="store_true", help="on the problems that both have, if not all are")
    made.add_argument("--json", type=Path, help="write the comparisons there as well")
    asked = made.parse_args(arguments)
    return guarded(lambda: _run(asked))


def _run(asked: argparse.Namespace) -> int:
    console = Console()
    a, b = records.read(asked.a), records.read(asked.b)
    found = compared(a, b, shared=asked.shared)
    ids = common(a, b, shared=asked.shared)
    console.print(table(a, b, found))
    first, second = alone(a, b, ids)
    console.print(
        f"Of {len(ids)} problems, {first} are solved by the first alone, {second} by the second.", highlight=False
    )
    if a.header["suite"] != b.header["suite"]:
        console.print("The two were made by different protocols: sampling differs, or the judge does.")
    if asked.json:
        records.write_json(asked.json, plain(found))
    return 0


if __name__ == "__main__":
    leave(main())
