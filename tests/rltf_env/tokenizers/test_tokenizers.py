"""Tokenizers: sampled ids to text with exact offsets, proven against decoding and against the libraries' own offsets.

One small tokenizer of each kind is trained here: byte-level BPE (GPT-2, SmolLM), plain BPE, BPE with word ends, BPE with byte
fallback (Llama), metaspace (T5), WordPiece, a model of the sentencepiece library itself, and ByT5.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
import sentencepiece
import tokenizers as rust
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_tokenizers import CODE, FAST, ROUND_TRIP, SPECIAL, byte_level, sentencepiece_model

from rltf_env import tokenizers
from rltf_env.core import Tokenizer, line_starts
from rltf_env.errors import UsageError
from rltf_env.tokenizers import Bytes, HuggingFace

many = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def sampled(tokenizer: Tokenizer, seed: int, length: int) -> list[int]:
    """Ids as an untrained policy would sample them, without the end; often twice the same, often special."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, tokenizer.vocab_size, length)
    ids = np.where(rng.random(length) < 0.2, rng.integers(0, 8, length), ids)
    return [int(id) for id in ids if id != tokenizer.eos_id]


def decoded(tokenizer: HuggingFace, ids: list[int]) -> str:
    if not ids:
        return ""
    return tokenizer.tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


# ------------------------------------------------------------------------------------------------ sampled ids to text


@given(seed=st.integers(0, 10**9), length=st.integers(0, 40))
@many
def test_text_is_what_the_tokenizer_decodes(
    build: Callable[[str], HuggingFace], kind: str, seed: int, length: int
) -> None:
    tokenizer = build(kind)
    ids = sampled(tokenizer, seed, length)
    program = tokenizer.program([*ids, tokenizer.eos_id])
    assert program.text == decoded(tokenizer, ids)
    assert program.tokens.tolist() == [*ids, tokenizer.eos_id]
    assert (program.tokens.dtype, program.starts.dtype) == (np.int64, np.int64)
    assert (np.diff(program.starts) >= 0).all()
    assert program.starts[-1] == len(program.text)


@given(seed=st.integers(0, 10**9), length=st.integers(1, 40))
@many
def test_offsets_are_the_lengths_of_decoded_prefixes(
    build: Callable[[str], HuggingFace], kind: str, seed: int, length: int
) -> None:
    """Where a prefix ends between two characters and decodes to a prefix of the text, its length is the next offset."""
    tokenizer = build(kind)
    ids = sampled(tokenizer, seed, length)
    program = tokenizer.program(ids)
    for i in range(1, len(ids)):
        prefix = decoded(tokenizer, ids[:i])
        if kind in ("word_ends", "sentencepiece_library"):  # only the last of all tokens loses the blank behind it
            prefix = decoded(tokenizer, [*ids[:i], spelled(tokenizer)])[
                : -len(decoded(tokenizer, [spelled(tokenizer)]))
            ]
        if program.text.startswith(prefix) and "\ufffd" not in program.text:
            assert program.starts[i] == len(prefix)


def spelled(tokenizer: HuggingFace) -> int:
    """A token with a text that begins and ends with a letter."""
    return next(id for id in range(3, tokenizer.vocab_size) if decoded(tokenizer, [id]).isalpha())


def byte_offsets(data: list[bytes]) -> tuple[str, list[int]]:
    """By definition: a byte is on the last character of the text that it ends."""
    whole = b"".join(data)
    of_byte = [len(whole[: i + 1].decode("utf-8", "replace")) - 1 for i in range(len(whole))]
    text = whole.decode("utf-8", "replace")
    at = np.cumsum([0, *map(len, data)])[:-1]
    return text, [of_byte[i] if i < len(whole) else len(text) for i in at]


@given(st.lists(st.sampled_from([b"\0", b"A", b"\n", *(bytes([b]) for b in range(0x80, 0x100))]), max_size=12))
def test_bytes_that_are_no_utf8_keep_exact_offsets(data: list[bytes]) -> None:
    program = Bytes().program([byte[0] for byte in data])
    assert (program.text, program.starts.tolist()) == byte_offsets(data)


@given(st.text(max_size=30))
def test_bytes_spell_any_text(text: str) -> None:
    program = Bytes().program([*Bytes().encode(text), 256])
    assert program.text == text
    assert program.starts.tolist() == [*(i for i, char in enumerate(text) for _ in char.encode()), len(text)]


