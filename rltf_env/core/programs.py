"""A program: the tokens that an agent emitted, the text they spell, and which token spells which line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from rltf_env._renamed import renamed_attributes, renamed_fields
from rltf_env.core.problems import Problem
from rltf_env.core.verdicts import Verdict
from rltf_env.errors import UsageError

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

_NEWLINE = re.compile(r"\r\n|\r|\n")  # what Python's own tokenizer counts as a line end; not str.splitlines()


def line_starts(text: str) -> list[int]:
    """Character offset of the first character of each line of `text`, as Python counts lines."""
    return [0, *(match.end() for match in _NEWLINE.finditer(text))]


@renamed_attributes(chosen="generated_mask")
@renamed_fields(given="prefix_length")
@dataclass(frozen=True, eq=False)
class Program:
    """The tokens an agent emitted and the text they spell, with the way from one to the other carried along.

    Args:
        tokens: int64 (T,), including the end-of-sequence token if one was emitted.
        text: what is judged.
        starts: int64 (T,), non-decreasing; offset in `text` of the first character that the token helps to spell. Tokens that
            share a character (bytes of one code point) share its offset; tokens without text (end-of-sequence) have the
            offset at which they stand.
        prefix_length: the number of leading tokens that the agent did not generate.
        truncated: cut off at the length limit, without an end-of-sequence token.
    """

    tokens: IntArray
    text: str
    starts: IntArray
    prefix_length: int = 0
    truncated: bool = False

    def __post_init__(self) -> None:
        if self.tokens.shape != self.starts.shape or self.tokens.ndim != 1:
            raise UsageError(
                f"Expected tokens and starts of one shape (T,), got {self.tokens.shape}, {self.starts.shape}."
            )
        if not 0 <= self.prefix_length <= len(self.tokens):
            raise UsageError(f"Expected 0 <= prefix_length <= {len(self.tokens)} tokens, got {self.prefix_length}.")

    def __len__(self) -> int:
        return len(self.tokens)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Program):
            return NotImplemented
        return (self.text, self.prefix_length, self.truncated) == (
            other.text,
            other.prefix_length,
            other.truncated,
        ) and (np.array_equal(self.tokens, other.tokens) and np.array_equal(self.starts, other.starts))

    def __hash__(self) -> int:
        return hash((self.text, len(self.tokens), self.prefix_length))

    @cached_property
    def generated_mask(self) -> BoolArray:
        """bool (T,): the tokens that the agent generated."""
        return np.arange(len(self.tokens)) >= self.prefix_length

    def tokens_on(self, line: int) -> BoolArray:
        """bool (T,): tokens that help to spell line `line` (1-based, its line end excluded); all False if there is none.

        A token that spans several lines (a newline with the next line's indentation) is on each whose characters it
        spells; on an empty line, the token that spells the line's own end stands for it.
        """
        starts = line_starts(self.text)
        if not 1 <= line <= len(starts):
            return np.zeros(len(self.tokens), bool)
        begin = starts[line - 1]
        end = starts[line] if line < len(starts) else len(self.text)
        body = self.text[begin:end].rstrip("\r\n")
        if body or line == len(starts):
            end = begin + len(body)
        lower = self.starts
        upper = np.append(self.starts[1:], len(self.text))
        # A token whose next neighbour shares its offset spells a part of that character.
        upper = np.maximum(upper, np.minimum(lower + 1, len(self.text)))
        return (lower < end) & (upper > begin) & (lower < upper)


@dataclass(frozen=True)
class Attempt:
    """A program against a problem, judged: all that a Reward may see."""

    problem: Problem
    program: Program
    verdict: Verdict
