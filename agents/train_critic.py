"""`python -m agents.train_critic RUN`: a critic of the programs that a finished run's policy writes (CodeRL, section 3.2).

    RUN's policy --programs for problems of its environment--> judge --outcomes--> Critic.learn --> RUN/critic

The critic begins as a copy of the policy, with a head. `agents/critic_training.py` says from what it learns and how well it does;
`critic_training.json` in the critic's folder has the figures.

Two classes (passed or not) are what `agents/decoding/critic_sampling.py` asks for; four weigh tokens (`[agent.critic] path`).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from agents.critics.settings import Settings
from rltf_env.command import Parser, check_writable, guarded, importing, leave

STOPPED = "Stopped. Nothing was written: the same command begins anew."


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = Parser(prog="python -m agents.train_critic", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("run", type=Path, help="the folder of a finished run of agents.train")
    parser.add_argument("--out", type=Path, help="the critic's folder (default: RUN/critic)")
    parser.add_argument("--device", default="", help="of policy and critic")
    parser.add_argument("--temperature", type=float, default=1.0, help="at which the programs are sampled")
    for name, value in vars(Settings()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"(default: {value})")
    asked = parser.parse_args(arguments)
    return guarded(lambda: _run(asked), STOPPED)


def _run(asked: argparse.Namespace) -> int:
    console, out = Console(), asked.out or asked.run / "critic"
    check_writable(out, folder=True)
    console.print(f"{asked.run}: importing PyTorch and transformers", markup=False, highlight=False)
    with importing(STOPPED):
        from agents.building import quiet_libraries
        from agents.critic_training import train_run

    quiet_libraries()
    settings = Settings(**{name: getattr(asked, name) for name in vars(Settings())})
    u = train_run(asked.run, settings, asked.temperature, out, console, asked.device)["unseen"]
    console.print(
        f"On {u['programs']} programs for {u['problems']} problems that it has not seen: {u['accuracy']:.1%} right "
        f"(always the most frequent outcome: {u['most_frequent']:.1%}).",
        highlight=False,
    )
    console.print(f"Critic: {escape(str(out))}", highlight=False)
    return 0


if __name__ == "__main__":
    leave(main())