@pytest.mark.parametrize(
    ("data", "text", "starts"),
    [
        (b"\xe2\x82\xac", "€", [0, 0, 0]),
        (b"\xe2\x82A", "\ufffdA", [0, 0, 1]),  # a character cut short is one mark
        (b"\xe2\x28\xa1", "\ufffd(\ufffd", [0, 1, 2]),
        (b"\xf0\x9f\x8e\x89!", "🎉!", [0, 0, 0, 0, 1]),
        (b"\xf0\x9f\x8e", "\ufffd", [0, 0, 0]),
        (b"\xc0\xaf", "\ufffd\ufffd", [0, 1]),  # overlong, as are the next two
        (b"\xe0\x9f\x80", "\ufffd" * 3, [0, 1, 2]),
        (b"\xf0\x8f\xbf\xbf", "\ufffd" * 4, [0, 1, 2, 3]),
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd", [0, 1, 2]),  # a surrogate
        (b"\xf4\x90\x80\x80", "\ufffd" * 4, [0, 1, 2, 3]),  # beyond U+10FFFF
        (b"\x80\xff", "\ufffd\ufffd", [0, 1]),
        (b"\xef\xbf\xbd", "\ufffd", [0, 0, 0]),  # the mark itself
        (b"", "", []),
    ],
)
def test_broken_utf8_by_hand(data: bytes, text: str, starts: list[int]) -> None:
    program = Bytes().program(list(data))
    assert (program.text, program.starts.tolist()) == (text, starts)


@given(seed=st.integers(0, 10**9), length=st.integers(0, 40))
@many
def test_byte_level_tokens_keep_exact_offsets_in_any_order(
    build: Callable[[str], HuggingFace], seed: int, length: int
) -> None:
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    byte_of = {char: byte for byte, char in bytes_to_unicode().items()}
    tokenizer = build("byte_level")
    ids = [id for id in sampled(tokenizer, seed, length) if id >= len(SPECIAL)]
    tokens = tokenizer.tokenizer.convert_ids_to_tokens(ids)
    data = [
        bytes(byte_of[char] for char in token) if set(token) <= set(byte_of) else token.encode() for token in tokens
    ]
    program = tokenizer.program(ids)
    assert (program.text, program.starts.tolist()) == byte_offsets(data)


def ids_of(tokenizer: HuggingFace, *tokens: str) -> list[int]:
    ids = tokenizer.tokenizer.convert_tokens_to_ids(list(tokens))
    assert tokenizer.tokenizer.unk_token_id not in ids, tokens
    return ids


@pytest.mark.parametrize(
    ("kind", "tokens", "text", "starts"),
    [
        ("llama", ("▁", "x"), "x", [0, 0]),  # the first blank is dropped
        ("llama", ("▁", "▁", "x"), " x", [0, 0, 1]),  # and only that one
        ("llama", ("x", "▁", "x"), "x x", [0, 1, 2]),
        ("llama", ("x", "<0x0A>", "x"), "x\nx", [0, 1, 2]),
        ("llama", ("<0x0A>", "▁", "x"), "\n x", [0, 1, 2]),
        ("llama", ("<0x20>", "x"), "x", [0, 0]),
        ("llama", ("x", "<0xC3>", "<0xA9>", "x"), "xéx", [0, 1, 1, 2]),
        ("llama", ("<0xC3>", "x", "<0xA9>"), "\ufffdx\ufffd", [0, 1, 2]),
        ("llama", ("<0x41>", "<0xC3>", "x"), "\ufffd\ufffdx", [0, 1, 2]),  # one bad byte spoils its whole run
        ("llama", ("<0xC3>", "<0xA9>", "<0xFF>", "x"), "\ufffd\ufffd\ufffdx", [0, 1, 2, 3]),
        ("llama", ("<0xC3>", "<pad>", "<0xA9>", "x"), "éx", [0, 0, 0, 1]),  # a special token is not there at all
        ("gemma", ("▁", "x"), " x", [0, 1]),
        ("metaspace", ("▁", "x"), "x", [0, 0]),
        ("metaspace", ("x", "▁", "x"), "x x", [0, 1, 2]),
        ("metaspace_never", ("▁", "x"), " x", [0, 1]),
        ("word_piece", ("x", "x", "##e"), "x xe", [0, 1, 3]),
        ("word_ends", ("x</w>", "r", "x</w>"), "x rx", [0, 2, 3]),
        ("no_decoder", ("x", "r", "<pad>", "x"), "x r x", [0, 1, 3, 3]),
        ("byte_level", ("Ã", "<pad>", "©", "x"), "éx", [0, 0, 0, 1]),
    ],
)
def test_offsets_by_hand(
    build: Callable[[str], HuggingFace], kind: str, tokens: tuple[str, ...], text: str, starts: list[int]
) -> None:
    tokenizer = build(kind)
    program = tokenizer.program(ids_of(tokenizer, *tokens))
    assert (program.text, program.starts.tolist()) == (text, starts)


