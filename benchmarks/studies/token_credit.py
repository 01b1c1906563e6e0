"""`python -m benchmarks.studies.token_credit [--seeds N]`: token credit in TRL's own trainer.

    warm start of a seed --GRPOTrainer, as it is or with token credit--> policies --> pass@1

    warm       the start
    scalar     TRL's GRPOTrainer: every token has its program's advantage  A[i, t] = A[i]
    token      `TokenCreditTrainer`, which charges the line that raised    A[i, t] = A[i] + c[i, t]
    shuffled   the same charge on a line of the program drawn at random: as much in all, and no
               information

A[i] = (r[i] - mean of the group) / (deviation of the group + 0.0001). In all arms r is the reward
"coarse": 1 for a program that passes, -0.3 for a wrong answer, -0.6 for an error, -1 for one that
is not Python. c[i, t] is -0.3 on the tokens of the line that raised or does not compile (RLTF's
fine feedback, arXiv 2307.04349 eq. 9, with alpha = 1), and 0 on others. What fine feedback charges
to a program as a whole, as for a time-out, is left out. So arms differ in c and in nothing else. An
update has 8 programs for each of 8 problems, which are drawn as our own agents draw them. All arms
of a seed see the same problems in the same order, and write the same first 64 programs.

The optimiser is set to what our agents use (AdamW, weight decay 0.01, beta2 0.95, gradients clipped
at 1, 20 updates of warm-up, then linear to 0), at 2e-4, where our GRPO did best in the table of
algorithms. What differs from our GRPO there: the loss is the mean over the tokens of an update
(TRL's default, "dapo") and not over programs, and nothing draws the policy to the warm start (TRL's
beta is 0, ours 0.04). Every program is learnt from once, so that no ratio is clipped. With one
thread (OMP_NUM_THREADS=1) a seed gives the same policy again, unless a program meets the judge's
time limit. Generation is TRL's through transformers.

Predicted before the first run. `token` is within 2 points of `scalar` on both kinds of problems,
and is not told apart from it or from `shuffled`: most programs that fail here give a wrong answer,
of which fine feedback names no line, and RLTF's own parts showed no gain over coarse feedback in
the table. With `token`, fewer programs end in an error than with `scalar`. All three are above the
warm start on seen compositions, by what our GRPO gains there, about 6 points after 160 updates.

An arm that has learnt and was measured is left as it is; `--arms scalar,token` leaves the others
out. How arms are compared is said in `benchmarks.studies.arms`. An arm of 160 updates takes about
three minutes on a free core, and what measures it 20 seconds more.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import warnings
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from transformers import PrinterCallback, TrainerCallback
from transformers.utils import logging

from agents.building import make_env, make_policy
from agents.config import Recipe
from agents.core import Policy, rngs
from agents.train import train
from benchmarks import demo
from benchmarks.records.record import read_json, write_json
from benchmarks.studies import learners
from benchmarks.studies.arms import (
    MEASURES,
    PROGRAMS,
    STOPPED,
    WHOLE,
    Arm,
    Runs,
    Size,
    Study,
    add_arms,
    chosen_arms,
    command_of,
    markdown,
    options,
    provenance,
    seed_by_seed,
    table,
)
from rltf_env.adapters.trl import dataset, reward_function
from rltf_env.command import guarded, leave
from rltf_env.core import Attempt, Feedback, Program, Reward, line_starts
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError
from rltf_env.rewards.fine import Fine

MODULE = "benchmarks.studies.token_credit"
SAMPLES = 8  # programs for a problem
LEARNED = ("seconds", "programs", "tokens", "reward_first", "reward_last", "alike", "credit")
REPORTS = 8  # lines that an arm prints
SETTINGS: Mapping[str, Any] = {
    "learning_rate": 2e-4, "lr_scheduler_type": "linear", "warmup_steps": 20, "weight_decay": 0.01, "adam_beta2": 0.95,
    "max_grad_norm": 1.0, "beta": 0.0, "num_iterations": 1, "loss_type": "dapo", "scale_rewards": "group",
    "importance_sampling_level": "token", "temperature": 1.0, "num_generations": SAMPLES,
    "per_device_train_batch_size": PROGRAMS, "gradient_accumulation_steps": 1, "mask_truncated_completions": False,
    "use_vllm": False, "bf16": False, "use_cpu": True, "gradient_checkpointing": False, "shuffle_dataset": False,
}  # fmt: skip
QUIET: Mapping[str, Any] = {"report_to": "none", "save_strategy": "no", "disable_tqdm": True, "logging_steps": 1}

_LINES = 'env.reward="coarse+benchmarks.studies.token_credit:lines"'
STUDY = Study(
    "token within 2 points of scalar, and told apart neither from it nor from shuffled: most failures are wrong "
    "answers, of which no line is named. Fewer programs end in an error with token. All three above the warm start, "
    "on seen by about 6 points.",
    {
        "warm": Arm("warm start", "warm"),
        "scalar": Arm("one number a program", "rltf", ('env.reward="coarse"', "env.reward_options={}")),
        "token": Arm("+ the line that raised", "rltf", (_LINES, "env.reward_options={}")),
        "shuffled": Arm(
            "+ a line at random",
            "rltf",
            (_LINES, 'env.reward_options={ "benchmarks.studies.token_credit:lines" = { shuffled = {seed} } }'),
        ),
    },
    (("token", "scalar"), ("token", "shuffled"), ("shuffled", "scalar"), ("scalar", "warm"), ("token", "warm")),
)


# --------------------------------------------------------------------------------------------- credit


@dataclass(frozen=True)
class Lines:
    """Fine feedback where it names a line, and nothing where it charges a whole program.

    Args:
        shuffled: seed of the lines that are charged in place of the guilty ones; None: the guilty ones are.
    """

    fine: Fine = field(default_factory=lambda: Fine(alpha="none"))
    shuffled: int | None = None

    def __call__(self, attempt: Attempt) -> Feedback:
        """What the tokens of the line pay."""
        charged = self.fine(attempt)
        if charged.program_reward:
            return Feedback.build(attempt.program, "fine")
        return charged if self.shuffled is None else moved(charged, attempt.program, self.shuffled)


def lines(shuffled: int | None = None) -> Reward:
    """The reward `Lines`."""
    return Lines(shuffled=shuffled)


def moved(charged: Feedback, program: Program, seed: int) -> Feedback:
    """What single tokens pay, on the tokens of a line that holds code: any, with equal odds, the guilty one among them.

    The same sums, for the return and for the loss. The line hangs on the seed and on the program's text
    alone, so that it does not matter in which order programs are judged.
    """
    places = coded(program)
    if not charged.token_rewards.any() or not places:
        return charged
    rng = np.random.default_rng([seed, zlib.crc32(program.text.encode())])
    line = places[int(rng.integers(len(places)))]
    share = line / line.sum()
    sums = (float(charged.rewards.sum()), float(charged.token_rewards.sum()))
    return Feedback.build(program, "fine", tokens=share * sums[0], credit=share * sums[1])


def coded(program: Program) -> list[np.ndarray]:
    """bool (T,) for each line that is not blank: the tokens on it that the policy wrote, where there are some."""
    bounds = [*line_starts(program.text), len(program.text)]
    numbers = [number for number, (a, b) in enumerate(pairwise(bounds), 1) if program.text[a:b].strip()]
    rows = [program.tokens_on(number) & program.generated_mask for number in numbers]
    return [row for row in rows if row.any()]


# ------------------------------------------------------------------------------------------- learning


def recipe(id: str, out: Path, seed: int, size: Size = WHOLE) -> Recipe:
    """Policy, problems, judge and reward of an arm, in a folder of its own below the seed's. TRL learns by `SETTINGS`."""
    arm, folder = STUDY.arms[id], out / f"seed-{seed}"
    if arm.base == "warm":
        return demo.recipe(id, folder, seed, ["eval.size=8"])
    changed = [size.fill(text.replace("{seed}", str(seed)), out) for text in arm.changed]
    return demo.recipe(id, folder, seed, [*size.changed, *changed], arm.base)


