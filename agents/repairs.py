"""Repair pairs: a wrong program with what its failure said, and a right one. What teaches a policy to repair.

    pairs.jsonl     a line for each chunk of problems: {"chunk": ..., "pairs": [...], counts}
    about.json      the settings, and what the programs came from

    references = { repairs = "runs/x/repairs", repair_share = 0.5 }     of any agent that reads references

A pair becomes a problem whose statement goes on as `rltf_env.prompts.repair` writes it, which is what
`agents/decoding/critic_sampling.py` asks with, and whose reference is the right program. So it is drawn, put into tokens and learnt
from as every other reference is. CodeRL (arXiv 2207.01780, section 3.4) trains a model of its own on such pairs; here one policy
writes and repairs.

`python -m agents.repair_pairs` makes the files (`agents/repairing.py`). Pairs are of training problems alone: one of a
problem that the environment does not hold, or that a run measures itself on, is refused when it is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from agents.options import chosen
from agents.running.folder import records, to_json, write_text
from rltf_env import prompts, tokenizers
from rltf_env.core import Attempt, Problem, Source
from rltf_env.env import UnitTestEnv
from rltf_env.errors import DataError, MissingData, UnknownName, UsageError
from rltf_env.intervals import statements

Fits = Callable[[Problem, int], bool]  # whether the problem's reference of that index can be a target
PAIRS, ABOUT = "pairs.jsonl", "about.json"
SHARE = 0.5  # of the references that are drawn


TARGETS = ("success", "reference")


@dataclass(frozen=True)
class RepairSettings:
    """What pairs are made of.

    Args:
        problems, samples: programs that a run's policy writes: `samples` for each of `problems` problems.
        most: different wrong programs of a problem that become pairs; the first ones.
        target: "success": a program for the problem that passes, the next one after the wrong one, or else the last one before
            it, or else a reference; "reference": a reference, or else a success.
        chunk: problems that are done side by side, and lost by Ctrl-C.
        temperature: at which a run's programs are drawn.
        seed: of problems and draws.
    """

    problems: int = 512
    samples: int = 8
    most: int = 4
    target: str = "success"
    chunk: int = 32
    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.problems, self.samples, self.most, self.chunk) < 1:
            raise UsageError(f"Expected problems, samples, most, chunk >= 1, got {chosen(self)}.")
        if self.target not in TARGETS:
            raise UnknownName("value of --target", str(self.target), TARGETS)


@dataclass(frozen=True)
class RepairPair:
    """A wrong program, and what puts it right.

    Args:
        problem: its id.
        program: the wrong program, the problem's prefix included.
        report: what is said of it (`rltf_env.prompts.report`).
        success: the policy's own program that passes; "": the problem's references are the target.
    """

    problem: str
    program: str
    report: str
    success: str = ""

    def to_dict(self) -> dict[str, str]:
        """Plain data, for a file."""
        return asdict(self)


def read(folder: Path) -> tuple[list[RepairPair], dict[str, Any]]:
    """The pairs of a folder that is finished, and what is known of them.

    Raises:
        MissingData: there are none, or they have not come to their end.
    """
    lines, about = records(folder / PAIRS), next(iter(records(folder / ABOUT)), {})
    if not about or len(lines) < about["chunks"]:
        raise MissingData(
            f"Expected repair pairs in {str(folder)!r}, got {'some of them' if lines else 'none'}. "
            "Make them with `python -m agents.repair_pairs RUN`, or let the same command go on."
        )
    return [RepairPair(**pair) for line in lines for pair in line["pairs"]], about


def write(folder: Path, pairs: Sequence[RepairPair], about: Mapping[str, Any]) -> None:
    """Pairs as a finished folder, with what is known of them."""
    folder.mkdir(parents=True, exist_ok=True)
    line = {"chunk": 0, "counts": {"pairs": len(pairs)}, "pairs": [pair.to_dict() for pair in pairs]}
    write_text(folder / PAIRS, to_json(line) + "\n")
    write_text(folder / ABOUT, to_json({**about, "chunks": 1}) + "\n")


def source(base: Source, path: str | Path, env: UnitTestEnv, fits: Fits, share: Any = SHARE) -> RepairSource:
    """References drawn from `base`, and in their place a share of the pairs in the folder `path`.

    Args:
        base: the source of the other references.
        path: what `python -m agents.repair_pairs` wrote.
        env: whose problems, prompts and limits the pairs have.
        fits: says which references can be targets; a pair without one is left out, as is one whose target the tokenizer does not
            spell as it is.
        share: of the draws that are pairs, in (0, 1].

    Raises:
        MissingData: there is no such folder, or it is not finished.
        DataError: a pair is of a problem that the environment does not hold.
        UsageError: an impossible share, a prompt style without statements, or no pair that fits.
    """
    if not isinstance(share, int | float) or isinstance(share, bool) or not 0 < share <= 1:
        raise UsageError(f"Expected references.repair_share in (0, 1], got {share!r}.")
    pairs, _ = read(Path(path))
    problems = [problem for pair in pairs if (problem := asked(pair, env, fits)) is not None]
    if not problems:
        raise UsageError(
            f"Expected repair pairs in {path} that fit env.max_prompt_tokens={env.max_prompt_tokens} and "
            f"env.max_program_tokens={env.max_program_tokens}, got none of {len(pairs)}. Raise the limits."
        )
    return RepairSource(base, tuple(problems), float(share))


def asked(pair: RepairPair, env: UnitTestEnv, fits: Fits) -> Problem | None:
    """The problem that a pair asks, its reference the right program; None if prompt or program do not fit.

    Raises:
        DataError: the environment does not hold the pair's problem.
        UsageError: its prompt style shows no statement.
    """
    try:
        problem = env.source.find(pair.problem)
    except UnknownName as error:
        raise DataError(
            f"Expected repair pairs of the environment's own problems, got one of {pair.problem!r}, which it does not train on. "
            "Make pairs with `python -m agents.repair_pairs RUN`, of a run with this environment."
        ) from error
    if pair.success:
        problem = replace(problem, solutions=(pair.success,))
    solutions = _targets(problem, pair, fits)
    repair = prompts.fitting_repair(
        replace(problem, solutions=solutions),
        pair.program,
        pair.report,
        lambda p: _length(p, env),
        env.max_prompt_tokens,
    )
    if repair is not None and _text(repair, env) == _text(problem, env):
        raise UsageError(
            f"Expected prompts that show a problem's statement, got env.prompt_style={env.prompt_style!r}: a repair could not be "
            "asked for. Choose another style."
        )
    return repair if solutions else None


def _targets(problem: Problem, pair: RepairPair, fits: Fits) -> tuple[str, ...]:
    try:
        return tuple(text for i, text in enumerate(problem.solutions) if fits(problem, i))
    except UsageError:
        if not pair.success:
            raise
        return ()  # another model's program, which this tokenizer does not spell


def _text(problem: Problem, env: UnitTestEnv) -> str:
    return prompts.render(problem, env.prompt_style)


def _length(problem: Problem, env: UnitTestEnv) -> int:
    return len(tokenizers.encode_prompt(env.tokenizer, _text(problem, env)))


@dataclass(frozen=True)
class RepairSource:
    """See `source`, and `rltf_env.core.Source`. It finds whole problems, and draws pairs in the share of draws.

    Args:
        base: the source of the other references.
        problems: what the pairs ask.
        share: of the draws that are pairs.
    """

    base: Source
    problems: tuple[Problem, ...]
    share: float

    def draw(self, rng: np.random.Generator) -> Problem:
        """A problem of `base`, or what a pair asks."""
        if rng.random() < self.share:
            return self.problems[int(rng.integers(len(self.problems)))]
        return self.base.draw(rng)

    def find(self, id: str) -> Problem:
        """The whole problem with this id; raises `UnknownName`."""
        return self.base.find(id)

    def observe(self, attempt: Attempt) -> None:
        """Nothing: references are no attempts."""


# ------------------------------------------------------------------------------------------------ held-out problems


class HeldOut:
    """The problems that a run is measured on, by id and by what they ask."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        self.ids = {problem.id for problem in self.problems}

    def among(self, problems: Sequence[Problem]) -> list[Problem]:
        """Those of `problems` that are measured on, under this id or another."""
        numbers = statements([*self.problems, *problems])
        held = set(numbers[: len(self.problems)])
        asked = zip(problems, numbers[len(self.problems) :], strict=True)
        return [problem for problem, number in asked if number in held or problem.id in self.ids]

    def without(self, problems: Sequence[Problem]) -> list[Problem]:
        """Those of `problems` that are not measured on."""
        held = {problem.id for problem in self.among(problems)}
        return [problem for problem in problems if problem.id not in held]


def check_held_out(references: Any, env: UnitTestEnv, measured: Iterable[Problem]) -> None:
    """Raises DataError where an agent's references hold pairs of problems that its run is measured on."""
    if not isinstance(references, RepairSource):
        return
    ids = dict.fromkeys(problem.id for problem in references.problems)
    held = HeldOut(measured).among([env.source.find(id) for id in ids])
    if held:
        raise DataError(
            f"Expected repair pairs of problems that [eval] does not measure on, got pairs of {len(held)} that it does, such as "
            f"{held[0].id!r}. Make the pairs with a run that has this [eval]."
        )
