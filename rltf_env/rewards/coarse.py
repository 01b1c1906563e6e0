"""The coarse reward: one number for the outcome of the whole program.

RLTF eq. 3 (arXiv 2307.04349); the constants are CodeRL's and are also used by PPOCoder and StepCoder.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

from rltf_env.core import Attempt, Feedback, Outcome, Verdict
from rltf_env.rewards._options import number


@dataclass(frozen=True)
class Coarse:
    """R_coarse = passed | failed | error (other than syntax) | syntax, earned by the program as a whole (S=0, E=T; eq. 3)."""

    passed: float = 1.0
    failed: float = -0.3
    error: float = -0.6
    syntax: float = -1.0

    def __post_init__(self) -> None:
        for option in fields(self):
            number(option.name, getattr(self, option.name))

    def value(self, verdict: Verdict) -> float:
        """R_coarse of any program with this verdict."""
        return {
            Outcome.PASSED: self.passed,
            Outcome.WRONG_ANSWER: self.failed,
            Outcome.RUNTIME_ERROR: self.error,
            Outcome.SYNTAX_ERROR: self.syntax,
        }[verdict.outcome]

    def __call__(self, attempt: Attempt) -> Feedback:
        return Feedback.build(attempt.program, "coarse", program_reward=self.value(attempt.verdict))

    def relative(self, attempt: Attempt, baseline: Verdict) -> Feedback:
        """R_coarse(program) - R_coarse(baseline) (eq. 8)."""
        gain = self.value(attempt.verdict) - self.value(baseline)
        return Feedback.build(attempt.program, "coarse", program_reward=gain)


def load(passed: float = 1.0, failed: float = -0.3, error: float = -0.6, syntax: float = -1.0) -> Coarse:
    """The coarse reward (eq. 3) with these values of the four outcomes."""
    return Coarse(passed, failed, error, syntax)
