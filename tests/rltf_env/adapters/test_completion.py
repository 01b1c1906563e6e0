"""Credit on sampled ids: sums are preserved, and no id earns for a line that it does not spell.

Three vocabularies are trained here: byte-level BPE, SentencePiece's with bytes for the rest, and one
whose tokens span a fence and the line behind it, or a newline and the indentation after it.
"""

from __future__ import annotations

import json
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import tokenizers as rust
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import decoders, models, normalizers, pre_tokenizers, trainers

from rltf_env import answers
from rltf_env.adapters import Completion, credit, read
from rltf_env.adapters.completion import _stretches
from rltf_env.core import CallCase, CaseResult, Failure, Feedback, Outcome, Problem, Verdict, line_starts
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError
from rltf_env.sandbox import load as open_sandbox
from rltf_env.tokenizers import Bytes, HuggingFace

DOUBLE = Problem("double", "Twice.", (CallCase((2,), 4),), entry_point="f")
GIVEN = Problem("given", "Twice.", (CallCase((2,), 4),), entry_point="f", prefix="import math\n\ndef f(x):\n")
CODE = "def f(x):\n    if x:\n        return a[0]\n    return 2 * x\n"
THINKS = "<think>\ndef f(x): return 1\nreturn a[0]\n</think>\n"
ANSWERS = {
    "bare": CODE,
    "fenced": f"Sure.\n```python\n{CODE}```\nIt returns a[0].\n",
    "thought": f"{THINKS}So:\n\n```python\n{CODE}```",
    "listed": "1. So:\n   ```python\n" + "".join(f"   {line}\n" for line in CODE.splitlines()) + "   ```\n",
    "quoted": "> ```python\n" + "".join(f"> {line}\n" for line in CODE.splitlines()) + "> ```\nEnd.",
    "indented": "".join(f"    {line}\n" for line in CODE.splitlines()),
    "windows": f"Hé.\r\n```python\r\n{CODE}```\r\n".replace("\n", "\r\n").replace("\r\r", "\r"),
    "in prose": f"Here it is:\n\n{CODE}\nThat is all there is.",
    "two": f"```\nprint(1)\n```\nNo:\n```py\n# naïve 日本🎉\n{CODE}```\n",
    "thought, bare": THINKS + CODE,
}
SPECIAL = ["<pad>", "</s>", "<unk>"]
CORPUS = list(ANSWERS.values()) * 4


