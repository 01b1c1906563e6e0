"""Rewards while a program is being written: potential-based shaping of the prefix (Ng, Harada & Russell 1999, eq. 2).

    F(s, s') = gamma Phi(s') - Phi(s),      Phi = 0 at the end of an episode, however it ends

A token's reward is what the environment pays plus F. Discounted by the same gamma the terms F of an episode cancel but for
the first: whatever the agent writes, its return differs from the unshaped one by -Phi(s0). So the same policies are optimal, and
shaping only moves *when* something is felt: with the default potential, at the very token that made the program
impossible as Python, long before the judge says so.

What it can express: anything that a function of the text so far can say. What it can't: credit after the fact. Which line raised
an error is known when the program has run, and is paid by `info["feedback"].rewards`, a vector over all tokens, which
`agents/rollout.py` reads and which shaping leaves as it is. And since what is taken is given back at the end
(with gamma = 1, a program that died at token t gets -penalty there and +penalty with the last), an agent that looks only at
whole returns (REINFORCE without a baseline that knows the prefix) gains nothing; one with a critic, or with gamma < 1 and short
traces, does.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np

from rltf_env.core import IntArray
from rltf_env.errors import UsageError
from rltf_env.prefix import Prefix
from rltf_env.wrappers.action_mask import PrefixTracker

Potential = Callable[[Prefix], float]


@dataclass(frozen=True)
class Dead:
    """The default potential: -`penalty` once no Python program begins like this, 0 until then."""

    penalty: float = 1.0

    def __call__(self, prefix: Prefix) -> float:
        return 0.0 if prefix.alive else -self.penalty


def shaping(potential: float, after: float, gamma: float) -> float:
    """F(s, s') = gamma Phi(s') - Phi(s) (Ng, Harada & Russell 1999, eq. 2). `after` is 0 where the episode ends."""
    return gamma * after - potential


class PrefixReward(gymnasium.Wrapper[Any, Any, Any, Any], gymnasium.utils.RecordConstructorArgs):
    """Adds potential-based shaping to the reward of every step of a token environment.

    `info["shaping"]` is the part that was added. At the end `info["dead_at"]` is the index, among the program's tokens, of
    the one with which it became impossible as Python, or None; tokens that were given count. The step rewards sum no
    longer to `feedback.total` but, with gamma = 1, to `feedback.total - Phi(s0)`; by default Phi(s0) is 0 unless the prefix
    that was given is dead itself.

    Args:
        env: a token environment, wrapped or not.
        potential: Phi, a function of the text so far. It must depend on nothing else, or optimal policies may change.
        gamma: the discount with which the agent is trained, in (0, 1]. With another one the terms do not cancel.

    Raises:
        UsageError: an impossible gamma, or a tokenizer that can't say what bytes each token spells.
    """

    def __init__(self, env: gymnasium.Env[Any, Any], potential: Potential | None = None, gamma: float = 1.0) -> None:
        gymnasium.utils.RecordConstructorArgs.__init__(self, potential=potential, gamma=gamma)
        gymnasium.Wrapper.__init__(self, env)
        if not 0.0 < gamma <= 1.0:
            raise UsageError(f"Expected gamma in (0, 1], the discount of the agent, got {gamma!r}.")
        self.potential, self.gamma = potential or Dead(), gamma
        self._follow = PrefixTracker(env.unwrapped.tokenizer)  # type: ignore[attr-defined]
        self._last_tokens: IntArray = np.zeros(0, np.int64)
        self._before = 0.0
        self._dead_at: int | None = None

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """As the environment's; the program so far is followed from here."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._begin(self._tokens())
        return observation, info

    def _begin(self, tokens: IntArray) -> None:
        alive = [self._follow(tokens[:n]).alive for n in range(1, len(tokens) + 1)]
        self._dead_at = alive.index(False) if False in alive else None
        self._last_tokens, self._before = tokens, self.potential(self._follow(tokens))

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """As the environment's, with the shaping reward of the token added to the step's."""
        if not np.array_equal(self._last_tokens, before := self._tokens()):  # somebody has called set_state
            self._begin(before)
        observation, reward, terminated, truncated, info = self.env.step(action)
        over = terminated or truncated
        tokens = self._tokens()
        prefix = self._follow(tokens)
        if self._dead_at is None and not prefix.alive:
            self._dead_at = len(tokens) - 1
        after = 0.0 if over else self.potential(prefix)
        added = shaping(self._before, after, self.gamma)
        self._last_tokens, self._before = tokens, after
        info = info | {"shaping": added} | ({"dead_at": self._dead_at} if over else {})
        return observation, float(reward) + added, terminated, truncated, info

    def _tokens(self) -> IntArray:
        return self.env.unwrapped.tokens  # type: ignore[attr-defined]
