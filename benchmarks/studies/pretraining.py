"""`python -m benchmarks.studies.pretraining [--seeds N]`: what pairs teach before tests do (CodeT5+, arXiv 2305.07922).

    t2c        a program after its text, and nothing else: the control
    longer     the same for as many updates as `all` has passes through the model, five times as many: the honest control
    c2t        + a text after its program
    contrast   + the one found among many by the other
    all        + whether a text and a program belong together: the paper's second stage
    others     all, with programs of other texts in contrast and match: what of it is more than more gradients

Predicted before the first run: contrast and match find references and tell wrong programs from right ones better than likelihood
does (recall, auc), and `all` chooses better of eight (rerank); `others` does neither, and is no better than `t2c`. What is written,
right after pre-training and after unit tests (pass, seen, unseen), is the same in `all` and `t2c` to 2 points, and `longer` is not
below `all`: 2,000 references are few, and the generator learns from them what there is. Mutants are the hard part of recall: it is
below 50 % for every arm.

Arms begin with equal random weights and have equal references, 600 updates of pre-training and 480 of RLTF. Measured on problems
of "seen":

    recall   is the own reference first among 64: 31 of other problems, up to 32 mutants of its own (some are equivalent)
    auc      how often a reference is above a wrong program for the same problem; of `t2c`'s, the same programs for every arm.
             A problem without one counts as a tie
    rerank   of eight programs of the arm's own, does the chosen one pass;  pass: do they on average
    seen, unseen   pass@1 after RLTF from there

A rule is "likelihood" (mean log-probability of a program's tokens), "embedding" or "match". Differences are of the same problems by
the same seed, with Student's interval over seeds, and Holm over the comparisons of a measure. Stopped, it goes on where it was.
Per arm of a seed expect on two free cores 1 to 7 minutes of pre-training, 6 of RLTF and 2 of measuring: 75 minutes a seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from agents.building import make_env
from agents.config import Recipe, finished, read
from agents.core import Episode, TrainingSample, rngs
from agents.critics.matcher import Matcher
from agents.decoding.sampling import Sampling
from agents.learning.reference import logprobs
from agents.policies.pair_heads import plain_sample
from agents.rollout import collect
from agents.train import train
from benchmarks import demo
from benchmarks.records.record import read_json, write_json
from benchmarks.studies.arms import (
    STOPPED,
    Arm,
    Size,
    add_arms,
    check_problems,
    command_of,
    compared,
    markdown,
    named,
    options,
    seed_by_seed,
)
from rltf_env import datasets
from rltf_env.command import guarded, leave
from rltf_env.core import Outcome, Problem
from rltf_env.datasets._mutants import mutants
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError

PROBLEMS, CANDIDATES, SAMPLES, ROWS = 200, 64, 8, 64
MODULE = "benchmarks.studies.pretraining"
LONGER = 5  # times the updates
Pairs = Sequence[Sequence[TrainingSample]]  # candidates of each problem, its reference first
Groups = Sequence[Sequence[Episode]]  # judged programs of each problem
Rates = dict[str, dict[str, list[float]]]  # of each problem, by measure and row


def _weights(**weights: int) -> str:
    named = {"t2c": 1, "c2t": 0, "contrast": 0, "match": 0} | weights
    return "agent.weights={ " + ", ".join(f"{name} = {value}" for name, value in named.items()) + " }"


@dataclass(frozen=True)
class Start(Arm):
    """An arm, and the rules by which it may choose besides likelihood."""

    rules: tuple[str, ...] = ()


_ALL = _weights(c2t=1, contrast=1, match=1)
ARMS: Mapping[str, Start] = {
    "t2c": Start("program after text", "codet5p", (_weights(),)),
    "longer": Start(
        "program after text, as long",
        "codet5p",
        (_weights(), f"run.updates={LONGER * 600}", f"agent.optimiser.length={LONGER * 600}"),
    ),
    "c2t": Start("+ text after program", "codet5p", (_weights(c2t=1),)),
    "contrast": Start("+ contrast", "codet5p", (_weights(c2t=1, contrast=1),), ("embedding",)),
    "all": Start("+ match", "codet5p", (_ALL,), ("embedding", "match")),
    "others": Start("all, of wrong pairs", "codet5p", (_ALL, 'agent.pairs="others"'), ("embedding", "match")),
}
COMPARED: Mapping[str, tuple[tuple[str, str], ...]] = {
    "recall": (
        ("all/embedding", "t2c/likelihood"),
        ("all/match", "t2c/likelihood"),
        ("all/embedding", "longer/likelihood"),
        ("all/embedding", "contrast/embedding"),
        ("all/embedding", "others/embedding"),
        ("all/match", "others/match"),
    ),
    "auc": (("all/match", "t2c/likelihood"), ("all/match", "all/likelihood"), ("all/match", "others/match")),
    "rerank": (("all/match", "all/likelihood"), ("all/match", "longer/likelihood"), ("all/match", "others/match")),
    "pass": (("all", "t2c"), ("all", "longer"), ("all", "others"), ("contrast", "t2c"), ("c2t", "t2c")),
    "seen": (("all", "t2c"), ("all", "longer"), ("all", "others"), ("contrast", "t2c"), ("c2t", "t2c")),
    "unseen": (("all", "t2c"), ("all", "longer"), ("all", "others"), ("contrast", "t2c"), ("c2t", "t2c")),
}
TITLES = {
    "recall": "recall@1",
    "auc": "auc",
    "rerank": "passed",
    "pass": "pass@1",
    "seen": "pass@1",
    "unseen": "pass@1",
}

# ------------------------------------------------------------------------------------------------------------ recipes


def start(id: str, out: Path, seed: int, overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of an arm's pre-training, which begins with random weights, in a folder of its own below the seed's."""
    arm = ARMS[id]
    last = ["run.eval_every=0", "eval.size=8"]
    own = [f'run.out="{out / f"seed-{seed}" / id}"', f"run.seed={seed}"]
    return read(demo.RECIPES / f"procedural_{arm.base}.toml", [*own, *last, *arm.changed, *overrides])


