"""`python -m benchmarks.studies.learners STUDY [--seeds N]`: a study of another way to learn, beside its honest controls.

    soft-q        Soft Q-learning (arXiv 2106.07704) with fresh programs, with stale ones, and offline
    distinct      a buffer that takes each syntax tree once (arXiv 2310.13669), beside one that drops as many at random
    hindsight     failed programs as references of what they do, where a prompt is examples (after HER, arXiv 1707.01495)
    made-tests    RLTF on tests that were made automatically (the same paper), beside the tests that the problems had

Arms of a study start from one warm start a seed and have as many updates, judged programs and references; they differ in what
`STUDIES` says and in nothing else. What a study predicts stands beside its arms, and was written before its first run. Measured
is pass@1 on compositions that training shows ("seen") and on others ("unseen"), of the policy after its last
update. Differences are of the same problems by the same seed, with Student's interval over seeds; Holm's adjustment is over the
comparisons of a study. Stopped and started again, it goes on where it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from agents.building import quiet_libraries
from agents.config import Recipe
from agents.train import train
from benchmarks import demo
from benchmarks.metrics import holm, over_runs, paired_permutation
from benchmarks.records.record import write_json
from rltf_env import datasets, sandbox
from rltf_env.command import guarded, leave
from rltf_env.core import Attempt, Feedback, Outcome, Reward
from rltf_env.errors import RLTFError, UnknownName, UsageError
from rltf_env.synthesis import Settings, judge_options, synthesize

MEASURES = ("seen", "unseen")
PROGRAMS, UPDATES = 30720, 480  # of an arm after the warm start


@dataclass(frozen=True)
class Arm:
    """A row of the table: the recipe it stands on (`agents/recipes/procedural_BASE.toml`) and what is changed in it."""

    name: str
    base: str
    changed: tuple[str, ...] = ()


@dataclass(frozen=True)
class Study:
    """Arms and the comparisons that count. `prepare` makes what the arms need in the study's folder, where it stands already
    it is left alone; `{out}` in an override is that folder."""

    prediction: str
    arms: Mapping[str, Arm]
    compared: tuple[tuple[str, str], ...]
    prepare: Callable[[Path], None] | None = None
    shared: tuple[str, ...] = ()  # overrides of the warm start, of all arms and of what measures them


def passed() -> Reward:
    """1 for a program that passes, else 0: with no baseline, supervised learning on what passed."""

    def reward(attempt: Attempt) -> Feedback:
        earned = float(attempt.verdict.outcome is Outcome.PASSED)
        return Feedback.build(attempt.program, "passed", program_reward=earned)

    return reward


_ONCE = (f"agent.fill={PROGRAMS}", f"agent.buffer={PROGRAMS}")
_OFFLINE = (*_ONCE, f"agent.refresh_every={UPDATES}")
_STALE = ("agent.buffer=3840", "agent.fill=3840", "agent.refresh=3840", "agent.refresh_every=60")
_PASSED = (
    'env.reward="benchmarks.studies.learners:passed"', "env.reward_options={}", 'agent.baseline="none"', "agent.clip=0.0",
)  # fmt: skip
_MADE = ("env.dataset_options={}", 'eval.split="test"', "eval.options={}")

# -------------------------------------------------------------------------------------------------------------- tests


def make_tests(out: Path) -> None:
    """The files of "made-tests": one set of problems with their own tests, with made ones, and with any that came."""
    kept = {"made": Settings(tests=6), "any": Settings(tests=6, killed=0.0)}
    missing = [name for name in (*kept, "original") if not (out / f"{name}.jsonl").exists()]
    if not missing:
        return
    problems = datasets.load("procedural", "train", size=1200, seed=7, depths=[2])
    with sandbox.load(**judge_options()) as judge:
        sets = {name: synthesize(problems, judge, np.random.default_rng(0), s) for name, s in kept.items()}
    ids = set.intersection(*({problem.id for problem in some} for some in sets.values()))  # equal problems in each file
    for name, some in {**sets, "original": problems}.items():
        datasets.dump((problem for problem in some if problem.id in ids), out / f"{name}.jsonl")


STUDIES: Mapping[str, Study] = {
    "soft-q": Study(
        "Offline, and with programs up to 60 updates old, soft Q >= RLTF; with fresh ones it is not. One-sided, it is worse.",
        {
            "rltf": Arm("RLTF", "rltf"),
            "soft-q": Arm("soft Q", "soft_q"),
            "soft-q-alone": Arm("soft Q without references", "soft_q", ("agent.offline=0.0",)),
            "one-sided": Arm("soft Q, one-sided", "soft_q", ("agent.coefficient=0.0",)),
            "v-trace": Arm("actor-critic (V-trace)", "distinct", ('agent.distinct="none"',)),
            "rltf-stale": Arm("RLTF, stale", "rltf", _STALE),
            "soft-q-stale": Arm("soft Q, stale", "soft_q", _STALE),
            "v-trace-stale": Arm("actor-critic, stale", "distinct", ('agent.distinct="none"', *_STALE)),
            "passed-offline": Arm("rejection sampling, offline", "rltf", (*_PASSED, *_OFFLINE)),
            "rltf-offline": Arm("RLTF, offline", "rltf", _OFFLINE),
            "soft-q-offline": Arm("soft Q, offline", "soft_q", (*_ONCE, "agent.refresh=0")),
            "v-trace-offline": Arm("actor-critic, offline", "distinct", ('agent.distinct="none"', *_OFFLINE)),
        },
        (
            ("soft-q", "rltf"),
            ("soft-q", "v-trace"),
            ("soft-q", "one-sided"),
            ("soft-q", "soft-q-alone"),
            ("soft-q-stale", "rltf-stale"),
            ("soft-q-stale", "v-trace-stale"),
            ("soft-q-offline", "passed-offline"),
            ("soft-q-offline", "rltf-offline"),
            ("soft-q-offline", "v-trace-offline"),
        ),
    ),
    "distinct": Study(
        "The paper's: tree > none. Against the same number dropped at random nothing is predicted; dropping repeats moves the "
        "buffer away from what the policy writes, towards rare programs, and entropy should say so.",
        {
            name: Arm(what, base, (*changed, f'agent.distinct="{by}"'))
            for base, stem, changed in (
                ("distinct", "actor-critic", ()),
                ("rltf", "RLTF", ()),
            )
            for by, what, name in (
                ("none", f"{stem}, all programs", f"{base}-none"),
                ("text", f"{stem}, each text once", f"{base}-text"),
                ("tree", f"{stem}, each tree once", f"{base}-tree"),
                ("random", f"{stem}, as many at random", f"{base}-random"),
            )
        },
        tuple(
            (f"{base}-tree", f"{base}-{other}") for base in ("distinct", "rltf") for other in ("none", "text", "random")
        ),
    ),
    "hindsight": Study(
        "A gain while passes are rare, at depth 3; none with wrong outputs; what more references give is not predicted.",
        {
            "rltf": Arm("RLTF", "rltf"),
            "hindsight": Arm("+ hindsight", "rltf", ('agent.kind="hindsight"',)),
            "wrong": Arm(
                "+ as many pairs with wrong outputs", "rltf", ('agent.kind="hindsight"', 'agent.outputs="others"')
            ),
            "references": Arm("+ references", "rltf", ("agent.references.size=600",)),
        },
        (("hindsight", "rltf"), ("hindsight", "wrong"), ("hindsight", "references")),
        shared=('env.prompt_style="examples"', "env.dataset_options.depths=[3]", "eval.options.depths=[3]"),
    ),
    "made-tests": Study(
        "Made tests are worth what the problems' own are, within 3 points; those that no mutant had to fail are worth less.",
        {
            name: Arm(what, "rltf", (*_MADE, f'env.dataset="{{out}}/{name}.jsonl"'))
            for name, what in (
                ("original", "the problems' own tests"),
                ("made", "made tests"),
                ("any", "made tests, whatever they fail"),
            )
        },
        (("made", "original"), ("made", "any")),
        make_tests,
    ),
}

# ------------------------------------------------------------------------------------------------------------- running


def recipe(study: Study, id: str, out: Path, seed: int, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of an arm, in a folder of its own below the seed's. Only its last policy is measured, by `measured`."""
    arm = study.arms[id]
    changed = [text.replace("{out}", str(out)) for text in arm.changed]
    last = ["run.eval_every=0", "eval.size=8"]
    return demo.recipe(id, out / f"seed-{seed}", seed, [*last, *study.shared, *changed, *overrides], arm.base)


