"""A discriminator that is kept up with the policy whose programs it reads: the learned half of RLCF's feedback.

    programs of a round --judge--> feedback --score them--> + weight (2 D - 1) --then learn from them--> a better D

A program is scored before D learns from it, so no score comes from having seen that very program. What D learns from are
pairs of a program and a reference of the same problem: problems alone say nothing of which is which. The newest rounds
are remembered, so that D does not forget what the policy wrote before. Some problems are set aside: D never learns from
them, and how often it is right there says whether its reward is more than noise.
"""

from __future__ import annotations

import copy
import zlib
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np

from agents.algorithms.supervised import reference
from agents.collector import Collector
from agents.core import Episode, Policy, TrainingSample, rngs
from agents.critics.discriminator import Discriminator
from agents.decoding.sampling import Sampling
from agents.learning.learner import OptimiserConfig
from agents.learning.replay import ReplayBuffer
from agents.options import chosen
from agents.running.journal import UpdateLog
from rltf_env import facts
from rltf_env.core import Feedback, Outcome, Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError
from rltf_env.intervals import rate_interval

Group = tuple[Problem, list[Episode]]
Read = tuple[Problem, Episode, TrainingSample]
LOOKED_AT = 64  # the newest programs and references that D's accuracy is of
PARTS = 1 << 16


@dataclass(frozen=True)
class DiscriminatorConfig:
    """How a discriminator is trained beside a policy, and what it pays.

    Args:
        path: a folder that `Discriminator.save` wrote, to begin with; "": a copy of the policy, with a new head.
        weight: of its reward, 2 D - 1.
        where: it pays programs that pass (of a judge that runs nothing: in which nothing was found), or "all".
        every: rounds between two times that it learns; 0: never, which needs a `path`.
        updates, batch_size: of each such time; half of a batch are references.
        generations: rounds whose programs it learns from.
        unseen: the share of problems that it is measured on and does not learn from.
        optimiser: the rate is by default 2e-5, that of a whole transformer.
    """

    path: str = ""
    weight: float = 1.0
    where: Literal["passed", "all"] = "passed"
    every: int = 1
    updates: int = 8
    batch_size: int = 32
    generations: int = 4
    unseen: float = 0.125
    optimiser: OptimiserConfig | None = None

    def __post_init__(self) -> None:
        if self.every < 0 or self.updates < 1 or self.batch_size < 2 or self.batch_size % 2 or self.generations < 2:
            raise UsageError(
                "Expected [agent.discriminator] every >= 0, updates >= 1, an even batch_size >= 2 and "
                f"generations >= 2, got {chosen(self)}."
            )
        if not (0 <= self.weight < float("inf") and 0 < self.unseen < 1):
            raise UsageError(f"Expected a finite weight >= 0 and 0 < unseen < 1, got {chosen(self)}.")
        if not self.every and not self.path:
            raise UsageError("Expected agent.discriminator.path with every = 0: a new discriminator has to learn.")
        if self.optimiser is None:
            object.__setattr__(self, "optimiser", OptimiserConfig(lr=2e-5, warmup=0, weight_decay=0.0))


