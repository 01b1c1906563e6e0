"""Which characters does each token spell? The decoders of the `tokenizers` library, followed token by token.

A decoder turns the strings of the tokens into text by a chain of steps (bytes to characters, "▁" to a space, a leading
space dropped ...). `Offsets` makes the same steps on pieces that remember where each of their tokens begins: O(T) and exact
also where a character is spread over tokens. The text itself always comes from the tokenizer, and the pieces are compared
with it: a decoder that is not known here is found out and taken by decoding prefixes, which costs O(T^2).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rltf_env.core import IntArray


def utf8_offsets(data: npt.NDArray[np.uint8]) -> IntArray:
    """int64 (N,): for each byte, the index of its character in `data.tobytes().decode("utf-8", "replace")`.

    A byte belongs to the character before it if it continues a sequence that is well-formed so far (Unicode, table 3-7):
    Python and Rust write one U+FFFD for each such longest start of a broken sequence, and for each other stray byte.
    """
    if not len(data) or data.max() < 0x80:  # ASCII, as most programs are
        return np.arange(len(data))
    lead, second = data, np.append(data[1:], np.uint8(0))
    follows = (second & 0xC0) == 0x80
    low = np.where(lead == 0xE0, 0xA0, np.where(lead == 0xF0, 0x90, 0x80))
    high = np.where(lead == 0xED, 0x9F, np.where(lead == 0xF4, 0x8F, 0xBF))
    one = (lead >= 0xC2) & (lead <= 0xF4) & (second >= low) & (second <= high)
    two = one & (lead >= 0xE0) & _shifted(follows, -1)
    three = two & (lead >= 0xF0) & _shifted(follows, -2)
    joins = _shifted(one, 1) | _shifted(two, 2) | _shifted(three, 3)
    return np.cumsum(~joins) - 1


def _shifted(flags: npt.NDArray[np.bool_], by: int) -> npt.NDArray[np.bool_]:
    out = np.zeros_like(flags)
    if by > 0:
        out[by:] = flags[:-by]
    else:
        out[:by] = flags[-by:]
    return out


class Piece(NamedTuple):
    """A text and the offset in it of each token that helps to spell it."""

    text: str
    starts: tuple[int, ...] = (0,)


Step = Callable[[list[Piece]], list[Piece]]


class Unknown(Exception):
    """A step that is not known here, or not on these pieces."""


# -------------------------------------------------------------------------------------------------------------- steps


def _byte_level(_: Mapping[str, Any]) -> Step:
    def step(pieces: list[Piece]) -> list[Piece]:
        data, starts = bytearray(), []
        for piece in pieces:
            if piece.starts != (0,):
                raise Unknown("byte level after a step that joins tokens")
            starts.append(len(data))
            data += _spelled_bytes(piece.text)
        offsets = utf8_offsets(np.frombuffer(bytes(data), np.uint8))
        text = data.decode("utf-8", "replace")
        return [Piece(text, tuple(int(offsets[s]) if s < len(data) else len(text) for s in starts))]

    return step


@cache
def _spelled_bytes(text: str) -> bytes:
    byte_of = _byte_alphabet()
    try:
        return bytes([byte_of[char] for char in text])
    except KeyError:  # an added token, in plain text
        return text.encode()


@cache
def _byte_alphabet() -> dict[str, int]:
    """GPT-2's printable stand-ins: itself for a printable Latin-1 byte, U+0100 and up for the rest."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + i): byte for i, byte in enumerate(rest)}


_BYTE = re.compile(r"<0x[+0-9A-Fa-f][0-9A-Fa-f]>")


def _byte_fallback(_: Mapping[str, Any]) -> Step:
    def step(pieces: list[Piece]) -> list[Piece]:
        out: list[Piece] = []
        run: list[tuple[int, Piece]] = []
        for piece in pieces:
            value = _byte_value(piece.text)
            if value is not None:
                run.append((value, piece))
                continue
            out += _spell(run)
            run = []
            out.append(piece)
        return out + _spell(run)

    return step


def _byte_value(text: str) -> int | None:
    return int(text[3:5], 16) if _BYTE.fullmatch(text) else None


def _spell(run: list[tuple[int, Piece]]) -> list[Piece]:
    """A run of byte tokens: its characters if all of it is UTF-8, else one U+FFFD for each token."""
    data = np.array([value for value, _ in run], np.uint8)
    try:
        text = data.tobytes().decode()
    except UnicodeDecodeError:
        return [Piece("\ufffd", (0,) * len(piece.starts)) for _, piece in run]
    offsets = utf8_offsets(data)
    starts = (int(at) for at, (_, piece) in zip(offsets, run, strict=True) for _ in piece.starts)
    return [Piece(text, tuple(starts))] if run else []


