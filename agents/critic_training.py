"""Training a critic of the programs that a policy writes (CodeRL, arXiv 2207.01780, section 3.2).

    policy --programs for problems of its environment--> judge --outcomes--> Critic.learn

The critic learns from programs sampled from the policy and, as in CodeRL, from reference programs, which count as passed. How well
it does is measured on sampled programs for problems of which it has learnt neither, beside what always naming the most frequent
outcome would score.
"""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from agents.algorithms.supervised import draw_pairs, reference_source
from agents.building import make_env, make_eval_env, make_policy
from agents.config import finished, trained_with
from agents.core import Episode, Policy, TrainingSample, rngs
from agents.critics.outcome import Critic
from agents.critics.settings import Settings
from agents.decoding.sampling import Sampling
from agents.learning.learner import OptimiserConfig
from agents.rollout import collect
from agents.running.folder import to_json, write_text
from rltf_env.core import Outcome
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError

REPORT = "critic_training.json"
CHUNK = 64  # problems written for at a time
REPORT_EVERY = 20  # updates between lines of progress

Judged = tuple[list[TrainingSample], list[Outcome]]


def train_critic(
    policy: Policy[Any], critic: Critic, env: UnitTestEnv, settings: Settings, sampling: Sampling, console: Console
) -> dict[str, Any]:
    """Teaches `critic` what becomes of `policy`'s programs; how well it knows then. The two share no weights."""
    env.check_runs("a critic, which learns what becomes of programs")
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


def train_run(
    run: Path, settings: Settings, temperature: float, out: Path, console: Console, device: str = ""
) -> dict[str, Any]:
    """A critic of the programs of a finished run's policy, into `out`; what `critic_training.json` there holds.

    Args:
        temperature: at which the programs are drawn.
        device: of policy and critic; "": the run's.
    """
    recipe = finished(run, device)
    policy, trunk = make_policy(recipe), make_policy(recipe)
    optimiser = OptimiserConfig(lr=settings.lr, warmup=min(20, settings.updates))
    critic = Critic(trunk, classes=settings.classes, optimiser=optimiser)
    with make_env(recipe, policy) as trained_in, make_eval_env(recipe, policy, trained_in) as env:
        sampling = replace(trained_with(recipe), temperature=temperature)
        measured = train_critic(policy, critic, env, settings, sampling, console)
    critic.save(out)
    measured |= {"recipe": recipe.digest, "temperature": temperature}
    write_text(out / REPORT, to_json(measured, indent=1))
    return measured


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
        metrics = critic.learn(samples, outcomes)
        if step % REPORT_EVERY == 0 or step == settings.updates:
            line = "  ".join(f"{name} {value:.3f}" for name, value in metrics.items())
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
