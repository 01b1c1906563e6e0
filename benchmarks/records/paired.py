"""Two records on the same problems, paired by problem: differences of their figures, with intervals and p-values."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from benchmarks.metrics import Comparison, paired_permutation
from benchmarks.records.record import Record
from benchmarks.records.report import SEED, by_problem, clusters, scores
from rltf_env.errors import UsageError


def common(a: Record, b: Record, *, shared: bool = False) -> list[str]:
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


def compared(a: Record, b: Record, *, shared: bool = False) -> dict[str, Comparison]:
    """a - b by figure: each pass@k that both have samples for, and, where both have their samples, the share of cases passed."""
    ids = common(a, b, shared=shared)
    ks = sorted({int(k) for record in (a, b) for k in record.report["pass@k"]})
    fits = [k for k in ks if k <= min(a.report["samples"], b.report["samples"])]
    alike = clusters(ids, a.header.get("repeats", {}))
    comparisons = {
        f"pass@{k}": paired_permutation(_scores(a, ids, k), _scores(b, ids, k), SEED, clusters=alike) for k in fits
    }
    if a.samples is not None and b.samples is not None:
        comparisons["cases passed"] = paired_permutation(_ratios(a, ids), _ratios(b, ids), SEED, clusters=alike)
    return comparisons


def alone(a: Record, b: Record, ids: Sequence[str]) -> tuple[int, int]:
    """How many problems only `a`, and only `b`, ever solves."""
    pairs = list(zip(_passed(a, ids), _passed(b, ids), strict=True))
    return sum(bool(x) and not y for x, y in pairs), sum(bool(y) and not x for x, y in pairs)


def _passed(record: Record, ids: Sequence[str]) -> list[int]:
    counts = dict(zip(record.report["problems"], record.report["passed"], strict=True))
    return [counts[id] for id in ids]


def _scores(record: Record, ids: Sequence[str], k: int) -> np.ndarray:
    return scores(_passed(record, ids), record.report["samples"], k)


def _ratios(record: Record, ids: Sequence[str]) -> np.ndarray:
    groups = by_problem(record.samples or ())
    return np.array([np.mean([sample.verdict.pass_ratio for sample in groups[id]]) for id in ids])