def _replace(spec: Mapping[str, Any]) -> Step:
    old, new = spec["pattern"].get("String"), spec["content"]
    if not old:
        raise Unknown("replacement by a regular expression")

    def step(pieces: list[Piece]) -> list[Piece]:
        return [_mapped(piece, lambda text: text.replace(old, new)) for piece in pieces]

    return step


def _mapped(piece: Piece, function: Callable[[str], str]) -> Piece:
    if any(piece.starts):
        raise Unknown("a change within a text of several tokens")
    return Piece(function(piece.text), piece.starts)


def _fuse(_: Mapping[str, Any]) -> Step:
    return lambda pieces: [_joined(pieces)]


def _joined(pieces: list[Piece]) -> Piece:
    starts, at = [], 0
    for piece in pieces:
        starts += [at + start for start in piece.starts]
        at += len(piece.text)
    return Piece("".join(piece.text for piece in pieces), tuple(starts))


def _strip(spec: Mapping[str, Any]) -> Step:
    content, left, right = spec["content"], spec["start"], spec["stop"]

    def step(pieces: list[Piece]) -> list[Piece]:
        return [_trim(piece, content, left, right) for piece in pieces]

    return step


def _trim(piece: Piece, content: str, left: int, right: int) -> Piece:
    """`piece` without up to `left` characters of `content` in front and `right` of them behind."""
    text = piece.text
    begin = min(left, len(text) - len(text.lstrip(content)))
    end = len(text) - min(right, len(text) - len(text.rstrip(content)))
    return _sliced(piece, begin, max(begin, end))


def _sliced(piece: Piece, begin: int, end: int) -> Piece:
    starts = (min(max(start, begin), end) - begin for start in piece.starts)
    return Piece(piece.text[begin:end], tuple(starts))


def _sentencepiece(_: Mapping[str, Any]) -> Step:
    def step(pieces: list[Piece]) -> list[Piece]:
        whole = _joined([_mapped(piece, lambda text: text.replace("\u2581", " ")) for piece in pieces])
        begin = len(whole.text) - len(whole.text.lstrip())
        end = max(begin, len(whole.text.rstrip()))
        return [_sliced(whole, begin, end)]

    return step


def _metaspace(spec: Mapping[str, Any]) -> Step:
    mark, drop_first = spec["replacement"], spec.get("prepend_scheme", "always") != "never"

    def step(pieces: list[Piece]) -> list[Piece]:
        return [
            _mapped(piece, lambda text, i=i: text.replace(mark, "" if drop_first and i == 0 else " "))
            for i, piece in enumerate(pieces)
        ]

    return step


_TIDY = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" do not", " don't"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


def _word_piece(spec: Mapping[str, Any]) -> Step:
    prefix, tidy = spec["prefix"], _TIDY if spec.get("cleanup") else ()

    def spelling_of(text: str, first: bool) -> str:
        if not first:
            text = text[len(prefix) :] if text.startswith(prefix) else " " + text
        for old, new in tidy:
            text = text.replace(old, new)
        return text

    def step(pieces: list[Piece]) -> list[Piece]:
        return [_mapped(piece, lambda text, i=i: spelling_of(text, i == 0)) for i, piece in enumerate(pieces)]

    return step


def _bpe(spec: Mapping[str, Any]) -> Step:
    suffix = spec["suffix"]

    def step(pieces: list[Piece]) -> list[Piece]:
        last = len(pieces) - 1
        return [
            _mapped(piece, lambda text, i=i: text.replace(suffix, "" if i == last else " "))
            for i, piece in enumerate(pieces)
        ]

    return step


def _spaced(_: Mapping[str, Any]) -> Step:
    """What the library does without a decoder: the tokens, a space between each two."""
    return lambda pieces: [
        _mapped(piece, lambda text, i=i: text if i == 0 else " " + text) for i, piece in enumerate(pieces)
    ]


def _sequence(spec: Mapping[str, Any]) -> Step:
    steps = [_step(inner) for inner in spec["decoders"]]

    def step(pieces: list[Piece]) -> list[Piece]:
        for inner in steps:
            pieces = inner(pieces)
        return pieces

    return step


