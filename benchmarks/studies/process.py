"""`python -m benchmarks.studies.process [--seeds N]`: line rewards from tests alone (arXiv 2410.17621), beside controls.

    warm start --> PPO, whose programs are labelled line by line halfway and at the end
               --> a model of the labels, and one of the same labels shuffled over all lines
               --> from the warm start again, an arm for each thing that the models can be used for

An arm has as many updates and judged programs as PPO, and one has as many more of both as the labels
cost. The models begin as the warm start, as values of their own do in the arm without a model: so
what an arm has more than its control is the labels. Measured is pass@1 on whole problems of the
policy after its last update, on all problems and on those with short and long references. Beside
it, without any training: of 8 programs of plain PPO, the one that the model ranks first, the likeliest
one, and one at random. How arms are compared is said in `benchmarks.studies.arms`; stopped and
started again, the study goes on where it was. An arm takes about five minutes on two cores, the labels as long.

Predicted before the first run. The paper has +2 to +6 points with both uses, all of it on programs of
more than 100 tokens. Here programs have 50, and most groups of 8 hold one that passes, so the signal
that dense rewards replace is there already. So: both > PPO by 1 to 3 points on long references, and
nothing on short ones; dense alone and value start alone within noise of their controls; shuffled
labels no better than PPO, for they pay every line alike; and PPO with as many more programs beats all
of them. That last line is the one that matters to whoever has tests and no patience. Ranking by lines
beats a program at random, and is not told apart from the likeliest.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from agents import labelling, line_training
from agents.building import make_env
from agents.config import Recipe
from agents.core import Completion, Episode, rngs
from agents.critics.line_model import LineModel
from agents.critics.line_settings import LabelSettings, LineModelSettings
from agents.decoding._choosing import likelihood
from agents.decoding.line_rank import BY, LineRank
from agents.line_labels import LineLabels
from agents.policies import causal
from agents.rollout import collect
from agents.running.folder import records
from agents.training import train
from benchmarks import demo
from benchmarks.metrics import paired_permutation
from benchmarks.records.record import write_json
from benchmarks.studies.arms import (
    MEASURES,
    STOPPED,
    WHOLE,
    Arm,
    Size,
    Study,
    add_arms,
    chosen_arms,
    command_of,
    markdown,
    options,
    seed_by_seed,
    table,
)
from rltf_env import datasets
from rltf_env.command import guarded, leave
from rltf_env.core import Outcome, Problem
from rltf_env.errors import MissingData
from rltf_env.tokenizers import HuggingFace

MODULE = "benchmarks.studies.process"
MEASURED = 300  # problems of each measure
SPLITS = {"seen": "seen", "unseen": "test"}  # by measure
LONG = 60  # tokens of a reference, above which a problem counts as long
RANKED = 8  # programs of which one is chosen
LABELS = LabelSettings(problems=384, samples=4, completions=8)
MODEL = LineModelSettings(unseen=0.125, updates=300)

_REWARD = "agents.rewards.line_model:load"
_OWN = ("agent.value={ trunk = 'own', lr = 1e-3 }",)


def _value(model: str) -> tuple[str, ...]:
    return (f'agent.value={{ trunk = "own", lr = 1e-3, path = "{{seed}}/{model}" }}',)


def _dense(model: str) -> tuple[str, ...]:
    options = f'{{ "{_REWARD}" = {{ path = "{{seed}}/{model}" }} }}'
    return (f'env.reward="coarse+{_REWARD}"', f"env.reward_options={options}")


ARMS: Mapping[str, Arm] = {
    "ppo": Arm("PPO", "ppo"),
    "own": Arm("PPO, values of their own", "ppo", _OWN),
    "dense": Arm("+ dense", "ppo", _dense("lines")),
    "value": Arm("+ value start", "ppo", _value("lines")),
    "both": Arm("+ dense, value start", "ppo", (*_dense("lines"), *_value("lines"))),
    "dense-shuffled": Arm("+ dense, shuffled labels", "ppo", _dense("shuffled")),
    "both-shuffled": Arm("+ both, shuffled labels", "ppo", (*_dense("shuffled"), *_value("shuffled"))),
    "more": Arm("PPO, as many more programs as the labels cost", "ppo"),
}
STUDY = Study(
    "Both > PPO by 1 to 3 points on long references, not on short ones; dense and value start alone within noise; shuffled "
    "labels no better than PPO; PPO with as many more programs beats all. Ranking by lines > at random, = likeliest.",
    ARMS,
    (
        ("dense", "ppo"), ("value", "own"), ("both", "ppo"), ("both", "own"), ("dense", "dense-shuffled"),
        ("both", "both-shuffled"), ("both", "more"), ("more", "ppo"),
    ),
)  # fmt: skip
WARM = ("env.dataset_options={ depths = [1, 2, 3] }", "agent.references={ size = 600, depths = [1, 2, 3] }")
SHARED = ("env.max_prompt_tokens=192", "env.max_program_tokens=192")
CHANGED = (
    "env.dataset_options={ depths = [2, 3] }", f"eval.options={{ depths = [2, 3], size = {MEASURED} }}",
)  # fmt: skip


# --------------------------------------------------------------------------------------------- recipes


def warm(out: Path, seed: int, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of the warm start that all arms of a seed begin with."""
    return demo.recipe("warm", out / f"seed-{seed}", seed, [*WARM, *SHARED, "eval.size=8", *overrides])


