"""`python -m benchmarks.studies.repair [--seeds N]`: refining and repairing apart, by a policy that was taught to repair.

    warm start --> its wrong programs and right ones, as repair pairs --> supervised learning, with and without them
               --> a critic, a line model and a matcher, one each for all arms
               --> of every arm, one program handed in for 8 that are written, in each way

CodeRL's critic sampling (arXiv 2207.01780, section 3.4) is measured with the policy that it asks for repairs, which the paper
trained for it. Arms have equal updates and equal references; `shuffled` has the same pairs, each with the wrong program of
another problem: the same words and targets, and nothing to be learnt of putting right. What `pairs` has more than `shuffled` is
repairing; what `shuffled` has more than `none` is more programs that pass.

Ways, each with 8 programs for one: `plain` (the mean of the 8), `likeliest`, `best` (of 8, by public examples), `refine` and
`repair` (4 drafts, and 4 second programs; where the one cannot act, 4 more drafts, as `best` has), `both`, `lines` (the best lines
by a line model) and `matched` (by CodeT5+'s match). So `refine` or `repair` less `best` is what that half does. Measured is how
many problems are solved, on two kinds of problems that all have public examples. A second try can help where the 4 drafts fail.
How arms are compared is said in `benchmarks.studies.arms`; stopped, the study goes on where it was. At full length expect an
hour and a half a seed on two free cores.

Predicted before the first run: without pairs `repair` is below `best` by 1 to 4 points, since a policy that has never seen such a
prompt wastes 4 programs on it. With pairs it is within 1 point of `best`: to put a wrong program of 3 lines right is hardly
easier than to write it anew, and the drafts of one policy share their mistakes. `pairs` repairs better than `shuffled` by 1 to 3
points. `refine` is `best` everywhere, for where it acts a program already passes the examples. Pairs cost or gain `plain` no
more than 2 points. `best` is 8 points and more above `likeliest`, and `lines` and `matched` are within 2 of `likeliest`. So
critic sampling gains nothing over `best` here, taught or not.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from rich.console import Console

from agents import critic_training, labelling, line_training, repairing, repairs
from agents.building import make_env, make_policy
from agents.config import Recipe, finished, read
from agents.core import AnyDecoder
from agents.critics.line_model import LineModel
from agents.critics.line_settings import LabelSettings, LineModelSettings
from agents.critics.matcher import Matcher
from agents.critics.outcome import Critic
from agents.critics.settings import Settings
from agents.decoding.best_of_n import BestOfN
from agents.decoding.critic_sampling import CriticSampling
from agents.decoding.line_rank import LineRank
from agents.decoding.matched import Matched
from agents.decoding.sampling import Sampling
from agents.evaluation import evaluate
from agents.repairs import RepairPair, RepairSettings
from agents.training import train
from benchmarks import demo
from benchmarks.records.record import read_json, write_json
from benchmarks.studies.arms import (
    MEASURES,
    STOPPED,
    Arm,
    Runs,
    Size,
    Study,
    check_problems,
    command_of,
    markdown,
    options,
    seed_by_seed,
    table,
)
from rltf_env import datasets
from rltf_env.command import guarded, leave
from rltf_env.core import Problem
from rltf_env.errors import SandboxError, UsageError

MODULE = "benchmarks.studies.repair"
N = 8  # programs for each one that is handed in
MEASURED = 300  # problems of each measure
SPLITS = {"seen": "seen", "unseen": "test"}  # by measure
REFERENCES = "size = 300, depths = [1, 2]"  # the warm start's, for everything that learns
TITLES: Mapping[str, str] = dict.fromkeys(MEASURES, "solved")
SHARED = ("env.max_prompt_tokens=384",)  # room for a repair's prompt


def _pairs(folder: str) -> tuple[str, ...]:
    return (f'agent.references={{ {REFERENCES}, repairs = "{{seed}}/{folder}", repair_share = 0.5 }}',)


POLICIES: Mapping[str, Arm] = {
    "none": Arm("no pairs", "supervised"),
    "pairs": Arm("pairs", "supervised", _pairs("pairs")),
    "shuffled": Arm("pairs of other problems", "supervised", _pairs("shuffled")),
}


@dataclass(frozen=True)
class Judges:
    """What chooses, the same for all arms of a seed."""

    critic: Critic
    lines: LineModel
    matcher: Matcher


WAYS: Mapping[str, Callable[[Judges, Sampling], AnyDecoder]] = {
    "plain": lambda judges, sampling: sampling,
    "likeliest": lambda judges, sampling: Matched(None, N, sampling),
    "best": lambda judges, sampling: BestOfN(N, sampling),
    "refine": lambda judges, sampling: CriticSampling(judges.critic, N, 1, sampling, "refine"),
    "repair": lambda judges, sampling: CriticSampling(judges.critic, N, 1, sampling, "repair"),
    "both": lambda judges, sampling: CriticSampling(judges.critic, N, 1, sampling),
    "lines": lambda judges, sampling: LineRank(judges.lines, N, "min", sampling),
    "matched": lambda judges, sampling: Matched(judges.matcher, N, sampling),
}
STUDY = Study(
    (__doc__ or "").split("\n\n")[-1].removeprefix("Predicted before the first run: ").replace("\n", " ").strip(),
    {f"{id}/{way}": Arm(f"{arm.name}, {way}", arm.base) for id, arm in POLICIES.items() for way in WAYS},
    (
        ("none/repair", "none/best"), ("pairs/repair", "pairs/best"), ("shuffled/repair", "shuffled/best"),
        ("pairs/repair", "shuffled/repair"), ("pairs/repair", "none/repair"), ("none/refine", "none/best"),
        ("pairs/refine", "pairs/best"), ("pairs/both", "pairs/best"), ("pairs/plain", "none/plain"),
        ("pairs/best", "none/best"), ("pairs/best", "pairs/likeliest"), ("pairs/lines", "pairs/likeliest"),
        ("pairs/matched", "pairs/likeliest"),
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Settled:
    """How much goes into the models that choose, and into the pairs; a smoke test has less."""

    pairs: RepairSettings = field(default_factory=lambda: RepairSettings(problems=1024))
    critic: Settings = field(default_factory=Settings)
    labels: LabelSettings = field(default_factory=LabelSettings)
    lines: LineModelSettings = field(default_factory=LineModelSettings)


# --------------------------------------------------------------------------------------------------------- recipes


def warm(out: Path, seed: int, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of the warm start that all arms of a seed begin with."""
    return demo.recipe("warm", out / f"seed-{seed}", seed, ["eval.size=8", *overrides])


