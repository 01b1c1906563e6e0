"""Tokenizers: loading, bad input, and decoders that are not known."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tokenizers as rust
from small_tokenizers import CODE, bpe, byte_level, fast
from tokenizers import decoders, models

from rltf_env import tokenizers
from rltf_env.core import Program, Tokenizer
from rltf_env.errors import MissingData, UsageError
from rltf_env.tokenizers import Bytes, HuggingFace


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


# ------------------------------------------------------------------------------------------------- loading, bad input


def test_bytes_are_a_value() -> None:
    assert Bytes() == Bytes() == pickle.loads(pickle.dumps(Bytes()))
    assert hash(Bytes()) == hash(Bytes())
    assert (Bytes().vocab_size, Bytes().eos_id, repr(Bytes())) == (257, 256, "Bytes()")


def test_a_huggingface_tokenizer_crosses_processes() -> None:
    tokenizer = HuggingFace(byte_level())
    copy = pickle.loads(pickle.dumps(tokenizer))
    ids = copy.encode(CODE)
    assert ids == tokenizer.encode(CODE)
    assert copy.program(ids).text == CODE


def test_load_takes_bytes_a_folder_a_tokenizer_and_one_of_ours(tmp_path: Path) -> None:
    made = byte_level()
    made.save_pretrained(tmp_path)
    assert tokenizers.load("bytes") == Bytes()
    for spec in (made, tmp_path, str(tmp_path)):
        loaded = tokenizers.load(spec)
        assert isinstance(loaded, HuggingFace)
        assert loaded.program(loaded.encode(CODE)).text == CODE
    assert tokenizers.load(loaded) is loaded

    class Own:
        vocab_size = 3
        eos_id = 2

        def encode(self, text: str) -> list[int]:
            return []

        def program(self, tokens: Any, *, prefix_length: int = 0, truncated: bool = False) -> Program:
            return Bytes().program(tokens, prefix_length=prefix_length, truncated=truncated)

    own = Own()
    assert tokenizers.load(own) is own


def test_a_tokenizer_without_an_end_says_how_to_give_it_one() -> None:
    made = byte_level()
    made.eos_token = None
    with pytest.raises(UsageError, match=r"tokenizer\.eos_token ="):
        HuggingFace(made)


@pytest.mark.parametrize("spec", [3, None, object(), ["bytes"]])
def test_what_is_no_tokenizer_is_refused(spec: Any) -> None:
    with pytest.raises(UsageError, match="Expected a transformers tokenizer"):
        tokenizers.load(spec)


def test_a_folder_that_is_not_there_is_missing_data() -> None:
    with pytest.raises(MissingData, match="/no/such/folder"):
        tokenizers.load("/no/such/folder")


def test_a_folder_without_a_tokenizer_is_missing_data(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"Expected .* to be a folder with a tokenizer"):
        tokenizers.load(tmp_path)


def test_without_transformers_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"rltf\[agents\]"):
        tokenizers.load("gpt2")
    assert tokenizers.load("bytes") == Bytes()


def unknown_decoder() -> Any:
    tokenizer = rust.Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.decoder = decoders.Sequence([decoders.Replace(rust.Regex("a+"), "b"), decoders.Fuse()])
    return fast(tokenizer, bpe(150))


def late_replacement() -> Any:
    tokenizer = rust.Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.decoder = decoders.Sequence([decoders.Fuse(), decoders.Replace("re", "RE")])
    return fast(tokenizer, bpe(150))


# -------------------------------------------------------------------------------------------------- unknown decoders


@pytest.mark.parametrize("make", [unknown_decoder, late_replacement])
def test_a_decoder_that_is_not_known_still_gives_its_text_and_offsets(make: Callable[[], Any]) -> None:
    tokenizer = HuggingFace(make())
    for seed in range(20):
        ids = sampled(tokenizer, seed, 30)
        program = tokenizer.program(ids)
        assert program.text == decoded(tokenizer, ids)
        ends = [len(decoded(tokenizer, ids[:i])) for i in range(len(ids))]
        assert np.abs(program.starts - ends).max() <= 2, "a replacement may reach into the token before"
        assert (np.diff(program.starts) >= 0).all()


def test_a_decoder_that_does_not_do_as_it_says_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    made = byte_level()
    decode = made.decode
    monkeypatch.setattr(made, "decode", lambda ids, **options: decode(ids, **options).upper())
    tokenizer = HuggingFace(made)
    program = tokenizer.program(tokenizer.encode("def f(é):\n"))
    assert program.text == "DEF F(É):\n"
    assert program.text[int(program.starts[-1]) :] == "\n"