def after(id: str, out: Path, seed: int, split: str = "", overrides: Sequence[str] = ()) -> Recipe:
    """The recipe of RLTF from an arm's start; with a `split`, of no update, which measures what that came to."""
    folder = out / f"seed-{seed}"
    begun = folder / (f"{id}-rltf" if split else id) / "policy"
    own = [
        f'run.out="{folder / f"{id}-rltf"}{f"-{split}" if split else ""}"',
        f"run.seed={seed}",
        f'policy={{ kind = "seq2seq", path = "{begun}" }}',
    ]
    how = ["run.updates=0", f'eval.split="{split}"'] if split else ["run.eval_every=0", "eval.size=8"]
    return read(demo.RECIPES / "procedural_rltf.toml", [*own, *overrides, *how])


# ------------------------------------------------------------------------------------------------------------ measures


def scores(matcher: Matcher, pairs: Pairs, rule: str) -> list[np.ndarray]:
    """float64 (C,) for each problem: how well each of its candidates belongs to it."""
    flat = [sample for group in pairs for sample in group]
    if rule == "likelihood":
        values = [
            float(row[s.loss_mask].mean()) for row, s in zip(logprobs(matcher.policy, flat, ROWS), flat, strict=True)
        ]
    elif rule == "match":
        values = matcher.odds(flat).tolist()
    else:
        programs = [s.tokens[: max(1, len(s.tokens) - 1)] for s in flat]  # of an empty one, its end
        texts, codes = matcher.features([s.prompt for s in flat]), matcher.features(programs)
        values = (texts * codes).sum(1).tolist()
    ends = np.cumsum([len(group) for group in pairs])[:-1]
    return list(np.split(np.array(values), ends))


def recall(found: Sequence[np.ndarray]) -> list[float]:
    """For each problem 1 where the first candidate, its own reference, is above all others."""
    return [float(s[0] > s[1:].max()) for s in found]


