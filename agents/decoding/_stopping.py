"""Stop strings and end tokens: where in a program's tokens it ends, and how much of the text stands before that."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from agents.core import Policy
from rltf_env.core import IntArray
from rltf_env.tokenizers import HuggingFace

BYTES = 4  # tokens that a character can take, at the most, where each token is a byte


def ends_of(policy: Policy[Any]) -> tuple[int, ...]:
    """The tokens that end a program of this policy, `eos_id` first: those that it names (`ends`), or that one alone."""
    return tuple(getattr(policy, "ends", (policy.eos_id,)))


class Stops:
    """Finds `strings` in what a transformers tokenizer's tokens spell, and end tokens other than the tokenizer's own.

    Args:
        ends: such tokens. They may be ordinary ones, which spell something that is no part of the program.
    """

    def __init__(self, tokenizer: Any, strings: Sequence[str], ends: Sequence[int] = ()) -> None:
        self.tokenizer, self.strings, self.ends = HuggingFace(tokenizer), tuple(strings), frozenset(ends)
        # tokens before new ones that a string can begin in
        self.margin = BYTES * (max(map(len, self.strings), default=0) + 1)

    @classmethod
    def of(cls, policy: Policy[Any], strings: Sequence[str]) -> Stops | None:
        """Of a policy; None where only its tokenizer's own end ends a program."""
        others = [token for token in ends_of(policy) if token != policy.eos_id]
        return cls(policy.tokenizer, strings, others) if strings or others else None

    def seen(self, tails: Sequence[Sequence[int]]) -> list[bool]:
        """Whether a stop string stands in the last tokens of each program: cheap, for a look while programs are written."""
        texts = self.tokenizer.tokenizer.batch_decode(
            tails, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return [any(stop in text for stop in self.strings) for text in texts]

    def cut(self, tokens: IntArray, given: int) -> tuple[int, int] | None:
        """Number of tokens up to the one that completes the first stop string, and of characters before that string.

        None if no string is completed by a token that was chosen. A string may begin in the given tokens, whose text is kept.
        With an end token of `ends` as the last one: all tokens, and the characters before it.
        """
        ended = len(tokens) > given and int(tokens[-1]) in self.ends
        if not self.strings and not ended:
            return None
        program = self.tokenizer.program(tokens)
        text, starts = program.text, program.starts
        chosen = int(starts[given]) if given < len(starts) else len(text)
        found = [(text.find(stop, max(0, chosen - len(stop) + 1)), stop) for stop in self.strings]
        ends = [(at + len(stop), at) for at, stop in found if at >= 0]
        if not ends:
            return (len(tokens), int(starts[-1])) if ended else None
        end, at = min(ends)
        return int(np.searchsorted(starts, end, "left")), max(at, chosen)