class Grounding:
    """See the head of this file. `metrics` are those of the newest round.

    Args:
        policy: whose programs are read.
        env: puts problems into words, and knows their references.
        config: how.
        programs: of a round, at the most.
        seed: of the draws.

    Raises:
        UsageError: none of the environment's problems has a reference.
    """

    def __init__(
        self, policy: Policy[Any], env: UnitTestEnv, config: DiscriminatorConfig, programs: int, seed: int
    ) -> None:
        self.env, self.config = env, config
        if config.every:
            _check_references(getattr(env.source, "problems", None) or ())
        self.discriminator = _opened(policy, env, config)
        self.rng, _ = rngs(seed, policy.device)
        capacity = config.generations * programs
        self.samples, self.references = ReplayBuffer(capacity), ReplayBuffer(capacity)
        self.right: deque[int] = deque(maxlen=2 * LOOKED_AT)  # of each look at an unseen problem, 1 if D was right
        self.rounds = 0
        self.metrics: dict[str, float] = {}
        self.journal = UpdateLog()

    def __call__(self, groups: Sequence[Group]) -> list[Group]:
        """The groups with what D pays in their feedback; D then learns from them, if it is time."""
        read = self._read(groups)
        scores = self.discriminator.scores([sample for _, _, sample in read])
        values = {id(e): float(value) for (_, e, _), value in zip(read, self.pay(scores), strict=True)}
        self.metrics = {"discriminator": float(np.mean(scores)) if read else 0.0, "copied": _copied(groups)}
        if self.config.every:
            self._take(read, scores)
            self._learn()
        self.rounds += 1
        return [(problem, [_paid(e, values.get(id(e), 0.0)) for e in group]) for problem, group in groups]

    def look(self, groups: Sequence[Group]) -> None:
        """Looks how right D is on the unseen problems among these, and learns nothing."""
        read = [row for row in self._read(groups) if self._is_unseen(row[0])]
        self._take(read, self.discriminator.scores([sample for _, _, sample in read]))

    def pay(self, scores: np.ndarray) -> np.ndarray:
        """float64 (B,): what programs earn for these D (B,)."""
        return self.config.weight * (2 * scores - 1)

    @property
    def warnings(self) -> list[str]:
        """What whoever reads a run's results has to know of D; empty if it tells references from programs."""
        if len(self.right) < LOOKED_AT:
            return []
        rate = rate_interval(self.right)
        if rate.low > 0.5:
            return []
        return [
            f"The discriminator is right on {rate.value:.0%} of {len(self.right)} programs and references of problems that it "
            f"did not learn from ({rate.low:.0%} to {rate.high:.0%}): not more than by chance. Its reward is noise."
        ]

    # ---------------------------------------------------------------------------------------------------------- paying

    def _is_paid(self, e: Episode) -> bool:
        return self.config.where == "all" or e.verdict.outcome is Outcome.PASSED

    def _read(self, groups: Sequence[Group]) -> list[Read]:
        """The programs that D is asked about, as it reads them."""
        paid = [(problem, e) for problem, group in groups for e in group if self._is_paid(e)]
        sample = self.discriminator.sample
        return [(problem, e, sample(problem, e.program.text, ended=not e.program.truncated)) for problem, e in paid]

    # -------------------------------------------------------------------------------------------------------- learning

    def _learn(self) -> None:
        """Has D learn, if it is time and there is something."""
        if self.rounds % self.config.every == 0 and len(self.samples):
            self.metrics |= self._steps()
        if self.right:
            self.metrics["discriminator_accuracy"] = float(np.mean(self.right))

    def _take(self, read: Sequence[Read], scores: np.ndarray) -> None:
        """Takes in a round: how right D is on some problems; the programs for the others are remembered."""
        problems = {problem.id: problem for problem, _, _ in read}
        if problems:
            _check_references(problems.values())
        known = {id: self._reference(problem) for id, problem in problems.items()}
        for (problem, _, sample), score in zip(read, scores, strict=True):
            real = known[problem.id]
            if real is None:
                continue
            if self._is_unseen(problem):
                self.right += [int(score < 0.5), int(self.discriminator.scores([real])[0] > 0.5)]
            else:
                self.samples.extend([sample])
                self.references.extend([real])

    def _steps(self) -> dict[str, float]:
        size, losses = min(self.config.batch_size // 2, len(self.samples)), []
        for step in range(self.config.updates):
            self.journal.advance("teaching the discriminator", step, self.config.updates)
            real, made = self.references.draw(size, self.rng), self.samples.draw(size, self.rng)
            losses.append(self.discriminator.learn(real, made)["discriminator_loss"])
        return {"discriminator_loss": float(np.mean(losses))}

    def _reference(self, problem: Problem) -> TrainingSample | None:
        """One of a problem's references, drawn; None if it has none that fits."""
        if not problem.solutions:
            return None
        target = reference(self.env, problem, int(self.rng.integers(len(problem.solutions))))
        if target is None:
            return None
        return self.discriminator.sample(problem, self.env.tokenizer.program(target.tokens).text)

    def _is_unseen(self, problem: Problem) -> bool:
        return zlib.crc32(problem.id.encode()) % PARTS < self.config.unseen * PARTS

    # ----------------------------------------------------------------------------------------------------------- state

    def state_dict(self) -> dict[str, Any]:
        """All that an exact continuation needs."""
        return {
            "discriminator": self.discriminator.state_dict(),
            "samples": self.samples.state_dict(),
            "references": self.references.state_dict(),
            "rng": self.rng.bit_generator.state,
            "right": list(self.right),
            "rounds": self.rounds,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        for name in ("discriminator", "samples", "references"):
            getattr(self, name).load_state_dict(state[name])
        self.rng.bit_generator.state = state["rng"]
        self.right.clear()
        self.right.extend(state["right"])
        self.rounds = state["rounds"]


class GroundedCollector(Collector):
    """A collector whose episodes also have what a discriminator pays: `grounding` adds it to the feedback."""

    def __init__(
        self, policy: Policy[Any], env: UnitTestEnv, sampling: Sampling, seed: int, grounding: Grounding
    ) -> None:
        super().__init__(policy, env, sampling, seed)
        self.grounding = grounding
        grounding.journal = self.journal  # which says what a long update is at

    def groups(self, count: int, repeats: int, version: int, least: int = 1) -> list[Group]:
        return self.grounding(super().groups(count, repeats, version, least))


def _paid(e: Episode, value: float) -> Episode:
    own = Feedback.build(e.program, "discriminator", program_reward=value)
    return replace(e, feedback=e.feedback + own)


def _opened(policy: Policy[Any], env: UnitTestEnv, config: DiscriminatorConfig) -> Discriminator:
    if config.path:
        return Discriminator.load(config.path, optimiser=config.optimiser, device=str(policy.device))
    twin = copy.copy(policy)
    twin.model = copy.deepcopy(policy.model)
    limits = {"max_prompt_tokens": env.max_prompt_tokens, "max_program_tokens": env.max_program_tokens}
    return Discriminator(twin, style=env.prompt_style, optimiser=config.optimiser, **limits)


def _check_references(problems: Any) -> None:
    """Raises UsageError if none of these problems, of which there are some, has a reference."""
    if problems and not any(problem.solutions for problem in problems):
        raise UsageError(
            f"Expected problems with references, which a discriminator tells programs from, got {len(problems)} without. "
            "Choose another dataset, or a trained discriminator (agent.discriminator.path) with every = 0."
        )


def _copied(groups: Sequence[Group]) -> float:
    """The share of programs, of those with facts, whose syntax tree is that of a reference of their problem."""
    trees = [(p, e.verdict.facts.key) for p, group in groups for e in group if e.verdict.facts is not None]
    same = [any(key == _key(solution) for solution in problem.solutions) for problem, key in trees]
    return float(np.mean(same)) if same else 0.0


@lru_cache(maxsize=4096)
def _key(reference: str) -> str | None:
    """The key of a reference, which is the data's own text."""
    found = facts.of(reference)
    return None if found is None else found.key