def auc(found: Sequence[np.ndarray]) -> list[float]:
    """For each problem the share of the other candidates that the first one is above; a tie counts half, as none does."""
    return [float(((s[0] > s[1:]) + 0.5 * (s[0] == s[1:])).mean()) if len(s) > 1 else 0.5 for s in found]


def candidates(env: UnitTestEnv, problems: Sequence[Problem], seed: int) -> Pairs:
    """`CANDIDATES` programs for each problem's text, its own reference first, up to half of them mutants of it."""
    rng = np.random.default_rng(seed)
    own = [_written(env, problem, problem.solutions[0]) for problem in problems]
    made: list[list[TrainingSample]] = []
    for i, problem in enumerate(problems):
        wrong = [_written(env, problem, m.text) for m in mutants(problem.solutions[0], CANDIDATES // 2, rng)]
        rest = [j for j in rng.permutation(len(problems)).tolist() if problems[j].solutions[0] != problem.solutions[0]]
        others = [plain_sample(own[i].prompt, own[j].tokens) for j in rest[: CANDIDATES - 1 - len(wrong)]]
        made.append([own[i], *wrong, *others])
    return made


def _written(env: UnitTestEnv, problem: Problem, text: str) -> TrainingSample:
    """A text as the program for a problem, however it compares with the limit of tokens."""
    tokens = [*env.tokenizer.encode(text.rstrip() + "\n"), env.tokenizer.eos_id]
    return plain_sample(env.encode_prompt(problem), np.array(tokens, np.int64))


def wrong_programs(groups: Groups) -> list[list[str]]:
    """For each problem the different programs that were written for it, ended, and do not pass."""
    failed = [
        [e.program.text for e in group if e.verdict.outcome is not Outcome.PASSED and not e.program.truncated]
        for group in groups
    ]
    return [list(dict.fromkeys(text for text in texts if text.strip())) for texts in failed]


def pooled(env: UnitTestEnv, problems: Sequence[Problem], wrong: Sequence[Sequence[str]]) -> Pairs:
    """Each problem's reference, and its wrong programs."""
    return [
        [_written(env, problem, text) for text in (problem.solutions[0], *texts)]
        for problem, texts in zip(problems, wrong, strict=True)
    ]


def rerank(matcher: Matcher, groups: Groups, rule: str) -> list[float]:
    """For each problem 1 where the program that the rule chooses passes, of equals the first."""
    return [_passed(group[_best(matcher, group, rule)]) if group else 0.0 for group in groups]


def _best(matcher: Matcher, group: Sequence[Episode], rule: str) -> int:
    if rule == "likelihood":
        order = [float(np.mean(e.logprobs[e.program.generated_mask])) for e in group]
    else:
        order = scores(matcher, [[plain_sample(e.prompt, _ended(e, matcher)) for e in group]], rule)[0].tolist()
    return max(range(len(group)), key=lambda k: order[k])


def _passed(episode: Episode) -> float:
    return float(episode.verdict.outcome is Outcome.PASSED)


def _ended(episode: Episode, matcher: Matcher) -> np.ndarray:
    tokens, end = episode.program.tokens, matcher.policy.eos_id
    return tokens if len(tokens) and tokens[-1] == end else np.append(tokens, end)


def measure(id: str, out: Path, seed: int, size: int = PROBLEMS) -> dict[str, dict[str, list[float]]]:
    """Rates of an arm's start, by measure and row; kept in its folder, and read there if they are there already.

    The wrong programs of the first arm, `t2c`, are those of every arm: it is measured first.
    """
    folder = out / f"seed-{seed}"
    kept = folder / id / f"measured-{size}.json"
    if not kept.exists():
        recipe = finished(folder / id)
        problems = datasets.load("procedural", "seen", **{**recipe.eval.options, "size": size})
        matcher = Matcher.load(folder / id / "policy", rows=ROWS)
        with make_env(recipe, matcher.policy) as env:
            write_json(kept, _measured(id, matcher, env, problems, folder / f"wrong-{size}.json", seed))
    return read_json(kept)


def _measured(
    id: str, matcher: Matcher, env: UnitTestEnv, problems: Sequence[Problem], pool: Path, seed: int
) -> dict[str, dict[str, list[float]]]:
    generator = rngs(seed, matcher.policy.device)[1]
    sampling = Sampling(temperature=0.6, top_p=0.95)
    groups = collect(matcher.policy, env, problems, sampling, repeats=SAMPLES, generator=generator)
    if id == "t2c":
        write_json(pool, {"programs": wrong_programs(groups)})
    pairs, wrong = candidates(env, problems, seed), pooled(env, problems, read_json(pool)["programs"])
    rules = ("likelihood", *ARMS[id].rules)
    return {
        "recall": {f"{id}/{rule}": recall(scores(matcher, pairs, rule)) for rule in rules},
        "auc": {f"{id}/{rule}": auc(scores(matcher, wrong, rule)) for rule in rules},
        "rerank": {f"{id}/{rule}": rerank(matcher, groups, rule) for rule in rules},
        "pass": {id: [float(np.mean([_passed(e) for e in group] or [0.0])) for group in groups]},
    }


# ------------------------------------------------------------------------------------------------------------ running


def run(
    out: Path,
    seed: int,
    console: Console,
    length: Size,
    problems: int = PROBLEMS,
    arms: Mapping[str, Start] = ARMS,
) -> Rates:
    """The arms of a seed: pre-training, its measures, RLTF, and what that came to; rates by measure and row."""
    rates: Rates = {name: {} for name in COMPARED}
    for id, arm in arms.items():
        console.rule(f"seed {seed}: {arm.name}")
        train(start(id, out, seed), console)
        for name, rows in measure(id, out, seed, problems).items():
            rates[name] |= rows
        train(after(id, out, seed, overrides=length.changed), console)
        for name, split in (("seen", "seen"), ("unseen", "test")):
            done = train(after(id, out, seed, split, length.changed), console)
            rates[name][id] = demo.rates(demo.last(done)).tolist()
    return rates


def table(runs: Mapping[int, Rates]) -> dict[str, Any]:
    """All figures, as plain data, of the rates of `run` by seed."""
    prediction = (__doc__ or "").split("\n\n")[2].partition(": ")[2].replace("\n", " ")
    figures: dict[str, Any] = {"prediction": prediction, "seeds": sorted(runs)}
    for name, pairs in COMPARED.items():
        rows = runs[min(runs)][name]
        rates = {row: np.array([runs[seed][name][row] for seed in sorted(runs)]) for row in rows}  # (S, N) each
        arms = {row: {"name": _name(row), "by_seed": rates[row].mean(1).tolist()} for row in rows}
        problems = next(iter(rates.values())).shape[1]
        both = [pair for pair in pairs if set(pair) <= rows.keys()]
        figures[name] = {"problems": problems, "arms": arms, "comparisons": compared(both, rates)}
    return figures


def _name(row: str) -> str:
    id, _, rule = row.partition("/")
    return f"{ARMS[id].name}, by {rule}" if rule else ARMS[id].name


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    parser = options(MODULE, __doc__ or "", Path("runs/pretraining"), "of RLTF in each arm")
    add_arms(parser)
    parser.add_argument("--problems", type=int, default=PROBLEMS, help=f"that are measured on (default: {PROBLEMS})")
    asked = parser.parse_args(arguments)
    return guarded(lambda: _run(asked), STOPPED)


def _run(asked: argparse.Namespace) -> int:
    check_problems(asked, 2)
    arms = named(ARMS, asked.arms.split(",") if asked.arms else [])
    if "t2c" not in arms:
        raise UsageError(
            f"Expected t2c among --arms, whose wrong programs every arm is asked about, got {asked.arms}. Add it."
        )
    some = [f"--arms {asked.arms}"] if asked.arms else []
    words = command_of(MODULE, asked.seeds, asked.updates, [f"--problems {asked.problems}", *some])
    return seed_by_seed(
        asked, words,
        lambda console, out, seed, size: run(out, seed, console, size, asked.problems, arms),
        table,
        lambda found: markdown(found, TITLES),
    )  # fmt: skip


if __name__ == "__main__":
    leave(main())
