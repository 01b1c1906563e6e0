"""Tokenizers of the transformers library, with offsets that are exact for sampled ids (`_offsets.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

from rltf_env.core import BoolArray, IntArray, Program
from rltf_env.errors import MissingData, UsageError
from rltf_env.tokenizers import _offsets
from rltf_env.tokenizers._ids import checked


class HuggingFace:
    """A tokenizer of the transformers library.

    Args:
        tokenizer: a tokenizer object, the path of a folder that holds one, or a hub id.
        for_decoder: it is a decoder's alone: prompts begin as the tokenizer begins a text, also where it ends each text too.
            Otherwise such a frame is an encoder's business.

    Raises:
        UsageError: the tokenizer has no end-of-sequence token, or transformers is not installed.
        MissingData: there is no such folder or hub id within reach.
    """

    joins = True  # see `tokenizers.fitting_prefix`

    def __init__(self, tokenizer: Any, *, for_decoder: bool = False) -> None:
        self.for_decoder = for_decoder
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
        self._offsets = _offsets.Offsets(self.tokenizer)

    @property
    def vocab_size(self) -> int:
        """Number of token ids, added tokens included."""
        return len(self.tokenizer)

    @property
    def eos_id(self) -> int:
        """The token that ends a program."""
        return int(self.tokenizer.eos_token_id)

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`; none is added in front or behind, but the text's own special tokens are recognised."""
        return list(self.tokenizer.encode(text, add_special_tokens=False))

    def encode_prompt(self, text: str) -> list[int]:
        """`encode`, begun with the token that this tokenizer begins every text with, if it has one and the text has not.

        A tokenizer that also ends every text frames it for an encoder, which frames its prompts itself; see `for_decoder`.
        """
        tokens = self.encode(text)
        return tokens if tokens[: len(self._begin)] == self._begin else [*self._begin, *tokens]

    @cached_property
    def _begin(self) -> list[int]:
        inner, whole = self.encode("a"), list(self.tokenizer.encode("a"))
        at = next((i for i in range(len(whole)) if whole[i : i + len(inner)] == inner), 0)
        ends = len(whole) > at + len(inner)
        return [] if ends and not self.for_decoder else whole[:at]

    def program(self, tokens: Sequence[int] | IntArray, *, prefix_length: int = 0, truncated: bool = False) -> Program:
        """The program that `tokens` (T,) spell: exactly what the tokenizer decodes without special tokens.

        Args:
            tokens: sampled ids, with the end token as the last one if it was emitted. Special tokens spell nothing.
            prefix_length: the number of leading tokens that the agent did not choose.
            truncated: cut off at the length limit, hence without an end token.

        Raises:
            UsageError: an id outside the vocabulary; a token after the end token; an end token on a truncated program.
        """
        ids = checked(tokens, self.vocab_size, self.eos_id, truncated)
        has_end = bool(len(ids)) and ids[-1] == self.eos_id
        text, starts = self._offsets(ids[: len(ids) - has_end].tolist())
        if has_end:
            starts = np.append(starts, len(text))
        return Program(ids, text, starts, prefix_length, truncated)

    def offsets(self, tokens: Sequence[int] | IntArray) -> tuple[str, IntArray, BoolArray]:
        """What any ids (T,) spell, be they a whole conversation: the text, int64 (T,) where in it
        each of them begins, and bool (T,) which of them spell something."""
        ids = np.asarray(tokens, np.int64).tolist()
        return *self._offsets(ids), self._offsets.speaks(ids)

    def spellings(self) -> tuple[bytes, ...]:
        """The bytes of each token (V); none for special tokens.

        Raises:
            UsageError: a tokenizer that is not byte-level: there, what a token spells depends on its neighbours.
        """
        pieces = self._offsets.spellings(self.vocab_size)
        if pieces is None:
            raise UsageError(f"Expected a byte-level tokenizer, whose tokens are bytes, got {self!r}.")
        return tuple(b"" if id == self.eos_id else spelling for id, spelling in enumerate(pieces))

    def __reduce__(self) -> tuple[Any, ...]:
        return partial(HuggingFace, for_decoder=self.for_decoder), (self.tokenizer,)

    def __repr__(self) -> str:
        return f"HuggingFace({_name(self.tokenizer)})"


def _from_name(name: str | Path) -> Any:
    try:
        import transformers  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"The tokenizer {str(name)!r} needs the transformers library: pip install 'rltf[agents]'. "
            'Without it there is tokenizer="bytes".'
        ) from error
    from rltf_env.datasets import hub

    silent = "" if Path(name).exists() else hub.unreachable()
    try:
        return pretrained(str(name), local_files_only=bool(silent))
    except (OSError, ValueError) as error:
        raise MissingData(
            f"Expected {str(name)!r} to be a folder with a tokenizer or a hub id within reach: {silent or error}"
        ) from error


PLAIN = ("PreTrainedTokenizerFast", "TokenizersBackend")  # tokenizers that are what their tokenizer.json says
PROBES = (  # texts that tokenizers differ on
    "def f(x, y=12):\n    if x > 100:\n        return 'a'  # b\n\treturn x\n\n\nprint(f(3.25))\n",
    " leading, trailing \r\n",
    "caf\u00e9 cafe\u0301 \u212b \u4e2d\u6587 \U0001f600 don't WE'LL",
    "a",
)


def pretrained(where: str | Path, **options: Any) -> Any:
    """The transformers tokenizer of a folder or hub id, as its files have it.

    transformers 5 chooses a class by the type of the model beside it, and for some types builds another tokenizer than
    `tokenizer.json` holds. Where the files declare a plain tokenizer, and that is another, it is the files' that counts.

    Args:
        options: of `AutoTokenizer.from_pretrained`.
    """
    from transformers import AutoTokenizer, PreTrainedTokenizerFast
    from transformers.models.auto.tokenization_auto import get_tokenizer_config

    tokenizer = AutoTokenizer.from_pretrained(str(where), **options)
    if type(tokenizer).__name__ in PLAIN or options.get("gguf_file"):
        return tokenizer
    known = {name: value for name, value in options.items() if name != "trust_remote_code"}
    if get_tokenizer_config(str(where), **known).get("tokenizer_class") not in PLAIN:
        return tokenizer
    plain = PreTrainedTokenizerFast.from_pretrained(str(where), **known)
    return plain if difference(plain, tokenizer) else tokenizer


def difference(first: Any, second: Any) -> str:
    """Where two transformers tokenizers differ, in words; "" if they have the same tokens and read `PROBES` alike."""
    if len(first) != len(second):
        return f"{len(second)} tokens instead of {len(first)}"
    if first.get_vocab() != second.get_vocab():
        return "other tokens"
    for name in ("eos_token_id", "pad_token_id", "bos_token_id"):
        if getattr(first, name) != getattr(second, name):
            return f"{name} {getattr(second, name)} instead of {getattr(first, name)}"
    for text in PROBES:
        read = [(t.encode(text), t.encode(text, add_special_tokens=False)) for t in (first, second)]
        if read[0] != read[1]:
            return f"{text!r} is {read[1][0]} instead of {read[0][0]}"
    return ""


def _name(tokenizer: Any) -> str:
    return getattr(tokenizer, "name_or_path", "") or type(tokenizer).__name__
