"""Harbor: our problems as folders of tasks, which also TRL, NeMo Gym, OpenEnv, verifiers and others read.

    harbor.export(datasets.load("mbpp", "test"), "tasks/mbpp", install="rltf")
    harbor run -p tasks/mbpp -a oracle                                       the references must earn 1

    tasks/mbpp/mbpp-601/
        instruction.md            what to write, and where: /app/solution.py
        task.toml                 Harbor's schema 1.4
        environment/Dockerfile    the agent's box: Python, and the code that is given for free
        tests/Dockerfile          another box, with our judge in it and the tests beside it
        tests/test.sh             python -m rltf_env.adapters.harbor /tests /app/solution.py /logs/verifier
        tests/problem.json        the problem, its tests included
        solution/solve.sh         copies the first reference

The agent and the tests never share a box: all that crosses is the program that the agent has left.
Where the judge cannot decide, no reward is written. Harbor then reports an error and no number.
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from rltf_env import answers, plain, prompts
from rltf_env.adapters.judge import USE, Result
from rltf_env.command import guarded, leave, parser
from rltf_env.core import Problem, StdinCase
from rltf_env.env import UnitTestEnv
from rltf_env.errors import DataError, SandboxError, UsageError
from rltf_env.sandbox import check_runs

PROGRAM = "/app/solution.py"
LONGEST = 1 << 20  # bytes of a program that are read
FAILED = 3  # the exit status of a test without a verdict
_INSTALL = re.compile(r"[^\s'\"`$;&|<>\\]+(?: ?[^\s'\"`$;&|<>\\]+)*\Z")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*\Z")


def export(
    problems: Iterable[Problem],
    folder: str | os.PathLike[str],
    *,
    install: str,
    org: str = "rltf",
    image: str = "python:3.11-slim",
    reward: str = "",
    sandbox: str = "auto",
    seconds: float = 600.0,
) -> list[Path]:
    """Writes a task for each problem below `folder`, which may not hold any of them yet.

    Args:
        install: what `pip install` takes in the judge's box to have this package: a name, an address of a wheel or of a
            repository.
        org: before the slash of each task's name.
        image: of both boxes; the programs' Python is its own.
        reward: of `rltf_env.rewards`, whose total is the task's reward. "": 1 for a program that passes all, else 0.
        sandbox: the judge's name.
        seconds: for the agent, and again for the judge.

    Returns:
        the tasks' folders, in order.

    Raises:
        UsageError: arguments of no use, or a folder that is there already.
    """
    check_runs(sandbox, USE)
    if not _NAME.match(org) or not _INSTALL.match(install) or not _INSTALL.match(image):
        raise UsageError(
            "Expected org to be a name, install what pip takes and image the name of an image, in words without quotes or "
            f"signs of a shell, got {org!r}, {install!r}, {image!r}."
        )
    told = {"reward": reward, "sandbox": sandbox}
    written: list[Path] = []
    names: set[str] = set()
    for problem in problems:
        name = _name(problem.id, names)
        place = Path(folder) / name
        if place.exists():
            raise UsageError(f"Expected a folder without {name!r}, got one with it: {str(place)!r}. Choose another.")
        for path, text in _files(problem, f"{org}/{name}", install, image, told, seconds).items():
            _write(place / path, text)
        written.append(place)
    return written


def _name(id: str, names: set[str]) -> str:
    """A folder's name for a problem, unlike those before it in any case of letters."""
    plain_name = re.sub(r"[^a-z0-9._]+", "-", id.lower()).strip("-._")[:80] or "problem"
    plain_name, number = re.sub(r"\.\.+", ".", plain_name), 1
    name = plain_name
    while name in names:
        number += 1
        name = f"{plain_name}-{number}"
    names.add(name)
    return name


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8", errors="surrogatepass", newline="\n")
    if path.suffix == ".sh":
        path.chmod(0o755)


# ------------------------------------------------------------------------------------------------------------ files


def _files(
    problem: Problem, name: str, install: str, image: str, told: dict[str, str], seconds: float
) -> dict[str, str]:
    """The files of a task, by their path in it."""
    given = problem.prefix or problem.starter
    start = f"COPY solution.py {PROGRAM}\n" if given else ""
    files = {
        "instruction.md": _instruction(problem),
        "task.toml": _config(problem, name, seconds),
        "environment/Dockerfile": f"FROM {image}\nWORKDIR /app\n{start}",
        "tests/Dockerfile": f"FROM {image}\nRUN pip install --no-cache-dir '{install}'\nWORKDIR /app\nCOPY . /tests/\n",
        "tests/test.sh": f"#!/bin/bash\nexec python -m rltf_env.adapters.harbor /tests {PROGRAM} /logs/verifier\n",
        "tests/problem.json": json.dumps({**told, "problem": plain.encode_problem(problem)}) + "\n",
    }
    if given:
        files["environment/solution.py"] = given
    if problem.solutions:
        files["solution/solve.sh"] = f"#!/bin/bash\ncp /solution/solution.py {PROGRAM}\n"
        files["solution/solution.py"] = problem.solutions[0]
    return files


