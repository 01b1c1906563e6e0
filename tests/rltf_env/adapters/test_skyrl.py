"""SkyRL: the environment in the real skyrl-gym where it is installed, the generator on a stand-in of the same shapes."""

from __future__ import annotations

import asyncio
import importlib
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from rltf_env.adapters import skyrl
from rltf_env.errors import SandboxError, UsageError
from rltf_env.tokenizers import Bytes

TOKENIZER = Bytes()

# ------------------------------------------------------------------------------------------------- skyrl-gym


@pytest.fixture
def gym() -> Any:
    found = pytest.importorskip("skyrl_gym", reason="needs skyrl-gym: pip install skyrl-gym")
    yield found
    if skyrl.ENV in importlib.import_module("skyrl_gym.envs.registration").registry:
        importlib.import_module("skyrl_gym.envs.registration").deregister(skyrl.ENV)


def extras(problem: Any) -> dict[str, Any]:
    (row,) = skyrl.rows([problem])
    return {name: value for name, value in row.items() if name not in ("prompt", "env_class")}


def test_an_episode_of_the_real_package(gym: Any, double: str, world: Any) -> None:
    skyrl.register(dataset=double, reward="coarse")
    env = gym.make(skyrl.ENV, env_config={}, extras=extras(world.problem))
    (row,) = skyrl.rows([world.problem])
    prompt, _ = env.init(row["prompt"])
    output = env.step(world.right)
    assert prompt == row["prompt"]
    assert (output["reward"], output["done"], output["observations"]) == (1.0, True, [])
    assert env.get_metrics() == {"judge_failed": 0.0, "passed": 1.0, "pass_ratio": 1.0}
    assert env.aggregate_metrics([env.get_metrics()])["passed"] == 1.0
    env.close()


def test_a_failure_of_the_judge_is_an_error_of_the_real_package(gym: Any, double: str, world: Any) -> None:
    skyrl.register(dataset=double, sandbox=world.broken)
    env = gym.make(skyrl.ENV, env_config={}, extras=extras(world.problem))
    with pytest.raises(SandboxError):
        env.step(world.right)


def test_registering_without_a_dataset_is_an_error(gym: Any) -> None:
    with pytest.raises(UsageError, match="dataset"):
        skyrl.register()


# --------------------------------------------------------------------------- SkyRL's generator, as a stand-in


@dataclass
class Output:
    """A trajectory: the fields of SkyRL's that are read or written."""

    response_ids: list[int]
    reward: Any
    stop_reason: str
    loss_mask: list[int]
    env_metrics: dict[str, Any] = field(default_factory=dict)


class Generator:
    """In the manner of SkyRL 0.4.0: hooks around an environment for each trajectory; one row shared by all samples of a prompt."""

    def __init__(self, env: Any, answers: list[str]) -> None:
        self.env, self.answers, self.tokenizer = env, answers, TOKENIZER

    def _setup_env_extras(self, env_class: str, env_extras: dict, params: Any, trajectory_id: Any) -> dict:
        return env_extras

    def _post_process_agent_loop_output(self, output: Any, env_extras: dict, trajectory_id: Any) -> Any:
        return output

    async def agent_loop(self, answer: str, env_extras: dict, trajectory_id: Any) -> Output:
        env_extras["max_turns"] = 1
        env_extras = self._setup_env_extras(skyrl.ENV, env_extras, None, trajectory_id)
        env = skyrl.UnitTestSteps(None, env_extras, {"dataset": self.env})
        await asyncio.sleep(0)  # another trajectory of the same prompt comes between
        step = await asyncio.to_thread(env.step, answer)
        ids = [*TOKENIZER.encode(answer), TOKENIZER.eos_id]
        reward = [0.0] * (len(ids) - 1) + [step["reward"]]
        output = Output(ids, reward, "stop", [1] * len(ids), env.get_metrics())
        return self._post_process_agent_loop_output(output, env_extras, trajectory_id)

    async def generate(self, input_batch: dict, disable_tqdm: bool = False) -> dict[str, Any]:
        each = zip(self.answers, input_batch["env_extras"], input_batch["trajectory_ids"], strict=True)
        outputs = await asyncio.gather(*(self.agent_loop(*arguments) for arguments in each))
        return {
            "response_ids": [each.response_ids for each in outputs],
            "rewards": [each.reward for each in outputs],
            "loss_masks": [each.loss_mask for each in outputs],
            "env_metrics": [each.env_metrics for each in outputs],
        }


class Credited(skyrl.TokenCredit, Generator):
    """What `skyrl.TokenCreditGenerator` is, on the stand-in."""


def generated(env: Any, problem: Any, answers: list[str], groups: list[str] | None = None) -> dict[str, Any]:
    shared = extras(problem)
    ids = [SimpleNamespace(instance_id=group) for group in groups or ["a"] * len(answers)]
    batch = {"env_extras": [shared] * len(answers), "trajectory_ids": ids}
    return asyncio.run(Credited(env, answers).generate(batch))


def test_a_line_that_raises_is_charged_on_its_own_ids(world: Any) -> None:
    env = world.made(reward="rltf", reward_options={"alpha": "clipped"})
    output = generated(env, world.problem, [world.raises, world.right])
    charged = [np.flatnonzero(rewards[:-1]) for rewards in output["rewards"]]
    text = TOKENIZER.program([output["response_ids"][0][i] for i in charged[0]]).text
    assert text.rstrip() == "    return x[0]"
    assert len(charged[1]) == 0
    assert output["rewards"][1][-1] == 1.0
    ids = np.array(output["response_ids"][0])
    feedback = env.judge(world.problem, TOKENIZER.program(ids[len("Well.\n```python\n") : -len("```\n") - 1])).feedback
    assert sum(output["rewards"][0]) == pytest.approx(feedback.total)


def test_samples_of_a_prompt_do_not_share_their_verdicts(world: Any) -> None:
    output = generated(world.made(), world.problem, [world.right, world.half, world.raises])
    assert [round(sum(rewards), 1) for rewards in output["rewards"]] == [1.0, -0.3, -0.6]


def failing_on(text: str, world: Any) -> Any:
    return lambda source, problem: world.down(source, problem) if text in source else world.rule(source, problem)


def test_what_could_not_be_judged_leaves_the_loss_and_the_mean_of_its_group(world: Any) -> None:
    env = world.made(failing_on("4", world))
    output = generated(env, world.problem, [world.right, world.half, world.raises])
    totals = [sum(rewards) for rewards in output["rewards"]]
    assert totals[1] == pytest.approx((totals[0] + totals[2]) / 2)
    assert np.mean(totals) == pytest.approx((totals[0] + totals[2]) / 2)
    assert [any(mask) for mask in output["loss_masks"]] == [True, False, True]


def test_a_group_of_which_nothing_was_judged_has_no_advantage(world: Any) -> None:
    env = world.made(failing_on("4", world))
    output = generated(env, world.problem, [world.half, world.half, world.right], ["a", "a", "b"])
    assert [sum(rewards) for rewards in output["rewards"]] == [0.0, 0.0, 1.0]
    assert [any(mask) for mask in output["loss_masks"]] == [False, False, True]


def test_a_judge_that_fails_on_everything_stops_the_run(world: Any) -> None:
    with pytest.raises(SandboxError, match="all 2"):
        generated(world.made(world.down), world.problem, [world.right, world.half])


def test_a_row_without_a_problem_is_an_error() -> None:
    with pytest.raises(UsageError, match="ground_truth"):
        skyrl.UnitTestSteps(None, {"reward_spec": {}})
