"""verifiers: our taskset in the real package, where it is installed."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytest.importorskip("verifiers", reason="needs verifiers: pip install verifiers")

import verifiers.v1 as vf
from verifiers.v1.trace import AgentInfo, TraceTask

from rltf_env import datasets
from rltf_env.adapters.verifiers import INFO, UnitTestConfig, UnitTestTaskset
from rltf_env.errors import DataError


def tasks(double: str, **options: Any) -> list[Any]:
    return list(UnitTestTaskset(UnitTestConfig(dataset=double, **options)))


def trace_of(task: Any, answer: str) -> Any:
    data = TraceTask(type=type(task).__name__, data=task.data, key=task.key, hash=task.hash)
    trace = vf.Trace(task=data, agent=AgentInfo(config=vf.AgentConfig()))
    trace.root_reply = answer
    return trace


def scored(task: Any, answer: str) -> Any:
    trace = trace_of(task, answer)
    asyncio.run(task.score(trace))
    return trace


def test_a_task_has_the_prompt_and_the_id_of_its_problem(double: str) -> None:
    (task,) = tasks(double)
    assert task.key == "double"
    assert "Return twice x." in task.data.prompt
    assert vf.WireTaskData.model_validate(task.data.model_dump()).id == "double"


def test_an_answer_is_rewarded_by_its_program(double: str, world: Any) -> None:
    (task,) = tasks(double)
    right, half = scored(task, world.right), scored(task, world.half)
    assert right.reward == 1.0
    assert right.metrics == {"passed": 1.0, "pass_ratio": 1.0}
    assert half.metrics == {"passed": 0.0, "pass_ratio": 0.5}
    assert right.info[INFO]["failure"] == ""


def test_a_failure_of_the_judge_is_a_task_error_and_no_reward(double: str, world: Any) -> None:
    (task,) = tasks(double, sandbox=world.broken)
    trace = trace_of(task, world.right)
    with pytest.raises(vf.TaskError) as caught:
        asyncio.run(task.score(trace))
    assert type(caught.value.__cause__).__name__ == "SandboxError"
    assert trace.rewards == {"unit_tests": None} or trace.rewards == {}
    assert all(value is None for value in trace.rewards.values())


def test_a_reference_is_validated(double: str, tmp_path: Any, world: Any) -> None:
    from dataclasses import replace

    sound = replace(world.problem, solutions=("def f(x):\n    return x + x\n",))
    datasets.dump([sound, replace(sound, id="wrong", solutions=("def f(x):\n    return x\n",))], tmp_path / "two.jsonl")
    found = tasks(str(tmp_path / "two.jsonl"))
    assert [asyncio.run(task.validate(None)) for task in found] == [True, False]
    assert asyncio.run(tasks(double)[0].validate(None)) is None


def test_problems_of_another_digest_are_refused(double: str, world: Any) -> None:
    assert len(tasks(double, digest=datasets.digest([world.problem]))) == 1
    with pytest.raises(DataError, match="digest"):
        tasks(double, digest="0" * 64)


def test_the_taskset_is_found_by_the_name_of_a_module(double: str, tmp_path: Any) -> None:
    text = 'from rltf_env.adapters.verifiers import UnitTestTaskset\n\n__all__ = ["UnitTestTaskset"]\n'
    (tmp_path / "rltf_tasks.py").write_text(text)  # on the path by the fixture
    from verifiers.v1.utils.loaders import taskset_class

    assert taskset_class("rltf-tasks") is UnitTestTaskset
