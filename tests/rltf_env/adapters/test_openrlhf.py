"""OpenRLHF's reward function, by the shapes that its executor calls it with and takes from it."""

from __future__ import annotations

from typing import Any

import pytest

from rltf_env.adapters import openrlhf
from rltf_env.errors import SandboxError, UsageError

torch = pytest.importorskip("torch", reason="OpenRLHF takes tensors of torch")

PROMPT = "<|user|>Return twice x.\n```python\nprint('an example')\n```<|assistant|>"


def executor(reward_func: Any, answer: str, label: str = "double") -> dict[str, Any]:
    """What OpenRLHF 0.11.2 makes of one sample: lists of one; what is raised leaves the reward None."""
    output: dict[str, Any] = {"reward": None, "scores": None, "extra_logs": {}}
    try:
        info = reward_func([PROMPT + answer + "</s>"], [PROMPT], [label])
    except Exception as error:
        return {**output, "log": error}
    return {"reward": info["rewards"], "scores": info["scores"], "extra_logs": info["extra_logs"]}


def test_a_sample_has_a_reward_a_score_and_logs_in_the_shapes_that_it_wants(world: Any) -> None:
    output = executor(openrlhf.reward_function(world.made()), world.half)
    assert torch.tensor([output["reward"]]).shape == torch.tensor([output["scores"]]).shape == (1,)
    assert output["scores"].item() == 0.5
    assert {name: value.flatten()[0].item() for name, value in output["extra_logs"].items()} == {
        "passed": 0.0,
        "pass_ratio": 0.5,
    }


def test_code_in_the_prompt_is_no_answer(world: Any) -> None:
    env = world.made()
    executor(openrlhf.reward_function(env), world.right)
    (source, _) = env.sandbox.requests[0]
    assert "an example" not in source


def test_a_failure_of_the_judge_leaves_no_reward_rather_than_0(world: Any) -> None:
    output = executor(openrlhf.reward_function(world.made(world.down)), world.right)
    assert output["reward"] is None
    assert isinstance(output["log"], SandboxError)


def test_a_prompt_that_was_cut_is_an_error(world: Any) -> None:
    reward_func = openrlhf.reward_function(world.made())
    with pytest.raises(UsageError, match="holds its prompt"):
        reward_func([PROMPT[5:] + world.right], [PROMPT], ["double"])


def test_a_reward_that_leaves_tokens_out_is_refused(world: Any) -> None:
    from rltf_env.core import CaseResult, Failure, Outcome, Verdict

    ran = Verdict(
        (CaseResult(Outcome.WRONG_ANSWER, Failure("WrongAnswer")),) * 2, frozenset({1}), code=frozenset({1, 2})
    )
    env = world.made(lambda source, problem: ran, reward="executed")
    with pytest.raises(UsageError, match="one number for a program"):
        openrlhf.reward_function(env)([PROMPT + world.right], [PROMPT], ["double"])


def test_rows_hold_a_conversation_and_the_id(world: Any) -> None:
    (row,) = openrlhf.rows([world.problem])
    assert row["label"] == "double"
    assert row["input"][0]["role"] == "user"
