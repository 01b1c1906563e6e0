"""`python -m benchmarks.studies.table [--sets P2 G] [--arms ...] [--seeds N] [--updates K]`: all algorithms on one table.

    warm start of a seed --arm at its own learning rate--> policy --held-out problems--> pass@1, distinct right programs

Sets of problems: P2, the procedural ones of two operations; G, grown ones of 2 to 6 conditionals. Either is measured on problems
like those trained on ("seen": other constants) and on what training never shows ("unseen": other compositions). All arms of a seed
start from one warm start and have 64 judged programs an update. Each arm's learning rate is the one of `RATES` that did best on
`validation` problems, from a seed of its own, after a quarter of the updates; neither is reported.

Differences to supervised learning and to the demo's RLTF are paired by seed and problem, with Student's interval over seeds; Holm's
adjustment is over all arms of a set. There are tiers and no ranks: an arm is in the tier of the best arm above it from which its
difference could be 0. Resumable by arm: the same command goes on, and with other `--arms` the table grows. Started twice, two
processes share the arms.

Nothing is predicted of the order. That RLTF, with references in every second update, is above those without, is.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from agents.building import quiet_libraries
from agents.config import Recipe
from agents.decoding.sampling import Sampling
from agents.train import train
from benchmarks import demo
from benchmarks.metrics import holm, over_runs
from benchmarks.records.record import write_json
from benchmarks.studies import practice
from benchmarks.studies.arms import MEASURES, STOPPED, UPDATES, WHOLE, Arm, Size, command_of, provenance
from benchmarks.studies.sharing import held
from rltf_env.command import Parser, guarded, leave
from rltf_env.errors import UnknownName, UsageError

RATES = (2e-4, 6e-4, 2e-3)
RATE_SEED, RATE_SHARE = 100, 4  # rates are chosen on a seed of their own, after a quarter of the updates
SHORTEST = 96  # updates: a quarter of them is longer than the warm-up of a learning rate
CONTROLS = ("supervised", "rltf")  # what every arm is compared with
POINTS = 4  # of a learning curve
PATIENCE = 5.0  # seconds between looks at arms that other processes have
WIDE = 100  # problems on which different right programs are counted, of 8 samples at temperature 1
SPLITS = {"seen": "seen", "unseen": "test", "validation": "validation"}


@dataclass(frozen=True)
class ProblemSet:
    """Problems as overrides: of the warm start (`warm`), of every arm (`changed`), and those `measured` with their number."""

    name: str
    measured: str
    warm: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    references: str = "agent.references={ size = 300, depths = [1, 2] }"


@dataclass(frozen=True)
class Row(Arm):
    """An arm with the `group` that it belongs to."""

    group: str = ""


# --------------------------------------------------------------------------------------------------------------- arms

_RATE = (
    'optimiser = { lr = 6e-4, warmup = 20, weight_decay = 0.01, beta2 = 0.95, decay = "linear", length = {updates} }'
)
_ROUND = f"batch_size = 64, epochs = 1, {_RATE}"
_BUFFER = ("agent.refresh_every=8", "agent.refresh=512", "agent.buffer=512", "agent.fill=512")
_ONCE = ("agent.fill={programs}", "agent.buffer={programs}", "agent.refresh_every={updates}")
_PLAIN = ('env.reward="coarse"', "env.reward_options={}")


def _group(kind: str, problems: int, more: str = "") -> str:
    """The table of an agent that learns from groups of eight programs, each of them once."""
    return f'agent={{ kind = "{kind}", problems = {problems}, samples_per_problem = 8, {more}{_ROUND} }}'


def _gradient(name: str, kind: str, problems: int) -> dict[str, Row]:
    """A policy gradient with the advantage on all tokens alike, and with RLTF's line credit beside it."""
    token = _group(kind, problems, 'credit = "token", ')
    return {
        kind: Row(name, "rltf", (*_PLAIN, _group(kind, problems)), "policy gradient"),
        f"{kind}-token": Row(f"{name}, credit by token", "rltf", (token,), "policy gradient"),
    }


