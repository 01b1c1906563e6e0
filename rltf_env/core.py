"""The dictionary of the project: the frozen values that flow, and the protocols of the seams.

    Problem --prompt--> tokens --agent--> Program --Sandbox--> Verdict --Reward--> Feedback

Everything here is plain data: no I/O, no randomness, no torch. Axes: T is the number of tokens of a program.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from rltf_env._renamed import renamed, renamed_arguments, renamed_attributes, renamed_fields
from rltf_env.errors import InvalidProblem, UsageError
from rltf_env.facts import Facts

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


class Outcome(IntEnum):
    """What became of a program, worst first: the outcome of many cases is their minimum.

    The order is also that of CodeRL's four critic classes (arXiv 2207.01780, section 3.2).
    """

    SYNTAX_ERROR = 0
    RUNTIME_ERROR = 1
    WRONG_ANSWER = 2
    PASSED = 3

    def __str__(self) -> str:
        return self.name


# ---------------------------------------------------------------------------------------------------------- problems


@dataclass(frozen=True, slots=True)
class StdinCase:
    """Run the program with `stdin`; its standard output must match `stdout`."""

    stdin: str
    stdout: str


@dataclass(frozen=True, slots=True)
class CallCase:
    """Call the problem's entry point with `args` and `kwargs`; the result must match `expected`."""

    args: tuple[Any, ...]
    expected: Any
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScriptCase:
    """Python that asserts something about the program's names (MBPP, HumanEval).

    `script` runs after `setup`, with the program's globals in scope, and passes when it ends without an exception.
    """

    script: str
    setup: str = ""


Case = StdinCase | CallCase | ScriptCase


@dataclass(frozen=True, slots=True)
class Limits:
    """What one case of a problem may use, where the problem says so itself. None: what the judge allows anyway.

    Args:
        seconds: of CPU time. A judge never allows more than its own `case_seconds`.
        memory_mb: address space in MiB, on top of the interpreter's; never more than the judge's `memory_mb`.
        recursion: frames that a program may have without asking for more (`sys.setrecursionlimit`). Python's own
            is 1,000; LiveCodeBench's is 600,000.
    """

    seconds: float | None = None
    memory_mb: int | None = None
    recursion: int | None = None

    def __post_init__(self) -> None:
        for name, kinds in (("seconds", int | float), ("memory_mb", int), ("recursion", int)):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < value < _LARGEST_LIMIT:
                number = "number" if name == "seconds" else "whole number"
                raise InvalidProblem(f"Expected limit {name!r} to be a positive {number} or None, got {value!r}.")


_LARGEST_LIMIT = 1 << 31  # the interpreter's, for frames


@dataclass(frozen=True)
class Problem:
    """A task and the cases that decide whether a program solves it.

    `cases` may be any sequence, also one that reads its file at first use; it is never empty. `entry_point` is the name
    to call (`"f"`, or `"Solution.f"` for a method of a class built without arguments), or `None` for programs that read
    standard input. `examples` are public and may be shown; `cases` are not. `prefix` is code given for free: the program
    that is judged begins with it (a curriculum step is a Problem with a longer prefix). `held_out` are cases kept from
    training: no judgement of this problem runs them (`datasets.hold_out` sets them aside, `datasets.unseen` asks them).
    `limits` are the problem's own; a judge keeps to the smaller of them and of what it was told itself.

    Notes that the filters of `datasets.load` know: `meta["source"]`, where the problem comes from, and `meta["tags"]`.
    """

    id: str
    statement: str
    cases: Sequence[Case]
    entry_point: str | None = None
    examples: Sequence[Case] = ()
    solutions: Sequence[str] = ()
    difficulty: str = ""
    prefix: str = ""
    starter: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)  # notes; a plain dict, so that problems pickle
    held_out: Sequence[Case] = ()
    limits: Limits | None = None

    def __post_init__(self) -> None:
        if not self.id:
            raise InvalidProblem("Expected a problem with a non-empty id, got ''.")
        if not self.cases:  # not len(): cases that load lazily know that there are some before they know how many
            raise InvalidProblem(
                f"Problem {self.id!r} has no cases, so no program could be judged. Skip it, or give it at least one."
            )
        if self.limits is not None and not isinstance(self.limits, Limits):
            raise InvalidProblem(
                f"Problem {self.id!r}: expected limits to be core.Limits or None, got {type(self.limits).__name__}."
            )
        if self.limits == Limits():
            object.__setattr__(self, "limits", None)  # no limits are no limits, however they are said


