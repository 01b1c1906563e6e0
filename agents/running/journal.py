"""What an agent has to tell besides its metrics: programs to look at, and where the time went. No part of its state.

An agent that samples programs has a `journal`; whoever runs it takes from it after each update. Nothing here changes what is
learnt, so nothing of it is in a checkpoint.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from math import nan
from typing import TYPE_CHECKING, Any

import numpy as np

from rltf_env.core import Outcome, Problem, line_starts

if TYPE_CHECKING:  # importing it imports torch, which a report has no use for
    from agents.core import Episode

Progress = Callable[[str, int, int], None]  # told what goes on, how much of it is done, and of how much
FOUND = {  # what the outcomes of a judge are called that runs nothing
    Outcome.SYNTAX_ERROR: "found/syntax_error",
    Outcome.RUNTIME_ERROR: "found/finding",
    Outcome.PASSED: "found/nothing",
}
STATEMENT = 800  # characters of a problem's statement that are kept to look at


@dataclass(frozen=True)
class Shown:
    """A judged program as plain data: what it is, what became of it, and what each of its tokens was made to learn.

    `starts` and `weights` are per token: its offset in `text`, and the number that its log-probability is multiplied by.
    """

    problem: str
    statement: str
    text: str
    starts: list[int]
    weights: list[float]
    given: int
    truncated: bool
    outcome: str
    passed: int
    cases: int
    kind: str
    line: int | None
    message: str
    reward: float
    parts: dict[str, float]
    was_run: bool = True  # False: the judge ran nothing, and "PASSED" says that it found nothing

    @classmethod
    def of(cls, problem: Problem, episode: Episode, weights: np.ndarray) -> Shown:
        """What there is to see of `episode`, whose tokens weigh `weights` (T,)."""
        program, verdict = episode.program, episode.verdict
        failure = verdict.failure
        return cls(
            problem=problem.id,
            statement=problem.statement[:STATEMENT],
            text=program.text,
            starts=program.starts.tolist(),
            weights=[round(float(w), 4) for w in weights],
            given=program.prefix_length,
            truncated=program.truncated,
            outcome=verdict.outcome.name,
            passed=sum(r.outcome is Outcome.PASSED for r in verdict.results),
            cases=len(verdict.results),
            kind=failure.kind if failure else "",
            line=failure.line if failure else None,
            message=failure.message[:200] if failure else "",
            reward=episode.feedback.total,
            parts=dict(episode.feedback.parts),
            was_run=verdict.was_run,
        )

    @property
    def words(self) -> str:
        """What became of the program, such as "wrong answer"."""
        name = self.outcome.lower() if self.was_run else FOUND[Outcome[self.outcome]]
        return name.replace("/", " ").replace("_", " ")

    @property
    def count(self) -> str:
        """How many cases it passed, or that it was not run."""
        return f"{self.passed} of {self.cases} cases passed" if self.was_run else "not run"

    def lines(self) -> list[tuple[int, str]]:
        """(offset in `text`, the line without its end), line 1 first, as Python counts lines."""
        starts = line_starts(self.text)
        ends = [*starts[1:], len(self.text)]
        return [(a, self.text[a:b].rstrip("\r\n")) for a, b in zip(starts, ends, strict=True)]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, for a file."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Shown:
        """What `to_dict` gave, also by way of a file, where a number that is not finite became null: NaN."""
        weights, parts = map(_number, data["weights"]), {name: _number(x) for name, x in data["parts"].items()}
        return cls(**{**data, "weights": list(weights), "reward": _number(data["reward"]), "parts": parts})


def _number(value: float | None) -> float:
    return nan if value is None else value


@dataclass
class UpdateLog:
    """Collects until it is taken from; `progress`, if there is one, is told meanwhile how far a long update is."""

    programs: list[Shown] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    tokens: int = 0  # that were sampled
    progress: Progress | None = None
    lost: list[str] = field(default_factory=list)  # why, of each verdict that could not be had; see `take_lost`

    def advance(self, what: str, done: int, total: int) -> None:
        """`done` of `total` of what goes on in an update, such as "writing programs"."""
        if self.progress:
            self.progress(what, done, total)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        """Adds the wall-clock time of the block to `seconds[what]`."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[what] = self.seconds.get(what, 0.0) + time.perf_counter() - began

    def show(
        self,
        problems: Sequence[Problem],
        groups: Sequence[Sequence[Episode]],
        weights: Sequence[Sequence[np.ndarray]],
    ) -> None:
        """Keeps one program of each outcome, the first of its kind, in place of those kept before; worst first."""
        found: dict[Outcome, Shown] = {}
        for problem, group, each in zip(problems, groups, weights, strict=True):
            for episode, w in zip(group, each, strict=True):
                if episode.verdict.outcome not in found:
                    found[episode.verdict.outcome] = Shown.of(problem, episode, w)
        self.programs = [found[outcome] for outcome in sorted(found)]

    def take_lost(self) -> int:
        """How many verdicts were lost since this was asked."""
        count, self.lost = len(self.lost), []
        return count

    def take(self) -> UpdateLog:
        """What was collected, but for lost verdicts; the journal is empty afterwards."""
        taken = UpdateLog(self.programs, self.seconds, self.tokens)
        self.programs, self.seconds, self.tokens = [], {}, 0
        return taken