def recipe(id: str, out: Path, seed: int, size: Size, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of an arm's policy, in a folder of its own below the seed's."""
    folder, arm = out / f"seed-{seed}", POLICIES[id]
    changed = [text.replace("{seed}", str(folder)) for text in (*SHARED, *arm.changed)]
    rhythm = [*size.changed, "run.eval_every=0", "eval.size=8"]
    return demo.recipe(id, folder, seed, [*changed, *rhythm, *overrides], arm.base)


def matcher(out: Path, seed: int, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of what matches programs with their prompts: CodeT5+'s losses on the warm start's references."""
    own = [f'run.out="{out / f"seed-{seed}" / "matcher"}"', f"run.seed={seed}", "run.eval_every=0", "eval.size=8"]
    references = f"agent.references={{ {REFERENCES} }}"
    return read(demo.RECIPES / "procedural_codet5p.toml", [*own, references, *overrides])


# ----------------------------------------------------------------------------------------------- pairs and judges


def shuffled(pairs: Sequence[RepairPair]) -> list[RepairPair]:
    """The same problems and targets, each with the wrong program and the report of another problem's pair."""
    ordered = sorted(pairs, key=lambda pair: pair.problem)
    largest = max(Counter(pair.problem for pair in ordered).values(), default=0)
    if 2 * largest > len(ordered):
        raise UsageError(
            f"Expected pairs of many problems to shuffle, got {largest} of {len(ordered)} of a single one."
        )
    moved = [*ordered[largest:], *ordered[:largest]]
    return [replace(a, program=b.program, report=b.report) for a, b in zip(ordered, moved, strict=True)]


def make(folder: Path, settled: Settled, console: Console) -> Judges:
    """The pairs of the warm start's programs, and the models that choose; what is there already is left alone."""
    run = folder / "warm"
    repairing.repair_run(run, settled.pairs, folder / "pairs", console)
    pairs, about = repairs.read(folder / "pairs")
    repairs.write(folder / "shuffled", shuffled(pairs), about)
    if not (folder / "critic" / critic_training.REPORT).is_file():
        critic_training.train_run(run, settled.critic, 1.0, folder / "critic", console)
    labelling.label_run(run, settled.labels, folder / "labels", console)
    line_training.train_run(run, labelling.read(folder / "labels")[0], settled.lines, folder / "lines", console)
    critic, lines = Critic.load(folder / "critic"), LineModel.load(folder / "lines")
    return Judges(critic, lines, Matcher.load(folder / "matcher" / "policy"))


# ------------------------------------------------------------------------------------------------------- measuring


def problems_of(recipe: Recipe, measure: str, size: int) -> list[Problem]:
    """Problems to measure on: those with public examples, without which there is nothing to try a program on."""
    found = datasets.load("procedural", SPLITS[measure], **{**recipe.eval.options, "size": size})
    return [problem for problem in found if problem.examples]


def measured(id: str, folder: Path, seed: int, judges: Judges, size: int, console: Console) -> Runs:
    """The evaluations of an arm's policy, by measure and `id/way`; each is kept in a file, and read if it is there."""
    made = finished(folder / id)
    runs: Runs = {measure: {} for measure in MEASURES}
    policy = make_policy(made)
    with make_env(made, policy) as env:
        for measure in MEASURES:
            problems = problems_of(made, measure, size)
            for way, decoder in WAYS.items():
                kept = folder / f"{id}-{way}-{measure}-{size}.json"
                if not kept.is_file():
                    samples, how = N if way == "plain" else 1, decoder(judges, made.eval.sampling)
                    evaluation = evaluate(policy, env, problems, how, samples=samples, seed=seed)
                    if evaluation.lost:
                        raise SandboxError(
                            f"Expected a verdict on every program, got {evaluation.lost} problems with a lost one. Run the "
                            "same command again: it measures this part anew."
                        )
                    write_json(kept, evaluation.to_dict())
                runs[measure][f"{id}/{way}"] = read_json(kept)
                rate = demo.rates(runs[measure][f"{id}/{way}"]).mean()
                console.print(f"{measure}, {POLICIES[id].name}, {way}: {rate:.1%}", highlight=False)
    return runs


def run(
    out: Path,
    seed: int,
    console: Console,
    size: Size,
    problems: int = MEASURED,
    settled: Settled | None = None,
    overrides: Sequence[str] = (),
) -> Runs:
    """All arms of a seed: evaluations by measure and `policy/way`.

    Args:
        problems: of each measure.
        settled: what goes into pairs and judges; None: what the study says.
        overrides: for all runs, the matcher's too.
    """
    folder = out / f"seed-{seed}"
    for each in (warm(out, seed, overrides), matcher(out, seed, overrides)):
        train(each, console)
    judges = make(folder, settled or Settled(), console)
    runs: Runs = {measure: {} for measure in MEASURES}
    for id, arm in POLICIES.items():
        console.rule(f"seed {seed}: {arm.name}")
        train(recipe(id, out, seed, size, overrides), console)
        for measure, evaluations in measured(id, folder, seed, judges, problems, console).items():
            runs[measure] |= evaluations
    return runs


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = options(MODULE, __doc__ or "", Path("runs/repair"))
    parser.add_argument("--problems", type=int, default=MEASURED, help=f"that are measured on (default: {MEASURED})")
    asked = parser.parse_args(arguments)
    return guarded(lambda: _run(asked), STOPPED)


def _run(asked: argparse.Namespace) -> int:
    check_problems(asked, 2)
    words = command_of(MODULE, asked.seeds, asked.updates, [f"--problems {asked.problems}"])
    return seed_by_seed(
        asked, words,
        lambda console, out, seed, size: run(out, seed, console, size, asked.problems),
        lambda runs: {"settings": asdict(Settled()), **table(STUDY, runs)},
        lambda found: markdown(found, TITLES),
    )  # fmt: skip


if __name__ == "__main__":
    leave(main())
