"""`python -m benchmarks.studies.representations [--seeds N] [--probes]`: a trunk that learns apart from the policy (ATC,
arXiv 2009.08319), beside the same trunk that learns as a language model.

Predicted before the first run: in the probes ATC's trunk is far above a random one (AUC of passing on unseen problems higher by 10
points or more), and one that learnt from shuffled lines is not (within 3 points of random); RLTF's is at least the warm start's.
Between ATC and next-token prediction nothing is predicted: the paper matches end-to-end learning on pixels, where nothing else
tells a trunk what to see, and on text next-token prediction is a strong competitor. That is the experiment. After RLTF, frozen:
atc > random, and warm < end to end; what ATC adds to a policy that learns end to end is less than 2 points.

    trunks, 600 updates on 300 references, 4 layers
        random      none: the weights as they were drawn
        shuffled    ATC with the keys of other lines: what of it is more than gradients and augmentation
        atc         ATC
        warm        next-token prediction
        rltf        the policy of `end`, after RLTF: what tests teach a trunk (probes only)

    arms: 600 supervised updates on the same references, then 480 of RLTF
        random, shuffled, atc, warm     on the frozen trunk: the head and the last layer learn
        end          from `warm`, all of it learns: 1,200 supervised updates in all
        atc-end      from `atc`, all of it learns
        random-end   from `random`, all of it learns: what `atc-end` is without ATC

Arms have equal references, updates and judged programs; trunks equal references, updates and programs a batch, of which ATC reads
each twice, once without a gradient. A head is needed to write, and a trunk has none: the supervised updates are for it.

Probes come first, for they are cheap: 4,096 programs of one warm start for 512 problems, and a linear head on what each trunk says
of them (`benchmarks/studies/_probes.py`). `passed`, `outcome` and `ratio` are of all programs for the unseen problems; `within` is
the AUC of passing among the programs of one problem, which knowing how hard a problem is does not help. Measured after RLTF is
pass@1 on two kinds of problems. Differences are of the same problems by the same seed, with Student's interval over seeds, and
Holm over the comparisons of a measure. Stopped, it goes on where it was. By the demo's times a seed takes about two hours on two
free cores; `--probes` ends after the probes, half an hour.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from agents.building import make_env
from agents.config import Recipe, finished, read
from agents.core import rngs
from agents.decoding.sampling import Sampling
from agents.policies import causal
from agents.policies.pair_heads import plain_sample
from agents.rollout import collect
from agents.train import train
from benchmarks import demo
from benchmarks.metrics import holm, over_runs
from benchmarks.records.record import read_json, write_json
from benchmarks.studies._probes import Judged, features, probe
from benchmarks.studies.arms import (
    STOPPED,
    Arm,
    Size,
    check_problems,
    command_of,
    compared,
    markdown,
    options,
    seed_by_seed,
)
from rltf_env import datasets
from rltf_env.command import guarded, leave

PROBLEMS, SAMPLES, ROWS = 512, 8, 64  # of the probes
MODULE = "benchmarks.studies.representations"
TRUNK_UPDATES = 600
SPLITS = {"seen": "seen", "unseen": "test"}


@dataclass(frozen=True)
class Writer(Arm):
    """An arm of RLTF, and the trunk that it begins with; `frozen`: it stays as it is."""

    trunk: str = ""
    frozen: bool = True


TRUNKS: Mapping[str, Arm] = {
    "random": Arm("random", "warm", ("run.updates=0",)),
    "shuffled": Arm("ATC, shuffled", "atc", ('agent.positives="shuffled"',)),
    "atc": Arm("ATC", "atc"),
    "warm": Arm("next token", "warm"),
}
PROBED = {**{id: arm.name for id, arm in TRUNKS.items()}, "rltf": "next token, then RLTF"}
ARMS: Mapping[str, Writer] = {
    **{id: Writer(f"{arm.name}, frozen", "rltf", trunk=id) for id, arm in TRUNKS.items()},
    "end": Writer("next token, end to end", "rltf", trunk="warm", frozen=False),
    "atc-end": Writer("ATC, end to end", "rltf", trunk="atc", frozen=False),
    "random-end": Writer("random, end to end", "rltf", trunk="random", frozen=False),
}
_PROBES = (("atc", "random"), ("atc", "shuffled"), ("atc", "warm"), ("shuffled", "random"), ("rltf", "warm"))
_ARMS = (
    ("atc", "random"), ("atc", "shuffled"), ("atc", "warm"), ("warm", "end"), ("atc", "end"), ("atc-end", "random-end"),
    ("atc-end", "end"),
)  # fmt: skip
COMPARED: Mapping[str, tuple[tuple[str, str], ...]] = {"within": _PROBES, "seen": _ARMS, "unseen": _ARMS}
TITLES = {"within": "AUC", "seen": "pass@1", "unseen": "pass@1"}
OVERALL = ("passed", "outcome", "ratio")  # of a probe, for all unseen problems together
Rates = dict[str, dict[str, list[float]]]  # of each problem, by measure and row
Overall = dict[str, dict[str, float]]  # by trunk and measure

# ------------------------------------------------------------------------------------------------------------ recipes


def trunk(id: str, out: Path, seed: int, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of a trunk, which begins with random weights, in a folder of its own below the seed's."""
    arm, folder = TRUNKS[id], out / f"seed-{seed}" / f"trunk-{id}"
    own = [f'run.out="{folder}"', f"run.seed={seed}", "run.eval_every=0", "eval.size=8"]
    equal = ["policy.layers=4", "agent.batch_size=32", f"run.updates={TRUNK_UPDATES}"]
    return read(demo.RECIPES / f"procedural_{arm.base}.toml", [*own, *equal, *overrides, *arm.changed])


