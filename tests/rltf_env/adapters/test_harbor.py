"""Harbor: a folder of tasks as its schema wants them, and the test that runs in the judge's box."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rltf_env import datasets, plain
from rltf_env.adapters import harbor
from rltf_env.core import Problem, StdinCase
from rltf_env.errors import DataError, SandboxError, UsageError

SOLUTION = "def f(x):\n    return 2 * x\n"


def written(folder: Path, problem: Problem, **options: Any) -> Path:
    (task,) = harbor.export([problem], folder, **{"install": "rltf", **options})
    return task


def test_a_task_has_the_files_that_harbor_looks_for(tmp_path: Path, world: Any) -> None:
    task = written(tmp_path, replace(world.problem, solutions=(SOLUTION,)))
    assert task == tmp_path / "double"
    assert {str(path.relative_to(task)) for path in task.rglob("*") if path.is_file()} == {
        "instruction.md", "task.toml", "environment/Dockerfile", "tests/Dockerfile", "tests/test.sh", "tests/problem.json",
        "solution/solve.sh", "solution/solution.py",
    }  # fmt: skip
    for script in ("tests/test.sh", "solution/solve.sh"):
        assert (task / script).stat().st_mode & stat.S_IXUSR
        assert subprocess.run(["bash", "-n", task / script], check=False).returncode == 0
    assert "RUN pip install --no-cache-dir 'rltf'\n" in (task / "tests/Dockerfile").read_text()


def test_only_the_program_crosses_to_the_tests(tmp_path: Path, world: Any) -> None:
    config = tomllib.loads((written(tmp_path, world.problem) / "task.toml").read_text())
    assert config["schema_version"] == "1.4"
    assert config["artifacts"] == ["/app/solution.py"]
    assert config["verifier"]["environment_mode"] == "separate"
    assert config["task"]["name"] == "rltf/double"
    assert config["metadata"] == {"problem": "double", "entry_point": "f"}


def test_nothing_that_the_agent_sees_holds_a_test_or_a_reference(tmp_path: Path, world: Any) -> None:
    task = written(tmp_path, replace(world.problem, solutions=(SOLUTION,)))
    seen = "".join(path.read_text() for path in (task / "instruction.md", *(task / "environment").iterdir()))
    assert "f(1) == 2" in seen
    assert "f(3)" not in seen
    assert "2 * x" not in seen


def test_the_instruction_says_what_is_wanted(tmp_path: Path, world: Any) -> None:
    function = (written(tmp_path / "a", world.problem) / "instruction.md").read_text()
    assert function.startswith("Return twice x.\n")
    assert "must define `f`" in function
    streams = Problem("echo", "Say it again.", (StdinCase("a\n", "a\n"),))
    assert "reads standard input" in (written(tmp_path / "b", streams) / "instruction.md").read_text()


@pytest.mark.parametrize(("field", "words"), [("prefix", "keep it"), ("starter", "you may change")])
def test_given_code_lies_in_the_agent_s_box(tmp_path: Path, world: Any, field: str, words: str) -> None:
    task = written(tmp_path, replace(world.problem, **{field: "def f(x):\n"}))
    assert (task / "environment/solution.py").read_text() == "def f(x):\n"
    assert "COPY solution.py /app/solution.py" in (task / "environment/Dockerfile").read_text()
    assert words in (task / "instruction.md").read_text()


def test_names_are_tame_and_never_the_same(tmp_path: Path, world: Any) -> None:
    ids = ["a/B", "a-b", "A B", "../../etc", "..", 'x"\n\x7f[task]\ud800é😀']
    tasks = harbor.export([replace(world.problem, id=id) for id in ids], tmp_path, install="rltf")
    assert [task.name for task in tasks] == ["a-b", "a-b-2", "a-b-3", "etc", "problem", "x-task"]
    for task in tasks:
        config = tomllib.loads((task / "task.toml").read_text())
        assert config["task"] == {"name": f"rltf/{task.name}"}
        assert task.parent == tmp_path


def test_a_task_that_is_there_is_not_written_over(tmp_path: Path, world: Any) -> None:
    written(tmp_path, world.problem)
    with pytest.raises(UsageError, match="double"):
        written(tmp_path, world.problem)


@pytest.mark.parametrize(
    "wrong",
    [
        {"install": "rltf'; rm -rf /"},
        {"install": ""},
        {"org": "a/b"},
        {"image": "python\nRUN x"},
        {"sandbox": "static"},
    ],
)
def test_arguments_of_no_use_are_refused(tmp_path: Path, world: Any, wrong: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        written(tmp_path, world.problem, **wrong)


# ------------------------------------------------------------------------------------------------- in the judge's box


def judged(task: Path, world: Any, text: str | None, reward: str = "coarse") -> dict[str, float]:
    program = task / "left.py"
    if text is not None:
        program.write_text(text)
    return harbor.verify(task / "tests", program, world.made(reward=reward))


def test_a_program_earns_one_or_nothing(tmp_path: Path, world: Any) -> None:
    task = written(tmp_path, world.problem)
    assert judged(task, world, SOLUTION) == {"reward": 1.0, "passed": 1.0, "pass_ratio": 1.0}
    assert judged(task, world, world.half) == {"reward": 0.0, "passed": 0.0, "pass_ratio": 0.5}


def test_a_reward_of_ours_may_be_the_task_s(tmp_path: Path, world: Any) -> None:
    task = written(tmp_path, world.problem, reward="coarse")
    assert judged(task, world, world.half)["reward"] == pytest.approx(-0.3)


def test_what_an_agent_did_not_leave_is_an_empty_program(tmp_path: Path, world: Any) -> None:
    task = written(tmp_path, world.problem)
    assert judged(task, world, None)["passed"] == 0.0
    (task / "secret.py").write_text(SOLUTION)
    (task / "left.py").symlink_to(task / "secret.py")
    assert harbor.verify(task / "tests", task / "left.py", world.made())["passed"] == 0.0
    assert harbor.verify(task / "tests", task, world.made())["passed"] == 0.0
    os.mkfifo(task / "pipe.py")
    assert harbor.verify(task / "tests", task / "pipe.py", world.made())["passed"] == 0.0
    (task / "long.py").write_text(SOLUTION + "#" * harbor.LONGEST)
    assert harbor.verify(task / "tests", task / "long.py", world.made())["passed"] == 0.0


def test_code_that_was_given_may_be_repeated_or_left_out(tmp_path: Path, world: Any) -> None:
    task = written(tmp_path, replace(world.problem, prefix="def f(x):\n"))
    for text in (SOLUTION, "    return 2 * x\n"):
        assert judged(task, world, text)["passed"] == 1.0


def test_a_judge_that_fails_writes_no_reward(tmp_path: Path, world: Any, double: str) -> None:
    task = written(tmp_path, world.problem, sandbox=world.broken)
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "reward.json").write_text("1")
    assert harbor.main([str(task / "tests"), str(task / "none.py"), str(logs)]) == harbor.FAILED
    assert list(logs.iterdir()) == []
    with pytest.raises(SandboxError):
        harbor.verify(task / "tests", task / "none.py")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"reward": "", "sandbox": "auto", "problem": {}}'])
def test_a_task_s_file_that_is_none_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "problem.json").write_text(text)
    with pytest.raises(DataError, match=r"problem\.json"):
        harbor.verify(tmp_path, tmp_path / "x.py")


def test_the_test_of_a_task_judges_its_reference(tmp_path: Path) -> None:
    """As in the box, but for its folders: the script, the module, the real judge."""
    (problem,) = datasets.load("procedural", size=1)
    task = written(tmp_path / "tasks", problem)
    script = (task / "tests/test.sh").read_text()
    for place, mine in (
        ("/tests", task / "tests"),
        ("/app/", task / "solution/"),
        ("/logs/verifier", tmp_path / "logs"),
    ):
        script = script.replace(f" {place}", f" {mine}{'/' * place.endswith('/')}")
    script = script.replace("exec python", f"exec {sys.executable}")
    done = subprocess.run(
        ["bash", "-c", script], env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False
    )
    assert done.returncode == 0
    assert json.loads((tmp_path / "logs/reward.json").read_text()) == {"reward": 1.0, "passed": 1.0, "pass_ratio": 1.0}


def test_the_problem_comes_back_whole(tmp_path: Path, world: Any) -> None:
    task = written(tmp_path, world.problem)
    row = json.loads((task / "tests/problem.json").read_text())["problem"]
    assert plain.decode_problem(row, "") == world.problem
