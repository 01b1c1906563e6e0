"""The dictionary of measurement: what an agent answers, what a record keeps of it, and the seam Solver.

    Suite --problems--> Solver --Answer--> Sandbox --Verdict--> JudgedAnswer --> a record's folder --> a report, a leaderboard

Imports neither torch nor transformers: judging a file of completions must not need them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from rltf_env import plain
from rltf_env._renamed import renamed
from rltf_env.core import Outcome, Problem, Program, Sandbox, Verdict, line_starts
from rltf_env.errors import DataError

MESSAGE = 300  # characters of a failure's message that a record keeps


class Key(NamedTuple):
    """Which program of a record: the problem's id, and which of its samples."""

    problem: str
    sample: int


@dataclass(frozen=True)
class Answer:
    """What an agent wrote for a problem.

    Args:
        text: the whole program, the problem's prefix included: what is judged.
        lengths: characters that each token adds to `text`, or None if the solver had no tokenizer; their sum is len(text).
        given: leading tokens that were not chosen.
        tokens: how many tokens were chosen, if that is known.
        truncated: cut off at the length limit.
        seconds: its share of the time that writing took.
        taken: which part of what was said the program is (`rltf_env.answers.Choice.description`), where one was chosen.
    """

    text: str
    lengths: tuple[int, ...] | None = None
    given: int = 0
    tokens: int | None = None
    truncated: bool = False
    seconds: float = 0.0
    taken: str = ""

    @classmethod
    def of(cls, program: Program, *, seconds: float = 0.0) -> Answer:
        """The answer that a program with its tokens is."""
        bounds = [*program.starts.tolist(), len(program.text)]
        lengths = tuple(b - a for a, b in pairwise(bounds))
        return cls(
            program.text,
            lengths,
            program.prefix_length,
            len(program) - program.prefix_length,
            program.truncated,
            seconds,
        )

    def program(self) -> Program:
        """The program with offsets; without a tokenizer, its lines stand for tokens. Ids are not kept: all are 0."""
        starts = [0, *np.cumsum(self.lengths).tolist()][:-1] if self.lengths is not None else line_starts(self.text)
        size = len(starts)
        return Program(np.zeros(size, np.int64), self.text, np.array(starts, np.int64), self.given, self.truncated)

    def to_dict(self) -> dict[str, Any]:
        """Plain data; what has its default is left out."""
        plain = {name: getattr(self, name) for name in ("given", "truncated", "seconds", "taken")}
        present = {"lengths": None if self.lengths is None else list(self.lengths), "tokens": self.tokens}
        present = {name: value for name, value in present.items() if value is not None}
        return {"text": self.text, **present, **{name: value for name, value in plain.items() if value}}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any]) -> Answer:
        """The answer of a record's line."""
        lengths = None if "lengths" not in row else tuple(row["lengths"])
        rest = {name: row[name] for name in ("given", "tokens", "truncated", "seconds", "taken") if name in row}
        return cls(row["text"], lengths, **rest)


@dataclass(frozen=True)
class JudgedAnswer:
    """A judged answer.

    `visible` has the outcome of each public example, where the problem has examples that are not among its cases.
    """

    key: Key
    answer: Answer
    verdict: Verdict
    visible: tuple[Outcome, ...] = ()
    difficulty: str = ""
    seconds: float = field(default=0.0, compare=False)  # CPU time of its cases

    @property
    def passed(self) -> bool:
        """True if the program passes every case."""
        return self.verdict.outcome is Outcome.PASSED

    def to_dict(self) -> dict[str, Any]:
        """A line of `samples.jsonl.gz`: without times, so that equal runs give equal bytes."""
        answer = self.answer.to_dict()
        answer.pop("seconds", None)
        difficulty = {"difficulty": self.difficulty} if self.difficulty else {}
        return {**self.key._asdict(), **difficulty, **answer, **verdict_row(self.verdict, self.visible)}

    @classmethod
    def from_dict(cls, row: Mapping[str, Any], where: str = "") -> JudgedAnswer:
        """The sample of a record's line. Raises DataError."""
        try:
            key = Key(str(row["problem"]), int(row["sample"]))
            visible = tuple(Outcome(int(digit)) for digit in row.get("visible", ""))
            difficulty = str(row.get("difficulty", ""))
            verdict = plain.expand_verdict(row, where)
            return cls(key, Answer.from_dict(row), verdict, visible, difficulty, row.get("judge_seconds", 0.0))
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DataError(f"{where}: expected a judged sample, got a line that is none ({error!r}).") from error


def verdict_row(verdict: Verdict, visible: Sequence[Outcome] = ()) -> dict[str, Any]:
    """What a record keeps of a verdict, and the outcome of each public example."""
    row = plain.compact_verdict(verdict, message=MESSAGE)
    return row | ({"visible": "".join(str(int(outcome)) for outcome in visible)} if visible else {})


def examples_apart(problems: Sequence[Problem]) -> dict[str, Problem]:
    """By problem id: the problem that the public examples make, where they are not among the cases anyway."""
    return {
        problem.id: replace(problem, cases=tuple(problem.examples))
        for problem in problems
        if problem.examples and not all(example in problem.cases for example in problem.examples)
    }


@runtime_checkable
class Solver(Protocol):
    """Whoever answers: a policy, an endpoint, a file, a function. Called from several threads if `side_by_side` > 1."""

    name: str  # what the leaderboard calls it
    batch: int  # problems that it likes to be asked at a time
    side_by_side: int  # calls of `write` at a time

    def describe(self) -> dict[str, Any]:
        """What the record says of it: plain data, no paths, hosts or keys. Equal for equal agents."""
        ...

    def write(self, problems: Sequence[Any], samples: int, seed: int) -> list[list[Answer]]:
        """`samples` answers for each problem. The same for the same arguments, if the agent can promise that."""
        ...


@runtime_checkable
class UsesSandbox(Protocol):
    """A solver that may have programs judged while it writes: on public examples, and on nothing else."""

    def attach(self, judge: Sandbox, problems: Sequence[Problem]) -> list[str]:
        """Gets the judge before anything is written; returns how its use departs from a suite's protocol, in words.

        Raises:
            UsageError: it can't write for these problems.
        """
        ...


__getattr__ = renamed(__name__, {"Borrower": "UsesSandbox", "Sample": "JudgedAnswer", "Writer": "Solver"})
