"""`python -m benchmarks.speed.serve [race] [soak]`: the judge behind `rltf serve` beside the same judge asked directly.

    race  the same programs: a judge of this process, and a service in a process of its own over
          loopback, in batches of `--batch`; rounds of both are compared pair by pair
    soak  `--soak` programs of two clients in processes of their own, one of which is killed half way
          and leaves what it has asked for: every verdict of the other is checked, and the service
          must be empty and no larger at the end

Quote ratios: the figures are this machine's. The exit status is 1 if the service is below `--least`
of the local judge, loses a verdict, or keeps anything.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.speed.grading import Row, Run, best, timed
from rltf_env import datasets, sandbox
from rltf_env.command import Parser, guarded, leave
from rltf_env.core import Outcome, Problem, Sandbox

WARM = 128  # programs before a race, so that every process has started
PROBLEMS = 64
NOTICE = 10.0  # seconds for the service to drop what a client that was killed has left behind


class Served(NamedTuple):
    """A service in a process of its own."""

    url: str
    process: subprocess.Popen[str]


@contextlib.contextmanager
def service(workers: int, *options: str) -> Iterator[Served]:
    """Starts `rltf serve` on a free port and ends it as an operator would."""
    command = [sys.executable, "-m", "rltf_env.serve", "--port", "0", "--workers", str(workers)]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            if "http://" not in line:
                raise SystemExit("The service did not start; what it says stands above.")
            yield Served("http://" + line.split("http://")[1].split()[0], process)
        finally:
            process.terminate()
            process.wait(60)


def jobs(count: int, name: str = "") -> list[tuple[str, Problem]]:
    """Programs for generated problems: three right ones, then a wrong one; no two alike, so that none is remembered."""
    problems = datasets.load("procedural", split="train", size=PROBLEMS)
    return [(_program(problems[i % PROBLEMS], i, name), problems[i % PROBLEMS]) for i in range(count)]


def _program(problem: Problem, number: int, name: str) -> str:
    right = f"{problem.solutions[0]}\n# {name} {number}\n"
    return right if number % 4 != 3 else f"{right}f = lambda *arguments: {number}\n"


def wrongs(opened: Sandbox, pairs: Sequence[tuple[str, Problem]]) -> int:
    """How many of `pairs` got another outcome than they deserve."""
    verdicts = opened.map(pairs)
    return sum((v.outcome is Outcome.PASSED) is (i % 4 == 3) for i, v in enumerate(verdicts))


class Race(NamedTuple):
    """The rows of both ways, each at its best, and the share of the local judge's speed: the median over pairs of rounds."""

    rows: list[Row]
    share: float


def race_section(asked: argparse.Namespace) -> Race:
    """Programs a second of both ways, in rounds side by side."""
    pairs, warm = jobs(asked.programs), jobs(WARM, "warm")
    with service(asked.workers, "--set", "cache=1") as served, contextlib.ExitStack() as stack:
        far = stack.enter_context(sandbox.load("http", urls=served.url, batch=asked.batch))
        near = stack.enter_context(sandbox.load(workers=asked.workers, cache=1))
        ways = {"local judge": near, f"rltf serve, batches of {asked.batch}": far}
        for opened in ways.values():
            list(opened.map(warm))
        return raced({name: timer(opened, pairs) for name, opened in ways.items()}, len(pairs), asked.repeat)


def raced(ways: Mapping[str, Callable[[], Run]], count: int, repeat: int) -> Race:
    """Rounds of two ways, which take turns at going first.

    What else runs on a machine changes from minute to minute, but less so within a pair of rounds. So pairs are compared,
    and not the luckiest round of each.
    """
    rounds: dict[str, list[Run]] = {name: [] for name in ways}
    for turn in range(repeat):
        for name in sorted(ways, reverse=turn % 2 == 1):
            rounds[name].append(ways[name]())
    near, far = rounds.values()
    share = statistics.median(one.seconds / other.seconds for one, other in zip(near, far, strict=True))
    return Race([best(name, runs, count) for name, runs in rounds.items()], share)


