"""Stop strings: where in a program's tokens one is complete, and how much of the text stands before it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from rltf_env.core import IntArray
from rltf_env.tokenizers import HuggingFace

BYTES = 4  # tokens that a character can take, at the most, where each token is a byte


class Stops:
    """Finds `strings` in what a transformers tokenizer's tokens spell."""

    def __init__(self, tokenizer: Any, strings: Sequence[str]) -> None:
        self.tokenizer, self.strings = HuggingFace(tokenizer), tuple(strings)
        self.margin = BYTES * (max(map(len, self.strings)) + 1)  # tokens before new ones that a string can begin in

    def seen(self, tails: Sequence[Sequence[int]]) -> list[bool]:
        """Whether a stop string stands in the last tokens of each program: cheap, for a look while programs are written."""
        texts = self.tokenizer.tokenizer.batch_decode(
            tails, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return [any(stop in text for stop in self.strings) for text in texts]

    def cut(self, tokens: IntArray, given: int) -> tuple[int, int] | None:
        """Number of tokens up to the one that completes the first stop string, and of characters before that string.

        None if no string is completed by a token that was chosen. A string may begin in the given tokens, whose text is kept.
        """
        program = self.tokenizer.program(tokens)
        text, starts = program.text, program.starts
        chosen = int(starts[given]) if given < len(starts) else len(text)
        found = [(text.find(stop, max(0, chosen - len(stop) + 1)), stop) for stop in self.strings]
        ends = [(at + len(stop), at) for at, stop in found if at >= 0]
        if not ends:
            return None
        end, at = min(ends)
        return int(np.searchsorted(starts, end, "left")), max(at, chosen)
