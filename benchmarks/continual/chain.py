"""The runs of a method, one task after another, and what is measured between them.

    OUT/seed-S/warm/                       the run before all
    OUT/seed-S/start/on-TASK.json          the scores before the first task
    OUT/seed-S/METHOD-AGENT/1-TASK/        an ordinary run, and
    OUT/seed-S/METHOD-AGENT/1-TASK/on-TASK.json    the scores of its policy on each task

Every run begins with the policy that the run before has left on disk. So a chain that was killed goes
on where it was: what is finished is not done again, and a run that was cut off continues from its
checkpoint, to the same numbers as if it had not been.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from agents.building import make_env, make_policy
from agents.config import Recipe, finished, trained_with
from agents.core import Policy, rngs
from agents.evaluation import CHUNK, evaluate
from agents.rollout import program_of
from agents.running.panel import progress
from agents.training import Measure, train
from benchmarks.continual import bleu
from benchmarks.continual.sequence import (
    Table,
    Task,
    TaskSequence,
    check_method,
    measure_recipe,
    task_recipe,
    warm_recipe,
)
from benchmarks.records import write_json
from rltf_env import datasets
from rltf_env.core import Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import DataError, MissingData, UsageError

Advance = Callable[[int], None]


@dataclass(frozen=True)
class Chain:
    """A method on a sequence, with an agent and a seed, in a folder.

    Args:
        sequence: in the order in which it is learnt.
        method: one of `benchmarks.continual.sequence.METHODS`.
        agent: a name of its agents; "": the first.
        out: the folder of everything.
        seed: of all runs.
        default: the tasks in the order of the file.
    """

    sequence: TaskSequence
    method: str
    agent: str
    out: Path
    seed: int
    default: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_method(self.method)
        self.sequence.agent(self.agent)
        if self.method == "replay" and len(self.sequence.tasks) < 2:
            raise UsageError("Expected two tasks or more to replay the old ones, got one.")

    @property
    def label(self) -> str:
        """The folder's name: method, agent, and the order if it is not the file's."""
        agent = self.agent or next(iter(self.sequence.agents))
        moved = self.sequence.names != (self.default or self.sequence.names)
        return f"{self.method}-{agent}" + (f"-{'.'.join(self.sequence.names)}" if moved else "")

    @property
    def home(self) -> Path:
        """The folder of the seed."""
        return self.out / f"seed-{self.seed}"

    @property
    def folders(self) -> list[Path]:
        """The folder of each run, in order."""
        names = ["joint"] if self.method == "joint" else self.sequence.names
        return [self.home / self.label / f"{i}-{name}" for i, name in enumerate(names, 1)]

    def measured(self, number: int) -> tuple[Task, ...]:
        """The tasks that are measured after run `number` (from 0)."""
        return self.sequence.tasks[number : number + 1] if self.method == "separate" else self.sequence.tasks

    def start(self) -> Table:
        """The policy before the first task. Raises MissingData if the run before all is not finished."""
        if not self.sequence.warm:
            return dict(self.sequence.policy)
        return finished(self.home / "warm").policy

    def recipe(self, number: int) -> Recipe:
        """Of run `number` (from 0). Raises MissingData if the one before is not finished."""
        alone = number == 0 or self.method == "separate"
        policy = self.start() if alone else finished(self.folders[number - 1]).policy
        return task_recipe(self.sequence, self.method, self.agent, number, policy, self.folders[number], self.seed)


def run(chain: Chain, console: Console | None = None) -> None:
    """All runs and measurements of a chain that have not been done yet."""
    console = console or Console(quiet=True)
    count = len(chain.folders)
    if chain.sequence.warm:
        console.rule(f"seed {chain.seed}: the run before all")
        _train(warm_recipe(chain.sequence, chain.home / "warm", chain.seed), console)
    _measure(chain, chain.home / "start", chain.start, chain.sequence.tasks, console)
    for number, folder in enumerate(chain.folders):
        console.rule(f"seed {chain.seed}, {chain.label}: {number + 1} of {count}, {folder.name.partition('-')[2]}")
        _train(chain.recipe(number), console)
        _measure(chain, folder, lambda folder=folder: finished(folder).policy, chain.measured(number), console)


def _train(recipe: Recipe, console: Console) -> None:
    if not is_finished(recipe):
        train(recipe, console)


def is_finished(recipe: Recipe) -> bool:
    """Whether this very run has come to its end, with its policy saved."""
    out = Path(recipe.run.out)
    if not (out / "summary.json").is_file() or not (out / "policy" / "config.json").is_file():
        return False
    return tomllib.loads((out / "recipe.toml").read_text(encoding="utf-8")) == _plain(recipe)


def _plain(recipe: Recipe) -> Any:
    return json.loads(json.dumps(recipe.to_dict()))


# ------------------------------------------------------------------------------------------------------------ measuring


def _measure(chain: Chain, folder: Path, policy: Callable[[], Table], tasks: Sequence[Task], console: Console) -> None:
    """Measures a policy on the tasks, each into a file of `folder`; what has been measured so is left alone."""
    table = policy()
    asked = [(task, measure_recipe(chain.sequence, task, chain.agent, table, chain.seed)) for task in tasks]
    waiting = [(task, recipe) for task, recipe in asked if not _is_measured(folder, task, recipe, chain.sequence.score)]
    if not waiting:
        return
    loaded = make_policy(waiting[0][1])
    folder.mkdir(parents=True, exist_ok=True)
    for task, recipe in waiting:
        with progress(console) as bars, make_env(recipe, loaded) as env:
            measure = Measure(recipe, loaded, env)
            bar = bars.add_task(f"measuring {task.name}", total=len(measure.problems))
            result = scores(recipe, loaded, env, measure.problems, chain.sequence.score, partial(bars.advance, bar))
        write_json(_file(folder, task), {"task": task.name, "score": chain.sequence.score, **result})
        console.print(f"{folder.name} on {task.name}: {np.mean(result['rates']):.1%}", markup=False, highlight=False)


def scores(
    recipe: Recipe, policy: Policy[Any], env: UnitTestEnv, problems: Sequence[Problem], score: str, advance: Advance
) -> dict[str, Any]:
    """A number in [0, 1] for each problem, and what made them.

    Args:
        score: "pass", the share of a problem's programs that pass; or "bleu", that of its texts to the nearest reference.
        advance: told of each n problems done.
    """
    c = recipe.eval
    decoder = replace(c.sampling, stop=c.sampling.stop or trained_with(recipe).stop)
    made = {"recipe": _identity(recipe), "data_digest": datasets.digest(problems)}
    if score == "bleu":
        return {"rates": list(_bleu(policy, env, problems, decoder, c.seed, advance)), "lost": 0, **made}
    found = evaluate(policy, env, problems, decoder, samples=c.samples, seed=c.seed, advance=advance)
    return {"rates": (found.passed / found.samples).tolist(), "lost": found.lost, **made}


def _bleu(
    policy: Policy[Any], env: UnitTestEnv, problems: Sequence[Problem], decoder: Any, seed: int, advance: Advance
) -> Iterator[float]:
    _, generator = rngs(seed, policy.device)
    for i in range(0, len(problems), CHUNK):
        chunk = problems[i : i + CHUNK]
        _check_references(chunk)
        prompts, given = [env.encode_prompt(p) for p in chunk], [env.encode_prefix(p) for p in chunk]
        with getattr(policy, "measured", nullcontext)():
            groups = decoder(policy, prompts, given, repeats=1, max_tokens=env.max_program_tokens, generator=generator)
        for problem, (completion,) in zip(chunk, groups, strict=True):
            yield bleu.best(program_of(env, completion).text, problem.solutions)
        advance(len(chunk))


def _check_references(problems: Sequence[Problem]) -> None:
    for problem in problems:
        if not problem.solutions:
            raise UsageError(f'Expected a reference of {problem.id!r} to compare with, got none. Set score = "pass".')


def _file(folder: Path, task: Task) -> Path:
    return folder / f"on-{task.name}.json"


def _is_measured(folder: Path, task: Task, recipe: Recipe, score: str) -> bool:
    file = _file(folder, task)
    if not file.is_file():
        return False
    content = read_scores(file)
    return content["score"] == score and content["recipe"] == _identity(recipe)


def _identity(recipe: Recipe) -> Any:
    """What of a measurement's recipe decides the numbers."""
    tables = {key: value for key, value in _plain(recipe).items() if key in ("env", "policy", "eval")}
    return {**tables, "stop": list(trained_with(recipe).stop)}


