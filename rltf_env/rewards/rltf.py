"""RLTF's reward (arXiv 2307.04349): coarse + fine + adaptive, as in the paper or as in the code that was released with it.

The paper adds three losses with a weight of 1 each (eq. 6, 8-10): `combine="sum"`. The released code makes one number of
them, in which the adaptive value replaces the coarse one where a program fails: `combine="replace"`.
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
from rltf_env.rewards.adaptive import Adaptive
from rltf_env.rewards.coarse import Coarse
from rltf_env.rewards.fine import Fine

PARTS = ("coarse", "fine", "adaptive")
COMBINE = ("sum", "replace")

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
        coarse = Feedback.build(attempt.program, "coarse", sequence=0.0 if failed else value)
        return coarse + Feedback.build(attempt.program, "adaptive", sequence=value if failed else 0.0)


def load(
    combine: str = "sum",
    alpha: str = "span_ratio",
    clip: float | None = None,
    weights: Mapping[str, float] | None = None,
    categories: Mapping[str, str] | None = None,
) -> Reward:
    """RLTF's reward; the defaults are the paper's.

    Args:
        combine: "sum" (eq. 6) or "replace" (released code).
        alpha, clip, categories: options of the fine term, see `fine.Fine`.
        weights: of the parts "coarse", "fine" and "adaptive" where they are not 1.
    """
    choice("value of option 'combine'", combine, COMBINE)
    weight = _weights(weights)
    fine = _compose.scaled(Fine(alpha=alpha, clip=clip, categories=categories or {}), weight["fine"])
    if combine == "replace":
        return _compose.summed(Graded(Coarse(), Adaptive(), weight["coarse"], weight["adaptive"]), fine)
    coarse = _compose.scaled(Coarse(), weight["coarse"])
    return _compose.summed(coarse, fine, _compose.scaled(Adaptive(), weight["adaptive"]))


def _weights(weights: Mapping[str, float] | None) -> dict[str, float]:
    if not isinstance(weights, Mapping | None):
        raise UsageError(f'Expected weights as a mapping such as {{"fine": 0.5}}, got {weights!r}.')
    given = {
        choice("part to weigh", part, PARTS): number(f"weight of {part}", w) for part, w in (weights or {}).items()
    }
    return dict.fromkeys(PARTS, 1.0) | given
