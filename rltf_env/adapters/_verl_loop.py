"""verl's single-turn agent loop with our judge: dense `rm_scores`. Imported when it is asked for; it needs verl.

What the program earned as a whole stands on the last id of the response, what its lines earned on
the ids that spell them (`adapters.read`); the sum is `feedback.total`. Estimators that keep places
(`gae`, `reinforce_plus_plus`) use the places, `grpo` adds them up first. The trainer of verl's
version 1 (`trainer.use_v1=true`, its default) takes such scores; the older one knows one number.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from verl.experimental.agent_loop.agent_loop import AgentLoopOutput  # pyright: ignore[reportMissingImports]
from verl.experimental.agent_loop.single_turn_agent_loop import (  # pyright: ignore[reportMissingImports]
    SingleTurnAgentLoop,
)

from rltf_env.adapters import judge
from rltf_env.adapters.completion import read
from rltf_env.errors import SandboxError, UsageError


class CreditedOutput(AgentLoopOutput):
    """An output with a number for each of the T response ids.

    Args:
        token_rewards: T numbers; None: as without.
    """

    token_rewards: list[float] | None = None

    def as_dict(self) -> dict[str, Any]:
        """verl's own dictionary, `rm_scores` float32 (T,) being the numbers of the tokens."""
        output = super().as_dict()
        rewards = output.pop("token_rewards", None)
        if rewards is not None:
            if len(rewards) != len(self.response_ids):
                raise UsageError(f"Expected {len(self.response_ids)} numbers, one an id, got {len(rewards)}.")
            output["rm_scores"] = torch.tensor(rewards, dtype=torch.float32)
        return output


class UnitTestAgentLoop(SingleTurnAgentLoop):
    """Writes an answer as verl does, and has its program judged.

    Args:
        judge: what `adapters.judge.opened` takes, `dataset` among it; without a dataset, the row's `data_source`.
        arguments, options: verl's own.
    """

    def __init__(self, *arguments: Any, judge: Mapping[str, Any] | None = None, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.judge_options = dict(judge or {})

    async def run(self, sampling_params: dict[str, Any], **row: Any) -> Any:
        """The output with its scores; no output, [], where the judge failed twice: verl then has no such sample."""
        output = await super().run(sampling_params, **row)
        options = {"dataset": row.get("data_source"), **self.judge_options}
        env = judge.opened(**options)
        problem = judge.find(env, row["reward_model"]["ground_truth"])
        completion = read(output.response_ids, self.tokenizer, problem, truncated=_cut(self, output.response_ids))
        try:
            result = await judge.judged(env, problem, completion.program)
        except SandboxError:
            return []
        fields = {name: getattr(output, name) for name in output.model_fields_set}
        fields["extra_fields"] = {**output.extra_fields, "reward_extra_info": {"acc": result.reward, **result.notes}}
        rewards = completion.credit(result.judgement.feedback).rewards.tolist()
        return CreditedOutput(**fields | {"reward_score": result.reward, "token_rewards": rewards})


def _cut(loop: Any, ids: list[int]) -> bool:
    """Whether the answer was cut off at the limit."""
    return len(ids) >= loop.response_length and ids[-1] != loop.tokenizer.eos_token_id
