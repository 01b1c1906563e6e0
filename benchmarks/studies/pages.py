"""What docs/results shows of studies and of the table of all algorithms: Markdown from their records."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.studies.arms import MEASURES
from rltf_env.core import Outcome

DASH = "-"


def scores(figures: Mapping[str, Any]) -> str:
    """pass@1 of a study's arms: the mean over seeds and each seed, on both kinds of problems; beside it, what else was counted."""
    arms = figures[MEASURES[0]]["arms"]
    counted = [(name, measure) for name in next(iter(arms.values())).get("shares", {}) for measure in MEASURES]
    head = [
        "arm",
        *(f"{measure}, by seed" for measure in MEASURES),
        *(f"{name}, {measure}" for name, measure in counted),
    ]
    rows = [
        [
            arm["name"],
            *(_by_seed(figures[measure]["arms"][id]["by_seed"]) for measure in MEASURES),
            *(_mean(figures[measure]["arms"][id]["shares"][name]) for name, measure in counted),
        ]
        for id, arm in arms.items()
    ]
    return _table(head, rows)


def differences(figures: Mapping[str, Any]) -> str:
    """A study's comparisons: the mean difference with Student's interval over seeds, and p with Holm's adjustment."""
    names = {id: arm["name"] for id, arm in figures[MEASURES[0]]["arms"].items()}
    pairs = zip(*(figures[measure]["comparisons"] for measure in MEASURES), strict=True)
    rows = [
        [f"({names[first['a']]}) - ({names[first['b']]})", *(cell for row in (first, second) for cell in _over(row))]
        for first, second in pairs
    ]
    return _table(["difference", "seen", "p", "unseen", "p"], rows)


def study(figures: Mapping[str, Any]) -> str:
    """A study whole: what it predicted, its arms, its comparisons."""
    parts = (f"Predicted before the first run: {figures['prediction']}", scores(figures), differences(figures))
    return "\n\n".join(parts)


def outcomes(figures: Mapping[str, Any]) -> str:
    """What became of each arm's programs, as shares, and how many of the failures are errors, of which a line is named."""
    rows = []
    for measure in MEASURES:
        for arm in figures[measure]["arms"].values():
            counts = {outcome.name: arm["outcomes"].get(outcome.name, 0) for outcome in Outcome}
            total, errors = sum(counts.values()), counts["SYNTAX_ERROR"] + counts["RUNTIME_ERROR"]
            shares = [count / total for count in counts.values()]
            failures = max(1, errors + counts["WRONG_ANSWER"])
            rows.append([measure, arm["name"], *(f"{share:.1%}" for share in (*shares, errors / failures))])
    names = (outcome.name.lower().replace("_", " ") for outcome in Outcome)
    return _table(["problems", "arm", *names, "errors among failures"], rows)


def tiers(figures: Mapping[str, Any]) -> str:
    """The table of all algorithms on one set, by tier of the seen problems and then by mean."""
    head = [
        "tier",
        "arm",
        "rate",
        *MEASURES,
        "- supervised, seen",
        "p",
        "- supervised, unseen",
        "p",
        "area",
        "distinct",
    ]
    ordered = sorted(figures["arms"].items(), key=lambda item: (item[1]["seen"]["tier"], -item[1]["seen"]["mean"]))
    return _table(head, [_arm(id, arm, figures["rates"]) for id, arm in ordered])


def _arm(id: str, arm: Mapping[str, Any], rates: Mapping[str, Any]) -> list[str]:
    rate = f"{rates[id][0]:g}" if id in rates else DASH
    means = [f"{arm[measure]['mean']:.1%}" for measure in MEASURES]
    apart = [cell for measure in MEASURES for cell in _control(arm[measure])]
    area = DASH if arm["area"] is None else f"{arm['area']:.1%}"
    return [str(arm["seen"]["tier"]), arm["name"], rate, *means, *apart, area, f"{arm['distinct']:.2f}"]


def _control(measured: Mapping[str, Any]) -> list[str]:
    found = measured.get("- supervised")
    return [_interval(found), f"{found['p_holm']:.2g}"] if found else [DASH, DASH]


def _over(row: Mapping[str, Any]) -> list[str]:
    """One seed has no interval."""
    seeds = row["over_seeds"]
    return [_interval(seeds), f"{seeds['p_holm']:.2g}"] if seeds else [f"{row['by_seed'][0]:+.1%}", "one seed"]


def _interval(found: Mapping[str, float]) -> str:
    if found["high"] - found["low"] < 1e-9:  # which says nothing of other seeds
        return f"{found['difference']:+.1%} (in each seed)"
    return f"{found['difference']:+.1%} ({found['low']:+.1%} to {found['high']:+.1%})"


def _by_seed(values: Sequence[float]) -> str:
    return f"**{sum(values) / len(values):.1%}** ({', '.join(f'{100 * value:.1f}' for value in values)})"


def _mean(values: Sequence[float]) -> str:
    return f"{sum(values) / len(values):.1%}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows))


def played(figures: Mapping[str, Any]) -> str:
    """The small cases of the cluster's simulation, beside what was measured."""
    head = ["case", "generators", "seconds an update", "simulated", "staleness, updates", "simulated"]
    rows = []
    for name, case in figures["small"].items():
        real, made = case["measured"], case["simulated"]
        pairs = [f"{each[key]:.2f}" for key in ("seconds_per_update", "staleness") for each in (real, made)]
        rows.append([name, str(case["plant"]["generators"]), *pairs])
    return _table(head, rows)


def sizes(figures: Mapping[str, Any]) -> str:
    """What clusters of several sizes move and come to, on paper and simulated."""
    head = [
        "GPUs", "programs a second", "to the learner, MB/s", "judge cores", "push by store, s", "push by links, s",
        "learner waits", "staleness, updates", "a lot, s", "slowest of all writers' lots, s",
    ]  # fmt: skip
    return _table(head, [_size(row) for row in figures.get("sizes", [])])


def _size(row: Mapping[str, float]) -> list[str]:
    return [
        f"{row['gpus']:.0f}", f"{row['programs_per_second']:,.0f}", f"{row['learner_bytes_per_second'] / 1e6:.1f}",
        f"{row['judge_cores']:,.0f} of {row['judge_cores_there']:,.0f}", f"{row['push_seconds_store']:.0f}",
        f"{row['push_seconds_tree']:.1f}", f"{row['learner_waits']:.0%}", f"{row['staleness']:.1f}", f"{row['mean']:.1f}",
        f"{row['slowest']:.1f}",
    ]  # fmt: skip
