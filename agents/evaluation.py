"""How good a policy is: programs for the problems of a split, judged and counted. Touches no state of a training run.

Where problems have held-out cases (`datasets.load(..., held_out=0.5)`), the same programs are judged on those too, and `Gap` says
how much of pass@1 was won on the cases that the policy could learn by heart.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from agents.core import AnyDecoder, Episode, Policy, rngs
from agents.rollout import collect, verdicts
from agents.running.journal import UpdateLog
from rltf_env import datasets
from rltf_env.core import Outcome, Problem, Verdict
from rltf_env.env import UnitTestEnv
from rltf_env.errors import SandboxError, UsageError
from rltf_env.intervals import Interval, rate_interval, statements

USE = "pass@1"  # what a judge must run programs for
CHUNK = 64  # problems between two calls of the progress callback


@dataclass(frozen=True, eq=False)
class Gap:
    """Over-fitting to the cases trained on, over the N problems that have held-out ones.

    `trained_on` and `held_out` count, for each problem, the programs of `samples` that pass all cases of the one kind and of the
    other: int64 (N,). Programs are written once and judged twice, so the two are paired:
    `benchmarks.metrics.paired_permutation(gap.trained_on / gap.samples, gap.held_out / gap.samples, rng)` gives an interval.
    """

    problems: tuple[str, ...]
    samples: int
    trained_on: np.ndarray
    held_out: np.ndarray

    @property
    def value(self) -> float:
        """pass@1 on the cases trained on - pass@1 on held-out cases, in [-1, 1]: above 0 where tests were fitted, not the task.

        Fewer cases are easier to pass: compare with the gap before training, or hold out half.
        """
        return float(np.mean((self.trained_on - self.held_out) / self.samples))

    @property
    def standard_error(self) -> float:
        """Of `value`, over problems; NaN for one problem."""
        return _standard_error((self.trained_on - self.held_out) / self.samples)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for summaries; a standard error that there is not is None."""
        return {
            "gap": self.value,
            "standard_error": _known(self.standard_error),
            "pass@1": float(np.mean(self.held_out / self.samples)),
            "problems": len(self.problems),
            "passed": self.held_out.tolist(),
        }


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Counts over problems, in order. `samples` is n of pass@k, `passed` int64 (problems,) is c."""

    problems: tuple[str, ...]
    samples: int
    passed: np.ndarray
    outcomes: dict[str, int]
    kinds: dict[str, int]
    pass_ratio: float
    program_tokens: float
    gap: Gap | None = None  # None where no problem has held-out cases
    clusters: tuple[int, ...] | None = None  # which problems ask the same (`rltf_env.intervals`); None: no two
    lost: int = 0  # problems that are left out, since the judge lost a verdict on one of their programs
    distinct: tuple[int, ...] = ()  # how many different texts there are among the right programs of each problem

    @property
    def pass_at_1(self) -> float:
        """Mean over problems of c / n: the unbiased estimate for k = 1."""
        return float(np.mean(self.passed / self.samples))

    @property
    def standard_error(self) -> float:
        """Of `pass_at_1`, over problems; NaN for one problem."""
        return _standard_error(self.passed / self.samples)

    @property
    def interval(self) -> Interval:
        """`pass_at_1` with its 95 % interval over problems."""
        return rate_interval(self.passed / self.samples, self.clusters)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for summaries; a standard error that there is not is None."""
        return (
            {
                "pass@1": self.pass_at_1,
                "standard_error": _known(self.standard_error),
                "problems": len(self.problems),
                "samples": self.samples,
                "passed": self.passed.tolist(),
                "outcomes": self.outcomes,
                "kinds": self.kinds,
                "pass_ratio": self.pass_ratio,
                "program_tokens": self.program_tokens,
            }
            | ({"held_out": self.gap.to_dict()} if self.gap else {})
            | ({"lost": self.lost} if self.lost else {})
            | ({"distinct": list(self.distinct)} if self.samples > 1 else {})
            | ({"clusters": list(self.clusters)} if self.clusters else {})
        )


def _standard_error(rates: np.ndarray) -> float:
    return float(rates.std(ddof=1) / np.sqrt(len(rates))) if len(rates) > 1 else float("nan")


def _known(number: float) -> float | None:
    return None if np.isnan(number) else number


