"""Which of several programs to hand in: one that passes the public examples, and among those the likeliest."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from agents.core import Completion, Done
from rltf_env.core import Outcome, Verdict


def passing(verdicts: Sequence[Verdict | None], *, known: bool) -> list[bool]:
    """Whether each program passes all public examples.

    Args:
        known: something is known of programs for this problem: then one without a verdict has lost it, and passes nothing.
            Where it is not, as without examples, all count as passing.
    """
    return [not known if verdict is None else verdict.outcome is Outcome.PASSED for verdict in verdicts]


def likelihood(completion: Completion) -> float:
    """Mean log-probability, under the policy, of the tokens that were chosen."""
    chosen = completion.logprobs[completion.given :]
    return float(np.mean(chosen)) if len(chosen) else 0.0


def best(group: Sequence[Completion], verdicts: Sequence[Verdict | None]) -> Completion:
    """The likeliest of those that pass the examples, or of all if none does; the first of equals.

    Of a group with verdicts, one without has been lost: it passes nothing.
    """
    passed = passing(verdicts, known=any(v is not None for v in verdicts))
    keys = list(zip(passed, map(likelihood, group), strict=True))
    return group[max(range(len(group)), key=lambda i: keys[i])]


def handed_in(groups: list[list[Completion]], done: Done | None) -> list[list[Completion]]:
    """The groups, of which `done` is told: what is chosen is known when all is written."""
    if done:
        for i, group in enumerate(groups):
            for k, completion in enumerate(group):
                done(i, k, completion)
    return groups