_PPO = _group("ppo", 64, "kl = 0.02, kl_target = 0.0, ")
_OWN = _group("ppo", 64, 'kl = 0.02, kl_target = 0.0, value = { trunk = "own", lr = 1e-3 }, ')
_BLAMED = 'env.reward_options={ rltf = { alpha = "none" }, blame = { alpha = "none" } }'
_EXECUTED = 'env.reward_options={ rltf = { alpha = "none" } }'
_STRUCTURE = "env.reward_options={ structure = { ast = 0.25, flow = 0.25 } }"

ROWS: Mapping[str, Row] = {
    "warm": Row("warm start", "warm", (), "no tests"),
    "supervised": Row("supervised, as long", "supervised", (), "no tests"),
    "rejection": Row(
        "supervised on own passed programs", "rltf",
        ('env.reward="benchmarks.studies.learners:passed"', "env.reward_options={}", 'agent.baseline="none"', "agent.clip=0.0"),
        "tests",
    ),
    "rltf": Row("RLTF, the demo's", "rltf", (), "RLTF"),
    "rltf-coarse": Row(
        "RLTF, coarse alone", "rltf", ("env.reward_options.weights={ fine = 0.0, adaptive = 0.0 }",), "RLTF"
    ),
    "rltf-alone": Row("RLTF without references", "rltf", ("agent.references={}", "agent.supervised=0"), "RLTF"),
    "rltf-paper": Row(
        "RLTF, the paper's settings", "rltf",
        (
            'env.source="uniform"', 'env.reward_options={ combine = "sum", alpha = "span_ratio", applies = "failures" }',
            'agent.baseline="best_so_far"', 'agent.reduction="seq_mean"', "agent.clip=0.0",
        ),
        "RLTF",
    ),
    "rltf-offline": Row("RLTF, offline", "rltf", _ONCE, "RLTF"),
    **_gradient("REINFORCE", "reinforce", 8),
    **_gradient("RLOO", "rloo", 8),
    **_gradient("GRPO", "grpo", 64),
    **_gradient("Dr. GRPO", "dr_grpo", 64),
    **_gradient("DAPO", "dapo", 64),
    "ppo": Row("PPO", "rltf", (*_PLAIN, _PPO), "values"),
    "ppo-own": Row("PPO, values with a trunk of their own", "rltf", (*_PLAIN, _OWN), "values"),
    "actor-critic": Row("actor-critic (V-trace)", "distinct", ('agent.distinct="none"',), "values"),
    "distinct": Row("actor-critic, each tree once", "distinct", (), "values"),
    "executed": Row("RLTF + executed", "rltf", ('env.reward="rltf+executed"', _EXECUTED), "relatives"),
    "blame": Row("RLTF + blame", "rltf", ('env.reward="rltf+blame"', _BLAMED), "relatives"),
    "structure": Row("PPO + structure (PPOCoder)", "rltf", ('env.reward="coarse+structure"', _STRUCTURE, _PPO), "relatives"),
    "soft-q": Row("soft Q", "soft_q", (), "relatives"),
}  # fmt: skip

_P2_SIZE = "size = 460, depths = [2]"
_G_SIZE = f"size = {practice.MEASURED}, conditionals = [2, 6]"
SETS: Mapping[str, ProblemSet] = {
    "P2": ProblemSet("procedural, two operations", _P2_SIZE),
    "G": ProblemSet(
        "grown, 2 to 6 conditionals",
        _G_SIZE,
        practice.GROWN_WARM,
        ("env.dataset_options={ conditionals = [2, 6] }", *(t for t in practice.GROWN if "references" not in t)),
        "agent.references={ size = 2000, conditionals = [1, 6] }",
    ),
}


# ------------------------------------------------------------------------------------------------------------- running


_UNMEASURED = ("run.eval_every=0", "eval.size=8")  # of a warm start, which is measured like any arm