def taught(id: str, out: Path, seed: int, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe that lets an arm learn to write from references, on its trunk."""
    folder = out / f"seed-{seed}"
    own = [f'run.out="{folder / f"{id}-taught"}"', f"run.seed={seed}", "run.eval_every=0", "eval.size=8"]
    policy = _policy(folder / f"trunk-{ARMS[id].trunk}" / "policy", ARMS[id].frozen)
    return read(demo.RECIPES / "procedural_warm.toml", [*own, policy, *overrides])


def after(id: str, out: Path, seed: int, split: str = "", overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of an arm's RLTF; with a `split`, of no update, which measures what that came to."""
    folder = out / f"seed-{seed}"
    begun = folder / (f"{id}-rltf" if split else f"{id}-taught") / "policy"
    own = [
        f'run.out="{folder / f"{id}-rltf"}{f"-{split}" if split else ""}"',
        f"run.seed={seed}",
        _policy(begun, ARMS[id].frozen and not split),
    ]
    how = ["run.updates=0", f'eval.split="{split}"'] if split else ["run.eval_every=0", "eval.size=8"]
    return read(demo.RECIPES / "procedural_rltf.toml", [*own, *overrides, *how])


def _policy(folder: Path, frozen: bool) -> str:
    how = ', freeze = "trunk", thaw = 1' if frozen else ""
    return f'policy={{ kind = "causal", path = "{folder}"{how} }}'


# ------------------------------------------------------------------------------------------------------------- probes


def written(out: Path, seed: int, problems: int = PROBLEMS) -> Judged:
    """Programs of the policy that `end` has before RLTF, judged; kept in the seed's folder, and read there the next time."""
    folder = out / f"seed-{seed}"
    kept = folder / f"programs-{problems}.json"
    if not kept.exists():
        write_json(kept, {"programs": _write(folder / "end-taught", seed, problems)})
    rows = read_json(kept)["programs"]
    return Judged(
        [plain_sample(np.array(r["prompt"], np.int64), np.array(r["tokens"], np.int64)) for r in rows],
        np.array([r["outcome"] for r in rows], np.int64),
        np.array([r["ratio"] for r in rows], np.float64),
        np.array([r["problem"] for r in rows], np.int64),
    )


def _write(run: Path, seed: int, count: int) -> list[dict[str, Any]]:
    recipe, policy = finished(run), causal.load(str(run / "policy"))
    problems = datasets.load("procedural", "train", size=count, depths=[2])
    generator = rngs(seed, policy.device)[1]
    with make_env(recipe, policy) as env:
        groups = collect(policy, env, problems, Sampling(), repeats=SAMPLES, generator=generator)
    rows = []
    for i, group in enumerate(groups):
        for e in group:
            tokens = [t for t in e.program.tokens.tolist() if t != policy.eos_id]
            if tokens:  # an empty program has no state of its own
                known = {"outcome": int(e.verdict.outcome), "ratio": float(e.verdict.pass_ratio)}
                rows.append({"problem": i, "prompt": e.prompt.tolist(), "tokens": tokens, **known})
    return rows


def probed(out: Path, seed: int, problems: int = PROBLEMS) -> tuple[Overall, dict[str, list[float]]]:
    """What each trunk knows: the measures of all programs, and the AUC within each problem."""
    judged, folder = written(out, seed, problems), out / f"seed-{seed}"
    overall: Overall = {}
    within: dict[str, list[float]] = {}
    for id in PROBED:
        policy = causal.load(str(folder / ("end-rltf" if id == "rltf" else f"trunk-{id}") / "policy"))
        overall[id], within[id] = probe(features(policy, judged.samples, ROWS), judged, seed)
    return overall, within


# ------------------------------------------------------------------------------------------------------------ running


def run(
    out: Path, seed: int, console: Console, length: Size, *, problems: int = PROBLEMS, probes_only: bool = False
) -> tuple[Rates, Overall]:
    """Trunks, probes and arms of a seed: rates of each problem, and the probes' other measures."""
    for id, arm in TRUNKS.items():
        console.rule(f"seed {seed}: trunk, {arm.name}")
        train(trunk(id, out, seed), console)
    _learn("end", out, seed, console, length)
    overall, within = probed(out, seed, problems)
    rates: Rates = {"within": within}
    for id in () if probes_only else ARMS:
        _learn(id, out, seed, console, length)
        for measure, split in SPLITS.items():
            done = train(after(id, out, seed, split, length.changed), console)
            rates.setdefault(measure, {})[id] = demo.rates(demo.last(done)).tolist()
    return rates, overall


def _learn(id: str, out: Path, seed: int, console: Console, length: Size) -> None:
    console.rule(f"seed {seed}: {ARMS[id].name}")
    train(taught(id, out, seed), console)
    train(after(id, out, seed, overrides=length.changed), console)


def table(runs: Mapping[int, tuple[Rates, Overall]]) -> dict[str, Any]:
    """All figures, as plain data, of what `run` gives by seed."""
    words = (__doc__ or "").partition("first run: ")[2].partition("\n\n")[0].replace("\n", " ")
    seeds = sorted(runs)
    figures: dict[str, Any] = {"prediction": words, "seeds": seeds, "probes": _all_programs(runs)}
    for measure, rows in runs[seeds[0]][0].items():
        names = PROBED if measure == "within" else {id: arm.name for id, arm in ARMS.items()}
        rates = {row: np.array([runs[seed][0][measure][row] for seed in seeds]) for row in rows}  # (S, N) each
        arms = {row: {"name": names[row], "by_seed": rates[row].mean(1).tolist()} for row in rows}
        count = next(iter(rates.values())).shape[1]
        figures[measure] = {"problems": count, "arms": arms, "comparisons": compared(COMPARED[measure], rates)}
    return figures


def _all_programs(runs: Mapping[int, tuple[Rates, Overall]]) -> dict[str, Any]:
    """By measure: each trunk's figure by seed, and differences with their intervals over seeds, if there are several."""
    figures: dict[str, Any] = {}
    for measure in OVERALL:
        values = {id: [runs[seed][1][id][measure] for seed in sorted(runs)] for id in PROBED}
        rows = [{"a": a, "b": b, "by_seed": (np.array(values[a]) - values[b]).tolist()} for a, b in _PROBES]
        if len(runs) > 1:
            tests = [over_runs(row["by_seed"]) for row in rows]
            for row, test, p in zip(rows, tests, holm([test.p_value for test in tests]), strict=True):
                row |= {"over_seeds": {**test._asdict(), "p_holm": p}}
        figures[measure] = {"by_seed": values, "comparisons": rows}
    return figures


def in_words(figures: Mapping[str, Any]) -> str:
    """The tables, to read."""
    titles = {measure: title for measure, title in TITLES.items() if measure in figures}
    head = f"| trunk | {' | '.join(OVERALL)} |\n| --- |{' --- |' * len(OVERALL)}"
    rows = []
    for id, name in PROBED.items():
        means = (np.mean(figures["probes"][measure]["by_seed"][id]) for measure in OVERALL)
        rows.append(f"| {name} | {' | '.join(f'{mean:.3f}' for mean in means)} |")
    return "\n".join([markdown(figures, titles), "### probes, all programs for unseen problems\n", head, *rows, ""])


# ------------------------------------------------------------------------------------------------------------ command


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = options(MODULE, __doc__ or "", Path("runs/representations"), "of RLTF in each arm")
    parser.add_argument("--problems", type=int, default=PROBLEMS, help=f"of the probes (default: {PROBLEMS})")
    parser.add_argument("--probes", action="store_true", help="only the probes; the same command without goes on")
    asked = parser.parse_args(arguments)
    return guarded(lambda: _run(asked), STOPPED)


def _run(asked: argparse.Namespace) -> int:
    check_problems(asked, 10)

    def run_seed(console: Console, out: Path, seed: int, size: Size) -> tuple[Rates, Overall]:
        return run(out, seed, console, size, problems=asked.problems, probes_only=asked.probes)

    more = [f"--problems {asked.problems}", *(["--probes"] if asked.probes else [])]
    words = command_of(MODULE, asked.seeds, asked.updates, more)
    return seed_by_seed(asked, words, run_seed, table, in_words)


if __name__ == "__main__":
    leave(main())
