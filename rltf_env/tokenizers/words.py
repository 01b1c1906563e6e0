"""A closed vocabulary of words, numbers and signs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from rltf_env.core import IntArray, Program
from rltf_env.errors import UnknownName, UsageError
from rltf_env.tokenizers._ids import checked

_WORD = re.compile(r" ?\w+| ?[^\w\s]|\s")


@dataclass(frozen=True)
class Words:
    """A closed vocabulary: words, numbers, signs (a blank before them belongs to them) and single white space.

    A small agent on a small task learns from dozens of tokens, not from thousands. `Words.of(texts)` collects what some texts
    need; any text of those words comes back to the letter, any other is an error.

    Args:
        words: the spelling of each token. One more, the last, is the end of the sequence.
    """

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        wrong = [word for word in self.words if not _WORD.fullmatch(word)]
        if wrong or len(set(self.words)) < len(self.words) or not self.words:
            raise UsageError(
                f"Expected different words, signs or single blanks, got {wrong or list(self.words)[:20]!r}."
            )
        object.__setattr__(self, "_ids", {word: id for id, word in enumerate(self.words)})

    @classmethod
    def of(cls, texts: Iterable[str]) -> Words:
        """The words of `texts`, in the order of the alphabet: the same for the same texts in any order."""
        return cls(tuple(sorted({word for text in texts for word in _WORD.findall(text)})))

    @property
    def vocab_size(self) -> int:
        """The words and the end."""
        return len(self.words) + 1

    @property
    def eos_id(self) -> int:
        """The id behind the last word."""
        return len(self.words)

    def encode(self, text: str) -> list[int]:
        """The ids of the words of `text`.

        Raises:
            UnknownName: a word that is not in the vocabulary; the message names the nearest.
        """
        ids: dict[str, int] = self._ids  # type: ignore[attr-defined]
        words = _WORD.findall(text)
        for word in words:
            if word not in ids:
                raise UnknownName(
                    "word", word, self.words, hint="Build the vocabulary from all texts: Words.of(texts)."
                )
        return [ids[word] for word in words]

    def program(self, tokens: Sequence[int] | IntArray, *, prefix_length: int = 0, truncated: bool = False) -> Program:
        """The program that `tokens` (T,) spell. See `HuggingFace.program` for the arguments and errors."""
        ids = checked(tokens, self.vocab_size, self.eos_id, truncated)
        pieces = [self.words[id] if id != self.eos_id else "" for id in ids]
        starts = np.cumsum([0, *map(len, pieces)], dtype=np.int64)[: len(ids)]
        return Program(ids, "".join(pieces), starts, prefix_length, truncated)

    def spellings(self) -> tuple[bytes, ...]:
        """The bytes of each token (V); the end token has none."""
        return (*(word.encode() for word in self.words), b"")
