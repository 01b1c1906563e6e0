"""Best of n by a line model (arXiv 2410.17621): no test is looked at, neither hidden ones nor public examples.

Of `n` programs the one with the best line scores is handed in, of equals the likelier one (mean
log-probability of its tokens). What is handed in is *chosen*: its log-probabilities are the policy's,
but it was not drawn from the policy.

    python -m benchmarks.evaluate SUITE --agent RUN --decoder line_rank \\
        --decoder-option n=8 --decoder-option model=RUN/line_model
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from agents.core import Completion, Done, Policy, TrainingSample
from agents.critics.line_model import LineModel, at, last_tokens, line_ends
from agents.decoding._choosing import handed_in, likelihood
from agents.decoding.sampling import Sampling
from rltf_env.core import IntArray
from rltf_env.errors import UnknownName, UsageError

BY: dict[str, Callable[[Any], Any]] = {"min": np.min, "mean": np.mean, "last": lambda scores: scores[-1]}


@dataclass(frozen=True)
class LineRank:
    """See `agents.core.Decoder`. `n` programs are written, as `sampling` says, for each one handed in.

    Args:
        model: scores lines; it has the policy's vocabulary, and reads the prompts that the policy reads.
        n: programs for each one handed in.
        by: "min": a program is as good as its worst line; "mean"; "last": the score of the whole.
            Lines without code are trained towards 0, which holds back the minimum of programs
            that have some.
        sampling: how tokens are drawn.
    """

    model: LineModel
    n: int = 8
    by: str = "min"
    sampling: Sampling = field(default_factory=Sampling)

    def __post_init__(self) -> None:
        if self.n < 1:
            raise UsageError(f"Expected n >= 1, got {self.n}.")
        if self.by not in BY:
            raise UnknownName("value of by", str(self.by), BY)

    def __call__(
        self,
        policy: Policy[Any],
        prompts: Sequence[IntArray],
        given: Sequence[IntArray],
        *,
        repeats: int,
        max_tokens: int,
        generator: torch.Generator,
        done: Done | None = None,
    ) -> list[list[Completion]]:
        if self.model.policy.tokenizer.get_vocab() != policy.tokenizer.get_vocab():
            raise UsageError("Expected the line model to have the policy's tokenizer, got another one.")
        groups = self.sampling(
            policy, prompts, given, repeats=repeats * self.n, max_tokens=max_tokens, generator=generator
        )
        chosen = [
            [self.best(prompt, group[i : i + self.n]) for i in range(0, len(group), self.n)]
            for prompt, group in zip(prompts, groups, strict=True)
        ]
        return handed_in(chosen, done)

    def best(self, prompt: IntArray, group: Sequence[Completion]) -> Completion:
        """The completion with the best lines; of equals the likeliest, and of those the first."""
        keys = list(zip(self.values(prompt, group), map(likelihood, group), strict=True))
        return group[max(range(len(group)), key=lambda i: keys[i])]

    def values(self, prompt: IntArray, group: Sequence[Completion]) -> list[float]:
        """What each completion of a prompt is worth by its lines; -inf without a line of its own."""
        readings = [self._read(prompt, c) for c in group]
        scores = self.model.scores([sample for sample, _ in readings])
        lines = [at(row, ends) for row, (_, ends) in zip(scores, readings, strict=True)]
        return [self._value(each) for each in lines]

    def _value(self, scores: np.ndarray) -> float:
        valid = scores[~np.isnan(scores)]
        return float(BY[self.by](valid)) if len(valid) else -np.inf

    def _read(self, prompt: IntArray, c: Completion) -> tuple[TrainingSample, IntArray]:
        """A completion as the model reads it, and where its lines end: -1 for those that were given."""
        text, starts, _ = self.model.tokenizer.offsets(c.tokens)
        text = text[: c.kept]  # what stands before the stop string
        sample, ends = self.model.fitted(prompt, c.tokens, last_tokens(starts, line_ends(text)))
        return sample, np.where(ends >= c.given, ends, -1)


def load(model: str, n: int = 8, by: str = "min", device: str = "auto", **options: Any) -> LineRank:
    """A `LineRank` decoder.

    Args:
        model: a folder that `python -m agents.train_line_model` wrote.
        n, by: see `LineRank`.
        device: of the model.
        options: those of `Sampling`.
    """
    return LineRank(LineModel.load(model, device=device), n, by, Sampling(**options))
