"""How good a policy is: programs for the problems of a split, judged and counted. Touches no state of a training run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from agents.core import Decoder, Episode, Policy, generators
from agents.rollout import collect
from rltf_env.core import Outcome, Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError

CHUNK = 64  # problems between two calls of the progress callback


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

    @property
    def pass_at_1(self) -> float:
        """Mean over problems of c / n: the unbiased estimate for k = 1."""
        return float(np.mean(self.passed / self.samples))

    @property
    def standard_error(self) -> float:
        """Of `pass_at_1`, over problems."""
        rates = self.passed / self.samples
        return float(rates.std(ddof=1) / np.sqrt(len(rates))) if len(rates) > 1 else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for summaries."""
        return {
            "pass@1": self.pass_at_1,
            "standard_error": self.standard_error,
            "problems": len(self.problems),
            "samples": self.samples,
            "passed": self.passed.tolist(),
            "outcomes": self.outcomes,
            "kinds": self.kinds,
            "pass_ratio": self.pass_ratio,
            "program_tokens": self.program_tokens,
        }


def evaluate(
    policy: Policy[Any],
    env: UnitTestEnv,
    problems: Sequence[Problem],
    decoder: Decoder,
    *,
    samples: int = 1,
    seed: int = 0,
    advance: Any = None,
) -> Evaluation:
    """`samples` programs for each problem. `advance(n)` is told of each n problems done."""
    if not problems:
        raise UsageError("Expected at least one problem to evaluate on, got none.")
    _, generator = generators(seed, policy.device)
    groups: list[list[Episode]] = []
    for i in range(0, len(problems), CHUNK):
        chunk = problems[i : i + CHUNK]
        groups += collect(policy, env, chunk, decoder, repeats=samples, generator=generator)
        if advance:
            advance(len(chunk))
    return count(groups, samples)


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
        passed=np.array([sum(e.verdict.outcome is Outcome.PASSED for e in group) for group in groups], np.int64),
        outcomes=outcomes,
        kinds=dict(sorted(kinds.items(), key=lambda item: (-item[1], item[0]))),
        pass_ratio=float(np.mean([e.verdict.pass_ratio for e in episodes])),
        program_tokens=float(np.mean([len(e.program) for e in episodes])),
    )
