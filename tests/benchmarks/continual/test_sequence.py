"""A file of tasks, and the recipes that methods make of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agents import building
from agents.config import Recipe
from benchmarks.continual import sequence
from benchmarks.continual.sequence import METHODS, TaskSequence
from rltf_env.errors import DataError, MissingData, UnknownName, UsageError

POLICY = {"kind": "causal", "path": "before"}
SHIPPED = sequence.read("retold")


def recipe(method: str, number: int, agent: str = "", tasks: TaskSequence = SHIPPED) -> Recipe:
    return sequence.task_recipe(tasks, method, agent, number, POLICY, Path("out"), 3)


@pytest.mark.parametrize("agent", SHIPPED.agents)
@pytest.mark.parametrize("method", METHODS)
def test_every_run_of_the_shipped_sequence_is_a_recipe_that_could_begin(method: str, agent: str) -> None:
    for number in range(1 if method == "joint" else len(SHIPPED.tasks)):
        made = recipe(method, number, agent)
        building.check(made)
        assert (made.run.out, made.run.seed, made.agent["kind"]) == ("out", 3, SHIPPED.agents[agent]["kind"])
    building.check(sequence.warm_recipe(SHIPPED, Path("warm"), 3))


def test_fine_tuning_goes_on_from_the_policy_before_and_sees_its_task_alone() -> None:
    made = recipe("finetune", 1)
    assert made.policy == POLICY
    assert made.env["dataset_options"] == {"size": 500, "depths": [1, 2], "tasks": ["refine"], "seed": 2}
    assert recipe("separate", 1).env == made.env


def test_replay_shows_the_old_tasks_in_equal_parts_of_a_fifth() -> None:
    assert recipe("replay", 0) == recipe("finetune", 0)
    parts = recipe("replay", 2).env["dataset_options"]["parts"]
    assert [part["dataset_options"]["tasks"][0] for part in parts] == ["generate", "refine", "translate"]
    assert [part["weight"] for part in parts] == pytest.approx([0.1, 0.1, 0.8])
    assert {part["source"] for part in parts} == {"uniform"}


def test_joint_training_is_one_run_on_all_tasks_as_long_as_all_together() -> None:
    made = recipe("joint", 0)
    assert [part["weight"] for part in made.env["dataset_options"]["parts"]] == [1.0] * 4
    assert (made.run.updates, made.agent["optimiser"]["length"]) == (1200, 1200)
    assert len(made.eval.options["parts"]) == 4


def test_a_pool_is_told_the_task_with_teacher_forcing_alone() -> None:
    free, forced = recipe("pool", 2).policy, recipe("pool-forced", 2).policy
    assert free == {"kind": "pooled", "path": "before", "pool": 8, "top": 2, "length": 16}
    assert forced == {**free, "assign": "forced", "task": 2, "tasks": 4}
    assert recipe("pool", 2).agent["optimiser"]["lr"] == 1e-2
    assert recipe("pool", 2).env == recipe("finetune", 2).env


def test_a_task_is_measured_as_it_is_asked_and_without_its_neighbours() -> None:
    made = sequence.measure_recipe(SHIPPED, SHIPPED.tasks[3], "", POLICY, 0)
    assert (made.run.updates, made.eval.options["tasks"], made.eval.size) == (0, ["complete"], 200)


def test_tasks_come_in_another_order_when_asked() -> None:
    order = ("translate", "complete", "generate", "refine")
    moved = SHIPPED.ordered(order)
    assert moved.names == order
    assert recipe("pool-forced", 0, tasks=moved).policy["task"] == 0
    assert recipe("finetune", 0, tasks=moved).env["dataset_options"]["tasks"] == ["translate"]
    with pytest.raises(UnknownName, match="Did you mean 'refine'"):
        SHIPPED.ordered(("refin",))
    with pytest.raises(UsageError, match="once, got refine"):
        SHIPPED.ordered(("refine",))


def test_tables_are_merged_and_the_later_value_is_taken() -> None:
    first: dict[str, Any] = {"a": {"b": 1, "c": [1]}, "d": 2}
    assert sequence.merged(first, {"a": {"c": [2], "e": 3}, "d": {"f": 4}}) == {
        "a": {"b": 1, "c": [2], "e": 3},
        "d": {"f": 4},
    }
    assert first == {"a": {"b": 1, "c": [1]}, "d": 2}


BASE = """
replay = 0.5
[env]
id = "RLTF-Procedural-v0"
[policy]
kind = "tiny"
[agents.a]
kind = "supervised"
"""


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ('[[tasks]]\nname = "a"\n[[tasks]]\nname = "a"', UsageError, "no two of one name"),
        ("", UsageError, "at least one task"),
        ('[[tasks]]\nname = "a/b"', UsageError, "name of letters"),
        ('[[tasks]]\nname = "a"\nenviron = {}', UnknownName, "environ"),
        ('[[tasks]]\nname = "a"\n[pool]\nx = 1', UnknownName, "Did you mean 'pooled'"),
        ("tasks = 3", UsageError, "a list of tables"),
        ("[[tasks", DataError, "expected TOML"),
    ],
)
def test_a_file_that_is_no_sequence_is_refused(text: str, kind: type[Exception], message: str, tmp_path: Path) -> None:
    file = tmp_path / "s.toml"
    top = f"{text}\n{BASE}" if text.startswith("tasks") else f"{BASE}\n{text}"
    file.write_text(top)
    with pytest.raises(kind, match=message):
        sequence.read(file)


def test_wrong_names_and_shares_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match="Shipped: retold"):
        sequence.read("retald")
    with pytest.raises(UsageError, match=r"replay in \(0, 1\)"):
        sequence.read("retold", ["replay=1.0"])
    with pytest.raises(UnknownName, match="Did you mean 'replay'"):
        recipe("replays", 0)
    with pytest.raises(UnknownName, match="Did you mean 'rltf'"):
        recipe("finetune", 0, "rltff")


def test_tasks_that_differ_in_more_than_their_problems_are_not_mixed(tmp_path: Path) -> None:
    other = '[[tasks]]\nname = "b"\nenv.dataset_options = { depths = [2] }\nenv.prompt_style = "plain"'
    (tmp_path / "s.toml").write_text(f'{BASE}\n[[tasks]]\nname = "a"\n{other}')
    tasks = sequence.read(tmp_path / "s.toml", ["run.updates=3"])
    assert recipe("finetune", 1, tasks=tasks).env["prompt_style"] == "plain"
    for method, number in (("replay", 1), ("joint", 0)):
        with pytest.raises(UsageError, match=r"other values in \[env\] of 'a' than of 'b'"):
            recipe(method, number, tasks=tasks)


def test_a_mixture_names_the_dataset_of_the_environment_where_the_task_does_not(tmp_path: Path) -> None:
    both = '[[tasks]]\nname = "a"\n[[tasks]]\nname = "b"\nenv.dataset = "retold"'
    (tmp_path / "s.toml").write_text(f"{BASE}\n{both}")
    tasks = sequence.read(tmp_path / "s.toml", ["run.updates=3"])
    parts = recipe("joint", 0, tasks=tasks).env["dataset_options"]["parts"]
    assert [part["dataset"] for part in parts] == ["procedural", "retold"]
