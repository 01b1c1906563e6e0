"""Structure: how much of a reference's syntax tree and data flow a program has (PPOCoder, arXiv 2301.13816, section 3.3).

The facts of the program come with the verdict (`rltf_env/facts.py`), those of the references are made here: they are the
data's own text.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from rltf_env import facts
from rltf_env.core import Attempt, Feedback, Outcome
from rltf_env.rewards._options import choice, number

WHEN = ("compiles", "fails")


@dataclass(frozen=True)
class Structure:
    """ast * R_ast + flow * R_dfg for the program as a whole, each share in [0, 1].

    R_ast is the part of the reference's subtrees that the program has, R_dfg the part of its data-flow items, both as
    multisets: a subtree of the program answers for one of the reference. Of several references the one that matches best
    counts. 0 for a program without facts (no Python, too long), and on a problem without a reference.

    With weights of 1, PPOCoder's, the order of right and wrong is not kept: beside `coarse`, a wrong copy of a reference
    earns -0.3 + 1 + 1 = 1.7, a right program of another shape 1 + 0.125 + 0 = 1.125. Weights w of both keep the order of
    pass and fail if 2w < 1.3, the distance that `coarse` makes between them: 0.25 is well within it.

    There is no `relative`: a verdict alone does not tell the share of another program.

    Args:
        ast, flow: the weights.
        when: "compiles": every program that is Python earns it; "fails": only those that do not pass.
    """

    ast: float = 1.0
    flow: float = 1.0
    when: str = "compiles"
    needs: ClassVar[frozenset[str]] = frozenset({"facts"})
    reads_references: ClassVar[bool] = True

    def __post_init__(self) -> None:
        number("ast", self.ast)
        number("flow", self.flow)
        choice("value of option 'when'", self.when, WHEN)

    def __call__(self, attempt: Attempt) -> Feedback:
        tree, flow = self._shares(attempt)
        return Feedback.build(attempt.program, "ast", program_reward=self.ast * tree) + Feedback.build(
            attempt.program, "flow", program_reward=self.flow * flow
        )

    def _shares(self, attempt: Attempt) -> tuple[float, float]:
        verdict = attempt.verdict
        if verdict.outcome is Outcome.SYNTAX_ERROR or (self.when == "fails" and verdict.outcome is Outcome.PASSED):
            return 0.0, 0.0
        if verdict.facts is None:
            return 0.0, 0.0
        known = [reference for reference in map(_facts_of, attempt.problem.solutions) if reference is not None]
        matches = [(share(verdict.facts.tree, r.tree), share(verdict.facts.flow, r.flow)) for r in known]
        return max(matches, key=lambda match: self.ast * match[0] + self.flow * match[1], default=(0.0, 0.0))


def share(program: Sequence[str], reference: Sequence[str]) -> float:
    """|program and reference| / |reference| as multisets; of an empty reference 1 for an empty program, else 0."""
    if not reference:
        return float(not program)
    return (Counter(program) & Counter(reference)).total() / len(reference)


@lru_cache(maxsize=4096)
def _facts_of(reference: str) -> facts.Facts | None:
    return facts.of(reference)


def load(ast: float = 1.0, flow: float = 1.0, when: str = "compiles") -> Structure:
    """The structure reward with these weights; `when`: "compiles" or "fails"."""
    return Structure(ast, flow, when)
