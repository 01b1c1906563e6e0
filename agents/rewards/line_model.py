"""Dense reward of a line model (arXiv 2410.17621): each line earns its score, at its last token.

reward = "coarse+agents.rewards.line_model:load"
reward_options = { "agents.rewards.line_model:load" = { path = "runs/mine/line_model" } }
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch

from agents.critics.line_model import LineModel, last_tokens, line_ends
from rltf_env.core import Attempt, BoolArray, Feedback, FloatArray, IntArray, Problem, Verdict
from rltf_env.errors import UnknownName, UsageError

FORMS = ("mean", "potential")
REMEMBERED = 1024  # programs: a policy often writes the same, and a baseline asks for each again


class LineReward:
    """What a line model says of each line, as a reward of the token that ends it.

    With R_m the score of lines 1..m and M the number of lines that the agent wrote:

    - `form="mean"`, the paper's: line m earns R_m / M. More lines do not earn more, and a line
      that is scored 0, as comments are trained to be, lowers what the others earn.
    - `form="potential"`, ours: line m earns R_m - R_(m-1), and R_0 is 0. The sum is R_M, however
      many lines there are.

    Either sum is in [-1, 1], times `weight`. A line whose last token was given for free earns
    nothing. Scores are credit of single tokens, so there is no baseline to subtract, and `relative`
    is the reward itself (as in RLTF eq. 9). PPO with `credit = "token"`, its default, has the
    rewards where the lines end, as in the paper; with `credit = "program"` only their sum is left,
    at the end.

    The model words the problem itself and reads the program's text with its own tokenizer. It can
    be wrong, and what it rewards can be sought for its own sake: leave a reward from tests beside
    it.
    """

    def __init__(
        self,
        model: LineModel,
        weight: float = 1.0,
        form: str = "mean",
        reload: Callable[[], LineReward] | None = None,
    ) -> None:
        if form not in FORMS:
            raise UnknownName("value of option 'form'", str(form), FORMS)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not np.isfinite(weight):
            raise UsageError(f"Expected weight to be a finite number, got {weight!r}.")
        self.model, self.weight, self.form = model, float(weight), form
        self._reload = reload  # loads it in another process: a lock cannot be sent there
        self._memory: dict[tuple[str, str, str], FloatArray] = {}
        self._lock = threading.Lock()  # feedback is made in the threads of the judge

    def __call__(self, attempt: Attempt) -> Feedback:
        program = attempt.program
        scores = self.scores(attempt.problem, program.text)
        ends = last_tokens(program.starts, line_ends(program.text))
        paid = line_rewards(scores, ends, program.generated_mask, self.form)
        return Feedback.build(program, "line_model", tokens=np.float32(self.weight) * paid)

    def scores(self, problem: Problem, text: str) -> FloatArray:
        """float32 (M,): the model's score of each line; NaN where it has none. The newest are remembered."""
        key = (problem.id, problem.statement, text)
        with self._lock, torch.inference_mode():
            if key not in self._memory:
                if len(self._memory) == REMEMBERED:
                    del self._memory[next(iter(self._memory))]
                self._memory[key] = self.model.lines(problem, text)
            return self._memory[key]

    def relative(self, attempt: Attempt, baseline: Verdict) -> Feedback:
        """The same: credit of single tokens has no baseline."""
        return self(attempt)

    def __reduce__(self) -> tuple[Any, ...]:
        return (self._reload, ()) if self._reload else (LineReward, (self.model, self.weight, self.form))


def line_rewards(scores: FloatArray, ends: IntArray, generated: BoolArray, form: str = "mean") -> FloatArray:
    """float32 (T,): what each token earns.

    Args:
        scores: (M,), R of each line; NaN: not scored, which earns nothing.
        ends: (M,), the token that ends each line; -1: none.
        generated: (T,), the tokens that the agent chose. A line that ends in another counts as none.
        form: one of `FORMS`.
    """
    own = ends >= 0
    own[own] = generated[ends[own]]
    paid, scores = np.zeros(len(generated), np.float32), scores[own]
    if len(scores):
        each = (
            np.nan_to_num(scores) / len(scores) if form == "mean" else np.diff(_filled(scores), prepend=np.float32(0))
        )
        np.add.at(paid, ends[own], each)
    return paid


def _filled(scores: FloatArray) -> FloatArray:
    """float32 (M,): a line without a score has that of the line before; at the beginning 0."""
    last = np.maximum.accumulate(np.where(np.isnan(scores), 0, np.arange(1, len(scores) + 1)))
    return np.append(np.float32(0), scores)[last]


def load(path: str, weight: float = 1.0, form: str = "mean", device: str = "auto") -> LineReward:
    """The dense reward of the line model in `path`; see `LineReward`.

    Args:
        path: a folder that `python -m agents.train_line_model` wrote.
        weight: times which each line earns.
        form: "mean" or "potential".
        device: of the model.

    Raises:
        MissingData: there is no line model in `path`.
    """
    model = LineModel.load(path, device=device)
    model.policy.model.requires_grad_(False)
    return LineReward(model, weight, form, partial(load, path, weight, form, device))