def measured(study: Study, id: str, out: Path, seed: int, measure: str) -> Recipe:
    """A recipe without updates, which measures an arm's policy on the demo's problems."""
    made = demo.unseen(id, out / f"seed-{seed}", seed, study.shared, base="rltf")
    if measure == "unseen":
        return made
    folder = str(out / f"seed-{seed}" / f"{id}-seen")
    return replace(made, run=replace(made.run, out=folder), eval=replace(made.eval, split="seen"))


def run(
    study: Study, out: Path, seed: int, console: Console, overrides: Sequence[str] = ()
) -> dict[str, dict[str, Any]]:
    """All arms from one warm start; the evaluations by measure and arm."""
    train(demo.recipe("warm", out / f"seed-{seed}", seed, study.shared), console)
    evaluations: dict[str, dict[str, Any]] = {measure: {} for measure in MEASURES}
    for id, arm in study.arms.items():
        console.rule(f"seed {seed}: {arm.name}")
        train(recipe(study, id, out, seed, overrides), console)
        for measure in MEASURES:
            evaluations[measure][id] = demo.last(train(measured(study, id, out, seed, measure), console))
    return evaluations


# ---------------------------------------------------------------------------------------------------------- the result


def table(study: Study, runs: Mapping[int, Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """All figures, as plain data, of the evaluations of `run` by seed."""
    figures: dict[str, Any] = {"prediction": study.prediction, "seeds": sorted(runs)}
    for measure in MEASURES:
        rates = {
            id: np.stack([demo.rates(runs[seed][measure][id]) for seed in sorted(runs)]) for id in study.arms
        }  # (S, N) each
        arms = {id: {"name": study.arms[id].name, "by_seed": rates[id].mean(1).tolist()} for id in study.arms}
        figures[measure] = {"arms": arms, "comparisons": _compared(study, rates)}
    return figures


def _compared(study: Study, rates: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for a, b in study.compared:
        by_seed = (rates[a] - rates[b]).mean(1)
        problems = paired_permutation(rates[a].mean(0), rates[b].mean(0), 0)._asdict()
        seeds = over_runs(by_seed)._asdict() if len(by_seed) > 1 else None
        rows.append({"a": a, "b": b, "by_seed": by_seed.tolist(), "over_problems": problems, "over_seeds": seeds})
    for kind in ("over_problems", "over_seeds"):
        tested = [row[kind] for row in rows if row[kind]]
        for each, p in zip(tested, holm([each["p_value"] for each in tested]), strict=True):
            each["p_holm"] = p
    return rows


def markdown(figures: Mapping[str, Any]) -> str:
    """The tables, to read."""
    parts = [f"Predicted before: {figures['prediction']}\n"]
    for measure in MEASURES:
        arms = figures[measure]["arms"]
        parts += [
            f"### {measure}, seeds {', '.join(map(str, figures['seeds']))}\n",
            "| arm | pass@1 | by seed |",
            "|---|---|---|",
        ]
        for arm in arms.values():
            seeds = ", ".join(f"{rate:.1%}" for rate in arm["by_seed"])
            parts.append(f"| {arm['name']} | {np.mean(arm['by_seed']):.1%} | {seeds} |")
        parts += [
            "\n| difference | mean | 95 % over seeds | p (Holm) | p over problems (Holm) |",
            "|---|---|---|---|---|",
        ]
        for row in figures[measure]["comparisons"]:
            seeds = row["over_seeds"]
            over = f"{seeds['low']:+.1%} to {seeds['high']:+.1%} | {seeds['p_holm']:.2g}" if seeds else "one seed | "
            name = f"({arms[row['a']]['name']}) - ({arms[row['b']]['name']})"
            parts.append(f"| {name} | {np.mean(row['by_seed']):+.1%} | {over} | {row['over_problems']['p_holm']:.2g} |")
        parts.append("")
    return "\n".join(parts)


def find(name: str) -> Study:
    """The study of that name. Raises UnknownName."""
    if name not in STUDIES:
        raise UnknownName("study", name, STUDIES)
    return STUDIES[name]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    return guarded(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    words = (__doc__ or "").split("\n\n")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.learners", description=words)
    parser.add_argument("study", help=f"one of {', '.join(STUDIES)}")
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0 to N - 1 (default: 5)")
    parser.add_argument("--out", type=Path, help="folder for runs and tables (default: runs/STUDY)")
    parser.add_argument("overrides", nargs="*", metavar="table.key=value", help="for all arms, not for the warm start")
    asked = parser.parse_args(arguments)
    console, runs, figures = Console(), {}, {}
    quiet_libraries()
    try:
        study, out = find(asked.study), (asked.out or Path("runs") / asked.study).resolve()
        if asked.seeds < 1:
            raise UsageError(f"Expected --seeds >= 1, got {asked.seeds}.")
        out.mkdir(parents=True, exist_ok=True)
        if study.prepare:
            study.prepare(out)
        for seed in range(asked.seeds):
            runs[seed] = run(study, out, seed, console, asked.overrides)
            figures = table(study, runs)  # after each seed, so that there is something to look at
            write_json(out / "figures.json", {**figures, "overrides": asked.overrides})
            (out / "figures.md").write_text(markdown(figures), encoding="utf-8")
    except KeyboardInterrupt:
        console.print("Stopped. The same command goes on from here.")
        return 130
    except RLTFError as error:
        Console(stderr=True).print(f"[red]{type(error).__name__}:[/] {error}", highlight=False)
        return 2
    console.print(markdown(figures), markup=False, highlight=False)
    return 0


if __name__ == "__main__":
    leave(main())
