"""Action masks: what they allow is what can be completed, on every kind of vocabulary, and agents can live by them."""

from __future__ import annotations

import pickle
import random
from collections.abc import Callable
from functools import cache
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from agents.policies import tiny
from rltf_env import datasets, sandbox
from rltf_env.core import CallCase, Outcome, Problem, Program, Tokenizer
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError
from rltf_env.prefix import DEAD, Prefix
from rltf_env.tokenizers import Bytes, HuggingFace, Words
from rltf_env.wrappers import action_mask
from rltf_env.wrappers.action_mask import ActionMask, PrefixTracker, TokenMasks, masks_of, spellings

EOS = 256
PROBLEMS = datasets.load("procedural", size=24)
TEXTS = [text for problem in PROBLEMS for text in problem.solutions]
DOUBLE = Problem("double", "Return twice x.", (CallCase((2,), 4),), entry_point="f")


@cache
def byte_level() -> HuggingFace:
    return HuggingFace(tiny.train_tokenizer([*TEXTS, "s = 'é→😀'\n"] * 3, 400))


VOCABULARIES: dict[str, Callable[[], Tokenizer]] = {"bytes": Bytes, "bpe": byte_level, "words": lambda: Words.of(TEXTS)}


@pytest.fixture(params=VOCABULARIES)
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return VOCABULARIES[request.param]()


def make(**kwargs: Any) -> UnitTestEnv:
    judge = sandbox.load("scripted", default=Outcome.PASSED)
    return UnitTestEnv([DOUBLE], **({"sandbox": judge, "max_prompt_tokens": 64, "max_program_tokens": 64} | kwargs))


# -------------------------------------------------------------------------------------------------------------- masks


def test_a_reference_is_allowed_token_by_token_to_its_end(tokenizer: Tokenizer) -> None:
    masks, follow = masks_of(tokenizer), PrefixTracker(tokenizer)
    for text in TEXTS:
        tokens = np.array([*tokenizer.encode(text), tokenizer.eos_id])
        for n, token in enumerate(tokens):
            assert masks(follow(tokens[:n]))[token], text


def test_a_mask_is_what_trying_every_token_finds(tokenizer: Tokenizer) -> None:
    masks, spelled = masks_of(tokenizer), spellings(tokenizer)
    rng = random.Random(0)
    beginnings = [
        "",
        "x",
        "x = 'a",
        'f"{x',
        'f"{x:',
        "if x:\n",
        "if x:\n    y",
        "(1, ",
        "0",
        "1.",
        "def ",
        "x = b'",
        "é",
        "'''\r",
    ]
    for text in beginnings + [text[: rng.randrange(len(text))] for text in TEXTS[:6]]:
        for prefix in (Prefix().feed(text), Prefix().feed_bytes(text.encode() + b"\xc3")):
            if prefix.alive:
                tried = [bool(spelling) and prefix.feed_bytes(spelling).alive for spelling in spelled]
                tried[tokenizer.eos_id] = prefix.complete or not any(tried)
                assert masks(prefix).tolist() == tried, prefix


def test_a_walk_by_the_mask_stays_parsable() -> None:
    masks, rng = masks_of(Bytes()), np.random.default_rng(0)
    for _ in range(20):
        prefix = Prefix()
        for _ in range(60):
            allowed = np.flatnonzero(masks(prefix))
            assert len(allowed)
            token = int(rng.choice(allowed))
            if token == EOS:
                assert prefix.complete
                break
            prefix = prefix.feed_bytes(bytes((token,)))
            assert prefix.alive


def test_the_end_is_allowed_only_where_the_program_is_complete() -> None:
    masks = masks_of(Bytes())
    allowed = {
        text: bool(masks(Prefix().feed(text))[EOS]) for text in ("", "x", "x =", "x = 1", "if x:", "if x: y", "'a", "(")
    }
    assert [text for text, allow in allowed.items() if allow] == ["", "x", "x = 1", "if x: y"]


def test_a_character_may_be_split_over_tokens() -> None:
    masks = masks_of(Bytes())
    assert masks(Prefix().feed("'"))[0xC3]
    assert not masks(Prefix().feed("b'"))[0xC3]
    half = masks(Prefix().feed_bytes(b"x\xc3"))
    assert half[0xA9]
    assert not half[ord(" ")]  # U+FFFD in a name
    assert masks(Prefix().feed_bytes(b"'\xc3"))[ord("'")]  # and within a string
    assert not masks(Prefix())[0xF1]  # no letter begins with this byte