def read_scores(file: Path) -> dict[str, Any]:
    """A measurement. Raises MissingData or DataError."""
    if not file.is_file():
        raise MissingData(
            f"Expected the scores in {str(file)!r}, got none: this run of the chain is missing. The same command "
            "without --results makes it, and goes on from there."
        )
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        assert content["rates"]
        return content
    except (ValueError, KeyError, TypeError, AssertionError) as error:
        raise DataError(f"Expected scores in {str(file)!r}, got a file without. Remove it and start again.") from error


# ------------------------------------------------------------------------------------------------------------- results


def collect(chain: Chain) -> dict[str, Any]:
    """What a finished chain came to, as plain data, in the order of the sequence.

    `before` (T,) are the scores before the first task, `final` (T,) those after the last, of one policy for each
    task with the method "separate"; `matrix` (T, T) those after each task, None where there are no such rows.

    Raises:
        MissingData: a run is missing; the message names it.
    """
    tasks = chain.sequence.tasks
    before, digests = _row(chain.home / "start", tasks)
    rows = [_row(folder, chain.measured(number))[0] for number, folder in enumerate(chain.folders)]
    chained = chain.method not in ("joint", "separate")
    final = [row[0] for row in rows] if chain.method == "separate" else rows[-1]
    matrix = rows if chained else None
    return {"before": before, "final": final, "matrix": matrix, "data_digests": digests}


def _row(folder: Path, tasks: Sequence[Task]) -> tuple[list[float], Mapping[str, str]]:
    found = {task.name: read_scores(_file(folder, task)) for task in tasks}
    digests = {name: content["data_digest"] for name, content in found.items()}
    return [float(np.mean(content["rates"])) for content in found.values()], digests
