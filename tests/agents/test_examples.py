"""Other people's agents on our environment: each takes it as it is, and runs. That they learn is shown in `tests/slow`."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict

from agents.examples import small
from agents.sb3 import Judged, TransformerExtractor
from rltf_env import sandbox
from rltf_env.core import Outcome, Sandbox
from rltf_env.errors import UsageError

sb3_contrib = pytest.mark.skipif(
    importlib.util.find_spec("sb3_contrib") is None, reason="needs sb3-contrib: pip install 'rltf[thirdparty]'"
)
rllib = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="needs RLlib, in an environment of its own: pip install 'ray[rllib]'",
)


@pytest.fixture
def judge() -> Sandbox:
    """Passes half of the programs, by their last character: what is judged does not matter here."""
    return sandbox.load("scripted", rules=lambda source, _: Outcome.PASSED if source[-1] in "2468" else "NameError")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    torch.set_rng_state(state)


# --------------------------------------------------------------------------------------------------------------- task


def test_the_small_task_is_what_it_says() -> None:
    chosen, words = small.problems(), small.vocabulary()
    assert [small.prompt(problem) for problem in chosen] == [
        *(f"add {k}" for k in range(2, 6)),
        *(f"multiply by {k}" for k in range(2, 6)),
    ]
    assert words.vocab_size < 30
    for problem in chosen:
        assert words.program(words.encode(problem.solutions[0])).text == problem.solutions[0]
        # One more for the newline.
        assert len(words.encode(problem.solutions[0])) == len(words.encode(small.GIVEN)) + small.CHOSEN + 1


def test_references_solve_the_small_task_and_one_answer_solves_one_problem() -> None:
    with sandbox.load("auto") as opened:
        env = small.environment(judge=small.Remembering(opened))
        words, asked = small.vocabulary(), {problem.id: problem for problem in small.problems()}

        def reference(observation: Any, _: Any) -> int:
            program = observation["program"][observation["program"] != words.vocab_size]
            return words.encode(asked[env.unwrapped.problem.id].solutions[0])[len(program)]  # type: ignore[attr-defined]

        def always(observation: Any, _: Any) -> int:
            chosen = int((observation["program"] != words.vocab_size).sum()) - len(words.encode(small.GIVEN))
            return words.encode(" + 3")[chosen]

        assert small.solved(env, reference) == 1.0
        assert small.solved(env, always) == 1 / len(asked)


def test_a_judge_that_remembers_asks_once() -> None:
    inner = sandbox.load("scripted", default=Outcome.PASSED)
    judge, problem = small.Remembering(inner), small.problems()[0]
    assert judge.run("x", problem) is judge.run("x", problem)
    assert judge.submit("x", problem).result() is next(judge.map([("x", problem)]))
    assert len(inner.requests) == 1


# ---------------------------------------------------------------------------------------------------------- extractor

SPACE = Dict(prompt=Box(0, 9, (4,), np.int64), program=Box(0, 9, (6,), np.int64))


def features(extractor: TransformerExtractor, prompt: list[int], program: list[int]) -> torch.Tensor:
    padded = {
        "prompt": torch.tensor([prompt + [9] * (4 - len(prompt))]).float(),
        "program": torch.tensor([program + [9] * (6 - len(program))]).float(),
    }
    return extractor(padded)[0]


def test_features_depend_on_every_token_and_on_their_order() -> None:
    extractor = TransformerExtractor(SPACE, width=16, layers=1, heads=2)
    texts = [
        ([1, 2], []),
        ([1, 2], [3]),
        ([1, 2], [3, 4]),
        ([2, 1], [3, 4]),
        ([1, 2], [4, 3]),
        ([1], [2, 3, 4]),
        ([], [1]),
    ]
    every = torch.stack([features(extractor, *text) for text in texts])
    assert every.shape == (7, 16)
    assert torch.pdist(every).min() > 1e-4


def test_features_do_not_depend_on_the_neighbours_in_a_batch() -> None:
    extractor = TransformerExtractor(SPACE, width=16, layers=2, heads=2)
    batch = {
        "prompt": torch.tensor([[1, 9, 9, 9], [1, 2, 3, 4]]).float(),
        "program": torch.tensor([[5, 9, 9, 9, 9, 9], [5, 6, 7, 8, 1, 2]]).float(),
    }
    together = extractor(batch)
    alone = torch.cat([extractor({key: rows[i : i + 1] for key, rows in batch.items()}) for i in range(2)])
    assert torch.allclose(together, alone, atol=1e-5)


@pytest.mark.parametrize("scaled", [0.01, -1.0, 10.0])
def test_observations_that_a_wrapper_has_scaled_are_refused(scaled: float) -> None:
    extractor = TransformerExtractor(SPACE, width=16, layers=1, heads=2)
    with pytest.raises(UsageError, match=r"token ids.*norm_obs=False"):
        extractor({"prompt": torch.tensor([[1.0, 2.0, 9.0, 9.0]]), "program": torch.full((1, 6), scaled)})


def test_a_cut_off_program_is_the_end(judge: Sandbox) -> None:
    env = Judged(small.environment(judge=judge))
    env.reset(seed=0)
    env.step(0)
    *_, terminated, truncated, info = env.step(0)
    assert (terminated, truncated) == (True, False)
    assert info["program"].truncated


# ------------------------------------------------------------------------------------------------------------- agents


@pytest.mark.parametrize("name", ["PPO", "A2C", "DQN"])
def test_stable_baselines3s_agent_trains_on_the_environment(name: str, judge: Sandbox) -> None:
    from agents.examples import sb3_agents

    model = sb3_agents.make(name, judge)
    before = {key: weight.clone() for key, weight in model.policy.state_dict().items()}
    model.learn(1200)
    assert model.num_timesteps >= 1200
    after = model.policy.state_dict()
    assert any(not torch.equal(before[key], after[key]) for key in before if "encoder" in key)
    assert 0.0 <= sb3_agents.solved(model, judge) <= 1.0


@sb3_contrib
def test_maskable_ppo_takes_the_masks(judge: Sandbox) -> None:
    from agents.examples import masked_ppo

    model = masked_ppo.make(judge)
    model.learn(1024)
    assert 0.0 <= masked_ppo.solved(model, judge) <= 1.0
    masks = model.rollout_buffer.action_masks  # type: ignore[attr-defined]
    assert 0.0 < masks.mean() < 1.0


def test_ppo_from_scratch_repeats_itself_with_the_same_seed(judge: Sandbox) -> None:
    from agents.examples import ppo_from_scratch

    config = ppo_from_scratch.configured(["steps=128", "envs=8", "rollout=8", "width=16", "epochs=1"])
    state = torch.get_rng_state()
    one, again = (ppo_from_scratch.train(config, judge).state_dict() for _ in range(2))
    assert all(torch.equal(one[key], again[key]) for key in one)
    assert torch.equal(state, torch.get_rng_state())
    with pytest.raises(SystemExit, match="Unknown setting"):
        ppo_from_scratch.configured(["stpes=3"])


@rllib
def test_rllib_trains_on_the_environment() -> None:
    from agents.examples import rllib_ppo

    algorithm = rllib_ppo.make()
    assert 0.0 <= rllib_ppo.mean_return(algorithm.train()) <= 1.0
    algorithm.stop()
