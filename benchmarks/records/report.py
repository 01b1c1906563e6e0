"""What the samples of a record amount to: figures with intervals, histograms by difficulty, tokens, the gap. Pure.

The gap is the share of programs that pass all public examples less the share that pass all cases: what a program seems to be
worth to whoever sees the examples only, less what it is worth. Problems without public examples of their own are left out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.core import JudgedAnswer
from benchmarks.metrics import Floats, bootstrap_interval, pass_at_k
from rltf_env.core import Outcome
from rltf_env.errors import UsageError
from rltf_env.intervals import Interval, rate_interval

SEED = 0  # of the resampling


def by_problem(samples: Sequence[JudgedAnswer]) -> dict[str, list[JudgedAnswer]]:
    """The samples of each problem, in order."""
    groups: dict[str, list[JudgedAnswer]] = {}
    for sample in samples:
        groups.setdefault(sample.key.problem, []).append(sample)
    return groups


def scores(passed: Sequence[int], samples: int, k: int) -> Floats:
    """float64 (N,): pass@k of each problem from how many of its samples passed."""
    return pass_at_k([samples] * len(passed), list(passed), k)


def clusters(ids: Sequence[str], repeats: Mapping[str, str]) -> list[int] | None:
    """Which of the problems ask the same (`rltf_env.intervals`), from a record's `repeats`; None: no two.

    Args:
        ids: (N,).
        repeats: of a problem that asks what an earlier one asks: the id of that one.
    """
    first = [repeats.get(id, id) for id in ids]
    numbers = {id: number for number, id in enumerate(dict.fromkeys(first))}
    return [numbers[id] for id in first] if len(numbers) < len(first) else None


def report(
    samples: Sequence[JudgedAnswer], count: int, ks: Sequence[int], repeats: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """The figures of `count` samples for each problem, as plain data; for `repeats` see `clusters`.

    Raises:
        UsageError: some samples are missing.
    """
    groups = by_problem(samples)
    short = [id for id, group in groups.items() if len(group) != count]
    if short or not groups:
        raise UsageError(f"Expected {count} samples for every problem, got others for {short[:3]}.")
    passed = [sum(sample.passed for sample in group) for group in groups.values()]
    ratios = np.array(
        [np.mean([sample.verdict.pass_ratio for sample in group]) for group in groups.values()], np.float64
    )
    tokens = [sample.answer.tokens for sample in samples if sample.answer.tokens is not None]
    alike = clusters(list(groups), repeats or {})
    return {
        "problems": list(groups),
        "samples": count,
        "passed": passed,
        "pass@k": {str(k): rate_interval(scores(passed, count, k), alike)._asdict() for k in ks},
        "pass_ratio": rate_interval(ratios, alike)._asdict(),
        "outcomes": _by_difficulty(samples, _outcome),
        "kinds": _by_difficulty(samples, _kind),
        "difficulty": {
            name: _of_difficulty(groups, name, count, repeats or {})._asdict()
            for name in sorted({s.difficulty for s in samples} - {""})
        },
        "gap": gap(groups, repeats or {}),
        "tokens": {"programs": len(tokens), "mean": float(np.mean(tokens)), "most": max(tokens)} if tokens else None,
        "truncated": sum(sample.answer.truncated for sample in samples),
        "distinct": float(np.mean([len({s.answer.text for s in group}) / count for group in groups.values()])),
    }  # fmt: skip


def _of_difficulty(
    groups: Mapping[str, Sequence[JudgedAnswer]], name: str, count: int, repeats: Mapping[str, str]
) -> Interval:
    """pass@1 on the problems of one difficulty."""
    some = {id: group for id, group in groups.items() if group[0].difficulty == name}
    rates = [sum(sample.passed for sample in group) / count for group in some.values()]
    return rate_interval(rates, clusters(list(some), repeats))


def gap(
    groups: Mapping[str, Sequence[JudgedAnswer]], repeats: Mapping[str, str] | None = None
) -> dict[str, Any] | None:
    """See the module's head; None where no problem has public examples of its own."""
    with_examples = {id: group for id, group in groups.items() if all(sample.visible for sample in group)}
    if not with_examples:
        return None
    visible = np.array([np.mean([min(s.visible) is Outcome.PASSED for s in group]) for group in with_examples.values()])
    hidden = np.array([np.mean([s.passed for s in group]) for group in with_examples.values()])
    alike = clusters(list(with_examples), repeats or {})
    return {
        "problems": len(with_examples),
        "visible": float(visible.mean()),
        "hidden": float(hidden.mean()),
        "gap": bootstrap_interval(visible - hidden, SEED, clusters=alike)._asdict(),
    }


def _outcome(sample: JudgedAnswer) -> str:
    return sample.verdict.outcome.name


def _kind(sample: JudgedAnswer) -> str:
    return sample.verdict.failure.kind if sample.verdict.failure else ""


def _by_difficulty(samples: Sequence[JudgedAnswer], of: Any) -> dict[str, dict[str, int]]:
    """Counts of `of(sample)`, "" aside, over all samples and for each difficulty; most frequent first, ties by name."""
    tables: dict[str, Counter[str]] = {"all": Counter()}
    for sample in samples:
        if name := of(sample):
            tables["all"][name] += 1
            if sample.difficulty:
                tables.setdefault(sample.difficulty, Counter())[name] += 1
    return {name: dict(sorted(table.items(), key=lambda item: (-item[1], item[0]))) for name, table in tables.items()}