def test_at_least_the_end_is_allowed_where_nothing_is_right() -> None:
    assert masks_of(Bytes())(DEAD).nonzero()[0].tolist() == [EOS]
    words = Words(("(", "x"))
    assert masks_of(words)(Prefix().feed("(x")).tolist() == [True, True, False]
    assert masks_of(words)(Prefix().feed("'")).tolist() == [True, True, False]
    assert masks_of(Words(("1",)))(Prefix().feed("x = ")).tolist() == [True, False]
    assert masks_of(Words(("x",)))(Prefix().feed("(1 ")).tolist() == [False, True]  # no bracket to close with


def test_tokens_that_spell_nothing_are_never_allowed() -> None:
    masks = TokenMasks((b"x", b"", b""), eos_id=2)
    assert masks(Prefix()).tolist() == [True, False, True]


def test_equal_prefixes_have_one_mask_that_can_not_be_written_to() -> None:
    masks = masks_of(Bytes())
    first, again = masks(Prefix().feed("x\ny\n")), masks(Prefix().feed("z = 1\nw\n"))
    assert first is again
    with pytest.raises(ValueError, match="read-only"):
        first[0] = True


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> TokenMasks:
    """Masks of a small vocabulary, of which 64 are remembered."""
    monkeypatch.setattr(action_mask, "KEPT_BYTES", 1)
    return TokenMasks((b"(", b"x", b""), eos_id=2)


def test_what_is_remembered_is_bounded(few: TokenMasks) -> None:
    for n in range(100):
        few(Prefix().feed("(" * n))
    assert few._mask.cache_info().currsize == 64


def test_threads_share_what_is_remembered(few: TokenMasks) -> None:
    looks = []

    class Interrupted(Prefix):
        def __hash__(self) -> int:  # each second time, another thread has asked for as many masks as are remembered
            looks.append(self)
            if len(looks) % 2 == 0:
                for n in range(65):
                    few(Prefix().feed("(" * n))
            return 0

    prefix = Interrupted()
    first, another, again = few(prefix), few(Prefix()), few(prefix)
    assert first.tolist() == another.tolist() == again.tolist()


def test_a_tokenizer_whose_tokens_are_no_bytes_is_refused() -> None:
    class Silent:
        vocab_size, eos_id = 2, 1

        def encode(self, text: str) -> list[int]:
            return []

        def program(self, tokens: Any, *, prefix_length: int = 0, truncated: bool = False) -> Program:
            return Bytes().program(tokens, prefix_length=prefix_length, truncated=truncated)

    with pytest.raises(UsageError, match=r"method spellings\(\)"):
        ActionMask(make(tokenizer=Silent()))


# ------------------------------------------------------------------------------------------------------------ wrapper


def test_the_mask_is_in_the_info_at_reset_and_after_each_step_but_the_last() -> None:
    env = ActionMask(make())
    _, info = env.reset()
    assert info["action_mask"].dtype == np.int8
    for token in b"f = abs":
        assert info["action_mask"][token] == 1
        assert np.array_equal(info["action_mask"], env.action_masks())
        *_, info = env.step(token)
    assert info["action_mask"][EOS] == 1
    *_, info = env.step(EOS)
    assert "action_mask" not in info
    assert info["verdict"].outcome is Outcome.PASSED


def test_the_mask_follows_what_was_given_and_every_new_episode() -> None:
    env = ActionMask(make())
    _, info = env.reset(options={"prefix": "f = ("})
    assert not info["action_mask"][EOS]
    _, info = env.reset()
    assert info["action_mask"][EOS]
    assert not info["action_mask"][ord(")")]


def test_a_masked_choice_is_a_choice_of_the_environment() -> None:
    env = ActionMask(make(max_program_tokens=40))
    env.action_space.seed(0)
    for _ in range(5):
        _, info = env.reset()
        over = False
        while not over:
            *_, terminated, over, info = env.step(env.action_space.sample(mask=info["action_mask"]))
            over = over or terminated
        program = info["program"].text
        assert Prefix().feed(program).alive, program


def test_actions_are_not_restricted() -> None:
    env = ActionMask(make())
    env.reset()
    *_, info = env.step(ord(")"))
    assert info["action_mask"].nonzero()[0].tolist() == [EOS]  # nothing can save it


def test_a_masked_environment_passes_gymnasiums_check() -> None:
    env = gymnasium.make("RLTF-Procedural-v0", max_program_tokens=8, sandbox=sandbox.load("scripted"))
    check_env(ActionMask(env).unwrapped, skip_render_check=True)
    assert "ActionMask" in str(ActionMask(env))


def test_environments_share_their_masks_also_with_their_copies() -> None:
    env = ActionMask(make())
    assert env._masks is ActionMask(make())._masks
    env.reset()
    env.step(ord("("))
    before = env.action_masks()
    copy = pickle.loads(pickle.dumps(env))
    assert copy._masks is env._masks
    assert np.array_equal(copy.action_masks(), before)
    copy.step(ord("1"))
    assert np.array_equal(env.action_masks(), before)