@pytest.mark.parametrize("kind", [*FAST, "sentencepiece_library"])
def test_one_program_costs_one_decode(
    build: Callable[[str], HuggingFace], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer, calls = build(kind), []
    decode = tokenizer.tokenizer.decode
    monkeypatch.setattr(tokenizer.tokenizer, "decode", lambda *a, **k: calls.append(a) or decode(*a, **k))
    tokenizer.program(sampled(tokenizer, 0, 200))
    assert len(calls) == 1


# ------------------------------------------------------------------------------------------------- lines to tokens


@pytest.mark.parametrize("kind", ROUND_TRIP)
def test_code_goes_to_tokens_and_back(build: Callable[[str], HuggingFace], kind: str) -> None:
    tokenizer = build(kind)
    assert tokenizer.program(tokenizer.encode(CODE)).text == CODE


@pytest.mark.parametrize("kind", ROUND_TRIP)
def test_lines_have_the_tokens_that_the_librarys_own_offsets_say(
    build: Callable[[str], HuggingFace], kind: str
) -> None:
    tokenizer = build(kind)
    encoded = tokenizer.tokenizer(CODE, add_special_tokens=False, return_offsets_mapping=True)
    program = tokenizer.program(encoded["input_ids"])
    for line in range(1, len(line_starts(CODE)) + 1):
        begin, end = body(CODE, line)
        inside = [left < end and right > begin for left, right in encoded["offset_mapping"]]
        assert program.tokens_on(line).tolist() == inside, f"line {line}"


def body(text: str, line: int) -> tuple[int, int]:
    """Where a line's characters are; an empty line is its own end."""
    starts = [*line_starts(text), len(text)]
    inner = text[starts[line - 1] : starts[line]].rstrip("\r\n")
    return starts[line - 1], starts[line - 1] + len(inner) if inner else starts[line]


def test_lines_have_the_tokens_that_sentencepieces_own_offsets_say(build: Callable[[str], HuggingFace]) -> None:
    tokenizer = build("sentencepiece_library")
    library = sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_model())
    text = CODE.replace("\r", "").replace("  \n", "\n")
    encoded = library.encode(text, return_type="offset_mapping")
    program = tokenizer.program(encoded["ids"])
    assert program.text == text
    for line in range(1, len(line_starts(text)) + 1):
        begin, end = body(text, line)
        # The blank that is put in front and dropped again has no character; it goes with the first.
        inside = [left < end and max(right, left + 1) > begin for left, right in encoded["offsets"]]
        assert program.tokens_on(line).tolist() == inside, f"line {line}"


@pytest.mark.parametrize("kind", ["bytes", *ROUND_TRIP])
def test_repeated_lines_are_told_apart_on_every_tokenizer(build: Callable[[str], HuggingFace], kind: str) -> None:
    tokenizer = Bytes() if kind == "bytes" else build(kind)
    program = tokenizer.program([*tokenizer.encode(CODE), tokenizer.eos_id])
    lines = range(1, len(line_starts(CODE)) + 1)
    twins = [line for line in lines if CODE[slice(*body(CODE, line))] == "x=a[0]"]
    assert len(twins) == 3
    spans = [set(program.tokens_on(line).nonzero()[0].tolist()) for line in twins]
    assert all(spans)
    assert not spans[0] & spans[1]
    assert not spans[1] & spans[2]


def test_a_token_that_holds_a_newline_and_an_indentation_is_on_the_second_line(
    build: Callable[[str], HuggingFace],
) -> None:
    tokenizer = build("split_on_nothing")
    program = tokenizer.program(tokenizer.encode("if x:\n\t\tif x:\n    y"))
    edges = [*program.starts.tolist(), len(program.text)]
    texts = [program.text[begin:end] for begin, end in pairwise(edges)]
    for token, line in (("\n\t\t", 2), ("\n    ", 3)):
        on = [bool(program.tokens_on(line)[texts.index(token)]) for line in (line - 1, line)]
        assert on == [False, True], token


