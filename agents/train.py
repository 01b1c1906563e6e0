"""`python -m agents.train RECIPE [table.key=value ...]`: one run, from a recipe to a trained policy.

The run folder (`[run] out`, default `runs/<name>`) receives `recipe.toml` (resolved), `metrics.jsonl` (one line an update),
`checkpoints/`, `policy/` (a plain transformers folder) and `summary.json`. The same command continues a run that was cut
off, from its last checkpoint, to the same numbers as if it had not been.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO, cast

import gymnasium as gym
import tomli_w
import torch
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from agents import checkpoint
from agents.config import Recipe, read
from agents.core import Agent, Policy
from agents.evaluation import Evaluation, evaluate
from rltf_env import datasets, plugins, prompts
from rltf_env.core import Problem
from rltf_env.env import MissingDataWarning, UnitTestEnv
from rltf_env.errors import DataError, MissingData, RLTFError, UnknownName, UsageError
from rltf_env.tokenizers import HuggingFace

TIMINGS = ("seconds", "tokens_per_second")  # metrics that differ between equal runs


def train(recipe: Recipe, console: Console | None = None) -> dict[str, Any]:
    """Runs (or continues) a recipe; returns what `summary.json` holds. `console=None` is silent."""
    console = console or Console(quiet=True)
    out = Path(recipe.run.out or f"runs/{recipe.run.name}")
    with checkpoint.room(out), ExitStack() as stack:
        if recipe.run.threads:
            stack.enter_context(_threads(recipe.run.threads))
        saved = _open(out, recipe)
        policy = make_policy(recipe)
        env = stack.enter_context(make_env(recipe, policy))
        agent = make_agent(recipe, policy, env)
        done, evaluations = 0, {}
        if saved:
            agent.load_state_dict(saved["agent"])
            done, evaluations = saved["step"], saved["evaluations"]
            console.print(f"Continuing [bold]{escape(str(out))}[/] after update {done}.")
        measure = Measure(recipe, policy, env)
        log = stack.enter_context(_log(out / "metrics.jsonl", done))
        _loop(recipe, agent, measure, log, out, done, evaluations, console)
        summary = _summary(recipe, env, evaluations)
        save_policy(policy, out / "policy")
        _write_text(out / "summary.json", json.dumps(summary, indent=1))
    return summary


def _loop(
    recipe: Recipe,
    agent: Agent,
    measure: Measure,
    log: TextIO,
    out: Path,
    done: int,
    evaluations: dict[str, Any],
    console: Console,
) -> None:
    run = recipe.run
    with progress(console) as bars:
        task = bars.add_task(run.name, total=run.updates, completed=done)

        def look(step: int) -> None:
            if str(step) not in evaluations:
                result = measure(bars)
                evaluations[str(step)] = result.to_dict()
                score = f"pass@1 {result.pass_at_1:.1%} +- {result.standard_error:.1%} (s.e.)"
                console.print(f"{escape(run.name)}: {score} after {step} updates")

        if run.eval_every and run.eval_first and done == 0:
            look(0)
        for step in range(done + 1, run.updates + 1):
            began = time.perf_counter()
            metrics = agent.update()
            line = {"step": step, **metrics, "seconds": time.perf_counter() - began}
            log.write(json.dumps(line) + "\n")
            bars.advance(task)
            if run.log_every and step % run.log_every == 0:
                console.print(one_line(line), highlight=False)
            last = step == run.updates
            if (run.eval_every and step % run.eval_every == 0) or last:
                look(step)
            if (run.checkpoint_every and step % run.checkpoint_every == 0) or last:
                log.flush()
                state = {"digest": recipe.digest, "step": step, "evaluations": evaluations, "agent": agent.state_dict()}
                checkpoint.save(out / "checkpoints", step, state)
        if not run.updates:
            look(0)


# ------------------------------------------------------------------------------------------------------------ the parts


def make_policy(recipe: Recipe) -> Policy[Any]:
    """The policy that the recipe names, its weights drawn with the run's seed if they are random."""
    options = dict(recipe.policy)
    kind = _kind(options, "policy")
    options.setdefault("seed", recipe.run.seed)
    return _call(plugins.find("policies", kind, package="agents"), "policy", options)


@contextmanager
def make_env(recipe: Recipe, policy: Policy[Any]) -> Iterator[UnitTestEnv]:
    """The training environment, with the policy's tokenizer; closed at the end.

    `prompt_style = "chat"` puts problems into the words of the tokenizer's chat template; the answer then begins with
    `chat_opening` (a code fence, say), which is a part of the prompt.
    """
    options = dict(recipe.env)
    env_id = options.pop("id", None)
    if env_id is None:
        raise UsageError('[env]: expected id, e.g. id = "RLTF-Procedural-v0", got none.')
    opening = options.pop("chat_opening", "")
    if options.get("prompt_style") == "chat":
        options["prompt_style"] = partial(
            prompts.chat, apply_chat_template=policy.tokenizer.apply_chat_template, opening=opening
        )
    with warnings.catch_warnings():  # a run on stand-in problems is nobody's wish: missing data end it here
        warnings.simplefilter("error", MissingDataWarning)
        try:
            env = _call(partial(gym.make, env_id), "env", {"tokenizer": HuggingFace(policy.tokenizer), **options})
        except MissingDataWarning as error:
            raise MissingData(str(error).partition(" Until then ")[0]) from None
        except gym.error.Error as error:
            ours = [name for name in gym.registry if name.startswith("RLTF-")]
            raise UnknownName("environment", str(env_id), ours, hint=str(error)) from error
    try:
        yield cast(UnitTestEnv, env.unwrapped)
    finally:
        env.close()


