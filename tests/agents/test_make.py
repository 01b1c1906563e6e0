"""Training from Python: an agent by name."""

from __future__ import annotations

import gymnasium as gym
import pytest

import agents
from agents.policies import tiny
from rltf_env import UnknownName
from rltf_env.tokenizers import HuggingFace


def test_an_agent_made_by_name_learns() -> None:
    policy = tiny.load(width=16, layers=1, heads=2)
    env = gym.make("RLTF-Procedural-v0", tokenizer=HuggingFace(policy.tokenizer), max_program_tokens=8)
    agent = agents.make("grpo", policy, env, problems=1, samples_per_problem=2, batch_size=2)
    assert "reward" in agent.update()
    with pytest.raises(UnknownName, match="Did you mean 'grpo'"):
        agents.make("grop", policy, env)
    env.close()


def test_a_text_environment_is_refused_with_the_remedy() -> None:
    env = gym.make("RLTF-Procedural-Text-v0")
    with pytest.raises(TypeError, match=r"got TextEnv.*tokenizer=HuggingFace"):
        agents.make("grpo", None, env)  # type: ignore[arg-type]
    env.close()
