"""What a decoder may know of the problems behind the prompts: their public examples, and nothing that is hidden.

Most decoders see prompts alone. One that tries its programs on the examples before it hands them in has a method
`informed(public)` instead of being a decoder itself (`agents.core.ExampleAwareDecoder`). Who decodes asks `bind_examples` for
the decoder to call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from agents.core import AnyDecoder, Completion, Decoder, ExampleAwareDecoder, Judge, PublicExamples
from rltf_env.core import IntArray, Problem, Program


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
