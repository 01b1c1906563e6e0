"""RLTF's reward (arXiv 2307.04349): coarse + fine + adaptive.

    load("rltf")                     three terms added (eq. 6, 8-10), each read so that no crash beats a wrong answer
    load("rltf", **PAPER)            the same, with the adaptive term for wrong answers alone
    load("rltf", **RELEASED_CODE)    one number, in which the adaptive value replaces the coarse one where a program fails

What a program earns by default, with the share r of the cases that it passed:

    passed         1
    wrong answer   -0.6 + 1.3 r
    error          -0.9, and -0.3 for the guilty line or, where no line is guilty, for the program
    syntax error   -1.3, likewise

Against a baseline each whole program loses the same number, what the baseline earned as a whole, so that this order stands
against every baseline.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from rltf_env.core import Attempt, Feedback, Outcome, Reward, Verdict
from rltf_env.errors import UsageError
from rltf_env.rewards import _compose
from rltf_env.rewards._options import choice, number
from rltf_env.rewards.adaptive import APPLIES, Adaptive
from rltf_env.rewards.coarse import Coarse
from rltf_env.rewards.fine import Fine

PARTS = ("coarse", "fine", "adaptive")
COMBINE = ("sum", "replace")

PAPER: Mapping[str, Any] = MappingProxyType({"combine": "sum", "alpha": "span_ratio", "applies": "failures"})
"""Options of `load` for the paper as it is mostly read: an error has no adaptive term, in eq. 10 either.

Measured against a baseline that passes, a wrong answer then weighs -2.6 and a time-out -1.9: whoever cannot solve a problem
learns to crash.
"""

RELEASED_CODE: Mapping[str, Any] = MappingProxyType(
    {
        "combine": "replace",
        "alpha": "none",
        "categories": MappingProxyType(
            {
                "Timeout": "ignore",
                "Killed": "ignore",
                "Exited": "ignore",
                "RuntimeError": "ignore",
                "NotImplementedError": "line",
                "MemoryError": "line",
                "MemoryLimit": "line",
            }
        ),
    }
)
"""Options of `load` for the released code with its critic off: reward_t = R - 0.3 m_t - R_b (fine_grained_type 1).

R is -1 | -0.6 | -0.3 + 1.3 * pass ratio | +1, R_b the same of the baseline, m_t = 1 on the tokens of the failing line, or
on all tokens. As in that code, time-outs, plain RuntimeErrors, exits and deaths by a signal are charged to nobody. What
can't be had again without reading messages as it does: it took some syntax errors on the last line as global even when
nothing was cut off, and the line of an "unexpected indent" as to blame.
"""


@dataclass(frozen=True)
class Graded:
    """What the released code pays a whole program: the adaptive value where it fails, the coarse value otherwise."""

    coarse: Coarse
    adaptive: Adaptive
    coarse_weight: float = 1.0
    adaptive_weight: float = 1.0

    def value(self, verdict: Verdict) -> float:
        """R of any program with this verdict."""
        if verdict.outcome is Outcome.WRONG_ANSWER:
            return self.adaptive_weight * self.adaptive.value(verdict)
        return self.coarse_weight * self.coarse.value(verdict)

    def __call__(self, attempt: Attempt) -> Feedback:
        return self._feedback(attempt, self.value(attempt.verdict))

    def relative(self, attempt: Attempt, baseline: Verdict) -> Feedback:
        """R - R_b, both by the same function."""
        return self._feedback(attempt, self.value(attempt.verdict) - self.value(baseline))

    def _feedback(self, attempt: Attempt, value: float) -> Feedback:
        failed = attempt.verdict.outcome is Outcome.WRONG_ANSWER
        coarse = Feedback.build(attempt.program, "coarse", program_reward=0.0 if failed else value)
        return coarse + Feedback.build(attempt.program, "adaptive", program_reward=value if failed else 0.0)


def load(
    combine: str = "sum",
    alpha: str = "span_ratio",
    clip: float | None = None,
    weights: Mapping[str, float] | None = None,
    categories: Mapping[str, str] | None = None,
    applies: str = "unsolved",
) -> Reward:
    """RLTF's reward; see the head of this file.

    Args:
        combine: "sum" (eq. 6) or "replace" (released code).
        applies: with "sum", to which programs the adaptive term applies, see `adaptive.Adaptive`. Choose "ordered" where
            `coarse` weighs less than 0.77 of `adaptive`: it is what keeps a program that passes ahead.
        alpha, clip, categories: options of the fine term, see `fine.Fine`.
        weights: of the parts "coarse", "fine" and "adaptive" where they are not 1.
    """
    choice("value of option 'combine'", combine, COMBINE)
    choice("value of option 'applies'", applies, APPLIES)
    weight = _weights(weights)
    fine = _compose.scaled(Fine(alpha=alpha, clip=clip, categories=categories or {}), weight["fine"])
    if combine == "replace":
        return _compose.summed(Graded(Coarse(), Adaptive(), weight["coarse"], weight["adaptive"]), fine)
    coarse = _compose.scaled(Coarse(), weight["coarse"])
    return _compose.summed(coarse, fine, _compose.scaled(Adaptive(applies=applies), weight["adaptive"]))


def _weights(weights: Mapping[str, float] | None) -> dict[str, float]:
    if not isinstance(weights, Mapping | None):
        raise UsageError(f'Expected weights as a mapping such as {{"fine": 0.5}}, got {weights!r}.')
    of_parts = {
        choice("part to weigh", part, PARTS): number(f"weight of {part}", w) for part, w in (weights or {}).items()
    }
    return dict.fromkeys(PARTS, 1.0) | of_parts
