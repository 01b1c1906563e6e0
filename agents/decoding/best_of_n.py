"""Best of n by public examples: n programs for each one that is handed in. The honest baseline of `critic_sampling`.

A program that passes the examples goes before one that does not, and a likelier one (mean log-probability of its tokens) before
another. Where a problem has no examples, likelihood alone decides. What is handed in is *chosen*: its log-probabilities are
the policy's, but it was not drawn from the policy. On MBPP the examples are the hidden cases too, and this is an oracle.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import Any

from agents.core import Completion, Decoder, PublicExamples
from agents.decoding._choosing import best, handed_in
from agents.decoding.sampling import Sampling
from rltf_env.errors import UsageError


@dataclass(frozen=True)
class BestOfN:
    """See `agents.core.ExampleAwareDecoder`. `n` programs are written, as `sampling` says, for each one handed in."""

    n: int = 8
    sampling: Sampling = field(default_factory=Sampling)

    def __post_init__(self) -> None:
        if self.n < 1:
            raise UsageError(f"Expected n >= 1, got {self.n}.")

    def informed(self, public: PublicExamples) -> Decoder:
        """The decoder that chooses by these public examples."""
        return partial(self._write, public)

    def _write(
        self,
        public: PublicExamples,
        policy: Any,
        prompts: Any,
        given: Any,
        *,
        repeats: int,
        done: Any = None,
        **options: Any,
    ) -> list[list[Completion]]:
        groups = self.sampling(policy, prompts, given, repeats=repeats * self.n, **options)
        parts = [slice(i, i + self.n) for i in range(0, repeats * self.n, self.n)]
        chosen = [
            [best(group[part], verdicts[part]) for part in parts]
            for group, verdicts in zip(groups, public.verdicts(groups), strict=True)
        ]
        return handed_in(chosen, done)


def load(n: int = 8, **options: Any) -> BestOfN:
    """A `BestOfN` decoder; `options` are those of `Sampling`."""
    return BestOfN(n, Sampling(**options))
