"""SkyRL: unit tests as an environment of skyrl-gym, and a generator that gives each token its own reward.

    from rltf_env.adapters import skyrl
    skyrl.register(dataset="mbpp", split="train", reward="rltf")         in each worker, before skyrl_gym.make
    pandas.DataFrame(skyrl.rows(problems)).to_parquet("train.parquet")

    class Experiment(BasePPOExp):                                        token credit: the generator of SkyRL, with a mixin
        def get_generator(self, cfg, tokenizer, client):
            return skyrl.TokenCreditGenerator(...)

skyrl-gym's `step` gives a number, and a number says something about a program. So where the judge
cannot decide, `step` raises `SandboxError`. Under `TokenCredit` that one sample leaves the loss instead:
its loss mask is 0, and its reward the mean of its group, so that the group's mean is what it would be without it.

skyrl-gym and SkyRL are imported when something of them is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from rltf_env.adapters import judge
from rltf_env.adapters.completion import read
from rltf_env.core import Attempt, Feedback, Judgement, Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import SandboxError, UsageError

ENV = "rltf"  # the id in skyrl-gym's registry
BOX = "rltf_box"  # where an environment leaves its verdict for the generator
FAILED = "judge_failed"  # the metric of a trajectory that could not be judged


def rows(problems: Iterable[Problem], env_class: str = ENV) -> list[dict[str, Any]]:
    """Rows for SkyRL's parquet files: `prompt`, `env_class`, and the problem's id as `reward_spec.ground_truth`."""
    return [
        {
            "prompt": judge.messages(problem),
            "env_class": env_class,
            "data_source": env_class,
            "reward_spec": {"method": "rule", "ground_truth": problem.id},
        }
        for problem in problems
    ]


def register(id: str = ENV, **options: Any) -> None:
    """Registers the environment with skyrl-gym.

    Args:
        options: what `adapters.judge.opened` takes, `dataset` among it; plain data, for skyrl-gym copies them.
    """
    import skyrl_gym  # pyright: ignore[reportMissingImports]

    if "dataset" not in options:
        raise UsageError('Expected the dataset that the problems are found in, got none: register(dataset="mbpp").')
    skyrl_gym.register(id=id, entry_point=f"{__name__}:UnitTestTextEnv", kwargs={"judge_options": options})


@dataclass
class Box:
    """What an environment leaves for the generator: whether it was asked, by which environment, and what was judged.

    Args:
        result: None: nothing yet, or the judge failed twice (`failed`).
    """

    result: judge.Result | None = None
    env: UnitTestEnv | None = None
    failed: bool = False


class UnitTestSteps:
    """The methods of the environment; `UnitTestTextEnv` is this and skyrl-gym's `BaseTextEnv`.

    One turn: an answer, of which the program is judged. `done` at once.

    Args:
        env_config: SkyRL's own section for this environment; not used.
        extras: the rest of the row.
        judge_options: as `register` was given them.
    """

    def __init__(
        self,
        env_config: Any = None,
        extras: Mapping[str, Any] | None = None,
        judge_options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self.extras = extras if extras is not None else {}
        self.options = dict(judge_options or {})
        try:
            self.problem_id = str(self.extras["reward_spec"]["ground_truth"])
        except (KeyError, TypeError) as error:
            raise UsageError(
                "Expected the problem's id as reward_spec.ground_truth of the row, got none. Make rows with skyrl.rows."
            ) from error
        self.notes: dict[str, float] = {}

    def init(self, prompt: Any) -> tuple[Any, dict[str, Any]]:
        """The prompt as it is."""
        return prompt, {}

    def step(self, action: str) -> dict[str, Any]:
        """Judges an answer. Raises SandboxError if the judge failed twice and no generator takes care of that."""
        env = judge.opened(**self.options)
        problem = judge.find(env, self.problem_id)
        box = self.extras.get(BOX)
        try:
            result = judge.judge(env, problem, action)
        except SandboxError:
            if box is None:
                raise
            box.failed = True
            self.notes = {FAILED: 1.0}
            return {"observations": [], "reward": 0.0, "done": True, "metadata": {FAILED: True}}
        if box is not None:
            box.env, box.result = env, result
        self.notes = {FAILED: 0.0, **result.notes}
        return {"observations": [], "reward": result.reward, "done": True, "metadata": {"failure": result.failure}}

    def get_metrics(self) -> dict[str, float]:
        """`passed`, `pass_ratio`, and whether the judge failed."""
        return dict(self.notes)

    def close(self) -> None:
        """Nothing: the judge is shared by all environments of the process."""


class TokenCredit:
    """A mixin for `SkyRLGymGenerator`: rewards by token, and no reward at all where the judge failed.

        class Generator(TokenCredit, SkyRLGymGenerator): ...        `TokenCreditGenerator` is just this

    Each environment of a trajectory is `UnitTestTextEnv`, of one turn. `rewards` are lists: line credit on the ids
    that spell the line, the share of the whole program on the last id, by which SkyRL's `pass_at_n` decides.
    """

    tokenizer: Any

    def _setup_env_extras(self, env_class: str, env_extras: dict[str, Any], params: Any, trajectory_id: Any) -> Any:
        """A row of its own for each trajectory: SkyRL shares one among all samples of a prompt."""
        extras = super()._setup_env_extras(env_class, dict(env_extras), params, trajectory_id)  # type: ignore[misc]
        return {**extras, BOX: Box()}

    def _post_process_agent_loop_output(self, output: Any, env_extras: Mapping[str, Any], trajectory_id: Any) -> Any:
        """Lays the credit on the ids; masks what could not be judged."""
        output = super()._post_process_agent_loop_output(output, env_extras, trajectory_id)  # type: ignore[misc]
        box = env_extras.get(BOX) or Box()
        if (box.failed or box.result) and hasattr(output, "step_outputs"):
            raise UsageError(
                "Expected trajectories as a whole, got step-wise ones. Set generator.step_wise_trajectories=false."
            )
        if box.failed:
            output.loss_mask = [0] * len(output.loss_mask)
            output.reward = [0.0] * len(output.response_ids)
        elif box.env is not None and box.result is not None:
            output.reward = self._credit(box.env, box.result, output).rewards.tolist()
        return output  # as it is: another environment, or a trajectory that ended before its first step

    def _credit(self, env: UnitTestEnv, result: judge.Result, output: Any) -> Feedback:
        """float32 (T,) on the ids of the response: the reward of the environment, made for these tokens."""
        problem, judgement = result.problem, result.judgement
        completion = read(output.response_ids, self.tokenizer, problem, truncated=output.stop_reason == "length")
        if completion.program.text == result.program.text:
            feedback = env.reward(Attempt(problem, completion.program, judgement.verdict))
        else:  # decoded in another way than SkyRL does, as where special tokens stand within the answer
            feedback = env.judge(problem, completion.program).feedback
        judge.number(Judgement(judgement.verdict, feedback), completion.program)  # refuses what cannot be said here
        return completion.credit(feedback)

    async def generate(self, input_batch: Mapping[str, Any], *arguments: Any, **options: Any) -> Any:
        """SkyRL's batch, in which what could not be judged has the mean of its group and no part in the loss.

        Raises:
            SandboxError: nothing of the batch could be judged.
        """
        output = await super().generate(input_batch, *arguments, **options)  # type: ignore[misc]
        failed = [bool(metrics.get(FAILED)) for metrics in output["env_metrics"] or []]
        if failed and all(failed):
            raise SandboxError(f"The judge failed on all {len(failed)} programs of a batch.")
        if any(failed):
            output["rewards"] = neutral(output["rewards"], failed, _groups(input_batch, len(failed)))
            for index in (i for i, each in enumerate(failed) if each):  # whatever filters did to the masks meanwhile
                output["loss_masks"][index] = [0] * len(output["loss_masks"][index])
        return output


def neutral(rewards: Sequence[Any], failed: Sequence[bool], groups: Sequence[Any]) -> list[Any]:
    """Rewards in which those of failed samples are the mean of the judged ones of their group, on the last token.

    In a group of which none was judged they are 0, and the group's advantages with them.
    """
    totals: dict[Any, list[float]] = {}
    for reward, lost, group in zip(rewards, failed, groups, strict=True):
        if not lost:
            totals.setdefault(group, []).append(sum(reward) if isinstance(reward, list) else float(reward))
    filled = list(rewards)
    for index in (i for i, lost in enumerate(failed) if lost):
        mean = fmean(totals.get(groups[index], [0.0]))
        reward = rewards[index]
        filled[index] = [0.0] * (len(reward) - 1) + [mean] if isinstance(reward, list) else mean
    return filled


def _groups(input_batch: Mapping[str, Any], count: int) -> list[Any]:
    """What the samples of a prompt have in common: their trajectories' instance, or the problem."""
    ids = input_batch.get("trajectory_ids")
    if ids is not None:
        return [id.instance_id for id in ids]
    extras = input_batch.get("env_extras") or [{}] * count
    return [each.get("reward_spec", {}).get("ground_truth") for each in extras]


def __getattr__(name: str) -> Any:
    """`UnitTestTextEnv` (skyrl-gym) and `TokenCreditGenerator` (SkyRL), made when they are asked for."""
    if name == "UnitTestTextEnv":
        from skyrl_gym.envs.base_text_env import BaseTextEnv  # pyright: ignore[reportMissingImports]

        base, mixin = BaseTextEnv, UnitTestSteps
    elif name == "TokenCreditGenerator":
        from skyrl.train.generators.skyrl_gym_generator import (  # pyright: ignore[reportMissingImports]
            SkyRLGymGenerator,
        )

        base, mixin = SkyRLGymGenerator, TokenCredit
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    made = type(name, (mixin, base), {"__module__": __name__, "__doc__": mixin.__doc__})
    globals()[name] = made  # one class, however often it is asked for
    return made
