"""Training a discriminator of the programs that a policy writes, from pairs of a program and a reference of the same problem.

policy --programs--> the sandbox `static` --those without findings--> Discriminator.learn <-- references
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rich.console import Console

from agents.algorithms.grounding import DiscriminatorConfig, Grounding, Group
from agents.config import Recipe
from agents.core import Policy, rngs
from agents.critics.settings import DiscriminatorSettings
from agents.decoding.sampling import Sampling
from agents.learning.learner import OptimiserConfig
from agents.rollout import collect
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError

CHUNK = 64  # problems written for at a time


def train_discriminator(
    policy: Policy[Any], env: UnitTestEnv, settings: DiscriminatorSettings, sampling: Sampling, console: Console
) -> tuple[Grounding, dict[str, Any]]:
    """A discriminator of what `policy` writes for problems of `env`, and how well it does on unseen ones.

    Raises:
        UsageError: no problem has a reference, or no program is one that it could learn from.
    """
    rng, generator = rngs(settings.seed, policy.device)
    problems = [env.source.draw(rng) for _ in range(settings.problems)]
    groups: list[Group] = []
    for i in range(0, len(problems), CHUNK):
        chunk = problems[i : i + CHUNK]
        written = collect(policy, env, chunk, sampling, repeats=settings.samples, generator=generator)
        groups += [(problem, group) for problem, group in zip(chunk, written, strict=True) if group]
        console.print(f"{len(groups)} of {len(problems)} problems: programs written and read", highlight=False)
    grounding = Grounding(policy, env, _config(settings), settings.problems * settings.samples, settings.seed)
    grounding(groups)
    if "discriminator_loss" not in grounding.metrics:
        raise UsageError(
            f"Expected programs without findings, for problems with references, got none for {len(problems)} problems. "
            "Train the policy further, or raise --problems."
        )
    grounding.right.clear()  # of before it had learnt
    grounding.look(groups)
    return grounding, {
        "settings": vars(settings),
        "env": env.spec.id if env.spec else "",
        "data_digest": env.data_digest,
        "loss": grounding.metrics["discriminator_loss"],
        "unseen": {"looks": len(grounding.right), "right": sum(grounding.right)},
        "warnings": grounding.warnings,
    }


def static(recipe: Recipe) -> Recipe:
    """The recipe with the judge that runs nothing, and no curriculum."""
    kept = {key: value for key, value in recipe.env.items() if not key.startswith(("curriculum", "reward", "sandbox"))}
    return replace(recipe, env={**kept, "sandbox": "static", "reward": "coarse"})


def _config(settings: DiscriminatorSettings) -> DiscriminatorConfig:
    """Of a discriminator that learns once, from all programs."""
    s = settings
    optimiser = OptimiserConfig(lr=s.lr, warmup=min(20, s.updates), weight_decay=0.01)
    return DiscriminatorConfig(updates=s.updates, batch_size=s.batch_size, unseen=s.unseen, optimiser=optimiser)