_STEPS: Mapping[str, Callable[[Mapping[str, Any]], Step]] = {
    "BPEDecoder": _bpe,
    "ByteFallback": _byte_fallback,
    "ByteLevel": _byte_level,
    "Fuse": _fuse,
    "Metaspace": _metaspace,
    "Replace": _replace,
    "Sentencepiece": _sentencepiece,
    "Sequence": _sequence,
    "Strip": _strip,
    "WordPiece": _word_piece,
}


def _step(spec: Mapping[str, Any] | None) -> Step:
    if spec is None:
        return _spaced({})
    if spec["type"] not in _STEPS:
        raise Unknown(f"decoder {spec['type']!r}")
    return _STEPS[spec["type"]](spec)


# ------------------------------------------------------------------------------------------------------------ offsets

# A SentencePiece model without the tokenizers library (transformers' SentencePieceBackend): one join, then all white space
# is cut at both ends. The comparison with the decoded text tells whether a tokenizer really does this.
_SENTENCEPIECE = {"type": "Sentencepiece"}


class Offsets:
    """From token ids to (text, int64 (T,) offset of each token), for one transformers tokenizer."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is not None:
            added = backend.get_added_tokens_decoder()
            self._silent = frozenset(id for id, token in added.items() if token.special)
            self._spelling: Callable[[int], str | None] = backend.id_to_token
        else:
            self._silent = frozenset(tokenizer.all_special_ids)
            self._spelling = tokenizer.convert_ids_to_tokens
        self._is_byte_level = False
        try:
            spec = _decoder_of(tokenizer, backend)
            self._step = _step(spec)
            self._is_byte_level = spec is not None and spec["type"] == "ByteLevel"
        except Unknown:
            self._step = None
        self._spellings: dict[int, str | None] = {}

    def __call__(self, ids: Sequence[int]) -> tuple[str, IntArray]:
        text = self._decode(ids)
        text_and_starts = self._by_steps(ids)
        if text_and_starts is None or text_and_starts[0] != text:
            return text, self._by_prefixes(ids, text)
        return text_and_starts

    def speaks(self, ids: Sequence[int]) -> npt.NDArray[np.bool_]:
        """bool (T,): the ids that spell something; special tokens, and numbers without a token, do not."""
        return np.array([self._spell(id) is not None for id in ids], bool)

    def spellings(self, size: int) -> tuple[bytes, ...] | None:
        """The bytes of each token, where a text is nothing but these in a row (byte level); None where it is more than that."""
        if not self._is_byte_level:
            return None
        pieces = (self._spell(id) for id in range(size))
        return tuple(b"" if spelling is None else _spelled_bytes(spelling) for spelling in pieces)

    def _decode(self, ids: Sequence[int]) -> str:
        if not ids:
            return ""
        return self._tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)

    def _by_steps(self, ids: Sequence[int]) -> tuple[str, IntArray] | None:
        if self._step is None:
            return None
        spellings = [self._spell(id) for id in ids]
        try:
            joined = _joined(self._step([Piece(spelling) for spelling in spellings if spelling is not None]))
        except Unknown:
            return None
        starts = np.full(len(ids) + 1, len(joined.text), np.int64)
        speaks = [i for i, spelling in enumerate(spellings) if spelling is not None]
        starts[speaks] = joined.starts
        # Where a silent token stands, the next that speaks begins.
        return joined.text, np.minimum.accumulate(starts[::-1])[::-1][:-1]

    def _spell(self, id: int) -> str | None:
        """The token as its vocabulary writes it; None if it spells nothing: special, or a number without a token."""
        if id not in self._spellings:
            self._spellings[id] = None if id in self._silent else self._spelling(id)
        return self._spellings[id]

    def _by_prefixes(self, ids: Sequence[int], text: str) -> IntArray:
        """A token begins where the text of the tokens before it, decoded alone, stops being that of all."""
        ends = [_agreement(self._decode(ids[:i]), text) for i in range(len(ids))]
        return np.maximum.accumulate(np.array(ends, np.int64))


def _agreement(prefix: str, text: str) -> int:
    pairs = enumerate(zip(prefix, text, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(prefix), len(text)))


def _decoder_of(tokenizer: Any, backend: Any) -> Mapping[str, Any] | None:
    if backend is not None:
        return json.loads(backend.decoder.__getstate__()) if backend.decoder is not None else None
    if hasattr(tokenizer, "sp_model"):
        return _SENTENCEPIECE
    raise Unknown(f"decoder of {type(tokenizer).__name__}")
