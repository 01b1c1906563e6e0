"""Actor and learner apart (RLTF, arXiv 2307.04349, section 3.2): processes write programs while the run learns from others.

    [scale] generators = N

    generator 1 --+  lots of judged programs              +--> buffer --> update --> weights, every `push_every` updates
    generator 2 --+--> queue (bounded) --> `ActorPool` --+                             |
       ^  its own policy, environment and judge                                         |
       +-------------------- a file, or an object store, and a version <---------------+

Each generator builds policy and environment from the recipe; its programs carry the version of the weights that wrote them. Where
it runs is the engine's: a process of this machine (`agents.actors.local`) or an actor of a cluster (`agents.actors.ray`).
**The learner waits** when it is ahead: it does no update before as many programs
have come as it would have written by itself by then (`fill`, then `refresh` every `refresh_every` updates), or when fewer
than a batch are within `max_staleness`. **Generators wait** when `queue` lots do. What is older than `max_staleness` is dropped.
A generator that dies, or whose answers cannot be read, or that says nothing for `silence` seconds, is replaced, with a warning that
says why. How often is the engine's: a local run ends if that happens to the successor before it has sent `EARNED` lots.
Generators end with the learner, however it ends. Each may have a device of its own (`devices`).

**Agents that learn from rounds** (GRPO and its kin, PPO; `agents.collector.RoundAgent`) begin one when enough
has come, none of it more than `max_staleness` updates old, and walk through it as ever. The ratio compares with
the policy that wrote a program, whose log-probabilities it brings along. PPO's values and both kinds of
reference are the learner's, as it begins the round.

Which programs have come by an update depends on the machine: with generators, equal seeds do not give equal runs, and a
continued run is not the uninterrupted one (buffer and learner are; what was in the queue is written anew). Two more
differences: `best_so_far` is what one generator has seen since it started, and `seconds/generate` and `seconds/judge` add up the
generators' own, beside `seconds/wait`, the learner's. `generator_0/...` among the metrics says what each of them does (`Deeds`).

What crosses. A program of P prompt and T program tokens is 8P + 21T bytes and a few hundred of framing (6 kB at
300 + 150): 100 programs a second are half a MB a second, nothing. Weights are the bytes of what learns, times the readers, every
`push_every` updates: 0.54 GB for 135M parameters in float32, 1.5 GB for 770M in bfloat16, 3.7 MB for LoRA of rank 8 on q and v of
the former's size or less. Before that the generators saturate, since a program costs T forward passes one after the other
where an update reads it once: add them until `seconds/wait` is near 0, more only waste. A generator may write with vLLM
(`sampling.engine`). With `scale.ranks` the pool is rank 0's, and its events are every rank's.
"""

from __future__ import annotations

import dataclasses
import os
import queue
import shutil
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from agents import parallel
from agents.actors.core import LIVES, Actor, Engine, GeneratorError, GeneratorWarning, Lots, Start
from agents.collector import RoundAgent
from agents.config import Recipe, Scale
from agents.core import Agent, OffPolicyAgent, TrainingSample
from agents.learning import shards
from agents.learning.replay import unpack
from agents.running.journal import Shown
from rltf_env import plugins
from rltf_env.core import Outcome
from rltf_env.errors import UsageError

__all__ = ["ActorPool", "GeneratorError", "GeneratorWarning", "actors", "instructions"]
OURS = ("auto", "forkserver", "subprocess")  # judges that take `workers`


@contextmanager
def actors(recipe: Recipe, agent: Agent, out: Path) -> Iterator[None]:
    """Lets the recipe's generators, if it has any, feed `agent` inside the block. They keep weights and logs in `out`.

    Raises:
        UsageError: an agent that learns from the programs of its present policy alone, weights that come too late, or a
            curriculum.
    """
    if not recipe.scale.generators:
        yield
        return
    if not isinstance(agent, OffPolicyAgent):
        raise UsageError(
            "Expected an agent that samples programs, such as agent.kind = 'rltf' or 'grpo', with scale.generators > 0, got "
            f"{recipe.agent['kind']!r}, for which actors cannot write. Remove [scale]."
        )
    if isinstance(agent, RoundAgent):
        agent.check_actors()
    if recipe.env.get("curriculum") is not None:
        raise UsageError(
            f"Expected no env.curriculum with scale.generators > 0, got {recipe.env['curriculum']!r}: each generator would "
            "have one of its own, and no checkpoint any. Remove one of the two."
        )
    limit = agent.config.max_staleness
    if 0 < limit < recipe.scale.push_every:
        raise UsageError(
            f"Expected scale.push_every <= agent.max_staleness = {limit}, got {recipe.scale.push_every}: all programs would be "
            "too old before new weights come."
        )
    if not parallel.current().leads:
        agent.fill_from_actors = Mirror(agent)
        first = parallel.current().from_first(_no_event)
        assert first is not None, "the first push"
        first.apply(agent)
        yield
        return
    feed = ActorPool(recipe, agent, out / "generators")
    try:
        feed.start()
        agent.fill_from_actors = feed
        yield
    finally:
        agent.fill_from_actors = None
        feed.close()


