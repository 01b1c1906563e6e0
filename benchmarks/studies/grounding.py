"""`python -m benchmarks.studies.grounding rlcf [--seeds N]`: what can be learnt without running a program (arXiv 2305.18341).

PPO, 480 updates on 15,360 programs for 2,000 problems, from one warm start a seed. No arm but the last runs a test while it
learns. All are measured by tests, on compositions that training shows ("seen") and on others ("unseen").

    warm         the start
    supervised   as many updates of as many programs, on the references of the 2,000 problems: what a discriminator is shown
    compile      PPO on what the compiler and the findings say, for the program as a whole
    fine         the same, with the finding's line charged
    rlcf         the same, and a discriminator that is kept up with the policy
    stale        one that learns as many steps in the first round and no more
    shuffled     rlcf with each round's scores handed to other programs of the round: as much reward, and no information
    tests        PPO on the tests of the same problems: the ceiling

`supervised` has the rate of its recipe (6e-4), the others the one at which PPO did best in the table of algorithms (2e-4): at
6e-4 PPO unlearnt what the warm start knew, with tests too.

Predicted before the first run. Programs that compile and have no finding become more in every arm. pass@1 of `compile` and
`fine` is about the warm start's: a program may compile and be wrong. `rlcf` is above `compile`, and above `shuffled`. Against
`supervised`, which learns the very references that the discriminator reads, the prediction is that `rlcf` is *not* above
it: the discriminator has nothing to say that they do not hold. `stale` is below `rlcf`, or falls behind late. `tests` is above
all. Where `rlcf` gains, the danger is copying, so the share of measured programs whose syntax tree is that of some
training reference is written beside (`seed-N/programs.md`). A gain that comes with as large a rise of that share is one in
recall.

Statistics and tables are those of `benchmarks.studies.arms`. An arm takes some five minutes on two cores. Stopped and started
again, the study goes on where it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from agents.algorithms.grounding import Grounding
from agents.algorithms.rlcf import RLCF, Config
from agents.building import make_env, make_policy
from agents.config import Recipe
from agents.core import Policy
from agents.options import build
from benchmarks import demo
from benchmarks.studies import learners
from benchmarks.studies.arms import MEASURES, STOPPED, WHOLE, Arm, Runs, Size, Study, command, run_arms
from rltf_env import facts
from rltf_env.command import guarded, leave
from rltf_env.env import UnitTestEnv

__all__ = ["STUDIES", "STUDY", "Config", "Shuffled", "copied", "load", "main", "recipe", "run"]


# ----------------------------------------------------------------------------------------------------------- controls


class ShuffledGrounding(Grounding):
    """One that pays each program what another of the round deserves."""

    def pay(self, scores: np.ndarray) -> np.ndarray:
        """The same amounts, in another order."""
        return super().pay(self.rng.permutation(scores))


class Shuffled(RLCF):
    """RLCF whose discriminator's scores say nothing of the programs that get them."""

    grounds = ShuffledGrounding


def load(policy: Policy[Any], env: UnitTestEnv, *, seed: int, **options: Any) -> Shuffled:
    """The agent `Shuffled`."""
    return Shuffled(policy, env, build(Config, options, "agent"), seed)


# -------------------------------------------------------------------------------------------------------------- arms

_PPO = (
    'agent={ kind = "ppo", problems = 16, samples_per_problem = 8, batch_size = 128, epochs = 4, kl = 0.02, kl_target = 0.0, '
    'optimiser = { lr = 2e-4, warmup = 20, weight_decay = 0.01, beta2 = 0.95, decay = "linear", length = 480 } }'
)
_PASSED = 'env.reward_options={ coarse = { passed = 1.0 }, fine = { alpha = "none" } }'
STUDY = Study(
    "More programs compile in every arm; compile and fine are about the warm start in pass@1; rlcf > compile and > shuffled, "
    "not above supervised on the same references; stale < rlcf; tests above all.",
    {
        "warm": Arm("warm start", "warm"),
        "supervised": Arm(
            "supervised, the same references",
            "supervised",
            (
                'env.source="uniform"',
                "env.dataset_options={ size = 2000, depths = [2] }",
                "agent.references={}",
                "agent.batch_size=128",
            ),
        ),
        "compile": Arm("compiler alone", "rlcf", (_PPO, 'env.reward="coarse"', "env.reward_options={}")),
        "fine": Arm("+ the line of a finding", "rlcf", (_PPO, _PASSED)),
        "rlcf": Arm("+ discriminator (RLCF)", "rlcf"),
        "stale": Arm(
            "discriminator of the first round",
            "rlcf",
            ("agent.discriminator.every={programs}", "agent.discriminator.updates={steps}"),
        ),
        "shuffled": Arm("scores shuffled", "rlcf", ('agent.kind="benchmarks.studies.grounding:load"',)),
        "tests": Arm(
            "tests (ceiling)",
            "rlcf",
            (_PPO, _PASSED, 'env.sandbox="auto"', "env.sandbox_options={ case_seconds = 0.2 }"),
        ),
    },
    (
        ("rlcf", "warm"), ("compile", "warm"), ("fine", "compile"), ("rlcf", "compile"), ("rlcf", "shuffled"),
        ("rlcf", "supervised"), ("rlcf", "stale"), ("tests", "rlcf"),
    ),
)  # fmt: skip
STUDIES = {"rlcf": STUDY}
STEPS, EPOCHS = 8, 4  # of the discriminator in a round; updates of a round


