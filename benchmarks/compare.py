"""`python -m benchmarks.compare A B`: is A better than B? Two records on the same problems, paired by problem.

For each pass@k and for the share of cases passed: the difference, its 95 % interval over problems, and the p-value of a paired
permutation test. Says how many problems each solves that the other does not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from benchmarks import records
from benchmarks.metrics import Comparison, paired_permutation
from benchmarks.records.report import SEED, by_problem, scores
from rltf_env.errors import RLTFError, UsageError


def common(a: records.Record, b: records.Record, *, shared: bool = False) -> list[str]:
    """The problems of both, in the order of `a`.

    Args:
        shared: compare on those that both have, if not all are.

    Raises:
        UsageError: other data, or other problems.
    """
    if a.header["data"] != b.header["data"]:
        raise UsageError(
            f"Expected two records on the same data, got digests {a.header['data'][:12]} and {b.header['data'][:12]}."
        )
    ids, others = a.report["problems"], set(b.report["problems"])
    both = [id for id in ids if id in others]
    if not both or (not shared and not len(both) == len(ids) == len(others)):
        raise UsageError(
            f"Expected the same problems in both records, got {len(ids)} and {len(others)}, of which {len(both)} are shared."
            + (" Pass --shared to compare on those." if both else "")
        )
    return both


def compared(a: records.Record, b: records.Record, *, shared: bool = False) -> dict[str, Comparison]:
    """a - b by figure: each pass@k that both have samples for, and, where both have their samples, the share of cases passed."""
    ids = common(a, b, shared=shared)
    ks = sorted({int(k) for record in (a, b) for k in record.report["pass@k"]})
    fits = [k for k in ks if k <= min(a.report["samples"], b.report["samples"])]
    found = {f"pass@{k}": paired_permutation(_scores(a, ids, k), _scores(b, ids, k), SEED) for k in fits}
    if a.samples is not None and b.samples is not None:
        found["cases passed"] = paired_permutation(_ratios(a, ids), _ratios(b, ids), SEED)
    return found


def _passed(record: records.Record, ids: Sequence[str]) -> list[int]:
    counts = dict(zip(record.report["problems"], record.report["passed"], strict=True))
    return [counts[id] for id in ids]


def _scores(record: records.Record, ids: Sequence[str], k: int) -> np.ndarray:
    return scores(_passed(record, ids), record.report["samples"], k)


def _ratios(record: records.Record, ids: Sequence[str]) -> np.ndarray:
    groups = by_problem(record.samples or ())
    return np.array([np.mean([sample.verdict.pass_ratio for sample in groups[id]]) for id in ids])


def alone(a: records.Record, b: records.Record, ids: Sequence[str]) -> tuple[int, int]:
    """How many problems only `a`, and only `b`, ever solves."""
    pairs = list(zip(_passed(a, ids), _passed(b, ids), strict=True))
    return sum(bool(x) and not y for x, y in pairs), sum(bool(y) and not x for x, y in pairs)


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
    parser = argparse.ArgumentParser(prog="python -m benchmarks.compare", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("a", type=Path)
    parser.add_argument("b", type=Path)
    parser.add_argument("--shared", action="store_true", help="on the problems that both have, if not all are")
    parser.add_argument("--json", type=Path, help="write the comparisons there as well")
    asked = parser.parse_args(arguments)
    console = Console()
    try:
        a, b = records.read(asked.a), records.read(asked.b)
        found = compared(a, b, shared=asked.shared)
        ids = common(a, b, shared=asked.shared)
    except RLTFError as error:
        Console(stderr=True).print(f"[red]{type(error).__name__}:[/] {escape(str(error))}", highlight=False)
        return 2
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
    sys.exit(main())
