"""Learn only from code that ran: StepCoder's fine-grained optimisation as a mask (FGO; arXiv 2402.01391, section 3.2).

A reward that pays nothing and says which tokens to learn from, so every agent can add it: `reward = "rltf+executed"`.
"""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from rltf_env.core import Attempt, BoolArray, Feedback, Outcome, Program, Verdict, line_starts
from rltf_env.errors import UsageError
from rltf_env.rewards._options import choice

IDLE = ("inherit", "drop")


@dataclass(frozen=True)
class Executed:
    """0 for every token; `learn` holds the chosen tokens of lines that ran in some case.

    A token stands on each line of which it spells a character, the line's end included, and is kept if one of
    them is. A line without code (a comment, a blank, `else:`) does as the next line with code does, and at the
    end of the program as the last one (`idle="inherit"`); or it is dropped (`idle="drop"`, the equation as it
    is printed: what no tracer reports did not run). Tokens that spell nothing, such as the end token, are kept:
    that the program ends is no dead code. Of a program that is no Python, or of which no line ran, all tokens
    are kept: else its penalty would teach nothing.

    `learn` is all that this says. What reads one number for a program, such as TRL's trainers, cannot have it.
    """

    idle: str = "inherit"
    needs: ClassVar[frozenset[str]] = frozenset({"trace"})

    def __post_init__(self) -> None:
        choice("value of option 'idle'", self.idle, IDLE)

    def __call__(self, attempt: Attempt) -> Feedback:
        feedback = Feedback.build(attempt.program, "executed")
        return replace(feedback, loss_mask=feedback.loss_mask & self.kept(attempt.program, attempt.verdict))

    def relative(self, attempt: Attempt, baseline: Verdict) -> Feedback:
        """The same: there is nothing that a baseline could be subtracted from."""
        return self(attempt)

    def kept(self, program: Program, verdict: Verdict) -> BoolArray:
        """bool (T,): the tokens of code that ran. Raises UsageError on a verdict without lines."""
        if verdict.executed is None or verdict.code is None:
            raise UsageError(
                'Expected a verdict with the lines that ran, since the reward is "executed", got none. '
                "Open the sandbox with trace=True."
            )
        starts = line_starts(program.text)
        lines = _kept_lines(verdict.executed, verdict.code, len(starts), self.idle)
        if verdict.outcome is Outcome.SYNTAX_ERROR or not verdict.executed:
            return np.ones(len(program), bool)
        return _on_lines(program, np.array(starts), lines)


def _kept_lines(executed: Set[int], code: Set[int], count: int, idle: str) -> BoolArray:
    """bool (count,): for each line of the program whether it is kept."""
    kept = np.zeros(count, bool)
    ran = bool(code) and max(code) in executed  # below the last line with code
    for line in range(count, 0, -1):
        if line in code or line in executed:
            ran = line in executed
            kept[line - 1] = ran
        else:
            kept[line - 1] = ran and idle == "inherit"
    return kept


def _on_lines(program: Program, starts: np.ndarray, lines: BoolArray) -> BoolArray:
    """bool (T,): the tokens that spell a character of one of these lines, and those that spell none."""
    lower, end = program.starts, len(program.text)
    upper = np.append(lower[1:], end)
    upper = np.maximum(upper, np.minimum(lower + 1, end))  # one of several tokens that share a character
    before = np.concatenate([[0], np.cumsum(lines)])  # of lines kept, up to each line
    first = np.searchsorted(starts, lower, side="right") - 1
    last = np.searchsorted(starts, np.maximum(upper - 1, lower), side="right") - 1
    return (before[last + 1] > before[first]) | (lower >= upper)


def load(idle: str = "inherit") -> Executed:
    """The mask of executed code; `idle`: "inherit" or "drop", what becomes of lines without code."""
    return Executed(idle)