class Problems(tuple[Problem, ...]):
    """What `datasets.load` returns: a tuple of problems that also remembers what had to be left out, and why."""

    skipped: tuple[tuple[str, str], ...]

    def __new__(cls, problems: Iterable[Problem], skipped: Iterable[tuple[str, str]] = ()) -> Problems:
        self = super().__new__(cls, problems)
        self.skipped = tuple(skipped)
        return self


# ---------------------------------------------------------------------------------------------------------- verdicts


class FailureKind:
    """Values of `Failure.kind` that are not the name of a Python exception class."""

    WRONG_ANSWER = "WrongAnswer"  # ran to its end; an output, a result or an assertion was not right
    TIMEOUT = "Timeout"  # detail: "wall" or "cpu"
    MEMORY_LIMIT = "MemoryLimit"
    OUTPUT_LIMIT = "OutputLimit"
    FILE_LIMIT = "FileLimit"
    PROCESS_LIMIT = "ProcessLimit"
    FORBIDDEN_CALL = "ForbiddenCall"
    KILLED = "Killed"  # detail: the signal's number
    EXITED = "Exited"  # ended the process before the case was answered; detail: the status
    MISSING_ENTRY_POINT = "MissingEntryPoint"
    UNREPRESENTABLE = "Unrepresentable"  # the result is not plain data, so it could not be compared
    FOOLED_TEST = (
        "FooledTest"  # passed a copy of the test in which an expectation is false, so it did not answer the test
    )
    NOT_RUN = "NotRun"  # an earlier case used up what the program had (one endless loop costs one time limit)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a case was not passed.

    `kind` is the class name of the exception that ended the program or one of `FailureKind`; `bases` the class names of its
    built-in ancestors, nearest first. `line` is 1-based in `Program.text`; None when no line is to blame. `message` is for
    people: nothing may be decided by its text. `detail` is for machines: `"triple_quote"` on a SyntaxError whose cause is
    an unterminated triple-quoted string, `"wall"` or `"cpu"` on a time-out, a signal number, an exit status.
    """

    kind: str
    message: str = ""
    line: int | None = None
    detail: str = ""
    bases: tuple[str, ...] = ()

    @property
    def identity(self) -> tuple[object, ...]:
        """What is the same whenever the program is judged again.

        Where a program was when it was stopped from outside, and by which limit of time, is evidence: an endless loop is
        stopped on one line today and on another tomorrow.
        """
        return (self.kind,) if self.stopped else (self.kind, self.message, self.line, self.detail, self.bases)

    @property
    def stopped(self) -> bool:
        """True if the program was ended from outside, wherever it was at that moment."""
        return self.kind in (FailureKind.TIMEOUT, FailureKind.MEMORY_LIMIT)

    def is_a(self, *names: str) -> bool:
        """True if the failure is, or derives from, one of these exception classes (or is of that `FailureKind`)."""
        return self.kind in names or any(base in names for base in self.bases)


@dataclass(frozen=True, slots=True)
class CaseResult:
    """What one case gave.

    Args:
        outcome, failure: what became of the program; only one that passed has no failure.
        seconds: CPU time; not compared.
        stdout: what the program printed, cut at the sandbox's cap.
        executed: 1-based lines that ran in this case; None when that was not asked (`trace_cases`).
            Tests that run in one process have all lines of that process.
    """

    outcome: Outcome
    failure: Failure | None = None
    seconds: float = field(default=0.0, compare=False)
    stdout: str = ""
    executed: frozenset[int] | None = None

    def __post_init__(self) -> None:
        if (self.failure is None) != (self.outcome is Outcome.PASSED):
            raise UsageError(
                f"A failure must go with every outcome but PASSED, got {self.outcome!r}, {self.failure!r}."
            )


@renamed_fields(judge="judged_by")
@dataclass(frozen=True)
class Verdict:
    """The judgement on one program: one result per case of the problem, in order; of a test suite, one per test function.

    `executed` holds the 1-based lines that ran in at least one case, `code` those that have code at all: what is in `code`
    alone did not run, what is in neither had nothing to run. Both are None when that was not asked for (`trace`). `facts` are
    those of its text; None when not asked, and of a text that was not analysed. `judged_by` says who decided: backend and
    isolation level. `way` says how assertion scripts were run: `"apart"` from the program, `"together"` with it, or
    `"apart+together"`; `unguarded` how many tests ran together of which no expectation could be falsified. Two verdicts are
    equal when results, lines and facts agree; times, `judged_by` and way are not compared.
    """

    results: tuple[CaseResult, ...]
    executed: frozenset[int] | None = None
    judged_by: str = ""
    way: str = field(default="", compare=False)
    unguarded: int = field(default=0, compare=False)
    code: frozenset[int] | None = None
    facts: Facts | None = None

    def __post_init__(self) -> None:
        if not self.results:
            raise UsageError("A verdict needs the result of at least one case, got none.")

    def __deepcopy__(self, memo: dict[int, Any]) -> Verdict:
        """Itself, for nothing in it changes: Stable-Baselines3 copies every `info` deeply at every step."""
        return self

    @cached_property
    def outcome(self) -> Outcome:
        """The worst outcome of any case."""
        return min(result.outcome for result in self.results)

    @cached_property
    def pass_ratio(self) -> float:
        """Cases passed / cases, in [0, 1]."""
        return sum(result.outcome is Outcome.PASSED for result in self.results) / len(self.results)

    @cached_property
    def failure(self) -> Failure | None:
        """The failure of the first of the worst results; None when all passed."""
        return next(result.failure for result in self.results if result.outcome is self.outcome)

    def same(self, other: Verdict) -> bool:
        """True if both say the same of the program (times, outputs and judge aside, and where it was stopped)."""
        if self._identity != other._identity:
            return False
        stopped = any(result.failure and result.failure.kind == FailureKind.TIMEOUT for result in self.results)
        return (stopped or self._lines == other._lines) and self.facts == other.facts

    @property
    def _lines(self) -> tuple[object, ...]:
        return self.executed, self.code, [result.executed for result in self.results]

    @property
    def _identity(self) -> list[tuple[object, ...]]:
        return [(r.outcome, r.failure and r.failure.identity) for r in self.results]


# ---------------------------------------------------------------------------------------------------------- programs

_NEWLINE = re.compile(r"\r\n|\r|\n")  # what Python's own tokenizer counts as a line end; not str.splitlines()


def line_starts(text: str) -> list[int]:
    """Character offset of the first character of each line of `text`, as Python counts lines."""
    return [0, *(match.end() for match in _NEWLINE.finditer(text))]


@renamed_attributes(chosen="generated_mask")
@renamed_fields(given="prefix_length")
@dataclass(frozen=True, eq=False)
class Program:
    """The tokens an agent emitted and the text they spell, with the way from one to the other carried along.

    Args:
        tokens: int64 (T,), including the end-of-sequence token if one was emitted.
        text: what is judged.
        starts: int64 (T,), non-decreasing; offset in `text` of the first character that the token helps to spell. Tokens that
            share a character (bytes of one code point) share its offset; tokens without text (end-of-sequence) have the
            offset at which they stand.
        prefix_length: the number of leading tokens that the agent did not generate.
        truncated: cut off at the length limit, without an end-of-sequence token.
    """

    tokens: IntArray
    text: str
    starts: IntArray
    prefix_length: int = 0
    truncated: bool = False

    def __post_init__(self) -> None:
        if self.tokens.shape != self.starts.shape or self.tokens.ndim != 1:
            raise UsageError(
                f"Expected tokens and starts of one shape (T,), got {self.tokens.shape}, {self.starts.shape}."
            )
        if not 0 <= self.prefix_length <= len(self.tokens):
            raise UsageError(f"Expected 0 <= prefix_length <= {len(self.tokens)} tokens, got {self.prefix_length}.")

    def __len__(self) -> int:
        return len(self.tokens)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Program):
            return NotImplemented
        return (self.text, self.prefix_length, self.truncated) == (
            other.text,
            other.prefix_length,
            other.truncated,
        ) and (np.array_equal(self.tokens, other.tokens) and np.array_equal(self.starts, other.starts))

    def __hash__(self) -> int:
        return hash((self.text, len(self.tokens), self.prefix_length))

    @cached_property
    def generated_mask(self) -> BoolArray:
        """bool (T,): the tokens that the agent generated."""
        return np.arange(len(self.tokens)) >= self.prefix_length

    def tokens_on(self, line: int) -> BoolArray:
        """bool (T,): tokens that help to spell line `line` (1-based, its line end excluded); all False if there is none.

        A token that spans several lines (a newline with the next line's indentation) is on each whose characters it
        spells; on an empty line, the token that spells the line's own end stands for it.
        """
        starts = line_starts(self.text)
        if not 1 <= line <= len(starts):
            return np.zeros(len(self.tokens), bool)
        begin = starts[line - 1]
        end = starts[line] if line < len(starts) else len(self.text)
        body = self.text[begin:end].rstrip("\r\n")
        if body or line == len(starts):
            end = begin + len(body)
        lower = self.starts
        upper = np.append(self.starts[1:], len(self.text))
        # A token whose next neighbour shares its offset spells a part of that character.
        upper = np.maximum(upper, np.minimum(lower + 1, len(self.text)))
        return (lower < end) & (upper > begin) & (lower < upper)


@dataclass(frozen=True)
class Attempt:
    """A program against a problem, judged: all that a Reward may see."""

    problem: Problem
    program: Program
    verdict: Verdict


# ---------------------------------------------------------------------------------------------------------- feedback


@renamed_fields(learn="loss_mask", sequence="program_reward")
@dataclass(frozen=True, eq=False)
class Feedback:
    """What each token of a program earned, for two kinds of agents.

    *Returns.* An agent that adds up what an episode earned (PPO, GRPO, every agent of Gymnasium's) reads `rewards`, or their
    sum, `total`. *Weights.* An agent whose loss weighs the log-probability of each token by itself (RLTF eq. 2) reads
    `program_reward`, which weighs every token, and `token_rewards`, which weigh the single ones. The two are not the same number: a
    line of ten tokens that is to weigh as much as its program of 200 needs -0.3 * 20 on each token in such a loss (RLTF
    eq. 9), and would sum to -60 in a return.

    Args:
        rewards: float32 (T,). Their sum is the return of the episode.
        loss_mask: bool (T,), the tokens that an agent should learn from.
        parts: the sum that each named part contributed, for logs.
        program_reward: the share of `rewards` that was earned by the program as a whole. It is contained in `rewards`, on the last
            token, where an outcome reward belongs in an episode; agents whose equations weigh *every* token with it (RLTF
            eq. 3, 5, 8, 10: S=0, E=T) take it from here.
        credit: float32 (T,), the weights of single tokens, where they are not what `rewards` holds beside `program_reward`; None:
            they are.
    """

    rewards: FloatArray
    loss_mask: BoolArray
    parts: Mapping[str, float] = field(default_factory=dict)
    program_reward: float = 0.0
    credit: FloatArray | None = None

    def __post_init__(self) -> None:
        if self.credit is not None and self.credit.shape != self.rewards.shape:
            raise UsageError(
                f"Expected credit of the shape of rewards, {self.rewards.shape}, got {self.credit.shape}. "
                "Give one number for each token, or None."
            )
        if self.rewards.shape != self.loss_mask.shape or self.rewards.ndim != 1:
            raise UsageError(
                f"Expected rewards and loss_mask of one shape (T,), got {self.rewards.shape}, {self.loss_mask.shape}."
            )
        if type(self.program_reward) is not float or any(type(value) is not float for value in self.parts.values()):
            # NumPy's numbers are not for logs and checkpoints.
            object.__setattr__(self, "program_reward", float(self.program_reward))
            object.__setattr__(self, "parts", {name: float(value) for name, value in self.parts.items()})

    @classmethod
    @renamed_arguments(sequence="program_reward")
    def build(
        cls,
        program: Program,
        name: str,
        *,
        program_reward: float = 0.0,
        tokens: npt.ArrayLike | None = None,
        credit: npt.ArrayLike | None = None,
    ) -> Feedback:
        """Feedback on `program` from one part: a score for the whole, and/or a score for each token (T,).

        `credit` (T,) are the weights of single tokens where they are not `tokens`.
        """
        rewards = np.zeros(len(program), np.float32) if tokens is None else np.array(tokens, np.float32)
        if program_reward and not len(program):
            raise UsageError("Expected a program of at least one token to carry a reward, got none.")
        if program_reward:
            rewards[-1] += program_reward
        weights = None if credit is None else np.array(credit, np.float32)
        return cls(rewards, program.generated_mask, {name: float(rewards.sum())}, float(program_reward), weights)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Feedback):
            return NotImplemented
        return (self.program_reward, dict(self.parts)) == (other.program_reward, dict(other.parts)) and (
            np.array_equal(self.rewards, other.rewards)
            and np.array_equal(self.loss_mask, other.loss_mask)
            and np.array_equal(self.token_rewards, other.token_rewards)
        )

    def __hash__(self) -> int:
        return hash((self.program_reward, tuple(self.parts), len(self.rewards)))

    @property
    def total(self) -> float:
        """The episode's return: the sum of `rewards`."""
        return float(self.rewards.sum())

    @property
    def token_rewards(self) -> FloatArray:
        """float32 (T,): what single tokens weigh in a loss, beside `program_reward`, which weighs all of them."""
        if self.credit is not None:
            return self.credit.copy()
        rest = self.rewards.copy()
        if len(rest):
            rest[-1] -= np.float32(self.program_reward)
        return rest

    @property
    def weights(self) -> FloatArray:
        """float32 (T,): what each token weighs in a sum over tokens: `program_reward` and its own (RLTF eq. 8-10)."""
        return (self.token_rewards + self.program_reward).astype(np.float32)

    def __add__(self, other: Feedback) -> Feedback:
        """Adds rewards and credit, intersects `loss_mask`, merges parts (a part named twice is summed)."""
        if not isinstance(other, Feedback):
            return NotImplemented
        names = [*self.parts, *(name for name in other.parts if name not in self.parts)]
        apart = self.credit is not None or other.credit is not None
        return Feedback(
            self.rewards + other.rewards,
            self.loss_mask & other.loss_mask,
            {name: self.parts.get(name, 0.0) + other.parts.get(name, 0.0) for name in names},
            self.program_reward + other.program_reward,
            self.token_rewards + other.token_rewards if apart else None,
        )


class Judgement(NamedTuple):
    """What `env.judge(problem, program)` returns."""

    verdict: Verdict
    feedback: Feedback


# ------------------------------------------------------------------------------------------------------------- seams


@runtime_checkable
class Tokenizer(Protocol):
    """Text to tokens and back, with offsets."""

    @property
    def vocab_size(self) -> int: ...

    @property
    def eos_id(self) -> int: ...

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, without special tokens."""
        ...

    def program(self, tokens: Sequence[int] | IntArray, *, prefix_length: int = 0, truncated: bool = False) -> Program:
        """The program that `tokens` spell, offsets carried."""
        ...


@runtime_checkable
class Source(Protocol):
    """Decides which problem comes next."""

    def draw(self, rng: np.random.Generator) -> Problem: ...

    def find(self, id: str) -> Problem:
        """The problem with this id; raises `UnknownName`."""
        ...

    def observe(self, attempt: Attempt) -> None:
        """Told of every finished attempt; a curriculum learns from it."""
        ...


@runtime_checkable
class Sandbox(Protocol):
    """Judges programs. Verdicts on programs, `SandboxError` on its own failure, nothing else."""

    def run(self, source: str, problem: Problem) -> Verdict: ...

    def submit(self, source: str, problem: Problem) -> Future[Verdict]: ...

    def map(self, jobs: Iterable[tuple[str, Problem]]) -> Iterator[Verdict]:
        """Verdicts in the order of `jobs`, which may be endless: only a bounded number is held at a time."""
        ...

    def close(self) -> None: ...


@runtime_checkable
class Reward(Protocol):
    """Turns a judged attempt into feedback: pure."""

    def __call__(self, attempt: Attempt) -> Feedback: ...


@runtime_checkable
class ComparativeReward(Reward, Protocol):
    """A reward that can measure itself against another program's verdict on the same problem (RLTF eq. 8-10)."""

    def relative(self, attempt: Attempt, baseline: Verdict) -> Feedback:
        """Feedback with the baseline's value subtracted from every whole-program part that applies."""
        ...


__getattr__ = renamed(__name__, {"Kind": "FailureKind"})