def recipe(
    id: str, out: Path, seed: int, size: Size = WHOLE, overrides: Sequence[str] = (), *, updates: int | None = None
) -> Recipe:
    """The recipe of an arm, in a folder of its own below the seed's; `updates` stops it before its rate has fallen."""
    folder = out / f"seed-{seed}"
    changed = [text.replace("{seed}", str(folder)) for text in (*SHARED, *CHANGED, *ARMS[id].changed)]
    rhythm = [
        *size.changed,
        *([] if updates is None else [f"run.updates={updates}"]),
        "run.eval_every=0",
        "eval.size=8",
    ]
    return demo.recipe(id, folder, seed, [*changed, *rhythm, *overrides], ARMS[id].base)


def measured(id: str, out: Path, seed: int, measure: str, overrides: Sequence[str] = ()) -> Recipe:
    """A recipe without updates, which measures an arm's policy; all arms on the same problems, paid alike."""
    base, folder = recipe("ppo", out, seed, overrides=overrides), out / f"seed-{seed}"
    policy = {"kind": "causal", "path": str(folder / id / "policy")}
    run = replace(base.run, out=str(folder / f"{id}-{measure}"), updates=0)
    return replace(base, run=run, policy=policy, eval=replace(base.eval, split=SPLITS[measure], size=0))