# ------------------------------------------------------------------------------------------------ ends, special tokens


def test_special_tokens_spell_nothing(build: Callable[[str], HuggingFace], kind: str) -> None:
    tokenizer = build(kind)
    letter, pad = spelled(tokenizer), tokenizer.tokenizer.pad_token_id
    program = tokenizer.program([pad, letter, pad, pad, letter, tokenizer.eos_id])
    assert program.text == decoded(tokenizer, [letter, letter])
    assert program.starts[0] == 0
    assert (program.starts[2], program.starts[3], program.starts[5]) == (
        program.starts[4],
        program.starts[4],
        len(program.text),
    )


def test_an_end_token_that_is_an_ordinary_token_spells_nothing_at_the_end() -> None:
    made = byte_level()
    made.eos_token = "x"
    tokenizer = HuggingFace(made)
    program = tokenizer.program([*ids_of(tokenizer, "a", "b"), tokenizer.eos_id])
    assert (program.text, program.starts.tolist()) == ("ab", [0, 1, 2])


ALL: list[Callable[[], Tokenizer]] = [Bytes, lambda: HuggingFace(byte_level())]


@pytest.mark.parametrize("make", ALL)
def test_bad_tokens_are_clear_errors(make: Callable[[], Tokenizer]) -> None:
    tokenizer = make()
    end, size = tokenizer.eos_id, tokenizer.vocab_size
    for tokens, truncated, message in (
        ([9, end, 9], False, "as the last token only"),
        ([end, end], False, "as the last token only"),
        ([9, end], True, "truncated program"),
        ([size], False, rf"in \[0, {size}\)"),
        ([-1], False, rf"in \[0, {size}\)"),
        ([0.5], False, "integers of shape"),
        ([[9]], False, "integers of shape"),
    ):
        with pytest.raises(UsageError, match=message):
            tokenizer.program(tokens, truncated=truncated)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="prefix_length"):
        tokenizer.program([9], prefix_length=2)


@pytest.mark.parametrize("make", ALL)
def test_programs_carry_what_was_given_and_whether_they_were_cut(make: Callable[[], Tokenizer]) -> None:
    tokenizer = make()
    program = tokenizer.program(tokenizer.encode("ab\n"), prefix_length=1, truncated=True)
    assert (program.prefix_length, program.truncated, program.text) == (1, True, "ab\n")
    nothing = tokenizer.program([])
    assert (len(nothing), nothing.text) == (0, "")
    alone = tokenizer.program([tokenizer.eos_id])
    assert (alone.text, alone.starts.tolist()) == ("", [0])


@pytest.mark.parametrize("make", ALL)
def test_the_callers_tokens_are_not_kept(make: Callable[[], Tokenizer]) -> None:
    tokenizer = make()
    tokens = np.array(tokenizer.encode("abc"), np.int64)
    program = tokenizer.program(tokens)
    tokens[:] = 0
    assert program.tokens.tolist() == tokenizer.encode("abc")


def test_text_that_utf8_can_not_hold_is_a_clear_error() -> None:
    with pytest.raises(UsageError, match="lone surrogate at character 1"):
        Bytes().encode("a\ud800")


def test_encode_adds_nothing_but_knows_special_tokens_in_the_text(build: Callable[[str], HuggingFace]) -> None:
    tokenizer = build("byte_level")
    tokenizer.tokenizer.backend_tokenizer.post_processor = rust.processors.TemplateProcessing(
        single="<unk> $A </s>", special_tokens=[("<unk>", 2), ("</s>", 1)]
    )
    assert tokenizer.encode("a<pad>") == ids_of(tokenizer, "a", "<pad>")


# ---------------------------------------------------------------------------------------------------- what is given


@pytest.mark.parametrize("kind", ROUND_TRIP)
def test_white_space_that_a_token_would_join_with_what_follows_is_not_given(
    build: Callable[[str], HuggingFace], kind: str
) -> None:
    assert tokenizers.fitting_prefix(build(kind), "def f(x):\n    ") == "def f(x):"


def test_tokens_of_single_bytes_give_all_that_there_is() -> None:
    assert tokenizers.fitting_prefix(Bytes(), "def f(x):\n    ") == "def f(x):\n    "