def make_agent(recipe: Recipe, policy: Policy[Any], env: UnitTestEnv) -> Agent:
    """The agent that the recipe names."""
    options = dict(recipe.agent)
    kind = _kind(options, "agent")
    return plugins.find("", kind, package="agents")(policy, env, seed=recipe.run.seed, **options)


def _kind(options: dict[str, Any], table: str) -> str:
    if "kind" not in options:
        raise UsageError(f"[{table}]: expected kind, got none.")
    return options.pop("kind")


def _call(load: Any, where: str, options: dict[str, Any]) -> Any:
    try:
        return load(**options)
    except TypeError as error:
        raise UsageError(f"[{where}]: {error}") from error


class Measure:
    """Evaluates the policy as the recipe's [eval] says; the problems are loaded once."""

    def __init__(self, recipe: Recipe, policy: Policy[Any], env: UnitTestEnv) -> None:
        self.recipe, self.policy, self.env = recipe, policy, env
        self._problems: tuple[Problem, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The problems of [eval], the first `size` of its split."""
        if not self._problems:
            c = self.recipe.eval
            found = datasets.load(self.env.dataset_name, split=c.split, root=self.recipe.env.get("root"), **c.options)
            self._problems = tuple(found)[: c.size or None]
        return self._problems

    def __call__(self, bars: Progress | None = None) -> Evaluation:
        c = self.recipe.eval
        task = bars.add_task("evaluate", total=len(self.problems)) if bars else None
        advance = (lambda n: bars.advance(task, n)) if bars and task is not None else None
        result = evaluate(
            self.policy, self.env, self.problems, c.sampling, samples=c.samples, seed=c.seed, advance=advance
        )
        if bars and task is not None:
            bars.remove_task(task)
        return result


# ---------------------------------------------------------------------------------------------------------- run folders


def _open(out: Path, recipe: Recipe) -> dict[str, Any] | None:
    """Makes the run folder, or finds the checkpoint in it that this recipe may continue."""
    saved = checkpoint.latest(out / "checkpoints")
    if saved and saved["digest"] != recipe.digest:
        raise DataError(
            f"Expected {out} to hold a run of this recipe ({recipe.digest}), got one of another ({saved['digest']}). Choose "
            "another folder with run.out=FOLDER, or remove this one."
        )
    if saved and saved["step"] > recipe.run.updates:
        raise DataError(
            f"Expected {out} to hold at most run.updates={recipe.run.updates} updates, got {saved['step']}. Raise "
            "run.updates, or choose another folder."
        )
    out.mkdir(parents=True, exist_ok=True)
    for leftover in out.glob(".*.tmp"):  # of a killed writer
        leftover.unlink()
    _write_text(out / "recipe.toml", tomli_w.dumps(recipe.to_dict()))
    return saved


@contextmanager
def _log(path: Path, done: int) -> Iterator[TextIO]:
    """metrics.jsonl, open for appending after the line of update `done`; later lines are dropped."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() and done else []
    _write_text(path, "".join(line for line in lines[:done]))
    with open(path, "a", encoding="utf-8", buffering=1) as file:  # a line is there when its update is done
        yield file


def _write_text(path: Path, text: str) -> None:
    checkpoint.write_atomically(path, lambda file: cast(None, file.write(text.encode())))


def save_policy(policy: Policy[Any], folder: Path) -> None:
    """A plain transformers folder."""
    folder.mkdir(parents=True, exist_ok=True)
    policy.save(folder)


def _summary(recipe: Recipe, env: UnitTestEnv, evaluations: dict[str, Any]) -> dict[str, Any]:
    packages = ("rltf", "gymnasium", "numpy", "torch", "transformers")
    return {
        "name": recipe.run.name,
        "recipe": recipe.digest,
        "seed": recipe.run.seed,
        "updates": recipe.run.updates,
        "env": recipe.env["id"],
        "dataset": env.dataset_name,
        "data_digest": env.data_digest,
        "evaluations": evaluations,
        "versions": {name: version(name) for name in packages},
    }


# ------------------------------------------------------------------------------------------------------------- terminal


def progress(console: Console) -> Progress:
    """Bars with counts, time spent and time left; nothing where there is no terminal."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


SHOWN = ("supervised_loss", "rl_loss", "reward", "outcome/passed", "entropy", "kl_behaviour", "staleness", "grad_norm")


def one_line(line: dict[str, float]) -> str:
    """An update for people."""
    shown = (f"{name.split('/')[-1]} {line[name]:.3g}" for name in SHOWN if name in line)
    return f"update {line['step']:>5}  " + "  ".join(shown) + f"  {line['seconds']:.2f} s"


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def quiet_libraries() -> None:
    """Keeps transformers' own progress bars out of ours."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; errors of the user's making are one message, not a traceback."""
    parser = argparse.ArgumentParser(prog="python -m agents.train", description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("recipe", help="a TOML file; agents/recipes/ has some")
    parser.add_argument("overrides", nargs="*", metavar="table.key=value", help="e.g. run.seed=3 agent.clip=0.2")
    options = parser.parse_args(arguments)
    quiet_libraries()
    try:
        train(read(options.recipe, options.overrides), Console())
    except RLTFError as error:
        Console(stderr=True).print(f"[red]{type(error).__name__}:[/] {escape(str(error))}", highlight=False)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
