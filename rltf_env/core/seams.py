"""The seams of the environment: what a tokenizer, a source, a sandbox and a reward must do."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Protocol, runtime_checkable

import numpy as np

from rltf_env.core.feedback import Feedback
from rltf_env.core.problems import Problem
from rltf_env.core.programs import Attempt, IntArray, Program
from rltf_env.core.verdicts import Verdict


@runtime_checkable
class Tokenizer(Protocol):
    """Text to tokens and back, with offsets."""

    @property
    def vocab_size(self) -> int:
        """The number of different token ids: 0 to `vocab_size - 1`, the end among them."""
        ...

    @property
    def eos_id(self) -> int:
        """The id of the token that ends a program."""
        ...

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, without special tokens."""
        ...

    def program(self, tokens: Sequence[int] | IntArray, *, prefix_length: int = 0, truncated: bool = False) -> Program:
        """The program that `tokens` spell, offsets carried."""
        ...


@runtime_checkable
class Source(Protocol):
    """Decides which problem comes next."""

    def draw(self, rng: np.random.Generator) -> Problem:
        """The next problem. All randomness is `rng`'s."""
        ...

    def find(self, id: str) -> Problem:
        """The problem with this id; raises `UnknownName`."""
        ...

    def observe(self, attempt: Attempt) -> None:
        """Told of every finished attempt; a curriculum learns from it."""
        ...


@runtime_checkable
class Sandbox(Protocol):
    """Judges programs. Verdicts on programs, `SandboxError` on its own failure, nothing else."""

    def run(self, source: str, problem: Problem) -> Verdict:
        """The verdict on a program's text. Raises SandboxError where the sandbox itself fails."""
        ...

    def submit(self, source: str, problem: Problem) -> Future[Verdict]:
        """The same in the background. May wait while too many programs are pending."""
        ...

    def map(self, jobs: Iterable[tuple[str, Problem]]) -> Iterator[Verdict]:
        """Verdicts in the order of `jobs`, which may be endless: only a bounded number is held at a time."""
        ...

    def close(self) -> None:
        """Ends processes and gives back what they held; more than once is no error."""
        ...


def in_order(futures: Iterable[Future[Verdict]], most: int) -> Generator[Future[Verdict]]:
    """Verdicts that are on their way, in their order. Those that are left when it is closed are cancelled.

    Args:
        futures: may be endless. They are taken as they are needed, no more than `most` ahead of the one that is waited for.
    """
    window: deque[Future[Verdict]] = deque()
    try:
        for future in futures:
            window.append(future)
            if len(window) >= most:
                yield window.popleft()
        while window:
            yield window.popleft()
    finally:
        for future in window:
            future.cancel()


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