@dataclass(frozen=True)
class Place:
    """Where the runs of a set and a seed stand, and how long their arms learn."""

    problems: ProblemSet
    folder: Path
    seed: int
    size: Size = WHOLE


@dataclass(frozen=True)
class Work:
    """A set by its `name`, and the folder that all of its seeds share."""

    name: str
    place: Place
    console: Console


def warm(place: Place) -> Recipe:
    """The warm start of a seed, shared by its arms."""
    return demo.recipe("warm", place.folder, place.seed, [*place.problems.warm, *_UNMEASURED])


def recipe(place: Place, id: str, rate: float) -> Recipe:
    """The recipe of an arm at a learning rate; its curve has `POINTS` points."""
    row, problems, size = ROWS[id], place.problems, place.size
    changed = [size.fill(text, place.folder) for text in row.changed]
    references = () if {"agent.references={}"} & {*row.changed} else (problems.references,)
    supervised = references if row.base in {"rltf", "supervised", "soft_q"} and not _replaced(row) else ()
    curve = [
        f"run.eval_every={size.updates // POINTS}",
        "run.eval_first=false",
        f"eval.options={{ {problems.measured} }}",
    ]
    buffer = _BUFFER if row.base in {"rltf", "distinct", "soft_q"} and not _replaced(row) else ()
    own = [*problems.changed, *size.changed, *curve, *buffer, *supervised, *changed, "eval.size=100", "eval.samples=1"]
    return demo.recipe(id, place.folder, place.seed, [*own, f"agent.optimiser.lr={rate}"], row.base)


def _replaced(row: Row) -> bool:
    """Whether an arm has another agent than its base."""
    return any(text.startswith("agent={") for text in row.changed)


def measured(place: Place, id: str, measure: str, most: int = 0, samples: int = 2, temperature: float = 0.6) -> Recipe:
    """A recipe without updates, which measures an arm's policy on whole problems, all of the set's or `most`, by verdict alone."""
    made = recipe(place, "rltf", RATES[0])
    run = replace(made.run, out=str(place.folder / f"{id}-{measure}-{samples}"), updates=0)
    policy = {"kind": "causal", "path": str(place.folder / id / "policy")}
    size = most or int(place.problems.measured.split("size = ")[1].split(",")[0])
    sampling = Sampling(temperature=temperature, top_p=0.95 if temperature < 1 else 1.0)
    looked = replace(made.eval, split=SPLITS[measure], samples=samples, size=size, sampling=sampling)
    return replace(made, run=run, policy=policy, eval=looked)


