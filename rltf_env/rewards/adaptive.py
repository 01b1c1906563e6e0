"""The adaptive reward: the share of the cases that the program passed.

RLTF eq. 5 (arXiv 2307.04349): R_adapt = -0.3 + 1.3 * N_pass / (N_pass + N_fail), for the whole program (S=0, E=T).
"""

from __future__ import annotations

from dataclasses import dataclass

from rltf_env.core import Attempt, Feedback, Outcome, Verdict
from rltf_env.rewards._options import choice, number

APPLIES = ("failures", "always")


@dataclass(frozen=True)
class Adaptive:
    """R_adapt = failed + (passed - failed) * pass ratio, earned by the program as a whole (eq. 5).

    `applies="failures"` (the paper's text: programs that "do not pass all test cases"; errors have their own terms) leaves
    0 to every outcome but a wrong answer. `applies="always"` reads the equation literally: a program that passes earns
    `passed`, one that ends in an error earns what its passed cases are worth.
    """

    failed: float = -0.3
    passed: float = 1.0
    applies: str = "failures"

    def __post_init__(self) -> None:
        number("failed", self.failed)
        number("passed", self.passed)
        choice("value of option 'applies'", self.applies, APPLIES)

    def value(self, verdict: Verdict) -> float:
        """R_adapt by the equation, whatever the outcome: 1 for a verdict without failures."""
        return self.failed + (self.passed - self.failed) * verdict.pass_ratio

    def counts(self, verdict: Verdict) -> bool:
        """True if a program with this verdict earns the adaptive reward."""
        return self.applies == "always" or verdict.outcome is Outcome.WRONG_ANSWER

    def __call__(self, attempt: Attempt) -> Feedback:
        value = self.value(attempt.verdict) if self.counts(attempt.verdict) else 0.0
        return Feedback.build(attempt.program, "adaptive", sequence=value)

    def relative(self, attempt: Attempt, baseline: Verdict) -> Feedback:
        """R_adapt(program) - R_adapt(baseline) (eq. 10) where the program earns the adaptive reward, else 0.

        The baseline's value follows the equation whatever its outcome: R_adapt of a baseline that passed is `passed`.
        """
        gain = self.value(attempt.verdict) - self.value(baseline) if self.counts(attempt.verdict) else 0.0
        return Feedback.build(attempt.program, "adaptive", sequence=gain)


def load(failed: float = -0.3, passed: float = 1.0, applies: str = "failures") -> Adaptive:
    """The adaptive reward (eq. 5): from `failed` (no case passed) to `passed` (all of them)."""
    return Adaptive(failed, passed, applies)
