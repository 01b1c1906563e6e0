"""A problem, programs for it, and whole episodes of them, for the tests of environments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rltf_env.core import CallCase, Outcome, Problem
from rltf_env.env import UnitTestEnv

EOS, PAD = 256, 257


DOUBLE = Problem("double", "Return twice x.", (CallCase((2,), 4), CallCase((3,), 6)), entry_point="f")


PROGRAMS = {
    "def f(x):\n    return x +": Outcome.SYNTAX_ERROR,
    "def f(x):\n    return x / 0\n": Outcome.RUNTIME_ERROR,
    "def f(x):\n    return 4\n": Outcome.WRONG_ANSWER,
    "def f(x):\n    return 2 * x\n": Outcome.PASSED,
}


def play(env: UnitTestEnv, tokens: Sequence[int], **reset: Any) -> tuple[list[float], bool, bool, dict[str, Any]]:
    """A whole episode of these tokens: all step rewards, and the end."""
    env.reset(**reset)
    earned = []
    for token in tokens:
        _, reward, terminated, truncated, info = env.step(token)
        earned.append(reward)
    return earned, terminated, truncated, info