def chosen_rate(place: Place, id: str, console: Console) -> tuple[float, dict[str, float]]:
    """The rate that does best on validation problems, and what each one came to."""
    folder = place.folder / "rates"
    short = Place(place.problems, folder, RATE_SEED, Size(max(8, place.size.updates // RATE_SHARE)))
    with held(folder / "warm.lock", wait=True):
        train(warm(short), console)
    policy = {"kind": "causal", "path": str(folder / "warm" / "policy")}
    found: dict[str, float] = {}
    for rate in RATES:
        at = replace(short, folder=folder / f"{rate:g}")
        train(replace(recipe(at, id, rate), policy=policy), console)
        found[f"{rate:g}"] = demo.last(train(measured(at, id, "validation"), console))["pass@1"]
    return float(max(found, key=lambda rate: found[rate])), found


def run_arm(place: Place, id: str, rate: float, console: Console) -> dict[str, Any]:
    """Trains an arm and measures it: its rates by problem, its curve, and how many different right programs it writes."""
    curve: dict[str, Any] = {}
    if id != "warm":
        curve = train(recipe(place, id, rate), console)["evaluations"]
    evaluations = {measure: demo.last(train(measured(place, id, measure), console)) for measure in MEASURES}
    wide = demo.last(train(measured(place, id, "unseen", WIDE, samples=8, temperature=1.0), console))
    return {
        "rates": {measure: demo.rates(each).tolist() for measure, each in evaluations.items()},
        "curve": [[int(step), each["pass@1"]] for step, each in sorted(curve.items(), key=lambda item: int(item[0]))],
        "distinct": float(np.mean(wide["distinct"])),
        "outcomes": evaluations["seen"]["outcomes"],
    }


# ---------------------------------------------------------------------------------------------------------- the result


def figures(runs: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> dict[str, Any]:
    """The table of a set, as plain data; `runs` has what `run_arm` gave, by arm and seed."""
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in runs.values())))
    rows = {id: _row(id, {seed: by_seed[seed] for seed in seeds}) for id, by_seed in runs.items()}
    problems = len(runs["supervised"][seeds[0]]["rates"]["seen"])
    for measure in MEASURES:
        rates = {id: np.array([by_seed[s]["rates"][measure] for s in seeds]) for id, by_seed in runs.items()}
        for control in CONTROLS:
            _compare(rows, rates, measure, control)
        for id, tier in tiers({id: each.mean(1) for id, each in rates.items()}).items():
            rows[id][measure]["tier"] = tier
    return {"seeds": seeds, "problems": problems, "arms": rows}


def _row(id: str, by_seed: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    seeds = list(by_seed.values())
    known = {measure: _spread([float(np.mean(s["rates"][measure])) for s in seeds]) for measure in MEASURES}
    area = [float(np.mean([value for _, value in s["curve"]])) for s in seeds if s["curve"]]
    return {
        "name": ROWS[id].name, "group": ROWS[id].group, **known,
        "area": float(np.mean(area)) if area else None,
        "distinct": float(np.mean([s["distinct"] for s in seeds])),
    }  # fmt: skip


def _spread(values: Sequence[float]) -> dict[str, Any]:
    """A mean over seeds with Student's interval, which one seed does not have."""
    known: dict[str, Any] = {"by_seed": list(values), "mean": float(np.mean(values))}
    if len(values) < 2:
        return known
    over = over_runs(np.array(values))
    return {**known, "low": over.low, "high": over.high}


def _compare(rows: dict[str, Any], rates: Mapping[str, np.ndarray], measure: str, control: str) -> None:
    """Puts each arm's difference to a control into its row, with Holm's adjustment over all arms."""
    found = {id: (each - rates[control]).mean(1) for id, each in rates.items() if id != control}
    if len(next(iter(found.values()))) < 2:
        return
    tests = {id: over_runs(by_seed)._asdict() for id, by_seed in found.items()}
    for (id, test), p in zip(tests.items(), holm([t["p_value"] for t in tests.values()]), strict=True):
        rows[id][measure][f"- {control}"] = {**test, "p_holm": p}


def tiers(by_seed: Mapping[str, np.ndarray]) -> dict[str, int]:
    """Tiers from 1 of arms by their rates (S,) by seed: a new one begins where the difference to the tier's best is not 0."""
    order = sorted(by_seed, key=lambda id: -float(by_seed[id].mean()))
    found, best, tier = {}, order[0], 1
    for id in order:
        apart = by_seed[best] - by_seed[id]
        if len(apart) > 1 and id != best and over_runs(apart).low > 0:
            best, tier = id, tier + 1
        found[id] = tier
    return found


# ------------------------------------------------------------------------------------------------------------- command


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    words = (__doc__ or "").split("\n\n")[0]
    parser = Parser(prog="python -m benchmarks.studies.table", description=words)
    parser.add_argument("--sets", nargs="+", default=["P2"], help=f"of {', '.join(SETS)} (default: P2)")
    parser.add_argument("--arms", nargs="+", default=list(ROWS), help=f"of {', '.join(ROWS)} (default: all)")
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0 to N - 1 (default: 5)")
    parser.add_argument("--updates", type=int, default=UPDATES, help=f"of each arm (default: {UPDATES})")
    parser.add_argument("--out", type=Path, default=Path("runs/table"), help="folder for runs and figures")
    asked = parser.parse_args(arguments)
    return guarded(lambda: _main(asked), STOPPED)


def _main(asked: argparse.Namespace) -> int:
    for kind, known, names in (("problem set", SETS, asked.sets), ("arm", ROWS, asked.arms)):
        for name in names:
            if name not in known:
                raise UnknownName(kind, name, known)
    if asked.seeds < 1 or asked.updates < SHORTEST:
        raise UsageError(f"Expected --seeds >= 1 and --updates >= {SHORTEST}, got {asked.seeds} and {asked.updates}.")
    quiet_libraries()
    console, size = Console(), Size(asked.updates)
    arms = [id for id in ROWS if id in {*asked.arms, *CONTROLS}]
    for name in asked.sets:
        place = Place(SETS[name], (asked.out / name).resolve(), 0, size)
        _run_set(Work(name, place, console), arms, asked.seeds)
    console.print(f"Figures: {asked.out}/SET.json; `python -m benchmarks.documents` makes the page.", highlight=False)
    return 0


def _run_set(work: Work, arms: Sequence[str], seeds: int) -> None:
    """All arms of a set, seed by seed; what is done is not done again, and what another process is at is waited for."""
    left = [(seed, id) for seed in range(seeds) for id in arms]
    while left:
        job = next((job for job in left if _done_or_run(work, *job)), None)
        if job is None:
            time.sleep(PATIENCE)
        else:
            left.remove(job)


def _done_or_run(work: Work, seed: int, id: str) -> bool:
    """Whether an arm of a seed has been run, here or before; not if another process is at that arm."""
    place, console = replace(work.place, folder=work.place.folder / f"seed-{seed}", seed=seed), work.console
    with held(work.place.folder / f"{id}.lock") as mine:
        done = _read(work)
        if str(seed) in done["runs"].get(id, {}) or not mine:
            return mine
        console.rule(f"{work.name}, seed {seed}: {ROWS[id].name}")
        with held(place.folder / "warm.lock", wait=True):
            train(warm(place), console)
        known = done["rates"].get(id)
        if known is None and id != "warm":
            known = chosen_rate(work.place, id, console)
        _add(work, seed, id, known, run_arm(place, id, known[0] if known else RATES[0], console))
    return True


def _read(work: Work) -> dict[str, Any]:
    """What has been run of a set: `rates` by arm, `runs` by arm and seed."""
    path = work.place.folder.with_suffix(".runs.json")
    done: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"rates": {}, "runs": {}}
    if done.setdefault("updates", work.place.size.updates) != work.place.size.updates:
        raise UsageError(f"Expected --updates {done['updates']}, as {path} has it, got {work.place.size.updates}.")
    return done


def _add(work: Work, seed: int, id: str, rates: Sequence[Any] | None, run: Mapping[str, Any]) -> None:
    """Adds a run to those of all processes, and makes the figures anew."""
    with held(work.place.folder.with_suffix(".lock"), wait=True):
        done = _read(work)
        if rates is not None:
            done["rates"][id] = rates
        done["runs"].setdefault(id, {})[str(seed)] = run
        write_json(work.place.folder.with_suffix(".runs.json"), done)
        _write(work, done)


def _write(work: Work, done: Mapping[str, Any]) -> None:
    """The figures of the arms that all seeds so far have, once both controls are among them."""
    seeds = set.union(*(set(by_seed) for by_seed in done["runs"].values()))
    whole = {id: {int(s): run for s, run in each.items()} for id, each in done["runs"].items() if set(each) == seeds}
    if not set(CONTROLS) <= set(whole):
        return
    place = work.place
    more = [f"--sets {work.name}", f"--arms {' '.join(whole)}"]
    command = command_of("benchmarks.studies.table", len(seeds), place.size.updates, more)
    table = {"set": work.name, "name": place.problems.name, "rates": done["rates"], **figures(whole)}
    write_json(place.folder.with_suffix(".json"), {**provenance(command), **table})


if __name__ == "__main__":
    leave(main())
