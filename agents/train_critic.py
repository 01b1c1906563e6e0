"""`python -m agents.train_critic RUN`: a critic of the programs that a finished run's policy writes (CodeRL, section 3.2).

    RUN's policy --programs for problems of its environment--> judge --outcomes--> Critic.learn --> RUN/critic

The critic begins as a copy of the policy, with a head. It learns from programs sampled from the policy and, as in CodeRL, from
reference programs, which count as passed. How well it does is measured on sampled programs for problems of which it has learnt
neither, beside what always naming the most frequent outcome would score: `critic_training.json` in the folder says both.

Two classes (passed or not) are what `agents/decoding/critic_sampling.py` asks for; four weigh tokens (`[agent.critic] path`).
"""

from __future__ import annotations

import argparse
from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape

from agents.algorithms.supervised import draw_pairs, reference_source
from agents.building import make_env, make_policy, quiet_libraries
from agents.config import finished, trained_with
from agents.core import Episode, Policy, TrainingSample, rngs
from agents.critics.outcome import Critic
from agents.decoding.sampling import Sampling
from agents.learning.learner import OptimiserConfig
from agents.rollout import collect
from agents.running.folder import to_json, write_text
from rltf_env.command import check_writable, guarded, leave
from rltf_env.core import Outcome
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError

CHUNK = 64  # problems written for at a time
TOLD = 20  # updates between lines of progress


@dataclass(frozen=True)
class Settings:
    """How a critic is trained.

    Args:
        classes: 2, passed or not; 4, the outcomes.
        problems, samples: sampled programs: `samples` for each of `problems` problems.
        unseen: the share of the problems whose programs the critic is measured on, not taught.
        references: the share of each batch that are reference programs.
        updates, batch_size, lr, seed: of the learning.
    """

    classes: int = 2
    problems: int = 512
    samples: int = 8
    unseen: float = 0.125
    references: float = 0.125
    updates: int = 300
    batch_size: int = 32
    lr: float = 3e-4
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.problems - 1, self.samples, self.updates, self.batch_size) < 1 or not 0 <= self.references < 1:
            raise UsageError(
                f"Expected problems >= 2, samples, updates, batch_size >= 1 and 0 <= references < 1, got {self}."
            )
        if not 0 < self.unseen < 1 or self.lr <= 0:
            raise UsageError(f"Expected 0 < unseen < 1 and lr > 0, got {self}.")


Judged = tuple[list[TrainingSample], list[Outcome]]


def train_critic(
    policy: Policy[Any], critic: Critic, env: UnitTestEnv, settings: Settings, sampling: Sampling, console: Console
) -> dict[str, Any]:
    """Teaches `critic` what becomes of `policy`'s programs; how well it knows then. The two share no weights."""
    rng, generator = rngs(settings.seed, policy.device)
    problems = [env.source.draw(rng) for _ in range(settings.problems)]
    groups: list[list[Episode]] = []
    for i in range(0, len(problems), CHUNK):
        new = collect(policy, env, problems[i : i + CHUNK], sampling, repeats=settings.samples, generator=generator)
        groups += [group for group in new if group]  # of some, all verdicts may be lost
        console.print(f"{len(groups)} of {len(problems)} problems: programs written and judged", highlight=False)
    held = {p.id for p in problems[: max(1, round(settings.unseen * len(problems)))]}  # an id may be drawn twice
    taught = _judged([group for group in groups if group[0].problem not in held])
    unseen = _judged([group for group in groups if group[0].problem in held])
    if not taught[0]:
        raise UsageError(f"Expected more than {len(held)} different problems to learn from, got no others.")
    before = accuracy(critic, *unseen)
    _learn(critic, env, taught, held, settings, rng, console)
    return {
        "settings": vars(settings),
        "env": env.spec.id if env.spec else "",
        "data_digest": env.data_digest,
        "outcomes": {o.name: taught[1].count(o) + unseen[1].count(o) for o in Outcome},
        "unseen": {"problems": len(held), "before": before, **accuracy(critic, *unseen)},
    }


def _learn(
    critic: Critic,
    env: UnitTestEnv,
    taught: Judged,
    held: Container[str],
    settings: Settings,
    rng: Any,
    console: Console,
) -> None:
    of_references = round(settings.references * settings.batch_size)
    source = reference_source(env, {})
    for step in range(1, settings.updates + 1):
        chosen = rng.integers(len(taught[0]), size=settings.batch_size - of_references)
        samples, outcomes = [taught[0][i] for i in chosen], [taught[1][i] for i in chosen]
        if of_references:
            samples += draw_pairs(env, source, rng, of_references, held)
            outcomes += [Outcome.PASSED] * of_references
        said = critic.learn(samples, outcomes)
        if step % TOLD == 0 or step == settings.updates:
            line = "  ".join(f"{name} {value:.3f}" for name, value in said.items())
            console.print(f"update {step}: {line}", highlight=False)


def accuracy(critic: Critic, samples: Sequence[TrainingSample], outcomes: Sequence[Outcome]) -> dict[str, float]:
    """How often the critic names what became of a program; and how often it would, always naming the most frequent."""
    labels = np.array([critic.label(outcome) for outcome in outcomes])
    named = critic.judgements(samples).argmax(1)
    return {
        "programs": len(samples),
        "accuracy": float((named == labels).mean()),
        "most_frequent": float(np.bincount(labels).max() / len(labels)),
    }


def _judged(groups: Sequence[Sequence[Episode]]) -> Judged:
    episodes = [e for group in groups for e in group]
    return [_sample(e) for e in episodes], [e.verdict.outcome for e in episodes]


def _sample(e: Episode) -> TrainingSample:
    return TrainingSample(
        e.prompt, e.program.tokens, e.program.generated_mask, np.zeros(len(e.program), np.float32), e.logprobs
    )


# ------------------------------------------------------------------------------------------------------------- command


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m agents.train_critic", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("run", type=Path, help="the folder of a finished run of agents.train")
    parser.add_argument("--out", type=Path, help="the critic's folder (default: RUN/critic)")
    parser.add_argument("--device", default="", help="of policy and critic")
    parser.add_argument("--temperature", type=float, default=1.0, help="at which the programs are sampled")
    for name, value in vars(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"(default: {value})")
    asked = parser.parse_args(arguments)
    return guarded(lambda: _run(asked), "Stopped. Nothing was written: the same command begins anew.")


def _run(asked: argparse.Namespace) -> int:
    console, out = Console(), asked.out or asked.run / "critic"
    check_writable(out, folder=True)
    quiet_libraries()
    settings = Settings(**{name: getattr(asked, name) for name in vars(Settings())})
    recipe = finished(asked.run, asked.device)
    policy, trunk = make_policy(recipe), make_policy(recipe)
    optimiser = OptimiserConfig(lr=settings.lr, warmup=min(20, settings.updates))
    critic = Critic(trunk, classes=settings.classes, optimiser=optimiser)
    with make_env(recipe, policy) as env:
        sampling = replace(trained_with(recipe), temperature=asked.temperature)
        said = train_critic(policy, critic, env, settings, sampling, console)
    critic.save(out)
    said |= {"recipe": recipe.digest, "temperature": asked.temperature}
    write_text(out / "critic_training.json", to_json(said, indent=1))
    u = said["unseen"]
    console.print(
        f"On {u['programs']} programs for {u['problems']} problems that it has not seen: {u['accuracy']:.1%} right "
        f"(always the most frequent outcome: {u['most_frequent']:.1%}).",
        highlight=False,
    )
    console.print(f"Critic: {escape(str(out))}", highlight=False)
    return 0


if __name__ == "__main__":
    leave(main())