@dataclasses.dataclass(frozen=True)
class Event:
    """What happens to a buffer: old samples are forgotten, or new ones come in; or weights are gathered for a push."""

    gather: bool = False
    forget: int | None = None
    samples: tuple[TrainingSample, ...] = ()
    outcomes: tuple[Outcome, ...] = ()
    sampled: Mapping[str, float] = dataclasses.field(default_factory=dict)

    def apply(self, agent: OffPolicyAgent) -> None:
        """Lets it happen to the agent's buffer, or on the other ranks to its weights."""
        if self.gather:
            with shards.whole_model(agent.policy):
                pass
        elif self.forget is not None:
            agent.buffer.forget(self.forget)
        else:
            agent.ingest(self.samples, self.outcomes, self.sampled)


class Mirror:
    """The pool's events on the ranks that have no pool: what happens to rank 0's buffer happens to theirs."""

    def __init__(self, agent: OffPolicyAgent) -> None:
        self.agent = agent

    def __call__(self) -> None:
        """Before an update, as `ActorPool.__call__`."""
        while (event := parallel.current().from_first(_no_event)) is not None:
            event.apply(self.agent)


def _no_event() -> Event | None:
    return None


class ActorPool:
    """Processes, what they have written, and the learner's side of the bargain. See the head of this file."""

    def __init__(self, recipe: Recipe, agent: OffPolicyAgent, folder: Path) -> None:
        self.recipe, self.agent, self.folder = recipe, agent, folder
        self.lots: Lots = queue.Queue(recipe.scale.queue)
        self.engine: Engine | None = None
        self.processes: list[Actor] = []
        self.deeds = {index: Deeds() for index in range(recipe.scale.generators)}
        first = self.pushed = agent.learner.updates
        # A refresh comes before its update: of a continued run, that of `first` has yet to come.
        self.fill, last = (0, first - 1) if len(agent.buffer) else (agent.config.fill, first)
        self.refreshes = last // agent.config.refresh_every  # that came before
        self.received = self.dropped = self.replaced = 0

    def start(self) -> None:
        """The present weights, and an actor for each generator."""
        shutil.rmtree(self.folder, ignore_errors=True)  # of a run that was killed
        self.folder.mkdir(parents=True)
        load = plugins.find("actors", self.recipe.scale.engine, package="agents")
        self.engine = load(self.recipe.scale, self.agent.policy, self.folder, self.lots)
        parallel.current().from_first(lambda: Event(gather=True))
        with shards.whole_model(self.agent.policy):
            self._running.push(self.pushed)
        for index in range(self.recipe.scale.generators):
            self._begin(index, 1, LIVES)

    @property
    def _running(self) -> Engine:
        assert self.engine is not None, "started"
        return self.engine

    def _begin(self, index: int, life: int, lives: int) -> None:
        orders = instructions(self.recipe, self.agent, (index, life, self.pushed))
        actor = self._running.begin(Start(index, life, lives, orders, self.pushed))
        self.processes.append(actor)
        actor.tell(self.pushed)

    def __call__(self) -> None:
        """Before an update: gives weights away, takes in what has come, and waits for more if that is too little."""
        agent, c, step = self.agent, self.agent.config, self.agent.learner.updates
        if step >= self.pushed + self.recipe.scale.push_every:
            self._push(step)
        for _ in range(self.lots.qsize()):
            self._take()
        if c.max_staleness:
            self._happen(Event(forget=step - c.max_staleness))
        while self.received < self._due(step) or len(agent.buffer) < self._wanted:
            if self.pushed < step:
                self._push(step)
            self._take()
        parallel.current().from_first(_no_event)

    @property
    def _wanted(self) -> int:
        """Programs that must be in the buffer before an update."""
        agent, c = self.agent, self.agent.config
        return agent.wanted if isinstance(agent, RoundAgent) else min(c.batch_size, c.buffer)

    def _happen(self, event: Event) -> None:
        """On this rank, and on all others."""
        parallel.current().from_first(lambda: event)
        event.apply(self.agent)

    def _due(self, step: int) -> int:
        """Programs that an agent without generators would have written before this update, since the run was begun or resumed."""
        c = self.agent.config
        return self.fill + c.refresh * (step // c.refresh_every - self.refreshes)

    def _push(self, step: int) -> None:
        parallel.current().from_first(lambda: Event(gather=True))
        with self.agent.journal.timed("push"), shards.whole_model(self.agent.policy):
            self._running.push(step)
        self.pushed = step
        for process in self.processes:
            process.tell(step)

    def _take(self) -> None:
        agent = self.agent
        with agent.journal.timed("wait"):
            actor, lot = self.lots.get()
        if lot is None:
            self._replace(actor)
            return
        limit, samples = agent.config.max_staleness, [unpack(packed) for packed in lot["samples"]]
        self.deeds[actor.index].add(len(samples), lot["version"])
        if limit and agent.learner.updates - lot["version"] > limit:
            self.dropped += len(samples)
        else:
            self.received += len(samples)
            outcomes = tuple(Outcome(o) for o in lot["outcomes"])
            self._happen(Event(samples=tuple(samples), outcomes=outcomes, sampled=lot["sampled"]))
            agent.journal.programs = [Shown(**program) for program in lot["shown"]]
            agent.sampled["generated_by"] = float(lot["version"])
        self._count()
        agent.journal.tokens += lot["tokens"]
        for what, seconds in lot["seconds"].items():
            agent.journal.seconds[what] = agent.journal.seconds.get(what, 0.0) + seconds

    def _count(self) -> None:
        """Puts the pool's own numbers among the metrics, and what each generator does."""
        counts: dict[str, float] = {"received": self.received, "dropped": self.dropped, "replaced": self.replaced}
        counts["queue"] = self.lots.qsize()
        for index, deeds in self.deeds.items():
            counts |= deeds.metrics(index, self.agent.learner.updates)
        self.agent.sampled |= {name: float(count) for name, count in counts.items()}

    def _replace(self, dead: Actor) -> None:
        self.processes.remove(dead)
        reason = dead.end()
        lives = self._running.lives(dead)
        if not lives:
            raise GeneratorError(
                f"Expected generator {dead.index} to go on after it had been replaced, got an end with {reason}. See "
                f"{dead.log}; the run continues from its last checkpoint with the same command."
            )
        self.replaced += 1
        self.deeds[dead.index].lost += 1
        self._count()
        self._begin(dead.index, dead.life + 1, lives)
        note = f"Generator {dead.index} ended with {reason}, and was replaced. See {dead.log}."
        warnings.warn(note, GeneratorWarning, stacklevel=2)

    def close(self) -> None:
        """Ends all actors and waits for that."""
        for process in self.processes:
            process.hang_up()
        for process in self.processes:
            process.end()
        if self.engine is not None:
            self.engine.close()


@dataclasses.dataclass
class Deeds:
    """What a generator has done, whichever of its lives did it."""

    programs: int = 0
    version: int = -1  # of the weights that wrote its newest lot
    lost: int = 0  # lives
    since: float = dataclasses.field(default_factory=time.monotonic)  # when its newest lot came

    def add(self, programs: int, version: int) -> None:
        """A lot has come."""
        self.programs, self.version, self.since = self.programs + programs, version, time.monotonic()

    def metrics(self, index: int, updates: int) -> dict[str, float]:
        """Programs that it has sent, updates by which its weights are behind (-1: it has sent none), seconds since its newest
        lot, and how often it was replaced."""
        behind = updates - self.version if self.version >= 0 else -1
        silent = round(time.monotonic() - self.since, 1)
        numbers = {"programs": self.programs, "behind": behind, "lost": self.lost, "silent": silent}
        return {f"generator_{index}/{name}": float(value) for name, value in numbers.items()}


def instructions(recipe: Recipe, agent: OffPolicyAgent, who: tuple[int, int, int]) -> dict[str, Any]:
    """What a generator is told: the recipe with its own seed and its share of the machine. `who`: index, life, version."""
    scale, c = recipe.scale, agent.config
    share = max(1, int(scale.cpus) or (os.cpu_count() or 1) // (scale.generators + 1))
    env = dict(recipe.env)
    if env.get("sandbox", "auto") in OURS:
        env["sandbox_options"] = {"workers": share, **env.get("sandbox_options", {})}
    seed = int(np.random.SeedSequence((recipe.run.seed, *who)).generate_state(1)[0])
    own = dataclasses.replace(
        recipe,
        run=dataclasses.replace(recipe.run, seed=seed),
        env=env,
        # What is frozen is as the learner's.
        policy={"seed": recipe.run.seed, **recipe.policy, **_device(scale, who[0])},
        agent={**recipe.agent, **_writing(recipe, agent)},
        scale=Scale(),
    )
    programs = scale.programs or min(c.sampling.rows, -(-c.refresh // scale.generators))
    return {
        "recipe": own.to_dict(),
        "programs": programs,
        "threads": recipe.run.threads or share,
    }


def _writing(recipe: Recipe, agent: OffPolicyAgent) -> Mapping[str, Any]:
    """Options of the agent that a generator has in place of the learner's, which holds, weighs and values what has come."""
    if isinstance(agent, RoundAgent):
        return agent.WRITING
    return {"critic": {}} if "critic" in recipe.agent else {}


def _device(scale: Scale, index: int) -> dict[str, str]:
    """Where the policy of generator `index` stands, if not where the learner's does."""
    if scale.devices:
        return {"device": scale.devices[index % len(scale.devices)]}
    return {"device": "cuda"} if scale.gpus else {}  # Ray shows an actor the GPUs that it keeps for it, and no others
