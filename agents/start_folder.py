"""`python -m agents.start_folder RECIPE [KEY=VALUE ...]`: writes what vLLM servers are started with, and prints the command.

For recipes whose programs servers write, `agent.sampling.engine = "vllm_server"`: the policy that the
recipe begins with goes into `start`, in the folder that `engine_options` names, with its tokenizer.
Servers get newer weights from the run itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from agents import building, config
from agents.engines.vllm_server import Options, start_folder
from agents.options import build
from rltf_env.command import Parser, guarded, leave
from rltf_env.errors import UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = Parser(prog="python -m agents.start_folder", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("recipe", help="a recipe that samples with vllm_server")
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE", help="in place of the recipe's")
    asked = parser.parse_args(arguments)
    return guarded(lambda: _run(config.read(asked.recipe, asked.overrides)))


def _run(recipe: config.Recipe) -> int:
    sampling = config.trained_with(recipe)
    if sampling.engine != "vllm_server":
        raise UsageError(f"Expected agent.sampling.engine = 'vllm_server', got {sampling.engine!r}.")
    options = build(Options, sampling.engine_options, "agent.sampling.engine_options")
    building.quiet_libraries()
    command = start_folder(building.make_policy(recipe), options)
    Console().print(command, markup=False, highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    leave(main())