def _instruction(problem: Problem) -> str:
    what = f"It must define `{problem.entry_point}`." if problem.entry_point else ""
    if isinstance(problem.cases[0], StdinCase):
        what = "It reads standard input and writes standard output."
    given = "The file holds the beginning already: keep it, and write what is missing." if problem.prefix else ""
    if problem.starter and not problem.prefix:
        given = "The file holds a beginning, which you may change."
    where = f"Write the whole Python program into `{PROGRAM}`."
    end = "Hidden tests judge that file, in another place; nothing else of what you leave is looked at."
    code = f"```python\n{problem.prefix.rstrip()}\n```" if problem.prefix else ""
    parts = (prompts.render(problem).strip(), code, " ".join(filter(None, (where, what, given, end))))
    return "\n\n".join(filter(None, parts)) + "\n"


def _config(problem: Problem, name: str, seconds: float) -> str:
    """Harbor's `task.toml`: the tests in a box of their own, to which only the program goes."""
    notes = {"problem": problem.id, "difficulty": problem.difficulty, "entry_point": problem.entry_point or ""}
    metadata = "".join(f"{key} = {_toml(value)}\n" for key, value in notes.items() if value)
    return (
        'schema_version = "1.4"\n'
        f'artifacts = ["{PROGRAM}"]\n\n'
        f"[task]\nname = {_toml(name)}\n\n"
        f"[metadata]\n{metadata}\n"
        f'[verifier]\nenvironment_mode = "separate"\ntimeout_sec = {float(seconds)}\n\n'
        f"[agent]\ntimeout_sec = {float(seconds)}\n\n"
        "[environment]\nbuild_timeout_sec = 600.0\n"
    )


def _toml(text: str) -> str:
    """A basic string: JSON's, but for what TOML spells otherwise. A lone surrogate has no place in it."""
    spelled = json.dumps(text.encode("utf-8", "replace").decode(), ensure_ascii=False)
    return spelled.replace("\x7f", "\\u007F")


# ------------------------------------------------------------------------------------------------- in the judge's box


def verify(tests: Path, program: Path, env: UnitTestEnv | None = None) -> dict[str, float]:
    """What a program earns: `reward`, `passed`, `pass_ratio`. A file that is not there is an empty program.

    Args:
        tests: the folder with `problem.json`.
        program: the file that an agent has left.
        env: judges in place of what the task says.

    Raises:
        SandboxError: the judge failed, and nothing is known of the program.
        DataError: the problem's file is malformed.
    """
    task, problem = _task(tests / "problem.json")
    text = answers.joined(problem.prefix, _read(program), problem.entry_point)
    opened = env or UnitTestEnv([problem], reward=task["reward"] or "coarse", sandbox=task["sandbox"])
    try:
        written = opened.program_of(problem, text)
        result = Result(problem, written, opened.submit(problem, written).result())
        reward = result.reward if task["reward"] else float(result.passed)
        return {"reward": reward, **result.notes}
    finally:
        if env is None:
            opened.close()


def _task(path: Path) -> tuple[dict[str, Any], Problem]:
    where = str(path)
    try:
        task = plain.as_object(json.loads(path.read_bytes()), where)
    except (OSError, ValueError) as error:
        raise DataError(f"{where}: expected the problem of a task, got {error}.") from error
    for name in ("reward", "sandbox"):
        plain.field(task, name, str, where)
    return task, plain.decode_problem(plain.field(task, "problem", dict, where), where)


def _read(program: Path) -> str:
    """The text of a file that is not ours: no link is followed, and no more is read than a program may be long."""
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
    try:
        opened = os.open(program, flags)
    except OSError:
        return ""
    try:
        content = b""
        if stat.S_ISREG(os.fstat(opened).st_mode):
            with os.fdopen(opened, "rb", closefd=False) as file:
                content = file.read(LONGEST + 1)
    finally:
        os.close(opened)
    return content.decode("utf-8", "replace").replace("\r\n", "\n") if len(content) <= LONGEST else ""


def main(arguments: Sequence[str] | None = None) -> int:
    """What `tests/test.sh` runs. Returns the exit status: 3 without a verdict, when no reward is written."""
    made = parser("rltf_env.adapters.harbor", "Judges the program that an agent has left in Harbor's box.")
    made.add_argument("tests", type=Path, help="the folder with problem.json")
    made.add_argument("program", type=Path, help="the file that is judged")
    made.add_argument("logs", type=Path, help="where reward.json goes")
    asked = made.parse_args(arguments)
    return guarded(lambda: _main(asked.tests, asked.program, asked.logs))


def _main(tests: Path, program: Path, logs: Path) -> int:
    reward = logs / "reward.json"
    reward.unlink(missing_ok=True)
    try:
        rewards = verify(tests, program)
    except SandboxError as error:
        sys.stderr.write(f"No verdict: {error}\n")
        return FAILED
    logs.mkdir(parents=True, exist_ok=True)
    beside = logs / ".reward.json.new"
    beside.write_text(json.dumps(rewards) + "\n", encoding="utf-8")
    beside.replace(reward)
    return 0


if __name__ == "__main__":
    leave(main())
