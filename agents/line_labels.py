"""Line labels (arXiv 2410.17621): how far a wrong program could still have been finished.

    lo, hi = 0, M                            nothing is written: recoverable; all is: known not to be
    while hi - lo > 1:  m = (lo + hi) // 2
        lines 1..m are recoverable if one of K completions of them passes:  lo = m, else hi = m
    label(l) = 1 for l <= lo, -1 beyond; 0 where line l holds no code

That takes at most K * ceil(log2 M) completions of a program. The policy that wrote it completes it,
and the tests decide; nobody writes a label. A program that passes has 1 on all lines with code.

The search takes for granted that what cannot be finished after m lines cannot be after more. The
completions are samples, so a beginning that is completed rarely may count as lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from typing import Any

import torch

from agents.core import AnyDecoder, Episode, Policy
from agents.critics.line_model import line_ends
from agents.rollout import collect
from agents.running.journal import UpdateLog
from rltf_env.core import Attempt, Outcome, Problem, Verdict
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError

IDLE = frozenset({"", "else:", "finally:"})  # lines that are not reported as code
Question = tuple[int, int]  # which program, and how many of its lines


@dataclass(frozen=True)
class LineLabels:
    """A program with a label for each of its lines.

    Args:
        problem: its id.
        text: the program.
        outcome: what became of it.
        prefix_lines: leading lines that the problem gives for free: nobody chose them.
        recoverable: leading lines after which some completion passed; all of them if it passes.
        labels: (M,) of -1, 0 and 1.
    """

    problem: str
    text: str
    outcome: Outcome
    prefix_lines: int
    recoverable: int
    labels: tuple[int, ...]

    @property
    def revised(self) -> bool:
        """True if it is wrong, and a line that it chose could still have been built on."""
        return self.outcome is not Outcome.PASSED and self.recoverable > self.prefix_lines

    @property
    def targets(self) -> list[float]:
        """The labels (M,) as a model learns them: NaN for the lines that were given."""
        return [float("nan")] * self.prefix_lines + [float(label) for label in self.labels[self.prefix_lines :]]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for a file."""
        return {**asdict(self), "outcome": self.outcome.name, "labels": list(self.labels)}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> LineLabels:
        """What `to_dict` gave."""
        return cls(**{**data, "outcome": Outcome[data["outcome"]], "labels": tuple(data["labels"])})


@dataclass(frozen=True)
class Labelling:
    """Labelled programs, and the number of completions that were judged for them."""

    labels: tuple[LineLabels, ...]
    completions: int


# ---------------------------------------------------------------------------------------- the search


def bisect(lines: int, recovers: Callable[[int], bool], prefix_lines: int = 0) -> int:
    """How many of a wrong program's `lines` are recoverable, by `recovers(m)` for some m.

    Args:
        lines: M, after which it is known not to be.
        recovers: whether lines 1..m are, with `prefix_lines` < m < M.
        prefix_lines: leading lines that are known to be.
    """
    return bisect_all([lines], lambda questions: [recovers(m) for _, m in questions], [prefix_lines])[0]


