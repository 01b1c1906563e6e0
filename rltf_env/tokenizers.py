"""Text to tokens and back, with the way from each token to its characters carried along.

    Bytes()                   256 byte values and an end: no download, any text; the default
    HuggingFace(tokenizer)    a tokenizer of the transformers library: an object, a local folder, a hub id
    Words.of(texts)           the words of some texts and no other: a few dozen tokens, for small agents on small tasks

All give a `core.Program` for *sampled* ids: its text is what the ids decode to, its offsets are exact for every sequence of
ids, not only for those that `encode` would give. transformers is imported when a HuggingFace is built from a name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from rltf_env import _decoders, hub
from rltf_env.core import IntArray, Program, Tokenizer
from rltf_env.errors import MissingData, UnknownName, UsageError


def load(spec: str | Path | Tokenizer) -> Tokenizer:
    """`"bytes"`, the folder or hub id of a transformers tokenizer, such a tokenizer itself, or any `core.Tokenizer`."""
    if isinstance(spec, str) and spec == "bytes":
        return Bytes()
    if not isinstance(spec, (str, Path)) and isinstance(spec, Tokenizer):
        return spec
    return HuggingFace(spec)


@dataclass(frozen=True)
class Bytes:
    """The bytes of UTF-8 as tokens 0-255, and 256 as the end of the sequence."""

    @property
    def vocab_size(self) -> int:
        return 257

    @property
    def eos_id(self) -> int:
        return 256

    def encode(self, text: str) -> list[int]:
        """The UTF-8 bytes of `text`."""
        try:
            return list(text.encode())
        except UnicodeEncodeError as error:
            raise UsageError(
                f"Expected text that UTF-8 can hold, got a lone surrogate at character {error.start}. "
                "Replace it first: text.encode(errors='replace').decode()."
            ) from error

    def program(self, tokens: Sequence[int] | IntArray, *, given: int = 0, truncated: bool = False) -> Program:
        """The program that `tokens` (T,) spell; bytes that are no UTF-8 become U+FFFD, as in `bytes.decode`.

        The bytes of one character share its offset. See `HuggingFace.program` for the arguments and errors.
        """
        ids = _checked(tokens, self.vocab_size, self.eos_id, truncated)
        body = ids[:-1] if len(ids) and ids[-1] == self.eos_id else ids
        data = body.astype(np.uint8)
        text = data.tobytes().decode("utf-8", "replace")
        starts = np.full(len(ids), len(text), np.int64)
        starts[: len(body)] = _decoders.utf8_offsets(data)
        return Program(ids, text, starts, given, truncated)

    def spellings(self) -> tuple[bytes, ...]:
        """The bytes of each token (V); the end token has none."""
        return (*(bytes((byte,)) for byte in range(256)), b"")


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
        return len(self.words) + 1

    @property
    def eos_id(self) -> int:
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

    def program(self, tokens: Sequence[int] | IntArray, *, given: int = 0, truncated: bool = False) -> Program:
        """The program that `tokens` (T,) spell. See `HuggingFace.program` for the arguments and errors."""
        ids = _checked(tokens, self.vocab_size, self.eos_id, truncated)
        pieces = [self.words[id] if id != self.eos_id else "" for id in ids]
        starts = np.cumsum([0, *map(len, pieces)], dtype=np.int64)[: len(ids)]
        return Program(ids, "".join(pieces), starts, given, truncated)

    def spellings(self) -> tuple[bytes, ...]:
        """The bytes of each token (V); the end token has none."""
        return (*(word.encode() for word in self.words), b"")


def opening(tokenizer: Tokenizer, prefix: str) -> str:
    """What of the code given for free, `prefix`, an agent is given in tokens of this tokenizer.

    All of it, but where tokens join characters (`tokenizer.joins`) the white space at its end: a model expects that within the
    next token. One that finds a line break by itself behind a docstring takes the program for finished.
    """
    return prefix.rstrip() if getattr(tokenizer, "joins", False) else prefix


class HuggingFace:
    """A tokenizer of the transformers library.

    Args:
        tokenizer: a tokenizer object, the path of a folder that holds one, or a hub id.

    Raises:
        UsageError: the tokenizer has no end-of-sequence token, or transformers is not installed.
        MissingData: there is no such folder or hub id within reach.
    """

    joins = True  # see `opening`

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = _from_name(tokenizer) if isinstance(tokenizer, (str, Path)) else tokenizer
        for needed in ("encode", "decode", "eos_token_id", "__len__"):
            if not hasattr(self.tokenizer, needed):
                raise UsageError(
                    f"Expected a transformers tokenizer, a folder or a hub id, got {tokenizer!r}, without {needed!r}."
                )
        if self.tokenizer.eos_token_id is None:
            raise UsageError(
                f"Expected a tokenizer with an end-of-sequence token, got {_name(self.tokenizer)} without one. "
                'Name one of its tokens: tokenizer.eos_token = "<|endoftext|>", then HuggingFace(tokenizer).'
            )
        self._offsets = _decoders.Offsets(self.tokenizer)

    @property
    def vocab_size(self) -> int:
        """Number of token ids, added tokens included."""
        return len(self.tokenizer)

    @property
    def eos_id(self) -> int:
        return int(self.tokenizer.eos_token_id)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`; none is added in front or behind, but the text's own special tokens are recognised."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def program(self, tokens: Sequence[int] | IntArray, *, given: int = 0, truncated: bool = False) -> Program:
        """The program that `tokens` (T,) spell: exactly what the tokenizer decodes without special tokens.

        Args:
            tokens: sampled ids, with the end token as the last one if it was emitted. Special tokens spell nothing.
            given: the number of leading tokens that the agent did not choose.
            truncated: cut off at the length limit, hence without an end token.

        Raises:
            UsageError: an id outside the vocabulary; a token after the end token; an end token on a truncated program.
        """
        ids = _checked(tokens, self.vocab_size, self.eos_id, truncated)
        ended = bool(len(ids)) and ids[-1] == self.eos_id
        text, starts = self._offsets(ids[: len(ids) - ended].tolist())
        if ended:
            starts = np.append(starts, len(text))
        return Program(ids, text, starts, given, truncated)

    def spellings(self) -> tuple[bytes, ...]:
        """The bytes of each token (V); none for special tokens.

        Raises:
            UsageError: a tokenizer that is not byte-level: there, what a token spells depends on its neighbours.
        """
        found = self._offsets.spellings(self.vocab_size)
        if found is None:
            raise UsageError(f"Expected a byte-level tokenizer, whose tokens are bytes, got {self!r}.")
        return tuple(b"" if id == self.eos_id else spelling for id, spelling in enumerate(found))

    def __reduce__(self) -> tuple[Any, ...]:
        return HuggingFace, (self.tokenizer,)

    def __repr__(self) -> str:
        return f"HuggingFace({_name(self.tokenizer)})"


def _from_name(name: str | Path) -> Any:
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise UsageError(
            f"The tokenizer {str(name)!r} needs the transformers library: pip install 'rltf[agents]'. "
            'Without it there is tokenizer="bytes".'
        ) from error
    silent = "" if Path(name).exists() else hub.unreachable()
    try:
        return AutoTokenizer.from_pretrained(str(name), local_files_only=bool(silent))
    except (OSError, ValueError) as error:
        raise MissingData(
            f"Expected {str(name)!r} to be a folder with a tokenizer or a hub id within reach: {silent or error}"
        ) from error


def _name(tokenizer: Any) -> str:
    return getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__


def _checked(tokens: Sequence[int] | IntArray, vocab_size: int, eos_id: int, truncated: bool) -> IntArray:
    ids = np.asarray(tokens)
    if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
        raise UsageError(f"Expected token ids as integers of shape (T,), got {ids.dtype} of shape {ids.shape}.")
    ids = ids.astype(np.int64)  # a copy: the program keeps it
    if ids.size and not (ids.min() >= 0 and ids.max() < vocab_size):
        raise UsageError(
            f"Expected token ids in [0, {vocab_size}), got {ids.min()} to {ids.max()}. "
            "A model with more output rows than its tokenizer has tokens must not sample the rest."
        )
    ends = np.flatnonzero(ids == eos_id)
    if ends.size and ends[0] != len(ids) - 1:
        raise UsageError(
            f"Expected the end token {eos_id} as the last token only, got it at {ends[0]} of {len(ids)}. "
            f"Cut the sequence after it: tokens[:{ends[0] + 1}]."
        )
    if ends.size and truncated:
        raise UsageError(f"Expected no end token {eos_id} in a truncated program: it ended by itself.")
    return ids
