"""One run, from a recipe to a trained policy: what `agents.train` commands.

The run folder (`[run] out`, default `runs/<name>`) receives `recipe.toml` (resolved), what `agents.running.folder` lists,
`checkpoints/`, `policy/` (a plain transformers folder) and `summary.json`. A recipe is checked before its folder is
touched, and a run that cannot begin leaves no folder behind.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from importlib.metadata import version
from pathlib import Path
from typing import Any

import tomli_w
import torch
from rich.console import Console
from rich.markup import escape

from agents import launched, parallel, ranks
from agents.actors import pool
from agents.building import (
    check,
    check_room,
    continues_code,
    make_agent,
    make_env,
    make_eval_env,
    make_policy,
    with_stops,
)
from agents.config import Recipe, trained_with
from agents.core import Agent, HasJournal, Policy
from agents.evaluation import Evaluation, evaluate
from agents.learning import shards
from agents.repairs import check_held_out
from agents.running import checkpoint, files, kernels, trackers
from agents.running import folder as run_folder
from agents.running.folder import Folder
from agents.running.journal import UpdateLog
from agents.running.launch import Launch
from agents.running.panel import Screen, heartbeat
from agents.running.stopping import Request, Stopped, requested
from rltf_env import datasets, rewards, sources
from rltf_env.core import Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import DataError

TIMINGS = (
    "seconds",
    "seconds/generate",
    "seconds/judge",
    "seconds/wait",
    "tokens_per_second",
)  # metrics that differ between equal runs


def train(recipe: Recipe, console: Console | None = None) -> dict[str, Any]:
    """Runs (or continues) a recipe; returns what `summary.json` holds. `console=None` is silent.

    Under a launcher such as torchrun it does so on rank 0; the other ranks learn along, and return nothing.

    Raises:
        UsageError: what the recipe says cannot be, or another run is writing into its folder.
        DataError: the folder holds another recipe's run, or the disk is full.
    """
    console, launch = console or Console(quiet=True), Launch.from_environment()
    recipe = launched.resolved(recipe, launch)
    check(recipe)
    ranks.check(recipe)
    if launch and not launch.leads:
        launched.follow(recipe, launch)
        return {}
    run, out = recipe.run, Path(recipe.run.out or f"runs/{recipe.run.name}")
    with files.disk_full_as_error(out), run_folder.exclusive(out), ExitStack() as stack:
        pulse = stack.enter_context(heartbeat(console))
        if threads := launched.threads_of(recipe, launch):
            stack.enter_context(_threads(threads))
        stack.enter_context(kernels.chosen(run.tf32, run.deterministic))
        late = continues_code(recipe)  # where its programs end, its problems tell
        saved = None if late else _saved(out, recipe)
        pulse.begin(f"{run.name}: loading the policy")
        policy = make_policy(launched.placed(recipe, launch))
        pulse.begin(f"{run.name}: loading the problems")
        env = stack.enter_context(make_env(recipe, policy))
        if late:
            recipe = with_stops(recipe, env)
            saved = _saved(out, recipe)
        file = checkpoint.latest_file(out / "checkpoints") if saved else None
        stack.enter_context(launched.joined(recipe, launch, out, file, saved))
        agent = make_agent(recipe, policy, env)
        measure = Measure(recipe, policy, stack.enter_context(make_eval_env(recipe, policy, env)))
        _check_prompts(env, measure.problems)
        check_held_out(getattr(agent, "references", None), env, measure.problems)
        check_room(policy, env, measure.problems)
        done, evaluations = _restore(saved, agent, env) if saved else (0, {})
        run_folder.write_text(out / "recipe.toml", tomli_w.dumps(recipe.to_dict()))
        if saved:
            console.print(_goes_on(out, done, run.updates))
        parallel.current().from_first(lambda: ranks.CHECK)
        ranks.check_equal(agent)
        stack.enter_context(pool.actors(recipe, agent, out))
        tracked = stack.enter_context(trackers.opened(run.trackers, out, run.name, recipe.to_dict(), done))
        folder = stack.enter_context(run_folder.opened(out, done, tracked))
        screen = stack.enter_context(Screen(console, run.name, run.updates, done, run.log_every, pulse))
        if isinstance(agent, HasJournal):
            agent.journal.progress = screen.working
        with requested(console) as stop:
            try:
                with checkpoint.saving(out / "checkpoints", run.background_checkpoints) as saver:
                    _loop(recipe, agent, env, measure, folder, saver, done, evaluations, screen, stop)
            except Stopped:
                raise
            except KeyboardInterrupt:
                raise Stopped(checkpoint.newest(out / "checkpoints"), run.updates) from None
        summary = _summary(recipe, env, evaluations) | _warned(agent, console)
        parallel.current().from_first(lambda: ranks.WHOLE)
        with shards.whole_model(policy):
            save_policy(policy, out / "policy")
        run_folder.write_text(out / "summary.json", run_folder.to_json(summary, indent=1))
    return summary


def _restore(saved: Mapping[str, Any], agent: Agent, env: UnitTestEnv) -> tuple[int, dict[str, Any]]:
    """Puts a checkpoint into the agent and the source; the updates done, and the evaluations."""
    agent.load_state_dict(saved["agent"])
    if saved.get("source") is not None:
        sources.restore(env.source, saved["source"])
    return saved["step"], saved["evaluations"]


def _goes_on(out: Path, done: int, updates: int) -> str:
    where = f"[bold]{escape(str(out))}[/]"
    if done == updates:
        return f"{where} is finished after {done} updates; a larger run.updates goes on from there."
    return f"Continuing {where} after update {done}."


def _check_prompts(env: UnitTestEnv, measured: Sequence[Problem]) -> None:
    """A prompt that is too long ends the run before it begins, not when its turn comes."""
    if env.on_long_prompt == "error":
        for problem in (*getattr(env.source, "problems", ()), *measured):
            env.encode_prompt(problem)


def _loop(
    recipe: Recipe,
    agent: Agent,
    env: UnitTestEnv,
    measure: Measure,
    folder: Folder,
    saver: checkpoint.Saver,
    done: int,
    evaluations: dict[str, Any],
    screen: Screen,
    stop: Request,
) -> None:
    run = recipe.run

    def say(word: str) -> None:
        """What all ranks do next."""
        parallel.current().from_first(lambda: word)

    def due(step: int) -> bool:
        return bool(step) and ((bool(run.eval_every) and step % run.eval_every == 0) or step == run.updates)

    def save(step: int) -> None:
        folder.flush()
        say(ranks.CHECK)  # from here on the others do not wait for ever
        state = {"digest": recipe.digest, "step": step, "evaluations": evaluations, "agent": ranks.state_of(agent)}
        state["source"] = sources.state_of(env.source)
        saver.save(step, state)

    def look(step: int) -> None:
        if str(step) not in evaluations:
            say(ranks.WHOLE)
            with shards.whole_model(measure.policy), stop.at_once(), parallel.alone():
                result = measure(screen)
            evaluations[str(step)] = result.to_dict()
            folder.evaluated(step, evaluations)
            screen.evaluated(step, result)

    if run.eval_every and run.eval_first and done == 0:
        look(0)
    if due(done):  # the run was stopped before it had been measured here
        look(done)
    saved = done
    for step in range(done + 1, run.updates + 1):
        saver.check()
        began = time.perf_counter()
        with stop.at_once() if saved == step - 1 else nullcontext():  # the first after a checkpoint: nothing is lost
            say(ranks.UPDATE)
            metrics = agent.update()
        journal: UpdateLog = agent.journal.take() if isinstance(agent, HasJournal) else UpdateLog()
        line = {"step": step, **metrics, **timings(journal, time.perf_counter() - began)}
        folder.updated(step, line)
        screen.update(line)
        if journal.programs and folder.wants_programs(step, run.samples_every, run.updates):
            folder.sampled(step, journal.programs)
            screen.programs(step, journal.programs)
        try:
            if due(step) and not stop.asked:
                look(step)
        except KeyboardInterrupt:
            stop.asked = True
        if (run.checkpoint_every and step % run.checkpoint_every == 0) or step == run.updates or stop.asked:
            save(step)
            saved = step
        if stop.asked:
            saver.wait()
            raise Stopped(step, run.updates)
    if not run.updates:
        look(0)


def timings(journal: UpdateLog, seconds: float) -> dict[str, float]:
    """Metrics that differ between equal runs, those of `TIMINGS`."""
    found = {"seconds": seconds, **{f"seconds/{what}": spent for what, spent in journal.seconds.items()}}
    if journal.tokens:
        found["tokens_per_second"] = journal.tokens / max(journal.seconds["generate"], 1e-9)
    return found


class Measure:
    """Evaluates the policy as the recipe's [eval] says; the problems are loaded once."""

    def __init__(self, recipe: Recipe, policy: Policy[Any], env: UnitTestEnv) -> None:
        self.recipe, self.policy, self.env = recipe, policy, env
        self._problems: tuple[Problem, ...] = ()

    @property
    def problems(self) -> tuple[Problem, ...]:
        """The problems of [eval]: `size` of its split, evenly spaced, since some are ordered by difficulty."""
        if not self._problems:
            c = self.recipe.eval
            found = datasets.load(self.env.dataset_name, split=c.split, root=self.recipe.env.get("root"), **c.options)
            size = min(c.size or len(found), len(found))
            self._problems = tuple(found[i * len(found) // size] for i in range(size))
        return self._problems

    def __call__(self, screen: Screen | None = None) -> Evaluation:
        c = self.recipe.eval
        stop = c.sampling.stop or trained_with(self.recipe).stop
        sampling = dataclasses.replace(c.sampling, stop=stop)
        how: dict[str, Any] = {"samples": c.samples, "seed": c.seed}
        if screen is None:
            return evaluate(self.policy, self.env, self.problems, sampling, **how)
        with screen.evaluating(len(self.problems)) as advance:
            return evaluate(self.policy, self.env, self.problems, sampling, advance=advance, **how)


# ---------------------------------------------------------------------------------------------------------- run folders


def _saved(out: Path, recipe: Recipe) -> dict[str, Any] | None:
    """The checkpoint in the run folder that this recipe may continue, if there is one."""
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
    for leftover in out.glob(".*.tmp"):  # of a killed writer
        files.remove(leftover)
    return saved


def save_policy(policy: Policy[Any], folder: Path) -> None:
    """A plain transformers folder, whole or not there: what is there counts as a finished run's (`agents.config.finished`)."""
    files.write_folder(folder, policy.save)


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
        **_without_reference(env),
        "evaluations": evaluations,
        "versions": {name: version(name) for name in packages},
    }


def _warned(agent: Agent, console: Console) -> dict[str, Any]:
    """What an agent has to say of its results (its attribute `warnings`, a list of sentences), for summary and screen."""
    texts: list[str] = list(getattr(agent, "warnings", ()))
    for text in texts:
        console.print(f"[yellow]{escape(text)}[/]", highlight=False)
    return {"warnings": texts} if texts else {}


def _without_reference(env: UnitTestEnv) -> dict[str, int]:
    """Where the reward compares programs with references: of how many problems it cannot.

    Nothing of an endless source, whose problems nobody can count.
    """
    problems = getattr(env.source, "problems", None)
    if problems is None or not rewards.reads_references(env.reward):
        return {}
    return {"without_reference": sum(not problem.solutions for problem in problems)}


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
