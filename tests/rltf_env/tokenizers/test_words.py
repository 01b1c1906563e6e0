"""`Words`, the closed vocabulary; and what bytes the tokens of every tokenizer spell."""

from __future__ import annotations

import pickle
import random

import pytest

from agents.policies import tiny
from rltf_env import datasets, prompts, tokenizers
from rltf_env.core import Tokenizer, line_starts
from rltf_env.errors import UnknownName, UsageError
from rltf_env.tokenizers import Bytes, HuggingFace, Words
from rltf_env.wrappers.action_mask import spellings

PROBLEMS = datasets.load("procedural", size=40)
TEXTS = [text for problem in PROBLEMS for text in (prompts.render(problem), *problem.solutions)]


def test_every_text_of_the_words_comes_back_to_the_letter() -> None:
    words = Words.of(TEXTS)
    for text in TEXTS:
        assert words.program(words.encode(text)).text == text
    assert words == Words.of(TEXTS[::-1])
    assert words.vocab_size < 300


@pytest.mark.parametrize("text", ["", " ", "  x", "\t\n\r\n", "a  +b", " é", "x.y('z')", "__a1 2b"])
def test_any_text_is_made_of_words(text: str) -> None:
    words = Words.of([text, "x"])
    assert words.program(words.encode(text)).text == text


def test_words_by_hand() -> None:
    words = Words.of(["def f(x):\n    return x"])
    assert words.words == ("\n", " ", " f", " return", " x", "(", ")", ":", "def", "x")
    program = words.program([*words.encode("def f(x):\n"), words.eos_id], prefix_length=2)
    assert program.text == "def f(x):\n"
    assert program.starts.tolist() == [0, 3, 5, 6, 7, 8, 9, 10]
    assert (program.prefix_length, words.vocab_size, words.eos_id) == (2, 11, 10)
    assert program.tokens_on(1).tolist() == [True] * 6 + [False] * 2


def test_a_word_that_is_not_there_is_named_with_the_nearest() -> None:
    words = Words.of(["return x"])
    with pytest.raises(UnknownName, match=r"Unknown word 'retrun'. Did you mean 'return'\?"):
        words.encode("retrun x")
    with pytest.raises(UsageError, match=r"in \[0, 3\)"):
        words.program([3])
    with pytest.raises(UsageError, match="as the last token only"):
        words.program([2, 0])


@pytest.mark.parametrize("wrong", [(), ("a b",), ("a", "a"), ("  ",), ("",)])
def test_what_is_no_vocabulary_of_words_is_refused(wrong: tuple[str, ...]) -> None:
    with pytest.raises(UsageError, match="different words"):
        Words(wrong)


def test_words_are_a_tokenizer_and_a_value() -> None:
    words = Words.of(TEXTS[:4])
    assert tokenizers.load(words) is words
    copy = pickle.loads(pickle.dumps(words))
    assert copy == words
    assert copy.encode(TEXTS[0]) == words.encode(TEXTS[0])
    assert len(line_starts(copy.program(copy.encode(TEXTS[1])).text)) == len(line_starts(TEXTS[1]))


def bpe() -> HuggingFace:
    return HuggingFace(tiny.train_tokenizer([*TEXTS, "é→😀"] * 2, 400))


@pytest.mark.parametrize("make", [Bytes, bpe, lambda: Words.of(TEXTS)])
def test_a_program_is_the_bytes_of_its_tokens(make: type[Tokenizer]) -> None:
    tokenizer = make()
    spelled, rng = spellings(tokenizer), random.Random(0)
    assert len(spelled) == tokenizer.vocab_size
    assert spelled[tokenizer.eos_id] == b""
    for _ in range(50):
        ids = [id for id in rng.choices(range(tokenizer.vocab_size), k=30) if id != tokenizer.eos_id]
        assert tokenizer.program(ids).text == b"".join(spelled[id] for id in ids).decode("utf-8", "replace")


def test_a_tokenizer_that_is_not_byte_level_says_so() -> None:
    rust = pytest.importorskip("tokenizers")
    transformers = pytest.importorskip("transformers")
    made = rust.Tokenizer(rust.models.WordLevel({"<unk>": 0, "x": 1, "</s>": 2}, unk_token="<unk>"))
    tokenizer = HuggingFace(
        transformers.PreTrainedTokenizerFast(tokenizer_object=made, eos_token="</s>", unk_token="<unk>")
    )
    with pytest.raises(UsageError, match="byte-level"):
        spellings(tokenizer)
