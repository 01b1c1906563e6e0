"""`python -m benchmarks.studies.cluster`: what one learner and many generators come to, on paper and simulated.

    generator: [ write a lot | judge it ] --> queue --> buffer --> update --> weights, every `push_every` updates

The simulation plays generators and learner event by event, with the bargain of `agents.actors.pool`: the learner waits until as
many programs have come as it would have written itself, generators wait when the queue is full, and a lot carries the version of
the weights that it began with. The command runs two small cases here, takes their service times from the runs' own metrics,
and says how far the simulation is from what the runs took. Only if that is within `TOLERANCE` does it say anything of larger ones.

The sizes beyond this machine are arithmetic on numbers that are named (`Assumed`) and were not measured: bytes and seconds of each
thing that moves, and a simulation with service times that follow from them.
"""

from __future__ import annotations

import argparse
import heapq
import json
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from benchmarks import demo
from benchmarks.records.record import write_json
from benchmarks.studies.arms import STOPPED, provenance
from rltf_env.command import Parser, guarded, leave
from rltf_env.errors import UsageError

TOLERANCE = 0.1  # by how much, relative to what was measured, the simulation may differ
SIZES = (1, 8, 64, 512, 1000)  # GPUs, half of them writing
Draw = Callable[[np.random.Generator], float]  # seconds of one service


# --------------------------------------------------------------------------------------------------------- simulation


