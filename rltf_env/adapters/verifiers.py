"""verifiers (v1): our problems as a taskset. It needs verifiers, which this file imports.

    # rltf_tasks.py, anywhere on the path: verifiers finds tasksets by the name of a module
    from rltf_env.adapters.verifiers import UnitTestTaskset
    __all__ = ["UnitTestTaskset"]

    vf-eval rltf-tasks --env.taskset.dataset mbpp --env.agent.runtime.type subprocess --env.agent.harness.id null ...

The judge runs in the process that scores, beside no runtime of verifiers: nothing of a program runs
anywhere else. Where it cannot decide, scoring raises. verifiers records a `TaskError` on the trace,
whose reward then stays unscored, and trainers leave such traces out. prime-rl's tasksets are these.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import verifiers.v1 as vf  # pyright: ignore[reportMissingImports]
from pydantic import Field  # pyright: ignore[reportMissingImports]

from rltf_env.adapters import judge

__all__ = ["UnitTestTaskset"]
INFO = "unit_tests"  # what the judge said, in a trace's `info`


class UnitTestConfig(vf.TasksetConfig):
    """Which problems, and how they are judged: `--env.taskset.dataset mbpp --env.taskset.reward coarse`."""

    dataset: str = "procedural"
    """A name of `datasets.load`."""
    split: str | None = None
    """A split; None is the dataset's own default."""
    root: str | None = None
    """The data folder; None is $RLTF_DATA."""
    dataset_options: dict[str, Any] = Field(default_factory=dict)
    """Further options of the dataset."""
    limit: int | None = None
    """The first so many problems only."""
    digest: str = ""
    """The first digits that the problems' digest must have; "" asks nothing."""
    reward: str = "coarse"
    """The reward whose total is the trace's."""
    reward_options: dict[str, Any] = Field(default_factory=dict)
    """Its options."""
    sandbox: str = "auto"
    """Which judge."""


class UnitTestData(vf.TaskData):
    """A problem on the wire: its id (`id`), and how any process finds and judges it again."""

    judge: dict[str, Any] = Field(default_factory=dict)


class UnitTestTask(vf.Task[UnitTestData, vf.State, vf.TaskConfig]):
    """One problem. Rewards and metrics are read off one judgement, kept in the trace's `info`."""

    @property
    def key(self) -> str:
        """The problem's id, whatever its place in the set."""
        return str(self.data.id)

    @vf.reward
    async def unit_tests(self, trace: vf.Trace) -> float:
        """`feedback.total`. Raises SandboxError, which becomes a TaskError."""
        return (await self._judged(trace))["reward"]

    @vf.metric
    async def verdict(self, trace: vf.Trace) -> dict[str, float]:
        """`passed` and `pass_ratio`."""
        return {name: (await self._judged(trace))[name] for name in ("passed", "pass_ratio")}

    async def validate(self, runtime: vf.Runtime) -> bool | None:
        """Whether the first reference passes; None without references."""
        env = self._env()
        problem = env.source.find(self.key)
        if not problem.solutions:
            return None
        return (await judge.judged(env, problem, env.program_of(problem, problem.solutions[0]))).passed

    async def _judged(self, trace: vf.Trace) -> dict[str, Any]:
        answer = trace.last_reply
        summary = trace.info.get(INFO)
        if summary is None or summary["answer"] != answer:
            env = self._env()
            result = await judge.judged(env, env.source.find(self.key), answer)
            summary = {"answer": answer, "reward": result.reward, "failure": result.failure, **result.notes}
            trace.info[INFO] = summary
        return summary

    def _env(self) -> Any:
        return judge.opened(**self.data.judge)


class UnitTestTaskset(vf.Taskset[UnitTestTask, UnitTestConfig]):
    """The problems of a dataset as tasks, in order."""

    def load(self) -> Iterator[UnitTestTask]:
        """A task a problem. Raises DataError if they are not those of the digest."""
        config = self.config
        source = {"split": config.split, "root": config.root}
        loaded = judge.problems(config.dataset, **source, digest=config.digest, **config.dataset_options)
        how = {name: value for name, value in source.items() if value is not None}
        how |= {"dataset": config.dataset, "reward": config.reward, "sandbox": config.sandbox}
        how |= {name: value for name in ("dataset_options", "reward_options") if (value := getattr(config, name))}
        for problem in loaded[: config.limit]:
            (message,) = judge.messages(problem)
            data = UnitTestData(id=problem.id, name=problem.id, prompt=message["content"], judge=how)
            yield UnitTestTask(data, config.task)
