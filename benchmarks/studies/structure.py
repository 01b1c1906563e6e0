"""`python -m benchmarks.studies.structure structure [--seeds N]`: a reference's shape beside its
tests (PPOCoder, arXiv 2301.13816).

    warm         the start
    supervised   as many updates on the references of the warm start
    coarse       PPO on tests: +1, -0.3, -0.6, -1
    quarter      the same, and a quarter of each share of the reference's syntax tree and data flow
    whole        the same with weights of 1, the paper's
    other        weights of 1, of another problem's reference: as much reward, and nothing of the
                 problem

Problems are the procedural ones of two operations. Arms have as many updates as each other, and
those of PPO as many judged programs. Measured is pass@1, and the share of right programs whose
syntax tree is none of their problem's references': what is found rather than copied.

Predicted before the first run. StepCoder's authors saw 0.4 points for PPOCoder over PPO: `quarter`
is within 3 points of `coarse`. `whole` is below `coarse`, since a wrong copy of a reference earns
more than a right program of another shape, and its right programs have other shapes less often.
`other` is below `whole`.

How arms are compared is said in `benchmarks.studies.arms`. Stopped and started again, the study
goes on where it was. An arm takes about five minutes on two cores.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, ClassVar

from rich.console import Console

from agents.config import Recipe
from benchmarks.studies import learners, practice
from benchmarks.studies.arms import MEASURES, STOPPED, Arm, Runs, Size, Study, command
from rltf_env import datasets, facts, rewards
from rltf_env.command import guarded, leave
from rltf_env.core import Attempt, Feedback, Outcome, Reward

MODULE = "benchmarks.studies.structure"
OWN = "right with a tree of its own"
POOL = 64  # problems whose references stand in for another's


@dataclass(frozen=True)
class OtherReference:
    """`structure` of a reference of another problem, always the same one for a problem: a control."""

    structure: Reward
    needs: ClassVar[frozenset[str]] = frozenset({"facts"})
    reads_references: ClassVar[bool] = True

    def __call__(self, attempt: Attempt) -> Feedback:
        pool = _references()
        other = pool[zlib.crc32(attempt.problem.id.encode()) % len(pool)]
        return self.structure(replace(attempt, problem=replace(attempt.problem, solutions=(other,))))


@cache
def _references() -> tuple[str, ...]:
    problems = datasets.load("procedural", "train", size=POOL, seed=9, depths=[2])
    return tuple(problem.solutions[0] for problem in problems)


def other_reference(**options: Any) -> OtherReference:
    """The reward `OtherReference`; options are those of `structure`."""
    return OtherReference(rewards.load("structure", **options))


def _paid(reward: str, weight: float) -> tuple[str, ...]:
    return (
        practice.PPO,
        f'env.reward="coarse+{reward}"',
        f'env.reward_options={{ "{reward}" = {{ ast = {weight}, flow = {weight} }} }}',
    )


STUDY = Study(
    "A quarter of structure is within 3 points of PPO on tests; with weights of 1 it is below, and "
    "fewer of its right programs have shapes of their own. Another problem's shape is below both.",
    {
        "warm": Arm("warm start", "warm"),
        "supervised": Arm("supervised, as long", "supervised"),
        "coarse": Arm("PPO on tests", "rltf", (practice.PPO, 'env.reward="coarse"', "env.reward_options={}")),
        "quarter": Arm("+ structure, weights 0.25", "rltf", _paid("structure", 0.25)),
        "whole": Arm("+ structure, weights 1", "rltf", _paid("structure", 1.0)),
        "other": Arm("+ another reference's, weights 1", "rltf", _paid(f"{MODULE}:other_reference", 1.0)),
    },
    (("coarse", "supervised"), ("quarter", "coarse"), ("whole", "coarse"), ("whole", "quarter"), ("whole", "other")),
)
STUDIES = {"structure": STUDY}


# ------------------------------------------------------------------------------------------------------------- running


def own_shapes(made: Recipe) -> float:
    """The share of an arm's right programs whose syntax tree is none of their problem's references'; 0 without any.

    Args:
        made: what measures the arm's policy (`benchmarks.studies.learners.measured`).
    """
    judged = {**made.env.get("sandbox_options", {}), "facts": True}
    seeing = replace(made, env={**made.env, "reward": "coarse", "reward_options": {}, "sandbox_options": judged})
    right, own = 0, 0
    for problem, group in learners.written(seeing):
        known = {reference.key for reference in map(facts.of, problem.solutions) if reference is not None}
        trees = [e.verdict.facts.key for e in group if e.verdict.outcome is Outcome.PASSED and e.verdict.facts]
        right, own = right + len(trees), own + sum(tree not in known for tree in trees)
    return own / right if right else 0.0


def run(study: Study, out: Path, seed: int, console: Console, size: Size, overrides: Sequence[str] = ()) -> Runs:
    """All arms from one warm start; the evaluations by measure and arm, each with its share of shapes of its own."""
    runs = learners.run(study, out, seed, console, size, overrides)
    for measure in MEASURES:
        for id, evaluation in runs[measure].items():
            share = own_shapes(learners.measured(study, id, out, seed, measure))
            runs[measure][id] = {**evaluation, "shares": {OWN: share}}
    return runs


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    return guarded(lambda: command(MODULE, __doc__ or "", STUDIES, run, arguments), STOPPED)


if __name__ == "__main__":
    leave(main())