def wrapped(tokenizer: rust.Tokenizer) -> Any:
    names = {"eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def byte_level(use_regex: bool) -> Any:
    tokenizer = rust.Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=SPECIAL, initial_alphabet=alphabet, max_token_length=12, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return wrapped(tokenizer)


def merged_newlines() -> Any:
    made = byte_level(use_regex=False)
    made.add_tokens(["```python\ndef", "\n    ", "\n        return", ":\n", "\n```"])
    return made


def sentence_piece() -> Any:
    trained = rust.Tokenizer(models.BPE(unk_token="<unk>"))
    trained.normalizer = normalizers.Replace(" ", "▁")
    trainer = trainers.BpeTrainer(
        vocab_size=160, special_tokens=SPECIAL, limit_alphabet=40, max_token_length=8, show_progress=False
    )
    trained.train_from_iterator(CORPUS, trainer)
    learnt = json.loads(trained.to_str())["model"]
    vocab = learnt["vocab"] | {f"<0x{byte:02X}>": len(learnt["vocab"]) + byte for byte in range(256)}
    merges = [tuple(pair) for pair in learnt["merges"]]
    tokenizer = rust.Tokenizer(models.BPE(vocab, merges, unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    tokenizer.add_special_tokens(SPECIAL)
    return wrapped(tokenizer)


KINDS = {"byte level": partial(byte_level, True), "merged newlines": merged_newlines, "sentence piece": sentence_piece}


@cache
def built(kind: str) -> HuggingFace:
    return HuggingFace(KINDS[kind]())


def encoded(kind: str, text: str, *, end: bool = True) -> list[int]:
    tokenizer = built(kind)
    ids = tokenizer.encode(text)
    return [*ids, tokenizer.eos_id] if end else ids


def blamed(line: int | None) -> Verdict:
    failure = Failure("IndexError", line=line, bases=("LookupError", "Exception"))
    return Verdict((CaseResult(Outcome.RUNTIME_ERROR, failure),))


def env(kind: str | None, **options: Any) -> UnitTestEnv:
    judge = open_sandbox("scripted", rules=lambda source, problem: options.get("verdict", "SyntaxError"))
    tokenizer = "bytes" if kind is None else built(kind)
    reward = options.get("reward", "rltf")
    return UnitTestEnv([DOUBLE, GIVEN], sandbox=judge, tokenizer=tokenizer, reward=reward)


def feedback_on(completion: Completion) -> Feedback:
    """Rewards of single tokens, and a share of the whole."""
    rng = np.random.default_rng(len(completion.program))
    return Feedback.build(
        completion.program, "any", program_reward=0.5, tokens=rng.normal(size=len(completion.program))
    )


def agreement(text: str, other: str) -> int:
    pairs = enumerate(zip(text, other, strict=False))
    return next((i for i, (a, b) in pairs if a != b), min(len(text), len(other)))


def reference_pieces(kind: str, ids: list[int]) -> list[tuple[int, int]]:
    """The characters of each id, by decoding prefixes alone: where the text of those before it stops being that of all."""
    tokenizer = built(kind).tokenizer
    texts = [tokenizer.decode(ids[:i], skip_special_tokens=True) for i in range(len(ids) + 1)]
    at = [agreement(text, texts[-1]) for text in texts]
    silent = set(tokenizer.all_special_ids)
    return [(a, a if id in silent else max(a + 1, b)) for id, a, b in zip(ids, at, at[1:], strict=False)]


# ----------------------------------------------------------------------------------- which ids earn


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("line", [1, 2, 3, 4])
def test_a_guilty_line_is_charged_to_the_ids_that_spell_it_and_to_no_other(kind: str, name: str, line: int) -> None:
    ids = encoded(kind, ANSWERS[name])
    completion = read(ids, built(kind), DOUBLE)
    shift = completion.program.text.split("\n").index("def f(x):" + "\r" * (name == "windows"))
    token = Feedback.build(completion.program, "line", tokens=completion.program.tokens_on(line + shift))
    charged = np.flatnonzero(completion.credit(token).rewards)
    said = CODE.splitlines()[line - 1]
    text = completion.text
    begin = text.index(said.strip(), completion.offset)
    end = begin + len(said.strip())
    spans = reference_pieces(kind, ids)
    needed = [i for i, (a, b) in enumerate(spans) if a < end and b > begin]
    start = text.rindex("\n", 0, begin) + 1 if "\n" in text[:begin] else 0
    allowed = [i for i, (a, b) in enumerate(spans) if a < end and b > start]  # its indentation may be charged too
    assert set(needed) <= set(charged) <= set(allowed)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ANSWERS)
def test_reasoning_prose_and_fences_earn_nothing_but_the_whole_share_at_the_end(kind: str, name: str) -> None:
    ids = encoded(kind, ANSWERS[name])
    completion = read(ids, built(kind), DOUBLE)
    rewards = completion.credit(feedback_on(completion)).token_rewards
    first = completion.text.index("def", completion.offset) if name != "two" else completion.offset
    last = completion.text.index("2 * x", first) + len("2 * x\r\n")
    outside = [i for i, (a, b) in enumerate(reference_pieces(kind, ids)) if a < b and (b <= first - 4 or a >= last)]
    assert outside or name in ("bare", "indented")
    assert not rewards[outside].any()


texts = st.lists(
    st.sampled_from(["```python\n", "```\n", "def f(x):\n", "    return x\n", "<think>", "</think>\n", "é🎉\n", "\n", "1. ", "> "]),
    max_size=12,
).map("".join)  # fmt: skip


@given(kind=st.sampled_from(list(KINDS)), text=texts, problem=st.sampled_from([DOUBLE, GIVEN]), end=st.booleans())
@settings(max_examples=200)
def test_sums_are_preserved_for_any_answer(kind: str, text: str, problem: Problem, end: bool) -> None:
    ids = encoded(kind, text, end=end)
    completion = read(ids, built(kind), problem)
    feedback = feedback_on(completion)
    laid = completion.credit(feedback)
    assert laid.rewards.shape == laid.loss_mask.shape == (len(ids),)
    if ids:
        assert laid.total == pytest.approx(feedback.total, abs=1e-4)
    assert laid.program_reward == feedback.program_reward
    assert dict(laid.parts) == dict(feedback.parts)


@given(kind=st.sampled_from(list(KINDS)), seed=st.integers(0, 10**9), length=st.integers(0, 40))
@settings(max_examples=200)
def test_any_sampled_ids_have_a_program_and_credit(kind: str, seed: int, length: int) -> None:
    """Ids as an untrained policy samples them: broken characters, special tokens, ends in the middle."""
    ids = np.random.default_rng(seed).integers(0, built(kind).vocab_size, length).tolist()
    completion = read(ids, built(kind), DOUBLE)
    assert completion.text == built(kind).tokenizer.decode(ids, skip_special_tokens=True)
    starts = completion.program.starts
    assert (np.diff(starts) >= 0).all()
    assert 0 <= starts[0] <= starts[-1] <= len(completion.program.text)
    feedback = feedback_on(completion)
    laid = completion.credit(feedback)
    if ids:
        assert laid.total == pytest.approx(feedback.total, abs=1e-4)


@given(kind=st.sampled_from(list(KINDS)), name=st.sampled_from(list(ANSWERS)), seed=st.integers(0, 10**6))
@settings(max_examples=100)
def test_feedback_in_bytes_falls_on_the_ids_that_spell_the_same_characters(kind: str, name: str, seed: int) -> None:
    completion = read(encoded(kind, ANSWERS[name]), built(kind), DOUBLE)
    judged = env(None).program_of(DOUBLE, completion.program.text)
    rng = np.random.default_rng(seed)
    tokens = rng.normal(size=len(judged)) * (rng.random(len(judged)) < 0.1)
    feedback = Feedback.build(judged, "bytes", program_reward=-1.0, tokens=tokens)
    laid = completion.credit(feedback, judged)
    assert laid.total == pytest.approx(feedback.total, abs=1e-4)
    assert laid.program_reward == -1.0
    line = int(rng.integers(1, 5))
    on_line = Feedback.build(judged, "line", tokens=judged.tokens_on(line) / max(judged.tokens_on(line).sum(), 1))
    charged = completion.credit(on_line, judged).token_rewards != 0
    own = np.zeros(completion.size, bool)
    own[completion.first : completion.first + len(completion.program)] = completion.program.tokens_on(line)
    assert not (charged & ~own).any()


# ---------------------------------------------------------------------------- equal to the environment


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reward", ["rltf", "fine", "coarse"])
def test_a_bare_program_earns_to_the_digit_what_the_environment_pays_for_these_ids(kind: str, reward: str) -> None:
    ids = encoded(kind, CODE)
    judging = env(kind, reward=reward, verdict=blamed(3))
    completion = read(ids, built(kind), DOUBLE)
    ours = judging.judge(DOUBLE, ids)
    laid = completion.credit(judging.judge(DOUBLE, completion.program).feedback)
    assert completion.program == built(kind).program(ids)
    assert laid == ours.feedback


@pytest.mark.parametrize("kind", KINDS)
def test_a_body_goes_on_with_the_given_code_and_a_function_anew_replaces_it(kind: str) -> None:
    for text, line in (
        ("    return a[0]\n", 4),
        ("from __future__ import annotations\ndef f(x):\n    return a[0]\n", 8),
    ):
        completion = read(encoded(kind, text), built(kind), GIVEN)
        assert completion.program.text == answers.joined(GIVEN.prefix, text, "f")
        assert completion.program.text.split("\n")[line - 1] == "    return a[0]"
        judgement = env(kind, reward="fine", verdict=blamed(line)).judge(GIVEN, completion.program)
        spelled = built(kind).tokenizer.decode(
            np.array(encoded(kind, text))[completion.credit(judgement.feedback).rewards < 0]
        )
        assert "return a[0]" in spelled
        assert "def" not in spelled


def test_an_error_in_given_code_charges_nobody() -> None:
    completion = read(encoded("byte level", "    return a[0]\n"), built("byte level"), GIVEN)
    judgement = env("byte level", reward="fine", verdict=blamed(1)).judge(GIVEN, completion.program)
    assert not completion.credit(judgement.feedback).rewards.any()


def test_padding_and_what_follows_the_end_earn_nothing() -> None:
    tokenizer = built("byte level")
    pad = tokenizer.tokenizer.pad_token_id
    ids = [*encoded("byte level", CODE), pad, pad]
    completion = read(ids, tokenizer, DOUBLE)
    laid = completion.credit(Feedback.build(completion.program, "all", tokens=np.ones(len(completion.program))))
    assert laid.rewards.tolist() == [1.0] * (len(ids) - 2) + [0.0, 0.0]


def test_our_own_tokenizers_are_read_too() -> None:
    ids = [*Bytes().encode(f"```\n{CODE}```"), Bytes().eos_id, 7, 7]
    completion = read(ids, Bytes(), DOUBLE)
    assert completion.program.text == CODE
    laid = completion.credit(Feedback.build(completion.program, "line", tokens=completion.program.tokens_on(1)))
    assert np.flatnonzero(laid.rewards).tolist() == list(range(4, 4 + len("def f(x):")))


# ------------------------------------------------------------------------------------ by offset alone


@pytest.mark.parametrize("kind", KINDS)
def test_by_offset_alone_the_ids_themselves_are_the_tokens_of_the_feedback(kind: str) -> None:
    ids = encoded(kind, ANSWERS["fenced"])
    completion = read(ids, built(kind), DOUBLE)
    feedback = feedback_on(completion)
    assert credit(feedback, ids, built(kind), completion.offset) == completion.credit(feedback)


def test_by_offset_a_program_in_other_tokens_must_stand_there_to_the_letter() -> None:
    ids = encoded("byte level", ANSWERS["fenced"])
    offset = ANSWERS["fenced"].index("def")
    judged = env(None).program_of(DOUBLE, CODE)
    feedback = Feedback.build(judged, "line", tokens=judged.tokens_on(4), program_reward=1.0)
    laid = credit(feedback, ids, built("byte level").tokenizer, offset, program=judged)
    assert laid.total == pytest.approx(feedback.total)
    spelled = built("byte level").tokenizer.decode(np.array(ids)[laid.token_rewards != 0])
    assert spelled.strip() == "return 2 * x"
    with pytest.raises(UsageError, match="Expected the ids to spell the program from character 0 on"):
        credit(feedback, ids, built("byte level"), 0, program=judged)


def test_feedback_on_another_program_is_refused() -> None:
    completion = read(encoded("byte level", CODE), built("byte level"), DOUBLE)
    other = env(None).program_of(DOUBLE, CODE)
    with pytest.raises(UsageError, match="Pass the program that was judged"):
        completion.credit(Feedback.build(other, "x"))
    another = env(None).program_of(DOUBLE, "pass")
    with pytest.raises(UsageError, match="got it on another text: 'pass'"):
        completion.credit(Feedback.build(another, "x"), another)


def test_a_prompt_may_have_opened_the_fence() -> None:
    ids = encoded("byte level", f"{CODE}```\nDone.")
    completion = read(ids, built("byte level"), DOUBLE, choose=partial(answers.choose, opened=True))
    assert completion.program.text == CODE
    assert line_starts(completion.program.text)[1] == len("def f(x):\n")


def test_all_of_an_answer_may_be_the_program() -> None:
    completion = read(encoded("byte level", "```x"), built("byte level"), DOUBLE, choose=None)
    assert completion.program.text == "```x"


def test_the_bytes_of_a_first_character_all_belong_to_the_program() -> None:
    completion = read([*Bytes().encode("```\né = 1\n```"), Bytes().eos_id], Bytes(), DOUBLE)
    assert completion.program.text == "é = 1\n"
    laid = completion.credit(Feedback.build(completion.program, "line", tokens=completion.program.tokens_on(1)))
    assert laid.rewards.tolist() == [0.0] * 4 + [1.0] * len("é = 1".encode()) + [0.0] * 5


@pytest.mark.parametrize(
    ("answer", "offset", "program", "stretches"),
    [
        ("ab\ncd", 3, "cd", [(3, 0, 2)]),
        ("> >\n> a\n", 0, ">\na\n", [(2, 0, 2), (6, 2, 2), (8, 4, 0)]),
        ("  a\n    b\n", 0, "a\n  b\n", [(2, 0, 2), (6, 2, 4), (10, 6, 0)]),
        ("  a\n   \n  b```", 0, "a\n\nb", [(2, 0, 2), (7, 2, 1), (10, 3, 1)]),
        ("a<think>\nx\n</think>b", 0, "a" + "\n" * 18 + "b", [(0, 0, 20)]),
    ],
)
def test_lines_that_lost_their_beginning_are_where_they_were(
    answer: str, offset: int, program: str, stretches: list[tuple[int, int, int]]
) -> None:
    assert _stretches(answer, offset, program) == stretches


@pytest.mark.parametrize("kind", KINDS)
def test_what_tokens_weigh_in_a_loss_is_laid_beside_what_they_earn(kind: str) -> None:
    ids = encoded(kind, ANSWERS["fenced"])
    completion = read(ids, built(kind), DOUBLE)
    judging = env(kind, reward="fine", verdict=blamed(3))
    own = judging.judge(DOUBLE, completion.program).feedback
    laid = completion.credit(own)
    assert laid.credit is not None
    assert laid.total == pytest.approx(-0.3)
    assert np.array_equal(laid.credit != 0, laid.rewards != 0)
    assert laid.credit.sum() == pytest.approx(own.token_rewards.sum(), rel=1e-5)
    bytewise = env(None, reward="fine", verdict=blamed(3))
    judged = bytewise.program_of(DOUBLE, completion.program.text)
    moved = completion.credit(bytewise.judge(DOUBLE, judged).feedback, judged)
    assert moved.total == pytest.approx(-0.3)
    assert moved.credit is not None
    weight = bytewise.judge(DOUBLE, judged).feedback.token_rewards.min()
    inside = moved.credit[laid.credit != 0]
    assert (inside >= weight - 1e-5).all()
    assert np.isclose(inside, weight).any()  # an id of nothing but the line weighs what its bytes weigh
