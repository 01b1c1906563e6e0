"""What a decoder may know of the problems behind the prompts: their public examples, and nothing that is hidden.

Most decoders see prompts alone. One that tries its programs on the examples before it hands them in has a method
`informed(public)` instead of being a decoder itself (`ExampleAwareDecoder`). Who decodes asks `bind_examples` for the decoder
to call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

from agents.core import Completion, Decoder
from rltf_env.core import IntArray, Problem, Program, Verdict

Judge = Callable[[Iterable[tuple[Problem, Program]]], Iterable[Verdict]]


@dataclass(frozen=True, eq=False)
class PublicExamples:
    """The public side of N problems, in the order of their prompts.

    Args:
        problems: (N,), each with its examples as its cases, without references or cases held out; None: it has no examples.
        encode: the prompt of a problem in tokens, int64 (P,), worded as the policy is asked.
        spell: the program that is judged, of a completion.
        judge: verdicts, in order.
    """

    problems: tuple[Problem | None, ...]
    encode: Callable[[Problem], IntArray]
    spell: Callable[[Problem, Completion], Program]
    judge: Judge

    def verdicts(self, groups: Sequence[Sequence[Completion]]) -> list[list[Verdict | None]]:
        """What the examples say of the completions for each problem (N, K); None where there are no examples."""
        asked = zip(self.problems, groups, strict=True)
        jobs = ((problem, self.spell(problem, c)) for problem, group in asked if problem for c in group)
        found = iter(self.judge(jobs))
        return [
            [next(found) if problem else None for _ in group]
            for problem, group in zip(self.problems, groups, strict=True)
        ]


@runtime_checkable
class ExampleAwareDecoder(Protocol):
    """A way of choosing tokens that looks at what public examples say of its programs."""

    def informed(self, public: PublicExamples) -> Decoder:
        """The decoder for the prompts of these problems, in their order."""
        ...


AnyDecoder = Decoder | ExampleAwareDecoder


def bind_examples(
    decoder: AnyDecoder,
    problems: Sequence[Problem],
    encode: Callable[[Problem], IntArray],
    spell: Callable[[Problem, Completion], Program],
    judge: Judge,
) -> Decoder:
    """The decoder for these problems: `decoder` itself, unless it is one that wants to know what is public of them."""
    if not isinstance(decoder, ExampleAwareDecoder):
        return decoder
    return decoder.informed(PublicExamples(tuple(map(visible_problem, problems)), encode, spell, judge))


def visible_problem(problem: Problem) -> Problem | None:
    """The problem with its public examples as its cases, and nothing hidden; None if it has no examples."""
    if not problem.examples:
        return None
    return replace(problem, cases=tuple(problem.examples), solutions=(), held_out=())