def timer(opened: Sandbox, pairs: Sequence[tuple[str, Problem]]) -> Callable[[], Run]:
    """A round of a way."""
    return lambda: timed(opened, pairs)


def soak_section(asked: argparse.Namespace, console: Console) -> bool:
    """True if nothing was lost, judged wrongly or left behind."""
    half = asked.soak // 2
    with service(asked.workers) as served, _client(served.url, half, "victim") as victim:
        with _client(served.url, half, "survivor") as survivor:
            while _metric(served.url, "rltf_verdict_seconds_count") < asked.soak / 2:
                time.sleep(0.05)
            victim.send_signal(signal.SIGKILL)
            before = memory(served.process.pid)
            out, _ = survivor.communicate()
        emptied = time.monotonic() + NOTICE
        while _metric(served.url, "rltf_programs_inside") and time.monotonic() < emptied:
            time.sleep(0.05)
        inside, after = _metric(served.url, "rltf_programs_inside"), memory(served.process.pid)
        answered = _metric(served.url, "rltf_verdict_seconds_count")
    good = out.strip() == f"{half} 0" and inside == 0 and after < 1.3 * before + 20
    console.print(
        f"soak: {answered:.0f} of {asked.soak} programs answered, one client killed; the other got (verdicts, wrong) "
        f"{out.strip() or 'nothing'}; inside at the end {inside:.0f}; MiB {before:.0f} -> {after:.0f}: "
        f"{'holds' if good else 'DOES NOT HOLD'}"
    )
    return good


def _client(url: str, count: int, name: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "benchmarks.speed.serve", "client", "--url", url, "--soak", str(count), "--name", name],
        stdout=subprocess.PIPE,
        text=True,
    )


def client(asked: argparse.Namespace) -> None:
    """One client of a soak: says how many verdicts it got, and how many of them were wrong."""
    pairs = jobs(asked.soak, asked.name)
    with sandbox.load("http", urls=asked.url, batch=asked.batch) as opened:
        print(len(pairs), wrongs(opened, pairs))


def _metric(url: str, name: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics") as reply:
        lines = reply.read().decode().splitlines()
    return next(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


def memory(process: int) -> float:
    """MiB that a process holds itself."""
    with open(f"/proc/{process}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / (1 << 20)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status."""
    return guarded(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    parser = Parser(prog="python -m benchmarks.speed.serve", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("section", nargs="*", choices=["race", "soak", "client", []], help="race, soak (default: race)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--programs", type=int, default=500, help="of a round of the race")
    parser.add_argument("--repeat", type=int, default=15, help="pairs of rounds")
    parser.add_argument("--soak", type=int, default=20_000, help="programs of the soak")
    parser.add_argument("--least", type=float, default=0.9, help="share of the local judge's speed that will do")
    parser.add_argument("--url", default="", help=argparse.SUPPRESS)
    parser.add_argument("--name", default="", help=argparse.SUPPRESS)
    asked = parser.parse_args(arguments)
    if asked.section == ["client"]:
        client(asked)
        return 0
    console, good = Console(), True
    sections = asked.section or ["race"]
    if "race" in sections:
        rows, share = race_section(asked)
        console.print(table(rows))
        console.print(
            f"rltf serve judges {share:.0%} of the local judge's programs a second (median of {asked.repeat} pairs)."
        )
        good &= share >= asked.least
    if "soak" in sections:
        good &= soak_section(asked, console)
    return 0 if good else 1


def table(rows: Sequence[Row]) -> Table:
    """The rows, for a screen."""
    table = Table("way", "programs/s", "CPU ms", "passed")
    for row in rows:
        table.add_row(row.name, f"{row.rate:.0f}", f"{row.cpu_ms:.2f}", f"{row.passed}/{row.of}")
    return table


if __name__ == "__main__":
    leave(main())