def evaluate(
    policy: Policy[Any],
    env: UnitTestEnv,
    problems: Sequence[Problem],
    decoder: AnyDecoder,
    *,
    samples: int = 1,
    seed: int = 0,
    advance: Any = None,
) -> Evaluation:
    """`samples` programs for each problem. `advance(n)` is told of each n problems done.

    A problem whose programs did not all have a verdict is left out, and counted (`Evaluation.lost`).

    Raises:
        SandboxError: no problem is left.
        UsageError: no problems, or a judge that runs no programs.
    """
    env.check_runs(USE)
    if not problems:
        raise UsageError("Expected at least one problem to evaluate on, got none.")
    _, generator = rngs(seed, policy.device)
    groups: list[list[Episode]] = []
    again: list[list[Verdict | None]] = []
    measured = getattr(policy, "measured", nullcontext)
    for i in range(0, len(problems), CHUNK):
        chunk = problems[i : i + CHUNK]
        with measured():
            groups += collect(policy, env, chunk, decoder, repeats=samples, generator=generator)
        again += on_held_out(env, chunk, groups[i:])
        if advance:
            advance(len(chunk))
    whole = [(g, v) for g, v in zip(groups, again, strict=True) if len(g) == samples and None not in v]
    if not whole:
        raise SandboxError(f"Expected verdicts on the programs for {len(groups)} problems, got all of them for none.")
    kept, unseen = [g for g, _ in whole], [[v for v in verdicts if v is not None] for _, verdicts in whole]
    asked = {p.id: number for p, number in zip(problems, statements(problems), strict=True)}
    numbers = [asked[group[0].problem] for group in kept]
    clusters = tuple(numbers) if len(set(numbers)) < len(numbers) else None
    found = replace(count(kept, samples), gap=gap(kept, unseen, samples), lost=len(groups) - len(whole))
    return replace(found, clusters=clusters)


def on_held_out(
    env: UnitTestEnv, problems: Sequence[Problem], groups: Sequence[Sequence[Episode]]
) -> list[list[Verdict | None]]:
    """The verdicts on each problem's programs by its held-out cases alone; an empty list for a problem without any.

    None: the judge lost it.
    """
    asked = [datasets.unseen(problem) for problem in problems]
    pairs = ((p, e.program) for p, group in zip(asked, groups, strict=True) if p for e in group)
    judged = verdicts(env, pairs, UpdateLog())
    return [[next(judged) for _ in group] if p else [] for p, group in zip(asked, groups, strict=True)]


def gap(groups: Sequence[Sequence[Episode]], again: Sequence[Sequence[Verdict]], samples: int) -> Gap | None:
    """The gap between what these programs came to and the verdicts on their held-out cases; None if there are none."""
    pairs = [(group, verdicts) for group, verdicts in zip(groups, again, strict=True) if verdicts]
    if not pairs:
        return None
    return Gap(
        problems=tuple(group[0].problem for group, _ in pairs),
        samples=samples,
        trained_on=_passed([[e.verdict for e in group] for group, _ in pairs]),
        held_out=_passed([verdicts for _, verdicts in pairs]),
    )


def _passed(groups: Sequence[Sequence[Verdict]]) -> np.ndarray:
    for verdict in (v for group in groups for v in group):
        verdict.check_run(USE)
    return np.array([sum(v.outcome is Outcome.PASSED for v in group) for group in groups], np.int64)


def count(groups: Sequence[Sequence[Episode]], samples: int) -> Evaluation:
    """The evaluation that these judged programs, `samples` for each problem, amount to."""
    episodes = [e for group in groups for e in group]
    outcomes = {o.name: sum(e.verdict.outcome is o for e in episodes) for o in Outcome}
    kinds: dict[str, int] = {}
    for e in episodes:
        if e.verdict.failure is not None:
            kinds[e.verdict.failure.kind] = kinds.get(e.verdict.failure.kind, 0) + 1
    return Evaluation(
        problems=tuple(group[0].problem for group in groups),
        samples=samples,
        passed=_passed([[e.verdict for e in group] for group in groups]),
        outcomes=outcomes,
        kinds=dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0]))),
        pass_ratio=float(np.mean([e.verdict.pass_ratio for e in episodes])),
        program_tokens=float(np.mean([len(e.program) for e in episodes])),
        distinct=tuple(len({e.program.text for e in g if e.verdict.outcome is Outcome.PASSED}) for g in groups),
    )
