"""A sequence of tasks, from a file; and the recipe of each run that a method makes of it.

    [run] [env] [policy] [eval]    of all runs, as in a recipe
    [agents.NAME]                  an agent; the first is the one that learns unless another is named
    [[tasks]]                      name, and what of run, env, agent and eval is the task's own
    [warm]                         what of a recipe is another for a run before all; without it there is none
    [pooled]                       the same for the methods with a pool: policy sizes, a learning rate
    replay = 0.2                   share of old tasks where they are shown again
    score = "pass"                 or "bleu", for data without tests

Methods:

    finetune       each task's run begins with the policy that the one before has left
    replay         the same; a share of what is drawn is of old tasks, in equal parts
    joint          one run on all tasks at once, as long as all together: what could be had without a sequence
    separate       a run for each task from the same start: what could be had with a policy for each
    pool           a frozen policy with a pool of prompts, chosen among all (prompt pooling)
    pool-forced    the same; a task learns with the prompts that were assigned to it (teacher forcing)

A task's [env] says which problems; what it says besides must be the same for all tasks where a method mixes them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from agents.config import Recipe, override_value
from agents.options import build
from rltf_env.errors import DataError, MissingData, UnknownName, UsageError

METHODS = ("finetune", "replay", "joint", "separate", "pool", "pool-forced")
SHIPPED = Path(__file__).parent
PART = ("dataset", "split", "root", "dataset_options", "source", "source_options")  # of [env]: which problems
GLIMPSE = 8  # problems that a run measures by itself; what counts is measured afterwards
Table = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """A task by its name, with what of each table is its own."""

    name: str
    run: Table = field(default_factory=dict)
    env: Table = field(default_factory=dict)
    agent: Table = field(default_factory=dict)
    eval: Table = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.name or not self.name.replace("-", "").replace("_", "").isalnum():
            raise UsageError(f"Expected a task's name of letters, digits, - and _, got {self.name!r}.")


@dataclass(frozen=True)
class TaskSequence:
    """The file of a sequence; see the head of this file."""

    env: Table
    policy: Table
    agents: dict[str, Table]
    tasks: tuple[Task, ...]
    run: Table = field(default_factory=dict)
    eval: Table = field(default_factory=dict)
    warm: Table = field(default_factory=dict)
    pooled: Table = field(default_factory=dict)
    replay: float = 0.2
    score: Literal["pass", "bleu"] = "pass"
    name: str = "sequence"

    def __post_init__(self) -> None:
        names = [task.name for task in self.tasks]
        if not names or len(set(names)) < len(names):
            raise UsageError(f"Expected at least one task, and no two of one name, got {names}.")
        if not self.agents:
            raise UsageError("Expected at least one agent, such as [agents.supervised], got none.")
        if not 0 < self.replay < 1:
            raise UsageError(f"Expected replay in (0, 1), a share of what is drawn, got {self.replay}.")

    @property
    def names(self) -> tuple[str, ...]:
        """The tasks' names, in order."""
        return tuple(task.name for task in self.tasks)

    def ordered(self, order: Sequence[str]) -> TaskSequence:
        """The same tasks in another order; an empty one is the file's.

        Raises:
            UnknownName: a name that no task has.  UsageError: not each task once.
        """
        if not order:
            return self
        for name in order:
            if name not in self.names:
                raise UnknownName("task", name, self.names)
        if sorted(order) != sorted(self.names):
            raise UsageError(f"Expected each of {', '.join(self.names)} once, got {', '.join(order)}.")
        by_name = {task.name: task for task in self.tasks}
        return replace(self, tasks=tuple(by_name[name] for name in order))

    def agent(self, name: str = "") -> Table:
        """The table of an agent; without a name, of the first."""
        if name and name not in self.agents:
            raise UnknownName("agent", name, self.agents)
        return self.agents[name or next(iter(self.agents))]


def read(path: str | Path, overrides: Sequence[str] = ()) -> TaskSequence:
    """The sequence in a file, or one of this folder by its name; with `"table.key=value"` overrides.

    Raises:
        MissingData: no such file.  DataError: not TOML.  UnknownName, UsageError: a wrong table, key or value.
    """
    file = Path(path)
    if not file.is_file():
        file = SHIPPED / f"{path}.toml"
    if not file.is_file():
        shipped = ", ".join(sorted(each.stem for each in SHIPPED.glob("*.toml")))
        raise MissingData(f"Expected a sequence of tasks, got {str(path)!r}, which is not a file. Shipped: {shipped}.")
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{file}: expected TOML, got: {error}") from error
    for override in overrides:
        override_value(content, override)
    tasks = content.get("tasks", [])
    if not isinstance(tasks, list):
        raise UsageError(f"{file.name}: expected [[tasks]], a list of tables, got {tasks!r}.")
    content["tasks"] = [build(Task, task, f"{file.name}: tasks") for task in tasks]
    return build(TaskSequence, {"name": file.stem, **content}, file.name)


def merged(*tables: Mapping[str, Any]) -> Table:
    """Nested tables, one over the other: a later one's values are taken, and its tables merged."""
    result: Table = {}
    for table in tables:
        for key, value in table.items():
            before = result.get(key)
            both = isinstance(value, Mapping) and isinstance(before, Mapping)
            result[key] = merged(before, value) if both else value  # pyright: ignore[reportArgumentType]
    return result


