"""Small tokenizers, one of each kind, trained here in a moment; and ids as an untrained policy would sample them."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import sentencepiece
import tokenizers as rust
import transformers
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

# Repeated lines, tabs, an empty line, CRLF, letters and emoji outside ASCII, blanks at the end.
CODE = (
    "def f(x):\n\tif x:\n\t\treturn a[0]\n\treturn a[0]\n\n\n"
    "naïve = '日本🎉'  # ß\r\nx=a[0]\r\nx=a[0]\r\n    y = 1  \r\n\r\nx=a[0]\nfor i in range(10):\n        print(i)"
)
CORPUS = [CODE, "print('hello world')\n", "    return x + 1\n", "a = [1, 2, 3]\r\n", "\t\ty = 'é'\n"] * 10
SPECIAL = ["<pad>", "</s>", "<unk>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]


def fast(tokenizer: rust.Tokenizer, trainer: Any) -> Any:
    tokenizer.train_from_iterator(CORPUS, trainer)
    return wrapped(tokenizer)


def wrapped(tokenizer: rust.Tokenizer) -> Any:
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="</s>", unk_token="<unk>", pad_token="<pad>"
    )


def bpe(vocab_size: int, **options: Any) -> Any:
    return trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=SPECIAL, max_token_length=5, show_progress=False, **options
    )


def byte_level() -> Any:
    tokenizer = rust.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trained = fast(tokenizer, bpe(330, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    trained.add_tokens(["日本", "  #"])  # added tokens stand in plain text among byte-level ones
    return trained


def split_on_nothing() -> Any:
    """Byte-level BPE without words: tokens span a newline and the indentation after it."""
    tokenizer = rust.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    trained = fast(tokenizer, bpe(400, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    trained.add_tokens(["\n\t\t", "\n    "])
    return trained


def plain() -> Any:
    tokenizer = rust.Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.decoder = decoders.Fuse()
    return fast(tokenizer, bpe(150))


def no_decoder() -> Any:
    return fast(rust.Tokenizer(models.BPE(unk_token="<unk>")), bpe(150))


def word_ends() -> Any:
    tokenizer = rust.Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.BPEDecoder()
    return fast(tokenizer, bpe(150, end_of_word_suffix="</w>"))


def byte_fallback(normalizer: Any, *last: Any) -> Any:
    """What the vocabulary does not spell (line ends, tabs, rare letters) is left to the tokens `<0x00>` to `<0xFF>`."""
    trained = rust.Tokenizer(models.BPE(unk_token="<unk>"))
    trained.normalizer = normalizer
    trained.train_from_iterator(CORPUS, bpe(130, limit_alphabet=34))
    learnt = json.loads(trained.to_str())["model"]
    vocab = learnt["vocab"] | {token: len(learnt["vocab"]) + byte for byte, token in enumerate(BYTES)}
    merges = [tuple(pair) for pair in learnt["merges"]]
    tokenizer = rust.Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizer
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *last])
    tokenizer.add_special_tokens(SPECIAL)
    return wrapped(tokenizer)


def llama() -> Any:
    marks = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return byte_fallback(marks, decoders.Strip(" ", 1, 0))


def gemma() -> Any:
    return byte_fallback(normalizers.Replace(" ", "▁"))


def metaspace(prepend_scheme: str = "always") -> Any:
    tokenizer = rust.Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend_scheme)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=prepend_scheme)
    options = {"vocab_size": 100, "special_tokens": SPECIAL, "unk_token": "<unk>", "show_progress": False}
    return fast(tokenizer, trainers.UnigramTrainer(**options))


def metaspace_never() -> Any:
    return metaspace("never")


def word_piece() -> Any:
    tokenizer = rust.Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.decoder = decoders.WordPiece()
    return fast(tokenizer, trainers.WordPieceTrainer(vocab_size=150, special_tokens=SPECIAL, show_progress=False))


@cache
def sentencepiece_model() -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(" ".join(CORPUS).splitlines()),
        model_writer=model,
        model_type="unigram",
        vocab_size=90,
        hard_vocab_limit=False,
        pad_id=3,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        user_defined_symbols=["\n", "\t"],
        minloglevel=2,
    )
    return model.getvalue()


def sentencepiece_library(folder: Path) -> Any:
    (folder / "sentencepiece.model").write_bytes(sentencepiece_model())
    return transformers.BertGenerationTokenizer(str(folder / "sentencepiece.model"))


FAST: dict[str, Callable[[], Any]] = {
    function.__name__: function
    for function in (
        byte_level,
        split_on_nothing,
        plain,
        no_decoder,
        word_ends,
        llama,
        gemma,
        metaspace,
        metaspace_never,
        word_piece,
    )
}
KINDS = [*FAST, "sentencepiece_library", "byt5"]
ROUND_TRIP = ["byte_level", "split_on_nothing", "plain", "llama", "gemma", "metaspace", "metaspace_never"]
