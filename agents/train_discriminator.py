"""`python -m agents.train_discriminator RUN`: a discriminator of the programs that a finished run's policy writes.

    RUN's policy --programs--> static --those without findings--> Discriminator.learn <-- references --> RUN/discriminator

The discriminator begins as a copy of the policy, with a head, and learns from pairs of a program and a reference of the same
problem (RLCF, arXiv 2305.18341; its training is ours). No program is run. How well it does is measured on problems
of which it has learnt nothing: `discriminator_training.json` says it. The reward `agents.rewards.discriminator:load`
takes the folder, and so does `[agent.discriminator] path` of an agent that keeps the discriminator up with its policy.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from agents.building import make_env, make_policy, quiet_libraries
from agents.config import Recipe, finished, trained_with
from agents.core import Policy, rngs
from agents.critics.grounding import DiscriminatorConfig, Grounding
from agents.decoding.sampling import Sampling
from agents.learning.learner import OptimiserConfig
from agents.rollout import collect
from agents.running.folder import to_json, write_text
from rltf_env.command import check_writable, guarded, leave
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError

CHUNK = 64  # problems written for at a time


@dataclass(frozen=True)
class Settings:
    """How a discriminator is trained.

    Args:
        problems, samples: sampled programs: `samples` for each of `problems` problems.
        unseen: the share of the problems that it is measured on, not taught.
        updates, batch_size, lr, seed: of the learning.
    """

    problems: int = 512
    samples: int = 4
    unseen: float = 0.125
    updates: int = 300
    batch_size: int = 32
    lr: float = 3e-4
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.problems, self.samples) < 1:
            raise UsageError(f"Expected problems and samples >= 1, got {self}.")
        self.config()

    def config(self) -> DiscriminatorConfig:
        """The same as the config of a discriminator that learns once, from all programs."""
        optimiser = OptimiserConfig(lr=self.lr, warmup=min(20, self.updates), weight_decay=0.01)
        sizes = {"updates": self.updates, "batch_size": self.batch_size, "unseen": self.unseen}
        return DiscriminatorConfig(**sizes, optimiser=optimiser)


def train_discriminator(
    policy: Policy[Any], env: UnitTestEnv, settings: Settings, sampling: Sampling, console: Console
) -> tuple[Grounding, dict[str, Any]]:
    """A discriminator of what `policy` writes for problems of `env`, and how well it does on unseen ones.

    Raises:
        UsageError: no problem has a reference, or no program is one that it could learn from.
    """
    rng, generator = rngs(settings.seed, policy.device)
    problems = [env.source.draw(rng) for _ in range(settings.problems)]
    groups = []
    for i in range(0, len(problems), CHUNK):
        chunk = problems[i : i + CHUNK]
        written = collect(policy, env, chunk, sampling, repeats=settings.samples, generator=generator)
        groups += [(problem, group) for problem, group in zip(chunk, written, strict=True) if group]
        console.print(f"{len(groups)} of {len(problems)} problems: programs written and read", highlight=False)
    grounding = Grounding(policy, env, settings.config(), settings.problems * settings.samples, settings.seed)
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


# ------------------------------------------------------------------------------------------------------------- command


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    words = (__doc__ or "").split("\n\n")[0]
    parser = argparse.ArgumentParser(prog="python -m agents.train_discriminator", description=words)
    parser.add_argument("run", type=Path, help="the folder of a finished run of agents.train")
    parser.add_argument("--out", type=Path, help="the discriminator's folder (default: RUN/discriminator)")
    parser.add_argument("--device", default="", help="of policy and discriminator")
    parser.add_argument("--temperature", type=float, default=1.0, help="at which the programs are sampled")
    for name, value in vars(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"(default: {value})")
    asked = parser.parse_args(arguments)
    return guarded(lambda: _run(asked), "Stopped. Nothing was written: the same command begins anew.")


def _run(asked: argparse.Namespace) -> int:
    console, out = Console(), asked.out or asked.run / "discriminator"
    check_writable(out, folder=True)
    quiet_libraries()
    settings = Settings(**{name: getattr(asked, name) for name in vars(Settings())})
    recipe = static(finished(asked.run, asked.device))
    policy = make_policy(recipe)
    with make_env(recipe, policy) as env:
        sampling = replace(trained_with(recipe), temperature=asked.temperature)
        grounding, figures = train_discriminator(policy, env, settings, sampling, console)
    grounding.discriminator.save(out)
    figures |= {"recipe": recipe.digest, "temperature": asked.temperature}
    write_text(out / "discriminator_training.json", to_json(figures, indent=1))
    unseen = figures["unseen"]
    console.print(
        f"Right on {unseen['right']} of {unseen['looks']} programs and references of problems that it has not seen.",
        highlight=False,
    )
    for text in figures["warnings"]:
        console.print(f"[yellow]{escape(text)}[/]", highlight=False)
    console.print(f"Discriminator: {escape(str(out))}", highlight=False)
    return 0


if __name__ == "__main__":
    leave(main())
