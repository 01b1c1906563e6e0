"""Training a line reward model on labels of a run's programs (arXiv 2410.17621).

    RUN/line_labels --programs with labelled lines--> LineModel.learn --> RUN/line_model

The model begins as a copy of the run's policy, with a head. How well it does is measured on programs
for problems of which it has learnt none, beside what a constant, and what the place of a line in its
program, would score: `line_model_training.json` in the folder says all.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from agents.building import make_env, make_policy
from agents.config import finished
from agents.config import read as read_recipe
from agents.core import TrainingSample
from agents.critics.line_model import LineModel, Wording
from agents.critics.line_settings import LineModelSettings
from agents.labelling import for_labels
from agents.learning.learner import OptimiserConfig
from agents.line_labels import LineLabels
from agents.running import checkpoint, files
from agents.running.folder import to_json, write_text
from agents.running.panel import heartbeat, progress
from agents.running.stopping import Request, Stopped, requested
from rltf_env.core import Outcome, Problem
from rltf_env.errors import DataError, UsageError

REPORT, CHECKPOINTS = "line_model_training.json", "checkpoints"
REPORT_EVERY = 20  # updates between lines of progress
Examples = list[tuple[LineLabels, TrainingSample]]


def select(labels: Sequence[LineLabels], keep: str) -> list[LineLabels]:
    """The programs that `LineModelSettings.keep` names. Raises UsageError, which counts what came, if there is none."""
    solved = {each.problem for each in labels if each.outcome is Outcome.PASSED}
    rules: dict[str, Callable[[LineLabels], bool]] = {
        "all": lambda each: True,
        "revised": lambda each: each.revised,
        "hard": lambda each: each.outcome is not Outcome.PASSED and each.problem not in solved,
    }
    chosen = [each for each in labels if rules[keep](each)]
    if not chosen:
        passed = sum(each.outcome is Outcome.PASSED for each in labels)
        raise UsageError(
            f"Expected programs to learn from with --keep {keep}, got none of {len(labels)}: {passed} passed, and of "
            f"{len(labels) - passed} wrong ones none had a line to build on, or their problems were solved. Label more "
            "problems, with more completions, or with a policy that passes some; or choose another --keep."
        )
    return chosen


def split(
    labels: Sequence[LineLabels], unseen: float, rng: np.random.Generator
) -> tuple[list[LineLabels], list[LineLabels]]:
    """Programs to learn from, and programs for other problems to measure on. Raises UsageError for a single problem."""
    problems = sorted({each.problem for each in labels})
    if len(problems) < 2:
        raise UsageError(
            f"Expected programs for 2 problems or more, got {len(problems)}: one has to be measured on. Label more problems."
        )
    order = rng.permutation(len(problems))
    held = {problems[i] for i in order[: min(max(1, round(unseen * len(problems))), len(problems) - 1)]}
    return [e for e in labels if e.problem not in held], [e for e in labels if e.problem in held]


def train_line_model(
    model: LineModel,
    labels: Sequence[LineLabels],
    find: Callable[[str], Problem],
    settings: LineModelSettings,
    checkpoints: Path,
    on_update: Callable[[int, dict[str, float]], None] | None = None,
    stop: Request | None = None,
) -> dict[str, Any]:
    """Teaches `model` the labels; how well it knows those of other problems then.

    Args:
        find: the problem of an id.
        checkpoints: a folder, from which an unfinished training goes on; removed at its end.
        on_update: is given the number of each update and its metrics.
        stop: whether to end early, with a checkpoint.

    Raises:
        Stopped: `stop` asks for it.
        DataError: `checkpoints` are those of other settings or labels.
    """
    rng = np.random.default_rng(settings.seed)
    examples, unseen = (
        _examples(model, part, find) for part in split(select(labels, settings.keep), settings.unseen, rng)
    )
    if not examples or not unseen:
        raise UsageError("Expected programs that the model has room for, got none. Label shorter ones.")
    before = measure(model, unseen)
    digest = _digest(settings, labels)
    done = _restore(model, rng, checkpoints, digest)
    _learn(model, examples, settings, rng, done, checkpoints, digest, on_update, stop)
    files.remove(checkpoints)
    return {
        "settings": asdict(settings),
        "programs": {"labelled": len(labels), "learnt": len(examples)},
        "unseen": {**measure(model, unseen), "error_before": before["error"]},
    }


def _learn(
    model: LineModel,
    examples: Examples,
    settings: LineModelSettings,
    rng: np.random.Generator,
    done: int,
    checkpoints: Path,
    digest: str,
    on_update: Callable[[int, dict[str, float]], None] | None,
    stop: Request | None,
) -> None:
    for step in range(done + 1, settings.updates + 1):
        rows = rng.integers(len(examples), size=settings.batch_size)
        metrics = model.learn([examples[i][1] for i in rows])
        if on_update:
            on_update(step, metrics)
        ending = stop is not None and stop.asked
        if step < settings.updates and (ending or step % settings.checkpoint_every == 0):
            state = {"digest": digest, "model": model.state_dict(), "rng": rng.bit_generator.state}
            checkpoint.save(checkpoints, step, {"step": step, **state})
        if ending and step < settings.updates:
            raise Stopped(step, settings.updates)


def _restore(model: LineModel, rng: np.random.Generator, checkpoints: Path, digest: str) -> int:
    """The updates that are done, their state put back."""
    saved = checkpoint.latest(checkpoints)
    if saved is None:
        return 0
    if saved["digest"] != digest:
        raise DataError(
            f"Expected {checkpoints} to be of these settings and labels, got those of others. "
            "Choose another folder with --out, or remove this one."
        )
    model.load_state_dict(saved["model"])
    rng.bit_generator.state = saved["rng"]
    return int(saved["step"])


def _digest(settings: LineModelSettings, labels: Sequence[LineLabels]) -> str:
    content = [asdict(settings), [each.to_dict() for each in labels]]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _examples(model: LineModel, labels: Sequence[LineLabels], find: Callable[[str], Problem]) -> Examples:
    samples = ((each, model.example(find(each.problem), each.text, each.targets)) for each in labels)
    return [(each, sample) for each, sample in samples if sample is not None]


# ---------------------------------------------------------------------------------------- measuring


def measure(model: LineModel, unseen: Examples) -> dict[str, Any]:
    """How well the model knows the labels of these programs' lines, and how well a constant and a line's place do.

    `error` is the mean squared error, `constant_error` that of the labels' mean. `signs` is how often the
    sign is right on lines that hold code, `most_frequent` how often the most frequent sign is.
    `rank_correlation` is Spearman's of scores and labels, `place` that of a line's place in its program
    (earlier is better): None where all are equal.
    """
    scores = model.scores([sample for _, sample in unseen])
    masks = [sample.loss_mask for _, sample in unseen]
    labels = np.concatenate([sample.extra["label"][m] for (_, sample), m in zip(unseen, masks, strict=True)])
    predictions = np.concatenate([s[m] for s, m in zip(scores, masks, strict=True)])
    places = np.concatenate([-np.linspace(0, 1, int(m.sum())) for m in masks])
    code = labels != 0
    signs = labels[code] > 0
    return {
        "problems": len({each.problem for each, _ in unseen}),
        "programs": len(unseen),
        "lines": len(labels),
        "error": float(np.mean((predictions - labels) ** 2)),
        "constant_error": float(np.var(labels)),
        "signs": float(np.mean((predictions[code] > 0) == signs)) if code.any() else None,
        "most_frequent": float(max(signs.mean(), 1 - signs.mean())) if code.any() else None,
        "rank_correlation": spearman(predictions, labels),
        "place": spearman(places, labels),
    }


def spearman(a: np.ndarray, b: np.ndarray) -> float | None:
    """Spearman's rank correlation of two rows (N,), equal values sharing their mean rank; None where a row is constant."""
    ranks = [_ranks(a), _ranks(b)]
    if min(float(np.ptp(row)) for row in ranks) == 0:
        return None
    return float(np.corrcoef(ranks[0], ranks[1])[0, 1])