def learn(recipe: Recipe, console: Console) -> dict[str, Any]:
    """Trains an arm with TRL and saves its policy in the recipe's folder, unless it stands there.

    Returns:
        What was done, as plain data: the settings, seconds, and TRL's log, a line an update.

    Raises:
        UsageError: one of other length or other settings stands there.
    """
    path = Path(recipe.run.out) / "learned.json"
    settings = {**SETTINGS, "updates": recipe.run.updates, "seed": recipe.run.seed, "reward": recipe.env["reward"]}
    if path.is_file():
        return _unless_other(path, settings)
    began, policy = time.monotonic(), make_policy(recipe)
    with make_env(recipe, policy) as env, tempfile.TemporaryDirectory() as folder, _silent():
        trainer = make_trainer(recipe, policy, env, folder)
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(Progress(console, recipe.run.updates))
        trainer.train()
    policy.save(path.parent / "policy")
    kept = [line for line in trainer.state.log_history if "reward" in line]
    made = {"settings": settings, "seconds": round(time.monotonic() - began, 1), "log": kept}
    write_json(path, made)  # last: what is half done is done again
    return made


def _unless_other(path: Path, settings: Mapping[str, Any]) -> dict[str, Any]:
    made = read_json(path)
    differing = [name for name, value in settings.items() if made["settings"].get(name) != value]
    if differing:
        known = {name: made["settings"].get(name) for name in differing}
        asked = {name: settings[name] for name in differing}
        raise UsageError(f"Expected {known}, as {path} has it, got {asked}. Choose another --out.")
    return made


