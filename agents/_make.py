"""Training from Python: `agents.make("grpo", policy, env)` builds an agent by the name that recipes use."""

from __future__ import annotations

from typing import Any

from agents.core import Agent, Policy
from rltf_env import plugins
from rltf_env.env import UnitTestEnv


def make(kind: str, policy: Policy[Any], env: Any, *, seed: int = 0, **options: Any) -> Agent:
    """Builds an agent. Each call of its `update()` writes programs, has them judged and learns.

    Args:
        kind: a file of `agents/algorithms`, such as "grpo", or your own as "module:function".
        policy: the model that writes and learns.
        env: a token environment with the policy's tokenizer, as `gymnasium.make` returns it.
        seed: of the problems drawn and the programs sampled.
        options: fields of the algorithm's `Config`, as the table `[agent]` of a recipe has them.

    Raises:
        UnknownName: no such algorithm, or no such option.
        TypeError: `env` is no token environment of this project.
    """
    inner = getattr(env, "unwrapped", env)
    if not isinstance(inner, UnitTestEnv):
        raise TypeError(
            f"Expected a token environment such as RLTF-Procedural-v0, got {type(inner).__name__}. "
            "Make one with gymnasium.make and tokenizer=HuggingFace(policy.tokenizer)."
        )
    return plugins.find("algorithms", kind, package="agents")(policy, inner, seed=seed, **options)