def _ranks(values: np.ndarray) -> np.ndarray:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[places]


# ------------------------------------------------------------------------------------------- of a run


def train_run(
    run: Path, labels: Sequence[LineLabels], settings: LineModelSettings, out: Path, console: Console, device: str = ""
) -> dict[str, Any]:
    """A line model that begins as a finished run's policy, in `out`; how well it does. A finished one is not made again."""
    digest = _digest(settings, labels)
    if (out / REPORT).is_file():
        finished_report = json.loads((out / REPORT).read_text(encoding="utf-8"))
        if finished_report["digest"] == digest:
            return finished_report
    recipe = for_labels(finished(run, device))
    trunk = make_policy(recipe)
    optimiser = OptimiserConfig(lr=settings.lr, warmup=min(20, settings.updates))
    model = LineModel(trunk, Wording.of(recipe.env), optimiser=optimiser)
    with make_env(recipe, trunk) as env, heartbeat(console) as pulse, progress(console) as bars:
        pulse.begin(f"{out}: learning the labels of {len(labels)} programs")
        task = bars.add_task("updates", total=settings.updates)

        def on_update(step: int, metrics: dict[str, float]) -> None:
            bars.update(task, completed=step)
            if not console.is_terminal and (step % REPORT_EVERY == 0 or step == settings.updates):
                line = "  ".join(f"{name} {value:.3f}" for name, value in metrics.items())
                console.print(f"update {step}: {line}", highlight=False, soft_wrap=True)

        with requested(console) as stop:
            report = train_line_model(model, labels, env.source.find, settings, out / CHECKPOINTS, on_update, stop)
    model.save(out)
    write_text(
        out / REPORT, to_json({**report, "digest": digest, "recipe": read_recipe(run / "recipe.toml").digest}, indent=1)
    )
    return json.loads((out / REPORT).read_text(encoding="utf-8"))


def in_words(unseen: dict[str, Any]) -> str:
    """How well the model does, beside what knows nothing."""
    signs = "no line that holds code"
    if unseen["signs"] is not None:
        signs = f"{unseen['signs']:.1%} of the signs right (always the most frequent: {unseen['most_frequent']:.1%})"
    ranks = [f"{unseen[name]:.2f}" if unseen[name] is not None else "none" for name in ("rank_correlation", "place")]
    return (
        f"On {unseen['lines']} lines of programs for {unseen['problems']} problems that it has not seen: {signs}, squared "
        f"error {unseen['error']:.3f} (a constant: {unseen['constant_error']:.3f}), rank correlation {ranks[0]} "
        f"(the line's place: {ranks[1]})."
    )