@dataclass(frozen=True)
class Plant:
    """Generators, queue and buffer, in programs and updates: the keys of `[scale]` and of an agent with a buffer.

    `kept` is the share of the programs that enter the buffer: with `agent.keep = "weighted"`, those that teach something.
    """

    generators: int
    lot: int  # programs that a generator sends at a time
    queue: int
    fill: int
    refresh: int
    refresh_every: int
    batch: int
    buffer: int
    push_every: int
    kept: float = 1.0

    def __post_init__(self) -> None:
        if min(value for name, value in asdict(self).items() if name != "kept") < 1 or not 0 < self.kept <= 1:
            raise UsageError(f"Expected numbers >= 1, and kept in (0, 1], got {self}.")

    def due(self, step: int) -> int:
        """Programs that must have come before the update after `step`."""
        return self.fill + self.refresh * (step // self.refresh_every)


@dataclass(frozen=True)
class Times:
    """Seconds of a lot (written and judged), of an update, and of handing weights over; drawn anew for each."""

    lot: Draw
    update: Draw
    push: Draw


@dataclass(frozen=True)
class Played:
    """What a simulated run came to."""

    seconds: float
    waited: float  # seconds of the learner
    idle: float  # seconds of all generators, with lots in their hands and no room for them
    received: int  # programs
    staleness: list[float]  # mean of each update's batch, in updates

    def summary(self, plant: Plant, updates: int) -> dict[str, float]:
        """Shares and rates."""
        return {
            "seconds_per_update": self.seconds / updates,
            "learner_waits": self.waited / self.seconds,
            "generators_idle": self.idle / (self.seconds * plant.generators),
            "staleness": float(np.mean(self.staleness)),
            "programs_per_second": self.received / self.seconds,
        }


class Simulation:
    """One run, event by event. Time is the learner's; generators are events of it.

    Where the queue is full, a generator's reader holds a lot, and the generator writes one more before it waits as well.
    """

    def __init__(self, plant: Plant, times: Times, rng: np.random.Generator) -> None:
        self.plant, self.times, self.rng = plant, times, rng
        self.now = self.waited = self.idle = 0.0
        self.version = 0  # of the weights that a generator would take now
        self.ready: list[tuple[float, int, int]] = []  # (when, generator, version of its lot)
        self.queue: deque[int] = deque()  # versions of the lots in it
        self.held: deque[tuple[int, int]] = deque()  # generator and version of the lots that wait for room
        self.blocked: dict[int, float] = {}  # since when a generator holds two
        self.buffer: deque[int] = deque(maxlen=plant.buffer)
        self.order: list[int] = []
        for generator in range(plant.generators):
            self._begin(generator, 0.0)

    def run(self, updates: int) -> Played:
        """Plays so many updates."""
        staleness: list[float] = []
        received = pushed = 0
        for step in range(updates):
            if step >= pushed + self.plant.push_every:
                self._pass(self.times.push(self.rng))
                self.version = pushed = step
            self._arrive()
            received += sum(self._take() for _ in range(len(self.queue)))
            while received < self.plant.due(step) or len(self.buffer) < min(self.plant.batch, self.plant.buffer):
                received += self._take()
            staleness.append(step - float(np.mean(self._draw())))
            self._pass(self.times.update(self.rng))
        return Played(self.now, self.waited, self.idle, received, staleness)

    def _begin(self, generator: int, at: float) -> None:
        heapq.heappush(self.ready, (at + self.times.lot(self.rng), generator, self.version))

    def _pass(self, seconds: float) -> None:
        """The learner is at work; lots that are ready in the meantime go into the queue, where there is room."""
        self.now += seconds
        self._arrive()

    def _arrive(self) -> None:
        while self.ready and self.ready[0][0] <= self.now:
            when, generator, version = heapq.heappop(self.ready)
            if len(self.queue) < self.plant.queue:
                self.queue.append(version)
                self._begin(generator, when)
                continue
            holds = any(generator == other for other, _ in self.held)
            self.held.append((generator, version))
            if holds:
                self.blocked[generator] = when
            else:
                self._begin(generator, when)

    def _take(self) -> int:
        """The next lot into the buffer, waiting for it if there is none; its programs."""
        if not self.queue:
            self.waited += max(0.0, self.ready[0][0] - self.now)
            self.now = max(self.now, self.ready[0][0])
            self._arrive()
        self.buffer.extend([self.queue.popleft()] * max(1, round(self.plant.kept * self.plant.lot)))
        self.order = []
        if self.held:
            generator, version = self.held.popleft()
            self.queue.append(version)
            if generator in self.blocked:
                self.idle += self.now - self.blocked.pop(generator)
                self._begin(generator, self.now)
        return self.plant.lot

    def _draw(self) -> list[int]:
        """The versions of a batch: each sample once before any again, as `agents.learning.replay` draws."""
        chosen: list[int] = []
        while len(chosen) < min(self.plant.batch, len(self.buffer)):
            if not self.order:
                self.order = self.rng.permutation(len(self.buffer)).tolist()
            chosen.append(self.buffer[self.order.pop()])
        return chosen


def simulate(plant: Plant, times: Times, updates: int, seed: int = 0) -> dict[str, float]:
    """What `updates` updates come to."""
    return Simulation(plant, times, np.random.default_rng(seed)).run(updates).summary(plant, updates)


def among(values: Sequence[float]) -> Draw:
    """Draws of what was measured."""
    known = np.asarray(values, float)
    if not len(known):
        raise UsageError("Expected at least one measured service time, got none.")
    return lambda rng: float(known[rng.integers(len(known))])


def constant(seconds: float) -> Draw:
    """The same each time."""
    return lambda rng: seconds


# ---------------------------------------------------------------------------------------------------------- arithmetic


@dataclass(frozen=True)
class Assumed:
    """A model, a cluster and programs, in numbers that nobody measured here unless said.

    Args:
        parameters: of the policy; 2 bytes each where weights are handed over.
        prompt, program: tokens.
        writes: tokens a second of a GPU that writes.
        learns: FLOP a second of a GPU that learns, of the 6 x parameters that a token costs.
        link: bytes a second between nodes; `store`: of an object store, a hop.
        judge: seconds of a processor for a program (measured here, `benchmarks.speed.judge`).
        endless: the share of programs that end at the limit; `limit`: seconds of it.
        cores: processors a node of `node` GPUs has for judging.
    """

    parameters: float = 7.6e9
    prompt: int = 400
    program: int = 300
    writes: float = 5000.0
    learns: float = 4e14
    link: float = 5e10
    store: float = 0.5e9
    judge: float = 0.0025
    endless: float = 0.01
    limit: float = 4.0
    cores: int = 90
    node: int = 8


def needs(gpus: int, a: Assumed, push_every: int = 10, update_seconds: float = 1.0) -> dict[str, float]:
    """What a cluster moves and keeps busy with half of its `gpus` writing (one GPU does both in turn)."""
    writers = max(1, gpus // 2)
    share = 0.5 if gpus == 1 else 1.0
    written = share * writers * a.writes / a.program
    learnt = share * max(1, gpus - writers) * a.learns / (6 * a.parameters * (a.prompt + a.program))
    rate = min(written, learnt)
    program = 4 * a.prompt + 13 * a.program  # bytes, as flat arrays
    weights, nodes = 2 * a.parameters, -(-writers // a.node)
    judging = a.judge + a.endless * 1.2 * a.limit
    hops = int(np.ceil(np.log2(nodes + 1)))
    return {
        "gpus": gpus, "programs_per_second": rate, "learner_bytes_per_second": rate * program,
        "judge_cores": rate * judging, "judge_cores_there": a.cores * max(1, gpus // a.node),
        "push_seconds_store": hops * weights / a.store, "push_seconds_tree": hops * weights / a.link,
        "push_share_store": hops * weights / a.store / (push_every * update_seconds),
        "push_share_tree": hops * weights / a.link / (push_every * update_seconds),
    }  # fmt: skip


def straggling(writers: int, a: Assumed, lot: int, seed: int = 0, lots: int = 200) -> dict[str, float]:
    """What waiting for all writers costs, over waiting for any, where a lot's judging ends with its slowest program."""
    rng = np.random.default_rng(seed)
    write = lot * a.program / a.writes
    late = rng.binomial(lot, a.endless, (lots, writers)) > 0
    took = write + np.where(late, 1.2 * a.limit, lot * a.judge)
    return {"mean": float(took.mean()), "slowest": float(took.max(1).mean())}


# ------------------------------------------------------------------------------------------------------------- measure


CASES = {
    "learner-bound": Plant(2, 64, 2, 512, 128, 2, 128, 512, 8),
    "generator-bound": Plant(1, 64, 2, 512, 256, 2, 128, 512, 8),
}


def measure(out: Path, name: str, updates: int, console: Console) -> dict[str, Any]:
    """A small run with generators, and the simulation of it with that run's own service times."""
    from agents.train import train

    plant = CASES[name]
    train(demo.recipe("warm", out, 0, ["run.eval_every=0", "eval.size=8"]), console)
    keys = {
        "buffer": plant.buffer, "fill": plant.fill, "refresh": plant.refresh, "refresh_every": plant.refresh_every,
        "batch_size": plant.batch, "supervised": 0,
    }  # fmt: skip
    agent = [*(f"agent.{key}={value}" for key, value in keys.items()), "agent.references={}"]
    scale = {
        "generators": plant.generators,
        "push_every": plant.push_every,
        "queue": plant.queue,
        "programs": plant.lot,
    }
    length = [f"run.updates={updates}", f"agent.optimiser.length={updates}", "run.eval_every=0", "eval.size=8"]
    own = [*agent, *(f"scale.{key}={value}" for key, value in scale.items()), *length, "run.checkpoint_every=0"]
    train(demo.recipe(name, out, 0, own, "rltf"), console)
    lines = (out / name / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    return compared(plant, [json.loads(line) for line in lines])


def compared(plant: Plant, lines: Sequence[dict[str, float]]) -> dict[str, Any]:
    """The run of these `lines` of metrics beside the simulation with its service times. The first quarter warms up."""
    steady = lines[len(lines) // 4 :]
    wait = [line.get("seconds/wait", 0.0) for line in steady]
    push = [line["seconds/push"] for line in steady if line.get("seconds/push")]
    own = [line["seconds"] - w - line.get("seconds/push", 0.0) for line, w in zip(steady, wait, strict=True)]
    written = sum(line.get("seconds/lot", 0.0) for line in steady)
    lots = (steady[-1]["received"] - lines[len(lines) // 4 - 1]["received"]) / plant.lot
    times = Times(constant(written / lots), among(own), among(push or [0.0]))
    plant = replace(plant, kept=float(np.mean([line.get("weighted", 1.0) for line in steady])))
    simulated = simulate(plant, times, 40 * len(lines))
    found = {
        "seconds_per_update": float(np.mean([line["seconds"] for line in steady])),
        "learner_waits": sum(wait) / sum(line["seconds"] for line in steady),
        "staleness": float(np.mean([line["staleness"] for line in steady])),
    }
    return {"plant": asdict(plant), "measured": found, "simulated": simulated, "updates": len(lines)}


def within(found: dict[str, Any]) -> bool:
    """Whether seconds an update and staleness are within `TOLERANCE` of what was measured."""
    pairs = ((found["measured"][name], found["simulated"][name]) for name in ("seconds_per_update", "staleness"))
    return all(abs(played / real - 1) <= TOLERANCE for real, played in pairs)


# ------------------------------------------------------------------------------------------------------------- command


def scaled(a: Assumed, updates: int = 400) -> list[dict[str, float]]:
    """The sizes of `SIZES`: what they need, and what a run of them comes to with half of the GPUs writing."""
    rows = []
    for gpus in SIZES[1:]:
        need = needs(gpus, a)
        writers = gpus // 2
        lot, batch = 64, max(64, round(need["programs_per_second"]))  # of an update of about a second
        step = batch / ((gpus - writers) * a.learns / (6 * a.parameters * (a.prompt + a.program)))
        endless = lot * a.program / a.writes + 1.2 * a.limit
        quick = lot * a.program / a.writes + lot * a.judge
        late = 1 - (1 - a.endless) ** lot
        times = Times(_either(late, endless, quick), constant(step), constant(need["push_seconds_tree"]))
        refresh = batch
        plant = Plant(writers, lot, 2 * writers, 10 * batch, refresh, 1, batch, 10 * batch, 10)
        rows.append({**need, **simulate(plant, times, updates), **straggling(writers, a, lot)})
    return rows


def _either(share: float, one: float, other: float) -> Draw:
    return lambda rng: one if rng.random() < share else other


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    words = (__doc__ or "").split("\n\n")[0]
    parser = Parser(prog="python -m benchmarks.studies.cluster", description=words)
    parser.add_argument("--updates", type=int, default=120, help="of each small case (default: 120)")
    parser.add_argument("--out", type=Path, default=Path("runs/cluster"), help="folder for the run and the figures")
    return guarded(lambda: _main(parser.parse_args(arguments)), STOPPED)


def _main(asked: argparse.Namespace) -> int:
    if asked.updates < 40:
        raise UsageError(f"Expected --updates >= 40, got {asked.updates}.")
    console, out = Console(), asked.out.resolve()
    small = {name: measure(out, name, asked.updates, console) for name in CASES}
    command = f"python -m benchmarks.studies.cluster --updates {asked.updates}"
    figures = {**provenance(command), "small": small}
    figures["within"] = all(map(within, small.values()))
    if figures["within"]:
        figures |= {"assumed": asdict(Assumed()), "sizes": scaled(Assumed())}
    write_json(out / "cluster.json", figures)
    for name, found in small.items():
        console.print(f"{name}: measured {found['measured']}, simulated {found['simulated']}", highlight=False)
    if not figures["within"]:
        console.print(f"The simulation is more than {TOLERANCE:.0%} off: it says nothing of larger sizes.")
    return 0


if __name__ == "__main__":
    leave(main())
