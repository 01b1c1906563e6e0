"""`python -m benchmarks.studies.learners STUDY [--seeds N]`: a study of another way to learn, beside its honest controls.

    soft-q        Soft Q-learning (arXiv 2106.07704) with fresh programs, with stale ones, and offline
    distinct      a buffer that takes each syntax tree once (arXiv 2310.13669), beside one that drops as many at random
    hindsight     failed programs as references of what they do, where a prompt is examples (after HER, arXiv 1707.01495)
    made-tests    RLTF on tests that were made automatically (the same paper), beside the tests that the problems had, and the
                  first that were drawn. No reference is learnt from, so that what is learnt is what the tests say

What a study predicts stands beside its arms, and was written before its first run. Measured is pass@1 on compositions that
training shows ("seen") and on others ("unseen"). Hindsight's warm start has 3,000 references: from 300 pairs of examples and
program it learns to pass no problem at all (a trial: 0.0 %), from 3,000 to pass one in 150. How arms are run and compared is
said in `benchmarks.studies.arms`. Stopped and started again, a study goes on where it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from agents.building import make_env, make_policy
from agents.config import Recipe
from agents.core import Episode, rngs
from agents.rollout import collect
from agents.training import Measure
from benchmarks import demo
from benchmarks.studies.arms import STOPPED, WHOLE, Arm, Runs, Size, Study, command, run_arms
from rltf_env import datasets, sandbox
from rltf_env.command import guarded, leave
from rltf_env.core import Attempt, Feedback, Outcome, Problem, Reward
from rltf_env.synthesis import Settings, judge_options, synthesize


def passed() -> Reward:
    """1 for a program that passes, else 0: with no baseline, supervised learning on what passed."""

    def reward(attempt: Attempt) -> Feedback:
        earned = float(attempt.verdict.outcome is Outcome.PASSED)
        return Feedback.build(attempt.program, "passed", program_reward=earned)

    return reward


_ONCE = ("agent.fill={programs}", "agent.buffer={programs}")
_OFFLINE = (*_ONCE, "agent.refresh_every={updates}")
_STALE = ("agent.buffer=3840", "agent.fill=3840", "agent.refresh=3840", "agent.refresh_every=60")
_PASSED = (
    'env.reward="benchmarks.studies.learners:passed"', "env.reward_options={}", 'agent.baseline="none"', "agent.clip=0.0",
)  # fmt: skip
_MADE = ("env.dataset_options={}", "agent.references={}", "agent.supervised=0", 'eval.split="test"', "eval.options={}")

# -------------------------------------------------------------------------------------------------------------- tests


def make_tests(out: Path) -> None:
    """The files of "made-tests": one set of problems with their own tests, with made ones, and with the first drawn."""
    kept = {"made": Settings(tests=6), "drawn": Settings(tests=6, killed=0.0, choice="drawn")}
    missing = [name for name in (*kept, "original") if not (out / f"{name}.jsonl").exists()]
    if not missing:
        return
    problems = datasets.load("procedural", "train", size=600, seed=7, depths=[2])
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
        "A gain while passes are rare; none with wrong outputs; what more references give is not predicted.",
        {
            "rltf": Arm("RLTF", "rltf"),
            "hindsight": Arm("+ hindsight", "rltf", ('agent.kind="hindsight"',)),
            "wrong": Arm(
                "+ as many pairs with wrong outputs", "rltf", ('agent.kind="hindsight"', 'agent.outputs="others"')
            ),
            "references": Arm("+ twice the references", "rltf", ("agent.references.size=6000",)),
        },
        (("hindsight", "rltf"), ("hindsight", "wrong"), ("hindsight", "references")),
        shared=(
            'env.prompt_style="examples"',
            "env.max_prompt_tokens=256",
            "agent.references={ size = 3000, depths = [1, 2] }",
        ),
        warm=("run.updates=1500", "agent.optimiser.length=1500"),
    ),
    "made-tests": Study(
        "Made tests are worth what the problems' own are, within 3 points; the first that were drawn are worth less.",
        {
            name: Arm(what, "rltf", (*_MADE, f'env.dataset="{{out}}/{name}.jsonl"'))
            for name, what in (
                ("original", "the problems' own tests"),
                ("made", "made tests"),
                ("drawn", "the first tests drawn"),
            )
        },
        (("made", "original"), ("made", "drawn")),
        make_tests,
    ),
}

# ------------------------------------------------------------------------------------------------------------- running


def start(study: Study, out: Path, seed: int) -> Recipe:
    """The recipe of the warm start that all arms of a seed begin with."""
    return demo.recipe("warm", out / f"seed-{seed}", seed, [*study.shared, *study.warm])


def recipe(study: Study, id: str, out: Path, seed: int, size: Size = WHOLE, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of an arm, in a folder of its own below the seed's. Only its last policy is measured, by `measured`."""
    arm = study.arms[id]
    if arm.base == "warm":
        return start(study, out, seed)
    changed = [size.fill(text, out) for text in arm.changed]
    last = ["run.eval_every=0", "eval.size=8", *size.changed]
    return demo.recipe(id, out / f"seed-{seed}", seed, [*last, *study.shared, *changed, *overrides], arm.base)


def measured(study: Study, id: str, out: Path, seed: int, measure: str) -> Recipe:
    """A recipe without updates, which measures an arm's policy on the demo's problems."""
    made = demo.unseen(id, out / f"seed-{seed}", seed, study.shared, base="rltf")
    if measure == "unseen":
        return made
    folder = str(out / f"seed-{seed}" / f"{id}-seen")
    return replace(made, run=replace(made.run, out=folder), eval=replace(made.eval, split="seen"))


def run(study: Study, out: Path, seed: int, console: Console, size: Size, overrides: Sequence[str] = ()) -> Runs:
    """All arms from one warm start; the evaluations by measure and arm."""
    return run_arms(
        study, seed, console, start(study, out, seed),
        lambda id: recipe(study, id, out, seed, size, overrides),
        lambda id, measure: measured(study, id, out, seed, measure),
    )  # fmt: skip


def written(made: Recipe) -> list[tuple[Problem, list[Episode]]]:
    """The programs that measure a policy, by problem, written and judged once more, with the environment that `made` has."""
    policy = make_policy(made)
    with make_env(made, policy) as env:
        problems = Measure(made, policy, env).problems
        _, generator = rngs(made.eval.seed, policy.device)
        groups = collect(policy, env, problems, made.eval.sampling, repeats=made.eval.samples, generator=generator)
    return list(zip(problems, groups, strict=True))


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    return guarded(lambda: command("benchmarks.studies.learners", __doc__ or "", STUDIES, run, arguments), STOPPED)


if __name__ == "__main__":
    leave(main())
