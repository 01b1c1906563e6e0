"""`python -m agents.init FILE`: a recipe to start from, with a comment on each line that you may want to change.

It runs as it stands: `python -m agents.train FILE`. What a recipe may say beside it is in docs/training.md.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from rltf_env.command import check_writable, guarded, leave, parser
from rltf_env.errors import UsageError

PROBLEMS, MODEL = "procedural", ""
TEMPLATE = """\
# rltf train {file}: the run. The same command continues one that was stopped, and run.seed=1 behind it changes a value.
# rltf report runs/{name}: its curves and programs, as one page.

[run]
updates = 100 # gradient steps on fresh programs
eval_every = 50 # updates between measurements on [eval]; 0: only at the end
seed = 0

[env]
id = "RLTF-Procedural-v0" # any of the ids will do where `dataset` names other problems
dataset = {dataset} # a name, "./FOLDER", "FILE.jsonl", "hub:owner/name": docs/datasets.md
# dataset_options = {{ columns = {{ statement = "question", tests = "asserts" }} }} # of hub: rows of another layout
max_prompt_tokens = 256 # a prompt that is longer is an error at the start
max_program_tokens = 128 # a program that is longer is cut off, and judged
reward = "rltf" # "adaptive": the share of cases passed; "coarse": passed or not. See docs/rewards.md
# sandbox_options = {{ case_seconds = 2.0, require = "full" }} # limits of the judge, and the walls that it must have

[policy]
{policy}

[agent]
kind = "grpo" # without references: grpo, rloo, ppo; with references first kind = "supervised". See docs/training.md
problems = 4 # in an update
samples_per_problem = 8 # programs for each of them, compared with one another
batch_size = 16 # programs in a gradient step
optimiser = {{ lr = {lr} }}

[eval]
split = "test" # must exist in the dataset; a single file is split by its problems' ids
size = 50 # problems
samples = 1
sampling = {{ temperature = 0.0 }} # 0: the most likely program
"""
TINY = """\
kind = "tiny" # small and random, to try things out: it passes nothing before it was warmed up
# kind = "causal" # a language model:
# path = "hub/id" # or a folder, such as runs/NAME/policy
width = 64
layers = 2
heads = 4"""
CAUSAL = """\
kind = "causal"
path = {model} # a hub id or a folder, such as runs/NAME/policy
# dtype = "bfloat16" # on a GPU
# lora = {{ r = 16 }} # trains small matrices in place of all weights, where memory is short: docs/scaling.md"""


def recipe(file: Path, dataset: str = PROBLEMS, model: str = MODEL) -> str:
    """The text of a recipe for this file."""
    policy, lr = (CAUSAL.format(model=json.dumps(model)), "1e-6") if model else (TINY, "1e-3")
    return TEMPLATE.format(file=file, name=file.stem, dataset=json.dumps(dataset), policy=policy, lr=lr)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status."""
    made = parser("agents.init", __doc__)
    made.add_argument("file", type=Path, help="the recipe to write, such as mine.toml")
    made.add_argument("--dataset", default=PROBLEMS, help=f"the problems (default: {PROBLEMS})")
    made.add_argument(
        "--model", default=MODEL, help="hub id or folder of a language model (default: a small random one)"
    )
    asked = made.parse_args(arguments)
    return guarded(lambda: _main(asked))


def _main(asked: argparse.Namespace) -> int:
    file: Path = asked.file
    if file.suffix != ".toml":
        raise UsageError(f"Expected a file that ends in .toml, got {str(file)!r}. Name it {file.name}.toml, for one.")
    if file.exists():
        raise UsageError(f"Expected a new file, got {str(file)!r}, which is there. Remove it, or name another.")
    check_writable(file)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(recipe(file, asked.dataset, asked.model), encoding="utf-8")
    text = f"Written: {file}. Next: rltf train {file}"
    Console().print(text, markup=False, highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    leave(main())
