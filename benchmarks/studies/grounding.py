"""`python -m benchmarks.studies.grounding [--seeds N]`: what can be learnt without running a program (RLCF, arXiv 2305.18341).

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

Predicted before the first run. Programs that compile and have no finding become more in every arm. pass@1 of `compile` and
`fine` is about the warm start's: a program may compile and be wrong. `rlcf` is above `compile`, and above `shuffled`. Against
`supervised`, which learns the very references that the discriminator reads, the prediction is that `rlcf` is *not* above
it: the discriminator has nothing to say that they do not hold. `stale` is below `rlcf`, or falls behind late. `tests` is above
all. Where `rlcf` gains, the danger is copying, so the share of measured programs whose syntax tree is that of some
training reference is printed beside pass@1. A gain that comes with as large a rise of that share is a gain in recall.

Differences are of the same problems by the same seed, with Student's interval over seeds; Holm's adjustment is over the
comparisons. An arm takes some five minutes on two cores. Stopped and started again, the study goes on where it was.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from agents.algorithms.rlcf import RLCF, Config
from agents.building import make_env, make_policy, quiet_libraries
from agents.config import Recipe
from agents.core import Policy, rngs
from agents.critics.grounding import Grounding
from agents.options import build
from agents.rollout import collect
from agents.train import train
from agents.training import Measure
from benchmarks import demo
from benchmarks.records.record import write_json
from benchmarks.studies.learners import MEASURES, Arm, Study, markdown, measured, table
from rltf_env import facts
from rltf_env.command import guarded, leave
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError

__all__ = ["STUDY", "Config", "Shuffled", "copied", "load", "main", "recipe", "run"]


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
    'optimiser = { lr = 6e-4, warmup = 20, weight_decay = 0.01, beta2 = 0.95, decay = "linear", length = 480 } }'
)
_PASSED = 'env.reward_options={ coarse = { passed = 1.0 }, fine = { alpha = "none" } }'
_ROUNDS, _STEPS = 120, 8  # of an arm; of the discriminator in a round
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
            (f"agent.discriminator.every={1000 * _ROUNDS}", f"agent.discriminator.updates={_ROUNDS * _STEPS}"),
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


def recipe(id: str, out: Path, seed: int, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of an arm, in a folder of its own below the seed's. Only its last policy is measured."""
    arm = STUDY.arms[id]
    last = [] if arm.base == "warm" else ["run.eval_every=0", "eval.size=8"]
    return demo.recipe(id, out / f"seed-{seed}", seed, [*last, *arm.changed, *overrides], arm.base)


def copied(made: Recipe, known: frozenset[str]) -> float:
    """The share of an arm's measured programs whose syntax tree is one of those known.

    Args:
        made: what measures the arm's policy (`benchmarks.studies.learners.measured`); its programs are read, not run.
        known: keys of syntax trees (`rltf_env.facts.Facts.key`).
    """
    kept = {key: value for key, value in made.env.items() if not key.startswith(("reward", "sandbox"))}
    reading = replace(made, env={**kept, "sandbox": "static", "sandbox_options": {"facts": True}, "reward": "coarse"})
    policy = make_policy(reading)
    with make_env(reading, policy) as env:
        problems = Measure(reading, policy, env).problems
        _, generator = rngs(made.eval.seed, policy.device)
        how: dict[str, Any] = {"repeats": made.eval.samples, "generator": generator}
        groups = collect(policy, env, problems, made.eval.sampling, **how)
    trees = [e.verdict.facts.key if e.verdict.facts else "" for group in groups for e in group]
    return float(np.mean([tree in known for tree in trees]))


def references(made: Recipe) -> frozenset[str]:
    """The keys of the syntax trees of the references of an arm's problems."""
    with make_env(made, make_policy(made)) as env:
        solutions = [solution for problem in env.source.problems for solution in problem.solutions]  # type: ignore[attr-defined]
    return frozenset(found.key for found in map(facts.of, solutions) if found is not None)


# ------------------------------------------------------------------------------------------------------------ running


def run(out: Path, seed: int, console: Console, overrides: Sequence[str] = ()) -> dict[str, dict[str, Any]]:
    """All arms from one warm start; the evaluations by measure and arm, each with its share of copies."""
    evaluations: dict[str, dict[str, Any]] = {measure: {} for measure in MEASURES}
    train(recipe("warm", out, seed), console)
    known = references(recipe("rlcf", out, seed, overrides))
    for id, arm in STUDY.arms.items():
        if arm.base != "warm":
            console.rule(f"seed {seed}: {arm.name}")
            train(recipe(id, out, seed, overrides), console)
        for measure in MEASURES:
            made = measured(STUDY, id, out, seed, measure)
            evaluation = demo.last(train(made, console))
            evaluations[measure][id] = {**evaluation, "copied": copied(made, known)}
    return evaluations


def became(runs: Mapping[int, Mapping[str, Mapping[str, Any]]]) -> dict[str, Any]:
    """By measure and arm, means over seeds: the share of programs that are Python, that end, and that are copies."""
    figures: dict[str, Any] = {}
    for measure in MEASURES:
        figures[measure] = {}
        for id in STUDY.arms:
            rows = [_became(runs[seed][measure][id]) for seed in sorted(runs)]
            figures[measure][id] = dict(zip(("python", "ends", "copied"), np.mean(rows, 0).tolist(), strict=True))
    return figures


def _became(evaluation: Mapping[str, Any]) -> tuple[float, float, float]:
    outcomes, total = evaluation["outcomes"], sum(evaluation["outcomes"].values())
    python = 1 - outcomes["SYNTAX_ERROR"] / total
    return python, python - outcomes["RUNTIME_ERROR"] / total, evaluation["copied"]


def words(figures: Mapping[str, Any]) -> str:
    """The tables, to read: pass@1 and differences, then what became of the programs."""
    parts = [markdown(figures)]
    for measure, arms in figures["became"].items():
        parts += [f"### programs, {measure}\n", "| arm | is Python | ends | tree of a reference |", "|---|---|---|---|"]
        for id, shares in arms.items():
            cells = " | ".join(f"{shares[name]:.1%}" for name in ("python", "ends", "copied"))
            parts.append(f"| {STUDY.arms[id].name} | {cells} |")
        parts.append("")
    return "\n".join(parts)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    head = (__doc__ or "").split("\n\n")[0]
    parser = argparse.ArgumentParser(prog="python -m benchmarks.studies.grounding", description=head)
    parser.add_argument("--seeds", type=int, default=5, help="seeds 0 to N - 1 (default: 5)")
    parser.add_argument("--out", type=Path, default=Path("runs/grounding"), help="folder (default: runs/grounding)")
    parser.add_argument("overrides", nargs="*", metavar="table.key=value", help="for all arms, not for the warm start")
    asked = parser.parse_args(arguments)
    quiet_libraries()
    return guarded(lambda: _run(asked))


def _run(asked: argparse.Namespace) -> int:
    console, runs, out = Console(), {}, asked.out.resolve()
    if asked.seeds < 1:
        raise UsageError(f"Expected --seeds >= 1, got {asked.seeds}.")
    out.mkdir(parents=True, exist_ok=True)
    for seed in range(asked.seeds):
        runs[seed] = run(out, seed, console, asked.overrides)
        figures = {**table(STUDY, runs), "became": became(runs)}  # after each seed: something to look at
        write_json(out / "figures.json", {**figures, "overrides": asked.overrides})
        (out / "figures.md").write_text(words(figures), encoding="utf-8")
    console.print((out / "figures.md").read_text(encoding="utf-8"), markup=False, highlight=False)
    return 0


if __name__ == "__main__":
    leave(main())