def more(recipe: Recipe, programs: int) -> Size:
    """How long PPO learns from the programs of this recipe and so many more."""
    agent = recipe.agent
    of_round = agent["problems"] * agent["samples_per_problem"]
    updates_of_round = agent["epochs"] * -(-of_round // agent["batch_size"])
    return Size(recipe.run.updates + -(-programs * updates_of_round // of_round))


# ---------------------------------------------------------------------------------------------- labels


def shuffled(labels: Sequence[LineLabels], rng: np.random.Generator) -> list[LineLabels]:
    """The same labels on other lines that hold code, of any program: their distribution, and no knowledge."""
    moved = iter(rng.permutation([label for each in labels for label in each.labels if label]).tolist())
    return [replace(each, labels=tuple(next(moved) if label else 0 for label in each.labels)) for each in labels]


def label(
    out: Path, seed: int, console: Console, size: Size, overrides: Sequence[str], settings: LabelSettings
) -> None:
    """Plain PPO, labelled halfway and at its end."""
    folder = out / f"seed-{seed}"
    for name, updates in (("half", size.updates // 2), ("end", size.updates)):
        if not _labelled(folder / f"labels-{name}"):  # else the run may be beyond it
            train(recipe("ppo", out, seed, size, overrides, updates=updates), console)
            labelling.label_run(folder / "ppo", settings, folder / f"labels-{name}", console)


def _labelled(folder: Path) -> bool:
    try:
        labelling.read(folder)
    except MissingData:
        return False
    return True


def models(out: Path, seed: int, console: Console, settings: LineModelSettings) -> tuple[Counter[str], dict[str, Any]]:
    """The two line models; what their labels cost, and how well each does."""
    folder = out / f"seed-{seed}"
    labellings = [labelling.read(folder / f"labels-{name}") for name in ("half", "end")]
    labels = line_training.select([each for some, _ in labellings for each in some], settings.keep)
    cost = Counter[str]()
    for _, about in labellings:
        cost.update(about["counts"])
    sets = {"lines": labels, "shuffled": shuffled(labels, np.random.default_rng(seed))}
    reports = {
        name: line_training.train_run(folder / "warm", some, settings, folder / name, console)["unseen"]
        for name, some in sets.items()
    }
    return cost, reports


# --------------------------------------------------------------------------------------------- ranking


def rank(out: Path, seed: int, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """Of `RANKED` programs of plain PPO for each unseen problem, what choosing one of them gives."""
    path = out / f"seed-{seed}" / "ranked.json"
    if path.is_file():
        return json.loads(path.read_text(encoding="utf-8"))
    base = measured("ppo", out, seed, "unseen", overrides)
    policy = causal.load(base.policy["path"])
    problems = datasets.load("procedural", base.eval.split, **base.eval.options)
    with make_env(base, policy) as env:
        generator = rngs(seed, policy.device)[1]
        groups = collect(policy, env, problems, base.eval.sampling, repeats=RANKED, generator=generator)
    ranked = choices(LineModel.load(out / f"seed-{seed}" / "lines"), [group for group in groups if group])
    write_json(path, ranked)
    return ranked


def choices(model: LineModel, groups: Sequence[Sequence[Episode]]) -> dict[str, Any]:
    """The share of problems solved by each way to choose one of the programs of a group, and two comparisons."""
    passed = [np.array([e.verdict.outcome is Outcome.PASSED for e in group], float) for group in groups]
    completions = [[_completion(e) for e in group] for group in groups]
    rates = {"at random": np.array([row.mean() for row in passed]), "any": np.array([row.max() for row in passed])}
    values: dict[str, list[Sequence[float]]] = {"likeliest": [list(map(likelihood, some)) for some in completions]}
    for by in BY:
        values[by] = [
            LineRank(model, RANKED, by).values(group[0].prompt, some)
            for group, some in zip(groups, completions, strict=True)
        ]
    for name, of_groups in values.items():
        rates[name] = np.array([row[int(np.argmax(v))] for row, v in zip(passed, of_groups, strict=True)])
    compared = {
        f"min - {other}": paired_permutation(rates["min"], rates[other], 0)._asdict()
        for other in ("at random", "likeliest")
    }
    return {"rates": {name: float(row.mean()) for name, row in rates.items()}, "compared": compared}


def _completion(e: Episode) -> Completion:
    program = e.program
    return Completion(program.tokens, e.logprobs, e.behaviour_logprobs, program.prefix_length, program.truncated)


# --------------------------------------------------------------------------------------------- running


def run(
    out: Path,
    seed: int,
    console: Console,
    size: Size = WHOLE,
    overrides: Sequence[str] = (),
    labels: LabelSettings = LABELS,
    model: LineModelSettings = MODEL,
    study: Study = STUDY,
) -> dict[str, Any]:
    """All arms of a seed: evaluations by measure and arm, and what is told beside them."""
    train(warm(out, seed), console)
    label(out, seed, console, size, overrides, labels)
    cost, reports = models(out, seed, console, model)
    evaluations: dict[str, dict[str, Any]] = {measure: {} for measure in MEASURES}
    spent: dict[str, Any] = {}
    for id, arm in study.arms.items():
        console.rule(f"seed {seed}: {arm.name}")
        arm_recipe = recipe(id, out, seed, size, overrides)
        if id == "more":
            longer = more(arm_recipe, cost["programs"] + cost["completions"])
            arm_recipe = recipe(id, out, seed, longer, overrides)
        train(arm_recipe, console)
        spent[id] = {"updates": arm_recipe.run.updates, "seconds": _seconds(Path(arm_recipe.run.out))}
        for measure in MEASURES:
            evaluations[measure][id] = demo.last(train(measured(id, out, seed, measure, overrides), console))
    beside = {"labels": dict(cost), "models": reports, "spent": spent, "ranked": rank(out, seed, overrides)}
    return {"evaluations": evaluations, "beside": beside}


def _seconds(folder: Path) -> float:
    return round(sum(line["seconds"] for line in records(folder / "metrics.jsonl")), 1)


def by_length(
    evaluations: Mapping[str, Mapping[str, Any]], lengths: Mapping[str, np.ndarray], *, long: bool
) -> dict[str, dict[str, Any]]:
    """The evaluations of a seed on the problems with long references, or on the others.

    Args:
        lengths: by measure, (N,) tokens of each problem's reference.
    """

    def part(measure: str, evaluation: Mapping[str, Any]) -> dict[str, Any]:
        chosen = (lengths[measure] > LONG) == long
        return {"samples": evaluation["samples"], "passed": np.array(evaluation["passed"])[chosen].tolist()}

    return {m: {id: part(m, e) for id, e in arms.items()} for m, arms in evaluations.items()}


def reference_lengths(out: Path, overrides: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """By measure, (N,): the tokens of each problem's reference, in the words of seed 0's warm start."""
    tokenizer = HuggingFace(out / "seed-0" / "warm" / "policy")

    def tokens(problem: Problem) -> int:
        return len(tokenizer.encode(problem.solutions[0]))

    recipes = {measure: measured("ppo", out, 0, measure, overrides) for measure in MEASURES}
    return {
        m: np.array([tokens(p) for p in datasets.load("procedural", r.eval.split, **r.eval.options)])
        for m, r in recipes.items()
    }


def figures(
    results: Mapping[int, Mapping[str, Any]], lengths: Mapping[str, np.ndarray], study: Study = STUDY
) -> dict[str, Any]:
    """All figures of these seeds, as plain data: by length only where there are problems of both lengths."""
    evaluations = {seed: each["evaluations"] for seed, each in results.items()}
    tables = {"all": table(study, evaluations)}
    whole = all(
        len(e["passed"]) == len(lengths[m])
        for s in evaluations.values()
        for m, arms in s.items()
        for e in arms.values()
    )
    if whole and all(0 < (row > LONG).sum() < len(row) for row in lengths.values()):
        for name, long in (("short", False), ("long", True)):
            parts = {seed: by_length(each, lengths, long=long) for seed, each in evaluations.items()}
            tables[name] = table(study, parts)
    return {"tables": tables, "beside": {str(seed): each["beside"] for seed, each in results.items()}}


def in_words(result: Mapping[str, Any]) -> str:
    """The figures, to read."""
    titles = {"all": "All problems", "short": f"References of up to {LONG} tokens", "long": f"More than {LONG} tokens"}
    parts = [f"## {titles[name]}\n\n{markdown(each)}" for name, each in result["tables"].items()]
    parts.append("## Beside\n\n| seed | label programs | completions | model | signs | most frequent | rank | place |")
    parts.append("|---|---|---|---|---|---|---|---|")
    for seed, beside in result["beside"].items():
        cost = beside["labels"]
        for name, unseen in beside["models"].items():
            keys = ("signs", "most_frequent", "rank_correlation", "place")
            cells = " | ".join("" if unseen[key] is None else f"{unseen[key]:.2f}" for key in keys)
            parts.append(f"| {seed} | {cost['programs']} | {cost['completions']} | {name} | {cells} |")
    ways = list(next(iter(result["beside"].values()))["ranked"]["rates"])
    parts.append(f"\n| one of {RANKED} programs | {' | '.join(ways)} |\n|---|{'---|' * len(ways)}")
    for seed, beside in result["beside"].items():
        rates = beside["ranked"]["rates"]
        parts.append(f"| seed {seed} | {' | '.join(f'{rates[way]:.1%}' for way in ways)} |")
    return "\n".join(parts) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = options(MODULE, __doc__ or "", Path("runs/process"))
    add_arms(parser)
    parser.add_argument(
        "overrides", nargs="*", default=[], metavar="table.key=value", help="for all arms, not for the warm start"
    )
    asked = parser.parse_intermixed_args(arguments)
    return guarded(lambda: _run(asked), STOPPED)


def _run(asked: argparse.Namespace) -> int:
    study, chosen = chosen_arms(STUDY, asked)

    def run_seed(console: Console, out: Path, seed: int, size: Size) -> dict[str, Any]:
        return run(out, seed, console, size, asked.overrides, study=study)

    def found(results: Mapping[int, dict[str, Any]]) -> dict[str, Any]:
        settings = {"labels": asdict(LABELS), "model": asdict(MODEL)}
        return {**settings, **figures(results, reference_lengths(asked.out.resolve(), asked.overrides), study)}

    words = command_of(MODULE, asked.seeds, asked.updates, [*chosen, *asked.overrides])
    return seed_by_seed(asked, words, run_seed, found, in_words)


if __name__ == "__main__":
    leave(main())