def make_trainer(recipe: Recipe, policy: Policy[Any], env: UnitTestEnv, folder: str) -> Any:
    """GRPOTrainer for the reward "coarse", `TokenCreditTrainer` for others; on the recipe's problems."""
    from trl.trainer.grpo_config import GRPOConfig
    from trl.trainer.grpo_trainer import GRPOTrainer

    from rltf_env.adapters.trl import TokenCreditTrainer

    rng, _ = rngs(recipe.run.seed, torch.device("cpu"))
    problems = [env.source.draw(rng) for _ in range(recipe.run.updates * PROGRAMS // SAMPLES)]
    config = GRPOConfig(
        output_dir=folder, seed=recipe.run.seed, max_steps=recipe.run.updates,
        max_completion_length=recipe.env["max_program_tokens"], **SETTINGS, **QUIET,
    )  # fmt: skip
    known: dict[str, Any] = {
        "model": policy.model, "args": config, "processing_class": policy.tokenizer,  # type: ignore[attr-defined]
        "train_dataset": dataset(problems, recipe.env["prompt_style"]),
    }  # fmt: skip
    if recipe.env["reward"] == "coarse":
        return GRPOTrainer(reward_funcs=reward_function(env, extract=None), **known)
    return TokenCreditTrainer(env=env, choose=None, **known)


@contextmanager
def _silent() -> Iterator[None]:
    """Keeps back what transformers and TRL say of each other and of a model's special tokens."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logging.set_verbosity(verbosity)


class Progress(TrainerCallback):
    """A line every few updates: what programs earned, and how long an update takes."""

    def __init__(self, console: Console, updates: int) -> None:
        self.console, self.updates = console, updates
        self.every, self.began = max(1, updates // REPORTS), time.monotonic()

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, float] | None = None, **_: Any) -> None:
        """After each update."""
        if not logs or "reward" not in logs or state.global_step % self.every:
            return
        done = state.global_step
        self.console.print(
            f"update {done} of {self.updates}: reward {logs['reward']:+.2f}, "
            f"groups alike {logs['frac_reward_zero_std']:.0%}, {logs['completions/mean_length']:.0f} tokens, "
            f"{(time.monotonic() - self.began) / done:.2f} s an update",
            highlight=False,
        )


# -------------------------------------------------------------------------------------------- running


def run(out: Path, seed: int, console: Console, size: Size = WHOLE, study: Study = STUDY) -> dict[str, Any]:
    """All arms of a seed from one warm start: evaluations by measure and arm, and what learning came to."""
    evaluations: Runs = {measure: {} for measure in MEASURES}
    learned: dict[str, Any] = {}
    train(recipe("warm", out, seed), console)
    for id, arm in study.arms.items():
        console.rule(f"seed {seed}: {arm.name}")
        if id != "warm":
            learned[id] = summary(learn(recipe(id, out, seed, size), console))
        for measure in MEASURES:
            evaluations[measure][id] = measured(id, out, seed, measure, console)
    return {"evaluations": evaluations, "learned": learned}


def measured(id: str, out: Path, seed: int, measure: str, console: Console) -> dict[str, Any]:
    """The evaluation of an arm's policy on the demo's problems, kept beside the policy."""
    path = out / f"seed-{seed}" / id / f"{measure}.json"
    if not path.is_file():
        made = learners.measured(STUDY, id, out, seed, measure)
        write_json(path, demo.last(train(made, console)))
    return read_json(path)


def summary(made: Mapping[str, Any]) -> dict[str, float]:
    """What learning came to, of what `learn` gave.

    Seconds, programs, tokens of a program, the mean reward r of the first and of the last eighth of the
    updates, the share of groups in which all programs earned alike, and the sum of c of a program.
    """
    log, part = made["log"], max(1, len(made["log"]) // 8)

    def mean(key: str, some: Sequence[Mapping[str, float]]) -> float:
        return float(np.mean([line.get(key, 0.0) for line in some]))

    return {
        "seconds": made["seconds"], "programs": PROGRAMS * len(log), "tokens": mean("completions/mean_length", log),
        "reward_first": mean("reward", log[:part]), "reward_last": mean("reward", log[-part:]),
        "alike": mean("frac_reward_zero_std", log), "credit": mean("unit_tests/token_credit", log),
    }  # fmt: skip


def figures(results: Mapping[int, Mapping[str, Any]], study: Study = STUDY) -> dict[str, Any]:
    """All figures of these seeds, as plain data."""
    evaluations = {seed: each["evaluations"] for seed, each in results.items()}
    return {
        **table(study, evaluations),
        "versions": {**provenance("")["versions"], "trl": version("trl")},
        "settings": dict(SETTINGS),
        "learned": {str(seed): each["learned"] for seed, each in results.items()},
        "outcomes": {measure: {id: outcomes(evaluations, measure, id) for id in study.arms} for measure in MEASURES},
    }


def outcomes(evaluations: Mapping[int, Mapping[str, Any]], measure: str, id: str) -> dict[str, float]:
    """The share of an arm's measured programs that ended in each way, over all seeds."""
    counts = [each[measure][id]["outcomes"] for each in evaluations.values()]
    total = sum(sum(each.values()) for each in counts)
    return {name: sum(each[name] for each in counts) / total for name in counts[0]}


def in_words(result: Mapping[str, Any]) -> str:
    """The figures, to read."""
    parts = [markdown(result)]
    names = list(next(iter(result["outcomes"]["seen"].values())))
    for measure in MEASURES:
        parts.append(f"### {measure}: what became of the programs\n\n| arm | {' | '.join(names)} |")
        parts.append("| --- |" + " --- |" * len(names))
        for id, shares in result["outcomes"][measure].items():
            parts.append(f"| {STUDY.arms[id].name} | {' | '.join(f'{shares[name]:.1%}' for name in names)} |")
        parts.append("")
    parts.append(f"### learning\n\n| seed | arm | {' | '.join(LEARNED)} |\n| --- | --- |" + " --- |" * len(LEARNED))
    for seed, arms in result["learned"].items():
        for id, known in arms.items():
            cells = " | ".join(f"{known[key]:.4g}" for key in LEARNED)
            parts.append(f"| {seed} | {STUDY.arms[id].name} | {cells} |")
    return "\n".join(parts) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = options(MODULE, __doc__ or "", Path("runs/token-credit"))
    add_arms(parser)
    asked = parser.parse_args(arguments)
    return guarded(lambda: _run(asked), STOPPED)


def _run(asked: argparse.Namespace) -> int:
    if find_spec("trl") is None:
        raise UsageError("Expected TRL, got no such package. Run: pip install 'rltf[agents,thirdparty]'.")
    study, chosen = chosen_arms(STUDY, asked)

    def run_seed(console: Console, out: Path, seed: int, size: Size) -> dict[str, Any]:
        return run(out, seed, console, size, study)

    words = command_of(MODULE, asked.seeds, asked.updates, chosen)
    return seed_by_seed(asked, words, run_seed, lambda results: figures(results, study), in_words)


if __name__ == "__main__":
    leave(main())