# -------------------------------------------------------------------------------------------------------------- recipes


def warm_recipe(sequence: TaskSequence, out: Path, seed: int) -> Recipe:
    """The run before all, of the first agent."""
    tables = {name: getattr(sequence, name) for name in ("run", "env", "policy", "eval")}
    content = merged({**tables, "agent": sequence.agent()}, sequence.warm)
    content["run"] |= {"name": "warm", "out": str(out), "seed": seed}
    return build(Recipe, content, f"{sequence.name}: warm")


def task_recipe(
    sequence: TaskSequence, method: str, agent: str, number: int, policy: Table, out: Path, seed: int
) -> Recipe:
    """The run of task `number` (from 0) of the sequence, or of all at once with the method "joint".

    Args:
        sequence: in the order in which it is learnt.
        method: one of `METHODS`.
        agent: a name of `sequence.agents`; "": the first.
        number: which task; "joint" has only 0.
        policy: the table of the policy that the run begins with.
        out: the run's folder.
        seed: of the run.
    """
    check_method(method)
    joint = method == "joint"
    task = sequence.tasks[number]
    content: Table = {
        "run": merged({"eval_every": 0}, sequence.run, task.run),
        "env": merged(sequence.env, task.env),
        "policy": dict(policy),
        "agent": merged(sequence.agent(agent), task.agent),
        "eval": merged(sequence.eval, task.eval, {"size": GLIMPSE}),
    }
    if joint or (method == "replay" and number):
        content |= _mixed(sequence, joint, number, content["eval"])
    if joint:
        content = _as_long(content, sequence)
    if method.startswith("pool"):
        content = _pooled(content, sequence, method, number)
    content["run"] |= {"name": task.name if not joint else "joint", "out": str(out), "seed": seed}
    return build(Recipe, content, f"{sequence.name}: {task.name}")


def measure_recipe(sequence: TaskSequence, task: Task, agent: str, policy: Table, seed: int) -> Recipe:
    """How a policy is measured on a task: a recipe that is never trained."""
    content = {
        "run": {"name": task.name, "updates": 0, "seed": seed},
        "env": merged(sequence.env, task.env),
        "policy": policy,
        "agent": merged(sequence.agent(agent), task.agent),
        "eval": merged(sequence.eval, task.eval),
    }
    return build(Recipe, content, f"{sequence.name}: {task.name}")


def check_method(method: str) -> None:
    """Raises `UnknownName` for a method that there is not."""
    if method not in METHODS:
        raise UnknownName("method", method, METHODS)


def _mixed(sequence: TaskSequence, joint: bool, number: int, evaluation: Table) -> Table:
    """[env] and [eval] of a run on several tasks: the task at hand beside those before it, or all alike."""
    tasks = sequence.tasks if joint else sequence.tasks[: number + 1]
    old = sequence.replay / number if number else 0.0
    weights = [1.0] * len(tasks) if joint else [old] * number + [1 - sequence.replay]
    environments = [merged(sequence.env, task.env) for task in tasks]
    rest = [{key: value for key, value in env.items() if key not in PART} for env in environments]
    for other, task in zip(rest, tasks, strict=True):
        if other != rest[-1]:
            raise UsageError(
                f"Expected tasks that differ in {', '.join(PART)} alone to be mixed, got other values in [env] of "
                f"{task.name!r} than of {tasks[-1].name!r}. Choose the method finetune, separate or one with a pool."
            )
    parts = [{**_part(env), "weight": weight} for env, weight in zip(environments, weights, strict=True)]
    looks = [merged(sequence.eval, task.eval).get("options", {}) for task in tasks]
    seen = [{**_names(env), "dataset_options": options} for env, options in zip(environments, looks, strict=True)]
    env = {**rest[-1], "dataset": "mixture", "dataset_options": {"parts": parts}}
    return {"env": env, "eval": {**evaluation, "options": {"parts": seen}}}


def _part(env: Table) -> Table:
    return {**_names(env), **{key: env[key] for key in PART if key in env}}


def _names(env: Table) -> Table:
    """The dataset of an environment and where it is, the id's own where none is named."""
    import gymnasium as gym

    own = {"dataset": gym.spec(env["id"]).kwargs["dataset"]} if "id" in env else {}
    return {**own, **{key: env[key] for key in ("dataset", "root") if key in env}}


def _as_long(content: Table, sequence: TaskSequence) -> Table:
    """A run as long as those of all tasks together."""
    lengths = [merged(sequence.run, task.run).get("updates", 0) for task in sequence.tasks]
    optimiser = content["agent"].get("optimiser", {})
    length = {"length": sum(lengths)} if optimiser.get("length") else {}
    return merged(content, {"run": {"updates": sum(lengths)}, "agent": {"optimiser": {**optimiser, **length}}})


def _pooled(content: Table, sequence: TaskSequence, method: str, number: int) -> Table:
    """The policy of the run before with a pool, its own or a fresh one."""
    forced = {"assign": "forced", "task": number, "tasks": len(sequence.tasks)}
    pool = merged({"kind": "pooled"}, forced if method == "pool-forced" else {})
    changes = {name: table for name, table in sequence.pooled.items() if name != "policy"}
    policy = merged(content["policy"], pool, sequence.pooled.get("policy", {}))
    return {**merged(content, changes), "policy": policy}
