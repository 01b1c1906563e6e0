"""Best of n: each program that is handed in is chosen among its own n, by their own verdicts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from agents.core import Completion
from agents.decoding.best_of_n import BestOfN
from rltf_env.core import CaseResult, Failure, Outcome, Verdict

PASSED = Verdict((CaseResult(Outcome.PASSED),))
FAILED = Verdict((CaseResult(Outcome.WRONG_ANSWER, Failure("x")),))


def written(logprob: float) -> Completion:
    row = np.full(2, logprob, np.float32)
    return Completion(np.arange(2), row, row, 0, False)


def test_each_lot_is_chosen_from_by_its_own_verdicts() -> None:
    """Of two lots of two: neither of the first passes, and of the second the less likely one."""
    lots = [written(logprob) for logprob in (-3.0, -2.0, -5.0, -1.0)]
    public: Any = SimpleNamespace(verdicts=lambda groups: [[FAILED, FAILED, PASSED, FAILED]])
    sampling: Any = lambda *_, repeats: [lots[:repeats]]  # noqa: E731
    (chosen,) = BestOfN(2, sampling).informed(public)(SimpleNamespace(), [np.ones(1)], [np.ones(0)], repeats=2)  # type: ignore[call-arg]
    assert chosen == [lots[1], lots[2]]
