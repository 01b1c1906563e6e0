"""Blame: a wrong answer is charged to the lines that failing cases ran and passing ones did not.

Spectrum-based fault localisation as credit: Ochiai (Abreu et al. 2006), Tarantula (Jones and Harrold 2005), D* (Wong et
al. 2014). RLTF charges lines for errors alone; this is its counterpart for programs that run and are wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from rltf_env.core import Attempt, Feedback, FloatArray, Outcome, Program, Verdict
from rltf_env.errors import UsageError
from rltf_env.rewards import _span
from rltf_env.rewards._options import choice, number

SHARES = ("top", "all")


def ochiai(failed: int, passed: int, failing: int, passing: int) -> float:
    """Suspicion of a line: e_f / sqrt(F (e_f + e_p)).

    Args:
        failed, passed: failing and passing cases that ran the line, e_f and e_p.
        failing, passing: all failing and passing cases, F >= 1 and P.
    """
    return failed / math.sqrt(failing * (failed + passed)) if failed else 0.0


def tarantula(failed: int, passed: int, failing: int, passing: int) -> float:
    """Suspicion of a line: (e_f/F) / (e_f/F + e_p/P), with e_p/P = 0 if P = 0. The arguments are those of `ochiai`."""
    of_failing, of_passing = failed / failing, passed / passing if passing else 0.0
    return of_failing / (of_failing + of_passing) if failed else 0.0


def dstar(failed: int, passed: int, failing: int, passing: int, exponent: int = 2) -> float:
    """Suspicion of a line: e_f^2 / (e_p + F - e_f), infinite if the divisor is 0. The arguments are those of `ochiai`."""
    divisor = passed + failing - failed
    return failed**exponent / divisor if divisor else math.inf


FORMULAS: Mapping[str, Callable[[int, int, int, int], float]] = {
    "ochiai": ochiai,
    "tarantula": tarantula,
    "dstar": dstar,
}


def suspicion(verdict: Verdict, formula: str = "ochiai") -> dict[int, float]:
    """How suspicious each line is that some case ran; empty without a failing case. Raises UsageError without lines per case."""
    ran = {True: [], False: []}  # by whether the case was passed
    for result in verdict.results:
        if result.executed is None:
            raise UsageError(
                'Expected a verdict with the lines of each case, since the reward is "blame", got none. '
                "Open the sandbox with trace_cases=True."
            )
        ran[result.outcome is Outcome.PASSED].append(result.executed)
    failing, passing = ran[False], ran[True]
    if not failing:
        return {}
    score = FORMULAS[formula]
    return {
        line: score(sum(line in c for c in failing), sum(line in c for c in passing), len(failing), len(passing))
        for line in sorted(frozenset().union(*failing, *passing))
    }


@dataclass(frozen=True)
class Blame:
    """Charges a WRONG_ANSWER to suspicious lines; 0 for every other outcome, and where no case passes.

    - `share="top"`: the chosen tokens of the lines of the highest suspicion pay, as one span. In a loss each weighs alpha *
      `value`; alpha is that of `fine.Fine`, with T the chosen tokens of the program and |span| those of all these lines.
    - `share="all"`: every chosen token weighs `value` * suspicion / highest suspicion of its line (of several the greatest).
      An infinite suspicion counts as the highest, and then a finite one as 0. There is no alpha.

    A *return* loses `value` once, in proportion to these weights (`core.Feedback`).

    Where all lines that ran are equally suspicious there is nothing to tell, and nothing is paid: so it is when every case
    took the same path. Credit of tokens, with no share of the program as a whole, and so no baseline.
    `reward = "rltf+blame"` is fine-grained feedback for errors and for failures.
    """

    value: float = -0.3
    formula: str = "ochiai"
    share: str = "top"
    alpha: str = "span_ratio"
    clip: float | None = None
    needs: ClassVar[frozenset[str]] = frozenset({"trace_cases"})

    def __post_init__(self) -> None:
        number("value", self.value)
        choice("value of option 'formula'", self.formula, FORMULAS)
        choice("value of option 'share'", self.share, SHARES)
        _span.check(self.alpha, self.clip)

    def __call__(self, attempt: Attempt) -> Feedback:
        lines = suspicion(attempt.verdict, self.formula)
        tells = attempt.verdict.outcome is Outcome.WRONG_ANSWER and attempt.verdict.pass_ratio > 0
        if not tells or len(set(lines.values())) < 2:
            return Feedback.build(attempt.program, "blame")
        parts = _parts(attempt.program, _weights(lines, self.share))
        if not parts.any():
            return Feedback.build(attempt.program, "blame")
        if self.share == "top":
            share, weight = _span.charged(parts > 0, attempt.program, self.value, self.alpha, self.clip)
        else:
            share, weight = parts * np.float32(self.value / parts.sum()), parts * np.float32(self.value)
        return Feedback.build(attempt.program, "blame", tokens=share, credit=weight)

    def relative(self, attempt: Attempt, baseline: Verdict) -> Feedback:
        """The same: credit of single tokens has no baseline."""
        return self(attempt)


def _parts(program: Program, weights: Mapping[int, float]) -> FloatArray:
    """float32 (T,): the part of the blame that each chosen token has, the greatest of its lines."""
    tokens = np.zeros(len(program), np.float32)
    for line, weight in weights.items():
        on_line = program.tokens_on(line) & program.generated_mask
        tokens[on_line] = np.maximum(tokens[on_line], weight)
    return tokens


def _weights(lines: Mapping[int, float], share: str) -> dict[int, float]:
    """What part of the blame each line has, in (0, 1]."""
    highest = max(lines.values())
    if share == "top" or math.isinf(highest):
        return {line: 1.0 for line, score in lines.items() if score == highest}
    return {line: score / highest for line, score in lines.items() if score > 0}


def load(
    value: float = -0.3,
    formula: str = "ochiai",
    share: str = "top",
    alpha: str = "span_ratio",
    clip: float | None = None,
) -> Blame:
    """Line credit for wrong answers; see `Blame`. `alpha` and `clip` are those of the reward "fine"."""
    return Blame(value, formula, share, alpha, clip)
