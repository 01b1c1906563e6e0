"""Labelling the lines of programs that a finished run's policy writes (arXiv 2410.17621).

    RUN's policy --programs--> judge --wrong ones--> bisection by completions --> RUN/line_labels

No label is written by a person: tests say whether a beginning could still be finished
(`agents/line_labels.py`). Problems come from the run's environment, whole ones, without its curriculum.
Labels are kept chunk by chunk, and the draws of a chunk depend on its number alone: a labelling that
was stopped goes on to the same labels.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from agents.building import make_env, make_policy
from agents.config import Recipe, finished, trained_with
from agents.config import read as read_recipe
from agents.core import AnyDecoder, Policy, rngs
from agents.critics.line_settings import LabelSettings
from agents.line_labels import Labelling, LineLabels, label
from agents.repairs import RepairSettings
from agents.rollout import collect
from agents.running.folder import records, to_json, write_text
from agents.running.journal import UpdateLog
from agents.running.panel import heartbeat, progress
from rltf_env.core import Attempt, Outcome, Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import DataError, MissingData

LABELS, ABOUT = "labels.jsonl", "about.json"


def for_labels(recipe: Recipe) -> Recipe:
    """The recipe with whole problems, and with a reward that costs nothing: none is looked at."""
    dropped = ("reward", "reward_options", "curriculum", "curriculum_options")
    env = {key: value for key, value in recipe.env.items() if key not in dropped}
    return replace(recipe, env={**env, "reward": "coarse"})


def label_chunk(
    policy: Policy[Any],
    env: UnitTestEnv,
    problems: Sequence[Problem],
    settings: LabelSettings,
    number: int,
    sampling: AnyDecoder,
    journal: UpdateLog | None = None,
) -> Labelling:
    """Programs for `problems`, labelled. The draws of a chunk depend on its `number` alone."""
    seed = zlib.crc32(f"{settings.seed}/{number}".encode())
    generator = rngs(seed, policy.device)[1]
    groups = collect(policy, env, problems, sampling, repeats=settings.samples, generator=generator, journal=journal)
    distinct = {
        (problem.id, e.program.text): Attempt(problem, e.program, e.verdict)
        for problem, group in zip(problems, groups, strict=True)
        for e in group
    }
    return label(policy, env, list(distinct.values()), settings.completions, sampling, generator, journal)


def label_lines(
    policy: Policy[Any],
    env: UnitTestEnv,
    settings: LabelSettings,
    sampling: AnyDecoder,
    out: Path,
    advance: Callable[[int, Counter[str]], None] | None = None,
    journal: UpdateLog | None = None,
) -> Counter[str]:
    """Labels what `settings` ask for, into `out`; what is there already is kept. The counts of `tally`.

    `advance(problems, counts)` is called before the first chunk and after each.
    """
    env.require("trace", "the labelling of lines")
    rng = np.random.default_rng(settings.seed)
    problems = [env.source.draw(rng) for _ in range(settings.problems)]
    path = out / LABELS
    lines = records(path)
    write_text(path, "".join(to_json(line) + "\n" for line in lines))  # without what a killed writer left half done
    report = advance or (lambda done, counts: None)
    report(len(lines) * settings.chunk, tally(lines))
    with open(path, "a", encoding="utf-8", buffering=1) as file:
        for number in range(len(lines), settings.chunks):
            part = problems[number * settings.chunk : (number + 1) * settings.chunk]
            chunk = label_chunk(policy, env, part, settings, number, sampling, journal)
            cost = {"programs": len(part) * settings.samples, "completions": chunk.completions}
            lines.append({"chunk": number, **cost, "labels": [each.to_dict() for each in chunk.labels]})
            file.write(to_json(lines[-1]) + "\n")
            report(min((number + 1) * settings.chunk, len(problems)), tally(lines))
    return tally(lines)


def tally(lines: Sequence[dict[str, Any]]) -> Counter[str]:
    """What the labels cost and hold: programs and completions that were judged; different programs by kind."""
    counts = Counter[str](programs=0, completions=0, distinct=0, passed=0, revised=0)
    for line in lines:
        labels = [LineLabels.from_dict(each) for each in line["labels"]]
        counts.update(programs=line["programs"], completions=line["completions"], distinct=len(labels))
        counts.update(passed=sum(each.outcome is Outcome.PASSED for each in labels))
        counts.update(revised=sum(each.revised for each in labels))
    return counts


def read(folder: Path) -> tuple[list[LineLabels], dict[str, Any]]:
    """The labels of a finished labelling, and what is known of it: settings, counts, environment.

    Raises:
        MissingData: there is none, or it has not come to its end.
    """
    lines = records(folder / LABELS)
    description = next(iter(records(folder / ABOUT)), {})
    if not lines or len(lines) < LabelSettings(**description.get("settings", {})).chunks:
        raise MissingData(
            f"Expected the labels of lines in {str(folder)!r}, got {'some of them' if lines else 'none'}. "
            "Label them with `python -m agents.label_lines RUN`, or let the same command go on."
        )
    labels = [LineLabels.from_dict(each) for line in lines for each in line["labels"]]
    return labels, description | {"counts": dict(tally(lines))}


def label_run(run: Path, settings: LabelSettings, out: Path, console: Console, device: str = "") -> Counter[str]:
    """Labels programs of a finished run's policy, into `out`; what the labels cost and hold.

    Raises:
        MissingData: the run has no policy yet.
        DataError: `out` holds labels of other settings, or of another run.
    """
    recipe = for_labels(finished(run, device))
    policy = make_policy(recipe)
    with make_env(recipe, policy) as env:
        begin(out, about(run, settings, env))
        sampling = replace(trained_with(recipe), temperature=settings.temperature)
        with _progress(console, settings) as (advance, journal):
            return label_lines(policy, env, settings, sampling, out, advance, journal)


def about(run: Path, settings: LabelSettings | RepairSettings, env: UnitTestEnv) -> dict[str, Any]:
    """What labels, or repair pairs, are of: settings, the run with the length that it has now, and its problems."""
    recipe = read_recipe(run / "recipe.toml")
    origin = {"recipe": recipe.digest, "updates": recipe.run.updates, "data_digest": env.data_digest}
    return {"settings": asdict(settings), "env": env.spec.id if env.spec else "", **origin}


def begin(out: Path, description: dict[str, Any], what: str = "labels") -> None:
    """Writes what labels, or whatever `what` names, are of; or finds that those in `out` are of just this."""
    present = next(iter(records(out / ABOUT)), description)
    if present != description:
        raise DataError(
            f"Expected {out} to hold {what} of {description}, got {present}. "
            "Choose another folder with --out, or remove this one."
        )
    out.mkdir(parents=True, exist_ok=True)
    write_text(out / ABOUT, to_json(description) + "\n")


def in_words(counts: Counter[str]) -> str:
    """What came, and what it cost."""
    return (
        f"{counts['distinct']} different programs of {counts['programs']}: {counts['passed']} passed, "
        f"{counts['revised']} wrong ones with a line to build on; {counts['completions']} completions."
    )


@contextmanager
def _progress(
    console: Console, settings: LabelSettings
) -> Iterator[tuple[Callable[[int, Counter[str]], None], UpdateLog]]:
    """A bar in a terminal; elsewhere a line a chunk, and signs of life between."""
    with heartbeat(console) as pulse, progress(console) as bars:
        task = bars.add_task("problems labelled", total=settings.problems)

        def advance(done: int, counts: Counter[str]) -> None:
            bars.update(task, completed=done)
            if done and not console.is_terminal:
                console.print(
                    f"{done} of {settings.problems} problems: {in_words(counts)}", highlight=False, soft_wrap=True
                )
            pulse.doing(f"labelling, {done} of {settings.problems} problems done")

        def working(what: str, done: int, total: int) -> None:
            pulse.doing("labelling", f"{what}, {done} of {total}")

        yield advance, UpdateLog(progress=working)
