"""The adaptive reward: the share of the cases that the program passed.

RLTF eq. 5 (arXiv 2307.04349): R_adapt = -0.3 + 1.3 * N_pass / (N_pass + N_fail), for the whole program (S=0, E=T).
"""

from __future__ import annotations

from dataclasses import dataclass

from rltf_env.core import Attempt, Feedback, Outcome, Verdict
from rltf_env.rewards._options import choice, number

APPLIES = ("ordered", "unsolved", "failures", "always")


@dataclass(frozen=True)
class Adaptive:
    """R_adapt = failed + (passed - failed) * pass ratio, earned by the program as a whole (eq. 5).

    `applies` says to which programs. The equation does not; the paper's text says: to those that "do not pass all test cases".

    - `"ordered"`: to all, and an error forfeits the cases that were passed. A better outcome never earns less.
    - `"unsolved"`: the same, but a program that passes earns 0: beside `coarse`, which pays for that, it need not be paid twice.
    - `"failures"`: to wrong answers alone, as the released code has it.
    - `"always"`: the equation to the letter, so that an error that passed three cases of four beats a wrong answer.

    Against a baseline (eq. 10) a program earns its own value less the baseline's. A number that is the same for all programs
    leaves their order as it is. With `"failures"` it is not: an error is spared the difference, and so beats a wrong answer
    as soon as the baseline passes.
    """

    failed: float = -0.3
    passed: float = 1.0
    applies: str = "ordered"

    def __post_init__(self) -> None:
        number("failed", self.failed)
        number("passed", self.passed)
        choice("value of option 'applies'", self.applies, APPLIES)

    def value(self, verdict: Verdict) -> float:
        """R_adapt by the equation; of an error with no case passed, unless the equation is read to the letter."""
        forfeit = self.applies in ("ordered", "unsolved") and verdict.outcome < Outcome.WRONG_ANSWER
        return self.failed + (self.passed - self.failed) * (0.0 if forfeit else verdict.pass_ratio)

    def counts(self, verdict: Verdict) -> bool:
        """True if a program with this verdict earns the adaptive reward."""
        if self.applies == "failures":
            return verdict.outcome is Outcome.WRONG_ANSWER
        return self.applies != "unsolved" or verdict.outcome is not Outcome.PASSED

    def __call__(self, attempt: Attempt) -> Feedback:
        return Feedback.build(attempt.program, "adaptive", program_reward=self._earned(attempt.verdict))

    def relative(self, attempt: Attempt, baseline: Verdict) -> Feedback:
        """R_adapt(program) - R_adapt(baseline) (eq. 10).

        With `"failures"` only where the program earns the adaptive reward, else 0; the baseline's value then follows the
        equation whatever its outcome: R_adapt of a baseline that passed is `passed`.
        """
        if self.applies == "failures":
            gain = self.value(attempt.verdict) - self.value(baseline) if self.counts(attempt.verdict) else 0.0
        else:
            gain = self._earned(attempt.verdict) - self._earned(baseline)
        return Feedback.build(attempt.program, "adaptive", program_reward=gain)

    def _earned(self, verdict: Verdict) -> float:
        return self.value(verdict) if self.counts(verdict) else 0.0


def load(failed: float = -0.3, passed: float = 1.0, applies: str = "ordered") -> Adaptive:
    """The adaptive reward (eq. 5): from `failed` (no case passed) to `passed` (all of them)."""
    return Adaptive(failed, passed, applies)