def copied(made: Recipe, known: frozenset[str]) -> float:
    """The share of an arm's measured programs whose syntax tree is one of those known.

    Args:
        made: what measures the arm's policy (`benchmarks.studies.learners.measured`); its programs are read, not run.
        known: keys of syntax trees (`rltf_env.facts.Facts.key`).
    """
    kept = {key: value for key, value in made.env.items() if not key.startswith(("reward", "sandbox"))}
    reading = replace(made, env={**kept, "sandbox": "static", "sandbox_options": {"facts": True}, "reward": "coarse"})
    trees = [e.verdict.facts.key if e.verdict.facts else "" for _, group in learners.written(reading) for e in group]
    return float(np.mean([tree in known for tree in trees]))


def references(made: Recipe) -> frozenset[str]:
    """The keys of the syntax trees of the references of an arm's problems."""
    with make_env(made, make_policy(made)) as env:
        solutions = [solution for problem in env.source.problems for solution in problem.solutions]  # type: ignore[attr-defined]
    return frozenset(found.key for found in map(facts.of, solutions) if found is not None)


# ------------------------------------------------------------------------------------------------------------ running


def recipe(id: str, out: Path, seed: int, size: Size = WHOLE, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of an arm, in a folder of its own below the seed's. Only its last policy is measured."""
    arm, folder = STUDY.arms[id], out / f"seed-{seed}"
    if arm.base == "warm":
        return demo.recipe(id, folder, seed)
    steps = str(STEPS * size.updates // EPOCHS)  # of a discriminator that learns in every round
    changed = [size.fill(text.replace("{steps}", steps), out) for text in arm.changed]
    last = ["run.eval_every=0", "eval.size=8", *size.changed]
    return demo.recipe(id, folder, seed, [*last, *changed, *overrides], arm.base)


def measured(id: str, out: Path, seed: int, measure: str) -> Recipe:
    """A recipe without updates, which measures an arm's policy by tests on the demo's problems."""
    return learners.measured(STUDY, id, out, seed, measure)


def run(study: Study, out: Path, seed: int, console: Console, size: Size, overrides: Sequence[str] = ()) -> Runs:
    """All arms from one warm start; the evaluations by measure and arm, each with its share of copies."""
    runs = run_arms(
        study, seed, console, recipe("warm", out, seed),
        lambda id: recipe(id, out, seed, size, overrides),
        lambda id, measure: measured(id, out, seed, measure),
    )  # fmt: skip
    known = references(recipe("rlcf", out, seed, size, overrides))
    for measure in MEASURES:
        for id, evaluation in runs[measure].items():
            runs[measure][id] = {**evaluation, "copied": copied(measured(id, out, seed, measure), known)}
    (out / f"seed-{seed}" / "programs.md").write_text(words(runs), encoding="utf-8")
    return runs


def words(runs: Mapping[str, Mapping[str, Any]]) -> str:
    """What became of the programs of a seed, to read: the shares that are Python, that end, and that are copies."""
    parts: list[str] = []
    for measure in MEASURES:
        parts += [f"### {measure}\n", "| arm | is Python | ends | tree of a reference |", "|---|---|---|---|"]
        for id, evaluation in runs[measure].items():
            cells = " | ".join(f"{share:.1%}" for share in became(evaluation))
            parts.append(f"| {STUDY.arms[id].name} | {cells} |")
        parts.append("")
    return "\n".join(parts)


def became(evaluation: Mapping[str, Any]) -> tuple[float, float, float]:
    """The shares of programs that are Python, that end without an error, and whose tree is a reference's."""
    outcomes, total = evaluation["outcomes"], sum(evaluation["outcomes"].values())
    python = 1 - outcomes["SYNTAX_ERROR"] / total
    return python, python - outcomes["RUNTIME_ERROR"] / total, evaluation["copied"]


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    return guarded(lambda: command("benchmarks.studies.grounding", __doc__ or "", STUDIES, run, arguments), STOPPED)


if __name__ == "__main__":
    leave(main())
