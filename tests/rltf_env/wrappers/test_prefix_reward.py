"""Potential-based shaping: it telescopes, whatever the potential, and pays at the token that made a program impossible."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rltf_env import sandbox
from rltf_env.core import CallCase, Outcome, Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError
from rltf_env.prefix import Prefix
from rltf_env.wrappers.prefix_reward import Dead, PrefixReward, shaping

EOS = 256
DOUBLE = Problem("double", "Return twice x.", (CallCase((2,), 4),), entry_point="f")


def make(**kwargs: Any) -> UnitTestEnv:
    judge = sandbox.load("scripted", default=Outcome.PASSED)
    return UnitTestEnv([DOUBLE], sandbox=judge, max_prompt_tokens=64, max_program_tokens=24, **kwargs)


def play(env: Any, tokens: list[int], **options: str) -> tuple[list[float], dict[str, Any]]:
    """The rewards of an episode, and its last info."""
    env.reset(options=options)
    rewards: list[float] = []
    for token in tokens:
        _, reward, terminated, truncated, info = env.step(token)
        rewards.append(reward)
        if terminated or truncated:
            return rewards, info
    raise AssertionError("the episode did not end")


def discounted(rewards: list[float], gamma: float) -> float:
    return sum(gamma**t * reward for t, reward in enumerate(rewards))


@pytest.mark.parametrize(
    ("before", "after", "gamma", "expected"),
    [(0, 0, 1, 0), (0, -1, 1, -1), (-1, -1, 1, 0), (-1, 0, 1, 1), (2, 4, 0.5, 0)],
)
def test_shaping_by_hand(before: float, after: float, gamma: float, expected: float) -> None:
    assert shaping(before, after, gamma) == expected


@settings(max_examples=60)
@given(
    st.lists(st.sampled_from([*b"x=(1)\n' "]), max_size=30),
    st.sampled_from([1.0, 0.9, 0.5]),
    st.sampled_from(["", "x = ", ")"]),
    st.floats(-3, 3),
)
def test_shaping_telescopes_to_what_the_beginning_was_worth(
    tokens: list[int], gamma: float, prefix: str, scale: float
) -> None:
    def potential(prefix: Prefix) -> float:
        return scale * (1 + len(str(prefix.lexer))) + prefix.alive - 2 * prefix.complete

    program = [*tokens, EOS][: 24 - len(prefix)]
    plain, _ = play(make(), program, prefix=prefix)
    shaped, _ = play(PrefixReward(make(), potential, gamma), program, prefix=prefix)
    beginning = potential(Prefix().feed(prefix))
    assert discounted(shaped, gamma) - discounted(plain, gamma) == pytest.approx(-beginning, abs=1e-9)


def test_the_token_that_made_the_program_impossible_pays_and_the_end_pays_back() -> None:
    rewards, info = play(PrefixReward(make(reward="coarse")), [*b"f = )x", EOS])
    assert rewards == [0, 0, 0, 0, -1, 0, pytest.approx(1.0 + 1.0)]
    assert info["dead_at"] == 4
    assert info["shaping"] == 1.0
    assert np.sum(rewards) == pytest.approx(info["feedback"].total)


def test_with_a_discount_the_debt_shrinks() -> None:
    rewards, _ = play(PrefixReward(make(reward="coarse"), Dead(2.0), 0.5), [*b")x", EOS])
    assert rewards == [pytest.approx(-1.0), pytest.approx(1.0), pytest.approx(1.0 + 2.0)]


def test_a_program_that_stays_possible_earns_what_it_did() -> None:
    rewards, info = play(PrefixReward(make(reward="coarse")), [*b"f = abs", EOS])
    assert rewards == [0] * 7 + [1]
    assert info["dead_at"] is None


def test_a_cut_off_program_is_an_end_like_another() -> None:
    rewards, info = play(PrefixReward(make(reward="coarse")), [ord(")")] * 24)
    assert info["program"].truncated
    assert rewards[0] == -1
    assert rewards[-1] == 2.0


def test_given_tokens_that_are_dead_are_named_and_not_paid() -> None:
    rewards, info = play(PrefixReward(make(reward="coarse")), [EOS], prefix="x = )")
    assert info["dead_at"] == 4
    assert rewards == [2.0]  # 1 - Phi(s0)


def test_shaping_goes_on_from_a_moment_that_was_gone_back_to() -> None:
    env = PrefixReward(make())
    env.reset()
    env.step(ord("x"))
    saved = env.unwrapped.get_state()
    died = env.step(ord(")"))[1]
    env.unwrapped.set_state(saved)
    assert (died, env.step(ord("="))[1]) == (-1.0, 0.0)
    env.step(ord(")"))
    dead = env.unwrapped.get_state()
    env.reset()
    env.unwrapped.set_state(dead)
    info = env.step(EOS)[-1]
    assert (info["shaping"], info["dead_at"]) == (1.0, 2)


def test_the_vector_of_the_feedback_is_left_alone() -> None:
    _, plain = play(make(), [*b")", EOS])
    _, shaped = play(PrefixReward(make()), [*b")", EOS])
    assert np.array_equal(plain["feedback"].rewards, shaped["feedback"].rewards)


@pytest.mark.parametrize("gamma", [0.0, 1.1, -1.0])
def test_an_impossible_discount_is_refused(gamma: float) -> None:
    with pytest.raises(UsageError, match=r"gamma in \(0, 1\]"):
        PrefixReward(make(), gamma=gamma)
