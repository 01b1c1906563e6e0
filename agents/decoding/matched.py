"""Reranking by a match (CodeT5+, arXiv 2305.07922): of n programs, the one that most belongs to its prompt is handed in.

A model that CodeT5+'s losses have taught reads prompt and program (`agents/critics/matcher.py`); no example is looked at, no test
is run. The honest baseline is the likeliest of as many programs: `match = false`. What is handed in is *chosen*: its
log-probabilities are the policy's, but it was not drawn from the policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from agents.core import Completion, Done, Policy
from agents.critics.matcher import Matcher
from agents.decoding._choosing import handed_in, likelihood
from agents.decoding.sampling import Sampling
from agents.policies.pair_heads import plain_sample
from rltf_env.core import IntArray
from rltf_env.errors import UsageError


@dataclass(frozen=True)
class Matched:
    """See the head of this file and `agents.core.Decoder`.

    Args:
        matcher: reads with the policy's tokenizer; None: the likeliest program is handed in.
        n: programs that are written for each one handed in.
        sampling: how their tokens are drawn.
    """

    matcher: Matcher | None
    n: int = 8
    sampling: Sampling = field(default_factory=Sampling)

    def __post_init__(self) -> None:
        if self.n < 1:
            raise UsageError(f"Expected n >= 1, got {self.n}.")

    def __call__(
        self,
        policy: Policy[Any],
        prompts: Sequence[IntArray],
        given: Sequence[IntArray],
        *,
        repeats: int = 1,
        max_tokens: int,
        generator: torch.Generator,
        done: Done | None = None,
    ) -> list[list[Completion]]:
        if self.matcher and self.matcher.policy.tokenizer.get_vocab() != policy.tokenizer.get_vocab():
            raise UsageError("Expected a matcher with the policy's tokenizer, got another one.")
        options: dict[str, Any] = {"max_tokens": max_tokens, "generator": generator}
        groups = self.sampling(policy, prompts, given, repeats=repeats * self.n, **options)
        chosen: list[list[Completion]] = []
        for prompt, group in zip(prompts, groups, strict=True):
            scores = self.scores(policy, prompt, group)
            parts = [range(i, i + self.n) for i in range(0, len(group), self.n)]
            chosen.append([group[max(part, key=lambda k: scores[k])] for part in parts])
        return handed_in(chosen, done)

    def scores(self, policy: Policy[Any], prompt: IntArray, group: Sequence[Completion]) -> list[float]:
        """How good each program is for the prompt; of equals, the first is chosen."""
        if self.matcher is None:
            return [likelihood(completion) for completion in group]
        samples = [plain_sample(prompt, np.append(_without_end(policy, c), policy.eos_id)) for c in group]
        return self.matcher.odds(samples).tolist()


def _without_end(policy: Policy[Any], completion: Completion) -> IntArray:
    ends = getattr(policy, "ends", (policy.eos_id,))
    tokens = completion.tokens
    return tokens[:-1] if len(tokens) and int(tokens[-1]) in ends else tokens


def load(path: str = "", n: int = 8, match: bool = True, device: str = "auto", **options: Any) -> Matched:
    """A `Matched` decoder.

    Args:
        path: the folder `policy` of a run with kind = "codet5p".
        n: programs for each one that is handed in.
        match: false hands in the likeliest, and needs no path: the baseline.
        device: of the matcher.
        options: those of `Sampling`.
    """
    if match and not path:
        raise UsageError('Expected path, the folder `policy` of a run with kind = "codet5p", got none.')
    return Matched(Matcher.load(path, device=device) if match else None, n, Sampling(**options))
