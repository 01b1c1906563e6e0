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
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from agents.critics.settings import DiscriminatorSettings
from rltf_env.command import Parser, check_writable, guarded, importing, leave

STOPPED = "Stopped. Nothing was written: the same command begins anew."


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    words = (__doc__ or "").split("\n\n")[0]
    parser = Parser(prog="python -m agents.train_discriminator", description=words)
    parser.add_argument("run", type=Path, help="the folder of a finished run of agents.train")
    parser.add_argument("--out", type=Path, help="the discriminator's folder (default: RUN/discriminator)")
    parser.add_argument("--device", default="", help="of policy and discriminator")
    parser.add_argument("--temperature", type=float, default=1.0, help="at which the programs are sampled")
    for name, value in vars(DiscriminatorSettings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"(default: {value})")
    asked = parser.parse_args(arguments)
    return guarded(lambda: _run(asked), STOPPED)


def _run(asked: argparse.Namespace) -> int:
    console, out = Console(), asked.out or asked.run / "discriminator"
    check_writable(out, folder=True)
    console.print(f"{asked.run}: importing PyTorch and transformers", markup=False, highlight=False)
    with importing(STOPPED):
        from agents.building import make_env, make_policy, quiet_libraries
        from agents.config import finished, trained_with
        from agents.discriminator_training import static, train_discriminator
        from agents.running.folder import to_json, write_text

    quiet_libraries()
    settings = DiscriminatorSettings(**{name: getattr(asked, name) for name in vars(DiscriminatorSettings())})
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
