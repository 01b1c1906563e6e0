"""Other people's agents learn the small task: reading the prompt solves all of it, any one answer solves one problem of eight.

What each solves in the end stands in the report that `--junitxml` writes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from agents.examples import small
from rltf_env import sandbox

IGNORANT = 1 / 8  # what an agent can solve at best that does not read the prompt
ENOUGH = 0.5


@pytest.fixture(scope="module")
def judge() -> Iterator[small.Remembering]:
    before, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(1)
    with sandbox.load("auto") as opened:
        yield small.Remembering(opened)
    torch.set_num_threads(before)
    torch.set_rng_state(state)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["PPO", "A2C", "DQN"])
def test_stable_baselines3s_agents_learn_to_read_the_prompt(name: str, judge: Any, record_property: Any) -> None:
    from agents.examples import sb3_agents

    model = sb3_agents.make(name, judge, seed=0)
    assert sb3_agents.solved(model, judge) <= IGNORANT
    model.learn(sb3_agents.AGENTS[name][3])
    record_property("solved", learned := sb3_agents.solved(model, judge))
    assert learned >= ENOUGH


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.skipif(
    importlib.util.find_spec("sb3_contrib") is None, reason="needs sb3-contrib: pip install 'rltf[thirdparty]'"
)
def test_maskable_ppo_learns_to_read_the_prompt(judge: Any, record_property: Any) -> None:
    from agents.examples import masked_ppo

    model = masked_ppo.make(judge, seed=0)
    assert masked_ppo.solved(model, judge) <= IGNORANT
    model.learn(masked_ppo.STEPS)
    record_property("solved", learned := masked_ppo.solved(model, judge))
    assert learned >= ENOUGH


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_ppo_from_scratch_learns_to_read_the_prompt(judge: Any, record_property: Any) -> None:
    from agents.examples import ppo_from_scratch

    config = ppo_from_scratch.Config()
    untrained = ppo_from_scratch.Model(small.environment(judge=judge), config)
    assert ppo_from_scratch.solved(untrained, judge) <= IGNORANT
    record_property("solved", learned := ppo_from_scratch.solved(ppo_from_scratch.train(config, judge), judge))
    assert learned >= ENOUGH