def bisect_all(
    lines: Sequence[int], recover: Callable[[Sequence[Question]], Sequence[bool]], prefix_lines: Sequence[int]
) -> list[int]:
    """`bisect` of several programs side by side: in each round one question of each that is open.

    Args:
        lines, prefix_lines: (N,), M of each program, and the lines that are known to be recoverable.
        recover: the answers to (number of the program, m).
    """
    bounds = list(zip(prefix_lines, lines, strict=True))
    while questions := [(i, (lo + hi) // 2) for i, (lo, hi) in enumerate(bounds) if hi - lo > 1]:
        for (i, m), recovered in zip(questions, recover(questions), strict=True):
            bounds[i] = (m, bounds[i][1]) if recovered else (bounds[i][0], m)
    return [lo for lo, _ in bounds]


def labels_of(lines: int, recoverable: int, code: frozenset[int]) -> tuple[int, ...]:
    """(M,): 1 up to line `recoverable`, -1 beyond, 0 on lines (from 1) that are not in `code`."""
    return tuple((1 if n <= recoverable else -1) if n in code else 0 for n in range(1, lines + 1))


def code_lines(text: str, verdict: Verdict) -> frozenset[int]:
    """The lines (from 1) of a program that hold code, as the judge reports them.

    Of a program that does not compile it reports none: then all lines that are not blank, a comment
    or `else:`. Raises UsageError on a verdict without lines.
    """
    if verdict.outcome is Outcome.SYNTAX_ERROR:
        starts = [0, *line_ends(text)]
        spans = enumerate(pairwise(starts), 1)
        return frozenset(number for number, (a, b) in spans if holds_code(text[a:b]))
    if verdict.code is None:
        raise UsageError(
            "Expected verdicts with the lines that hold code, which line labels need, got one without. "
            "Open the sandbox with trace=True."
        )
    return verdict.code


def holds_code(line: str) -> bool:
    """Whether a line by itself looks as if it held code: it is no blank, no comment, no `else:`."""
    return line.partition("#")[0].strip() not in IDLE


# -------------------------------------------------------------------------------------- the labels


def label(
    policy: Policy[Any],
    env: UnitTestEnv,
    attempts: Sequence[Attempt],
    k: int,
    sampling: AnyDecoder,
    generator: torch.Generator,
    journal: UpdateLog | None = None,
) -> Labelling:
    """Labels the lines of judged programs. `env` must be one whose judge traces (`env.require`).

    Args:
        policy: completes programs; those who learn from the labels should have it write them, too.
        env: whose judge decides, by the problems' `cases`.
        attempts: (N,); those without a line are left out.
        k: completions of a beginning.
        sampling: how they are drawn.
        generator: of the draws.

    Raises:
        UsageError: k < 1, or verdicts without lines.
    """
    if k < 1:
        raise UsageError(f"Expected at least 1 completion of a beginning, got {k}.")
    attempts = [a for a in attempts if line_ends(a.program.text)]
    wrong = [a for a in attempts if a.verdict.outcome is not Outcome.PASSED]
    completer = _Completer(policy, env, wrong, k, sampling, generator, journal)
    lines = [len(line_ends(a.program.text)) for a in wrong]
    depths = iter(bisect_all(lines, completer, [prefix_line_count(a) for a in wrong]))
    labels = tuple(_line_labels(a, next(depths) if a.verdict.outcome is not Outcome.PASSED else None) for a in attempts)
    return Labelling(labels, completer.completions)


def prefix_line_count(attempt: Attempt) -> int:
    """The whole lines of a program that its problem gives, all tokens of which nobody chose."""
    program = attempt.program
    if not program.prefix_length:
        return 0
    chosen = int(program.starts[program.prefix_length]) if program.prefix_length < len(program) else len(program.text)
    return sum(end <= chosen for end in line_ends(program.text)[:-1])


@dataclass
class _Completer:
    """Answers questions of the search: completes beginnings, and has them judged."""

    policy: Policy[Any]
    env: UnitTestEnv
    attempts: Sequence[Attempt]
    k: int
    sampling: AnyDecoder
    generator: torch.Generator
    journal: UpdateLog | None
    completions: int = 0

    def __call__(self, questions: Sequence[Question]) -> list[bool]:
        problems = [beginning(self.attempts[i], m) for i, m in questions]
        fits = [len(self.env.encode_prefix(p)) < self.env.max_program_tokens for p in problems]
        groups = iter(self._complete([p for p, fit in zip(problems, fits, strict=True) if fit]))
        return [fit and any(completes(p, e) for e in next(groups)) for p, fit in zip(problems, fits, strict=True)]

    def _complete(self, problems: Sequence[Problem]) -> list[list[Episode]]:
        if not problems:
            return []
        self.completions += self.k * len(problems)
        return collect(
            self.policy, self.env, problems, self.sampling, repeats=self.k, generator=self.generator,
            journal=self.journal,
        )  # fmt: skip


def beginning(attempt: Attempt, lines: int) -> Problem:
    """The problem of finishing a program of which the first `lines` lines stand."""
    text = attempt.program.text
    return replace(attempt.problem, prefix=text[: line_ends(text)[lines - 1]])


def completes(problem: Problem, episode: Episode) -> bool:
    """Whether an episode passes, and has left the lines of the prefix as they are.

    Tokenizers that join characters give a prefix without its last line end: a completion may then
    go on in the last line, and is none of these lines.
    """
    return episode.verdict.outcome is Outcome.PASSED and episode.program.text.startswith(problem.prefix)


def _line_labels(attempt: Attempt, recoverable: int | None) -> LineLabels:
    text, verdict = attempt.program.text, attempt.verdict
    count = len(line_ends(text))
    depth = count if recoverable is None else recoverable
    labels = labels_of(count, depth, code_lines(text, verdict))
    return LineLabels(attempt.problem.id, text, verdict.outcome, min(prefix_line_count(attempt), count), depth, labels)
