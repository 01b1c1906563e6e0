"""OpenEnv: episodes in the real package where it is installed, else on stand-ins of the same shapes."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from concurrent.futures import Future
from types import ModuleType
from typing import Any

import pytest

from rltf_env import sandbox
from rltf_env.adapters import openenv
from rltf_env.errors import UnknownName, UsageError

pydantic = pytest.importorskip("pydantic", reason="needs pydantic, as OpenEnv does: pip install 'rltf[serve]'")
REAL = importlib.util.find_spec("openenv") is not None


def stand_ins() -> dict[str, ModuleType]:
    """The classes of OpenEnv 0.10.0 that ours are made of."""
    strict = pydantic.ConfigDict(extra="forbid", validate_assignment=True)
    own: dict[str, Any] = {"__module__": __name__}

    class Environment:
        def __init__(self, transform: Any = None, rubric: Any = None) -> None:
            self.transform, self.rubric = transform, rubric

    notes = {"metadata": dict[str, Any]}
    action = type(
        "Action", (pydantic.BaseModel,), own | {"model_config": strict, "__annotations__": notes, "metadata": {}}
    )
    kinds = {"done": bool, "reward": bool | int | float | None, **notes}
    fields = {"model_config": strict, "__annotations__": kinds, "done": False, "reward": None, "metadata": {}}
    observation = type("Observation", (pydantic.BaseModel,), own | fields)
    kinds = {"episode_id": str | None, "step_count": int}
    fields = {"__annotations__": kinds, "episode_id": None, "step_count": 0}
    state = type("State", (pydantic.BaseModel,), own | fields)
    modules = {f"openenv{name}": ModuleType(f"openenv{name}") for name in ("", ".core", ".core.env_server")}
    for name, classes in (
        ("interfaces", {"Environment": Environment}),
        ("types", {"Action": action, "Observation": observation, "State": state}),
    ):
        made = modules[f"openenv.core.env_server.{name}"] = ModuleType(name)
        vars(made).update(classes)
    return modules


@pytest.fixture(autouse=True)
def _library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, module in ({} if REAL else stand_ins()).items():
        monkeypatch.setitem(sys.modules, name, module)
    yield
    for name in openenv._CLASSES:  # those of the stand-ins must not outlive them
        openenv.__dict__.pop(name, None)


@pytest.fixture
def told(world: Any) -> Any:
    """A judge that runs nothing and says what a real one would."""
    return sandbox.load("scripted", rules=world.rule)


def answer(text: str, **more: Any) -> Any:
    return openenv.Answer(answer=text, **more)


def test_an_episode_is_a_prompt_and_an_answer(double: str, world: Any) -> None:
    env = openenv.UnitTestEnvironment(double, reward="coarse")
    begin = env.reset(seed=1, episode_id="e")
    assert (begin.problem, begin.reward, begin.done) == ("double", None, False)
    assert begin.prompt.startswith("Return twice x.\nf(1) == 2")
    end = env.step(answer(world.right))
    assert (end.reward, end.done, end.passed, end.pass_ratio, end.failure) == (1.0, True, True, 1.0, "")
    assert end.prompt == ""
    assert (env.state.episode_id, env.state.step_count, env.state.problem) == ("e", 1, "double")


def test_a_failure_is_named_by_kind_and_line(double: str, world: Any, told: Any) -> None:
    env = openenv.UnitTestEnvironment(double, turns=3, sandbox=told)
    env.reset()
    end = env.step(answer(world.raises))
    assert (end.passed, end.pass_ratio, end.done, end.failure) == (False, 0.0, False, "TypeError in line 2")


def test_an_episode_ends_with_the_last_turn_or_a_right_answer(double: str, world: Any, told: Any) -> None:
    env = openenv.UnitTestEnvironment(double, turns=2, sandbox=told)
    env.reset()
    assert [env.step(answer(world.half)).done for _ in range(2)] == [False, True]
    with pytest.raises(UsageError, match="reset"):
        env.step(answer(world.right))
    env.reset()
    assert env.step(answer(world.right)).done


def test_what_each_line_earned_adds_up_to_the_reward(double: str, world: Any, told: Any) -> None:
    env = openenv.UnitTestEnvironment(double, reward="rltf", sandbox=told)
    env.reset()
    end = env.step(answer(world.raises))
    lines = end.metadata["line_rewards"]
    assert end.metadata["program"].splitlines()[1] == "    return x[0]"
    assert sum(lines) == pytest.approx(end.reward)
    assert lines[1] < 0 == lines[0]


def test_a_judge_that_fails_gives_no_number(double: str, world: Any) -> None:
    env = openenv.UnitTestEnvironment(double, sandbox=world.broken, turns=5)
    env.reset()
    end = env.step(answer(world.right))
    assert (end.reward, end.done, end.passed, end.metadata) == (None, True, None, {"judge_failed": True})


def test_a_judge_that_is_late_gives_no_number(double: str, world: Any, told: Any) -> None:
    told.submit = lambda source, problem: Future()
    env = openenv.UnitTestEnvironment(double, sandbox=told)
    env.reset()
    end = env.step(answer(world.right), timeout_s=0.01)
    assert (end.reward, end.done, end.metadata) == (None, True, {"judge_failed": True})


def test_an_answer_may_name_its_problem_where_there_is_no_session(double: str, world: Any, told: Any) -> None:
    env = openenv.UnitTestEnvironment(double, sandbox=told)
    assert env.step(answer(world.right, problem="double")).reward == 1.0
    with pytest.raises(UsageError, match="problem"):
        openenv.UnitTestEnvironment(double).step(answer(world.right))


def test_problems_are_chosen_by_seed_index_and_id() -> None:
    env = openenv.UnitTestEnvironment("procedural", dataset_options={"size": 6})
    drawn = [env.reset(seed=4).problem, env.reset().problem]
    assert drawn == [env.reset(seed=4).problem, env.reset().problem]
    assert env.reset(index=2, split="problems").problem == env.problems[2].id
    assert env.reset(problem=env.problems[5].id).problem == env.problems[5].id
    for wrong in ({"index": 6}, {"index": -1}, {"index": True}, {"split": "train"}, {"level": 3}):
        with pytest.raises(UsageError):
            env.reset(**wrong)
    with pytest.raises(UnknownName):
        env.reset(problem="nope")


def test_tasks_list_the_problems_without_their_tests(double: str) -> None:
    env = openenv.UnitTestEnvironment(double)
    (split,) = env.list_splits()
    assert env.num_tasks(split) == 1
    task = env.get_task(split, 0)
    assert env.list_tasks(split) == env.get_task_range(split, 0, 5) == [task]
    assert set(task) == {"id", "index", "prompt"}
    with pytest.raises(IndexError):
        env.get_task(split, 1)
    with pytest.raises(UsageError):
        env.num_tasks("test")


def test_actions_of_another_shape_are_refused() -> None:
    for wrong in ({}, {"answer": 3}, {"answer": "x", "program": "y"}):
        with pytest.raises(pydantic.ValidationError):
            openenv.Answer(**wrong)


def test_sessions_share_the_problems(double: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = openenv.UnitTestEnvironment(double)
    monkeypatch.setattr(openenv.judge, "problems", None)  # nobody loads them again
    second = openenv.UnitTestEnvironment(double, problems=first.problems)
    assert second.reset(seed=0).problem == "double"
    assert first.state.problem == ""


def test_no_turns_are_an_error(double: str) -> None:
    with pytest.raises(UsageError, match="turns"):
        openenv.UnitTestEnvironment(double, turns=0)


@pytest.mark.skipif(not REAL, reason="needs OpenEnv: pip install openenv")
def test_the_real_server_answers(double: str, world: Any) -> None:
    from fastapi.testclient import TestClient

    with TestClient(openenv.app(double)) as client, client.websocket_connect("/ws") as session:
        session.send_json({"type": "reset", "data": {"seed": 0}})
        assert session.receive_json()["data"]["observation"]["problem"] == "double"
        session.send_json({"type": "step", "data": {"answer": world.right}})
        assert session.receive_json()["data"]["reward"] == 1.0
