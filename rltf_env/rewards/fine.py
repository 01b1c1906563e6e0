"""The fine-grained reward: an error is charged to the line that raised it.

RLTF eq. 4 and 9 with Table 2 (arXiv 2307.04349). The way from line to tokens is `Program.tokens_on`: carried offsets.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rltf_env.core import Attempt, BoolArray, Feedback, Verdict
from rltf_env.rewards import _categories, _span
from rltf_env.rewards._options import number

ALPHAS = _span.ALPHAS


@dataclass(frozen=True)
class Fine:
    """R_fine = `value` for an error, charged by its category (eq. 4); 0 for a program that ran to its end.

    - U_line: the chosen tokens of the failing line pay. A line of which the agent generated no token (in the prefix, not
      known, not in the text) charges nobody, and the part is 0.
    - U_global: the program as a whole earns `value`: it is `Feedback.program_reward`, the weight of every token in eq. 9 with
      S=0, E=T, alpha=1. In an episode it stands once, on the last token, and not T times.
    - U_ignore: 0.

    What a token of the line pays depends on who asks (`core.Feedback`):

    - A *return* loses `value` once, however long the line and the program are: each of its |span| tokens earns
      `value` / |span|. An error on a line costs what one without a line costs.
    - In a *loss that weighs single tokens* each weighs alpha * `value` (eq. 9; T are the chosen tokens of the program):
      `"span_ratio"`: T / |span|, the paper's: a 10-token line of a 200-token program has alpha 20, -6 on each token, and
      the mean over the program is `value`. `"none"`: 1, what the released code computes.
      `"clipped"`: min(T / |span|, `clip`), `clip` at least 1 (10 unless told).

    There is no baseline for this term, neither for lines nor for U_global (the paper: one is hard to define).

    Args:
        categories: rows that replace or join those of Table 2, class name -> "line" | "global" | "ignore".
    """

    value: float = -0.3
    alpha: str = "span_ratio"
    clip: float | None = None
    categories: Mapping[str, str] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        number("value", self.value)
        _span.check(self.alpha, self.clip)
        object.__setattr__(self, "categories", dict(_categories.table(self.categories)))

    def __call__(self, attempt: Attempt) -> Feedback:
        blame = _categories.category(attempt, self.categories)
        if blame == _categories.GLOBAL:
            return Feedback.build(attempt.program, "fine", program_reward=self.value)
        if blame == _categories.LINE:
            return self._on_line(attempt)
        return Feedback.build(attempt.program, "fine")

    def relative(self, attempt: Attempt, baseline: Verdict) -> Feedback:
        """The same as without a baseline (eq. 9)."""
        return self(attempt)

    def _on_line(self, attempt: Attempt) -> Feedback:
        line = span(attempt)
        if not line.any():
            return Feedback.build(attempt.program, "fine")
        share, weight = _span.charged(line, attempt.program, self.value, self.alpha, self.clip)
        return Feedback.build(attempt.program, "fine", tokens=share, credit=weight)


def span(attempt: Attempt) -> BoolArray:
    """bool (T,): the generated tokens on the line that the verdict blames; all False when it blames none."""
    program, failure = attempt.program, attempt.verdict.failure
    if failure is None or failure.line is None:
        return np.zeros(len(program), bool)
    return program.tokens_on(failure.line) & program.generated_mask


def load(
    value: float = -0.3,
    alpha: str = "span_ratio",
    clip: float | None = None,
    categories: Mapping[str, str] | None = None,
) -> Fine:
    """The fine-grained reward (eq. 4, 9, Table 2)."""
    options: dict[str, Any] = {} if categories is None else {"categories": categories}
    return Fine(value, alpha, clip, **options)
