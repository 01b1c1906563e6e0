"""What every agent that samples programs does alike: draw problems, write, have judged, log, save and restore.

Collector          writes for one agent: it holds what stays the same from one round to the next
CollectingAgent    an agent with a collector, and the state of its parts
BufferedAgent      one that fills a buffer now and then, by itself or from actors (`agents.core.OffPolicyAgent`)
RoundAgent         one that learns from rounds, of its present policy or from actors a bounded number of updates behind
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from agents import parallel
from agents.core import Episode, Policy, TrainingSample, rngs
from agents.decoding.sampling import Sampling
from agents.learning import shards
from agents.learning.distinct import Distinct
from agents.learning.minibatches import Arrivals, RolloutBuffer
from agents.learning.replay import ReplayBuffer
from agents.rollout import PendingRollouts, summary, write
from agents.running.journal import UpdateLog
from rltf_env.core import Attempt, Outcome, Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import SandboxError, UsageError

ATTEMPTS = 3  # rounds in a row of which nothing is left to learn from, before the judge is given up
Written = tuple[list[Problem], list[list[Episode]], list[TrainingSample]]


class Awaited:
    """Programs that the judge still has, on whichever rank they were written.

    Args:
        problems: (N,).
        pending: on rank 0, where they were written; None elsewhere.
        observe: is told of each attempt.
    """

    def __init__(
        self, problems: Sequence[Problem], pending: PendingRollouts | None, observe: Callable[[Attempt], None]
    ) -> None:
        self.problems, self.pending, self.observe = problems, pending, observe

    def judged(self) -> list[list[Episode]]:
        """A group of episodes for each problem, the same on all ranks: see `PendingRollouts.judged`."""
        groups = parallel.current().from_first(lambda: self.pending.judged() if self.pending else [])
        if self.pending is None:
            for problem, group in zip(self.problems, groups, strict=True):
                for e in group:
                    self.observe(Attempt(problem, e.program, e.verdict))
        return groups


class Collector:
    """Writes programs with `policy` for problems of `env`, and has them judged.

    Args:
        policy: writes; its weights may change between calls.
        env: where problems come from, and who judges.
        sampling: how tokens are drawn.
        seed: of both generators.
    """

    def __init__(self, policy: Policy[Any], env: UnitTestEnv, sampling: Sampling, seed: int) -> None:
        self.policy, self.env, self.sampling = policy, env, sampling
        self.rng, self.generator = rngs(seed, policy.device)
        self.sampled: dict[str, float] = {}  # metrics of the newest programs, part of every update's
        self.journal = UpdateLog()

    def draw(self, count: int) -> list[Problem]:
        """Problems from the environment's source."""
        return [self.env.source.draw(self.rng) for _ in range(count)]

    def start(
        self, problems: Sequence[Problem], repeats: int, version: int, sampling: Sampling | None = None
    ) -> Awaited:
        """Writes `repeats` programs for each problem; the judge may still be at them. On several ranks, the first writes them.

        Args:
            problems: (N,).
            repeats: programs for each.
            version: updates that the policy has seen.
            sampling: in place of the collector's own.
        """
        observe = self.env.source.observe
        if not parallel.current().leads:
            with shards.whole_model(self.policy):
                return Awaited(problems, None, observe)
        with shards.whole_model(self.policy), parallel.alone():
            pending = write(
                self.policy, self.env, problems, sampling or self.sampling, repeats=repeats, generator=self.generator,
                version=version, journal=self.journal, observe=observe,
            )  # fmt: skip
        return Awaited(problems, pending, observe)

    def collect(self, problems: Sequence[Problem], repeats: int, version: int) -> list[list[Episode]]:
        """`start`, and wait for the judge: `repeats` episodes for each problem, in order, fewer where verdicts were lost."""
        return self.start(problems, repeats, version).judged()

    def groups(self, count: int, repeats: int, version: int, least: int = 1) -> list[tuple[Problem, list[Episode]]]:
        """`count` new problems, each with its episodes: `draw` and `collect`.

        Groups that lost verdicts have left fewer than `least` episodes are left out. If that leaves none, other problems are drawn.

        Raises:
            SandboxError: it left none `ATTEMPTS` times in a row.
        """
        for _ in range(ATTEMPTS):
            problems = self.draw(count)
            pairs = zip(problems, self.collect(problems, repeats, version), strict=True)
            if left := [(problem, group) for problem, group in pairs if len(group) >= least]:
                return left
        raise lost_all(self.journal)

    def log_samples(
        self, problems: Sequence[Problem], groups: Sequence[Sequence[Episode]], weights: Sequence[np.ndarray]
    ) -> None:
        """Programs to look at, for the journal; `weights` (T,) for each episode, group by group."""
        left = iter(weights)
        self.journal.show(problems, groups, [[next(left) for _ in group] for group in groups])

    def state_dict(self) -> dict[str, Any]:
        """Both generators, and the metrics of the newest programs."""
        return {
            "rng": self.rng.bit_generator.state,
            "generator": self.generator.get_state(),
            "sampled": self.sampled,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self.rng.bit_generator.state = state["rng"]
        self.generator.set_state(state["generator"])
        self.sampled = dict(state["sampled"])


class CollectingAgent:
    """The part of `agents.core.Agent` that does not depend on the algorithm.

    A subclass sets `collector`, and `parts`: what has a state of its own, by its name in a checkpoint (None: a part that this
    configuration does without). `NUMBERS` names attributes that are plain values of the state.
    """

    collector: Collector
    parts: Mapping[str, Any]
    NUMBERS: tuple[str, ...] = ()

    @property
    def journal(self) -> UpdateLog:
        """Programs to look at, and where the time went."""
        return self.collector.journal

    @property
    def sampled(self) -> dict[str, float]:
        """Metrics of the newest programs."""
        return self.collector.sampled

    @sampled.setter
    def sampled(self, metrics: dict[str, float]) -> None:
        """Metrics of the newest programs."""
        self.collector.sampled = metrics

    def state_dict(self) -> dict[str, Any]:
        """All that an exact continuation needs."""
        parts = {name: {} if part is None else part.state_dict() for name, part in self.parts.items()}
        return {**parts, **{name: getattr(self, name) for name in self.NUMBERS}, **self.collector.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        for name, part in self.parts.items():
            if part is not None:
                part.load_state_dict(state[name])
        for name in self.NUMBERS:
            setattr(self, name, state[name])
        self.collector.load_state_dict(state)


class BufferedAgent(CollectingAgent):
    """See `agents.core.OffPolicyAgent`. A subclass has `write`, and may weigh what it ingests."""

    config: Any  # with fill, refresh and refresh_every
    buffer: ReplayBuffer
    distinct: Distinct | None = None  # what keeps repeats out of the buffer
    fill_from_actors: Callable[[], None] | None = None

    def refill(self, step: int) -> None:
        """Before update `step`: new programs, if it is time for them."""
        if self.fill_from_actors:
            self.fill_from_actors()
        elif step % self.config.refresh_every == 0:
            self.collect(self.config.refresh if len(self.buffer) else self.config.fill)

    def collect(self, programs: int) -> None:
        """Lets the current policy write `programs` programs and puts them into the buffer."""
        problems, groups, samples = something(self, programs)
        episodes = [e for group in groups for e in group]
        metrics = summary(episodes, self.journal.take_lost())
        samples = self.ingest(samples, [e.verdict.outcome for e in episodes], metrics)
        self.log_samples(problems, groups, samples)

    def write(self, programs: int) -> Written:
        """`programs` programs of the current policy: problems, a group of episodes for each, and a sample for each episode.

        Where verdicts were lost there are fewer, and none of what is left alone cannot be learnt from.
        """
        raise NotImplementedError

    def ingest(
        self, samples: Sequence[TrainingSample], outcomes: Sequence[Outcome], sampled: Mapping[str, float]
    ) -> Sequence[TrainingSample]:
        """Puts samples into the buffer, and gives them back as they are in it.

        Args:
            samples: (N,), as they were written.
            outcomes: (N,), what became of each program.
            sampled: metrics of them all (`agents.rollout.summary`).
        """
        kept, repeated = self.without_repeats(samples)
        self.buffer.extend(kept)
        self.sampled = {**sampled, **repeated, "buffer": float(len(self.buffer))}
        return samples

    def without_repeats(self, samples: Sequence[TrainingSample]) -> tuple[Sequence[TrainingSample], dict[str, float]]:
        """The samples that the buffer takes, and the share of them that it does not, if it looks for repeats at all."""
        if self.distinct is None:
            return samples, {}
        kept = self.distinct(samples, self.collector.rng)
        return kept, {"repeated": 1 - len(kept) / len(samples)}

    def log_samples(
        self, problems: Sequence[Problem], groups: Sequence[Sequence[Episode]], samples: Sequence[TrainingSample]
    ) -> None:
        """Programs to look at, for the journal, with the weights of their tokens."""
        self.collector.log_samples(problems, groups, [s.weights for s in samples])


class RoundConfig:
    """A round of programs, in the words of `agents.core.BufferConfig`."""

    problems: int
    samples_per_problem: int
    batch_size: int
    epochs: int
    max_staleness: int

    @property
    def fill(self) -> int:
        """Programs of a round."""
        return self.problems * self.samples_per_problem

    @property
    def refresh(self) -> int:
        """Programs of a round."""
        return self.fill

    @property
    def buffer(self) -> int:
        """Programs of a round."""
        return self.fill

    @property
    def refresh_every(self) -> int:
        """Updates that learn from a round."""
        return self.epochs * -(-self.fill // self.batch_size)


class RoundAgent(CollectingAgent):
    """An on-policy agent, and `agents.core.OffPolicyAgent` for actors whose policies are a bounded number of updates behind.

    A subclass has `write` and `begin`. `WRITING` are options that actors have in place of the run's: they learn nothing.
    """

    learner: Any
    config: Any  # a `RoundConfig`
    round: RolloutBuffer
    buffer: Arrivals
    WRITING: Mapping[str, Any] = {}
    fill_from_actors: Callable[[], None] | None = None

    @property
    def wanted(self) -> int:
        """Programs that must have come before the next update."""
        return 0 if self.round else self.config.fill

    def check_actors(self) -> None:
        """Whether actors may write for this agent.

        Raises:
            UsageError: nothing bounds how old their programs are.
        """
        if not self.config.max_staleness:
            raise UsageError(
                "Expected agent.max_staleness > 0 with scale.generators > 0, got 0: this agent learns from its present policy, and "
                "how far from it programs may be has to be said. Set it to scale.push_every or more, or remove [scale]."
            )

    def refill(self) -> None:
        """Before an update: a round, if there is none. What actors have sent is ingested in any case."""
        if self.fill_from_actors:
            self.fill_from_actors()
        if self.round:
            return
        if self.fill_from_actors:
            self.sampled = {**self.sampled, **self.begin(self.buffer.take(self.config.fill))[1]}
        else:
            self.collect()

    def collect(self) -> None:
        """Lets the present policy write a round."""
        problems, groups, samples = self.write(self.config.fill)
        metrics = summary([e for group in groups for e in group], self.journal.take_lost())
        samples, more = self.begin(samples)
        self.sampled = {**metrics, **more}
        self.log_samples(problems, groups, samples)

    def write(self, programs: int) -> Written:
        """`programs` programs of the present policy: problems, a group of episodes for each, and a sample for each episode."""
        raise NotImplementedError

    def begin(self, samples: Sequence[TrainingSample]) -> tuple[Sequence[TrainingSample], dict[str, float]]:
        """Begins a round with what was written: the samples as they are in it, and its metrics."""
        raise NotImplementedError

    def ingest(
        self, samples: Sequence[TrainingSample], outcomes: Sequence[Outcome], sampled: Mapping[str, float]
    ) -> Sequence[TrainingSample]:
        """Puts samples of actors where they wait for a round, and gives them back."""
        self.buffer.extend(samples)
        self.sampled = {**self.sampled, **sampled, "buffer": float(len(self.buffer))}
        return samples

    def log_samples(
        self, problems: Sequence[Problem], groups: Sequence[Sequence[Episode]], samples: Sequence[TrainingSample]
    ) -> None:
        """Programs to look at, for the journal."""
        self.collector.log_samples(problems, groups, [s.weights for s in samples])

    def state_dict(self) -> dict[str, Any]:
        """All that an exact continuation needs."""
        arrivals = {"arrivals": self.buffer.state_dict()} if len(self.buffer) else {}
        return {**super().state_dict(), **arrivals}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        super().load_state_dict(state)
        self.buffer.load_state_dict(state.get("arrivals", {"samples": []}))


class Writer(Protocol):
    """What of an agent is asked for programs."""

    @property
    def journal(self) -> UpdateLog:
        """What happened in the newest update."""
        ...

    def write(self, programs: int) -> Written:
        """Writes and has judged so many programs."""
        ...


def something(agent: Writer, programs: int) -> Written:
    """What `agent.write` gives, once it is something: lost verdicts may leave nothing to learn from.

    Raises:
        SandboxError: it was nothing `ATTEMPTS` times in a row.
    """
    for _ in range(ATTEMPTS):
        written = agent.write(programs)
        if written[2]:
            return written
    raise lost_all(agent.journal)


def lost_all(journal: UpdateLog) -> SandboxError:
    """What to say when the judge has lost too much to learn from."""
    return SandboxError(
        f"Expected verdicts to learn from, got none in {ATTEMPTS} rounds: the judge lost {len(journal.lost)}, the last with: "
        f"{(journal.lost or ['no reason'])[-1]} Find out why with `rltf doctor`; the same command then continues the run."
    )
