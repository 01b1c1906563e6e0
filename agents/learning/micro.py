"""Micro-batches: the slices of a batch that are read at once, cut by programs or by tokens.

Their shares of the loss sum to 1, so that it does not matter how a batch is cut, but for rounding. Cut by tokens, slices take equal
room: many short programs, or few long ones.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from agents.core import TrainingSample
from agents.functional import Reduction


@dataclass(frozen=True)
class Limit:
    """Of one slice; 0: none.

    Args:
        programs: at the most.
        tokens: positions that are read at the most, padding included, a prompt once however many programs share it. A
            program that is longer has a slice of its own.
    """

    programs: int = 0
    tokens: int = 0

    def cut(self, samples: Sequence[TrainingSample]) -> Iterator[Sequence[TrainingSample]]:
        """The samples in slices, in their order."""
        start, room = 0, _Room()
        for i, sample in enumerate(samples):
            full = self.programs and i - start == self.programs
            if i > start and (full or (self.tokens and room.with_one_more(sample) > self.tokens)):
                yield samples[start:i]
                start, room = i, _Room()
            room.take(sample)
        if len(samples) > start:
            yield samples[start:]

    def for_ranks(self, programs: int, ranks: int) -> Limit:
        """The limit that leaves something of a batch of so many programs for each of so many ranks, as far as there is."""
        share = -(-programs // ranks)
        return self if ranks == 1 else Limit(min(self.programs or share, share) or 1, self.tokens)

    @classmethod
    def of(cls, size: Limit | int) -> Limit:
        """A limit, or a number of programs."""
        return size if isinstance(size, Limit) else cls(size)


class _Room:
    """Positions that a slice takes."""

    def __init__(self) -> None:
        self._prompts: set[bytes] = set()
        self._programs = self._prompt = self._program = 0

    def with_one_more(self, sample: TrainingSample) -> int:
        """Positions, were the sample in it too."""
        prompts = len(self._prompts) + (sample.prompt.tobytes() not in self._prompts)
        widest, longest = max(self._prompt, len(sample.prompt)), max(self._program, len(sample.tokens))
        return prompts * widest + (self._programs + 1) * longest

    def take(self, sample: TrainingSample) -> None:
        """Puts the sample in."""
        self._prompts.add(sample.prompt.tobytes())
        self._programs += 1
        self._prompt, self._program = max(self._prompt, len(sample.prompt)), max(self._program, len(sample.tokens))


def micro_batches(
    samples: Sequence[TrainingSample], size: Limit | int, how: Reduction
) -> Iterator[tuple[Sequence[TrainingSample], float]]:
    """Slices within the limit `size` with their share of the loss, so that the shares' sum is the loss of the whole.

    Samples of like length share a slice, or samples of one prompt do: whichever lets a policy read fewer positions.
    """
    limit = Limit.of(size)
    by_length = sorted(samples, key=lambda s: len(s.prompt) + len(s.tokens))
    by_prompt = sorted(samples, key=lambda s: (len(s.prompt), s.prompt.tobytes(), len(s.tokens)))
    shared = len({s.prompt.tobytes() for s in samples}) < len(samples)
    ordered = min(by_length, by_prompt, key=lambda order: positions_read(order, limit)) if shared else by_length
    total = max(1, sum(_weight(s, how) for s in ordered))
    for part in limit.cut(ordered):
        yield part, sum(_weight(s, how) for s in part) / total


def _weight(sample: TrainingSample, how: Reduction) -> int:
    return int(sample.loss_mask.sum()) if how == "token_mean" else 1


def positions_read(samples: Sequence[TrainingSample], size: Limit | int) -> int:
    """Positions, padding included, of the slices within `size`; a prompt counts once in a slice, however many share it."""
    total = 0
    for part in Limit.of(size).cut(samples):
        prompts = {s.prompt.tobytes() for s in part}
        total += len(prompts) * max(len(s.prompt) for s in part) + len(part) * max(len(s.tokens) for s in part)
    return total


def padding(parts: Sequence[Sequence[TrainingSample]]) -> float:
    """Share of the positions that are read in these slices where nothing stands."""
    read = sum(positions_read(part, 0) for part in parts)
    real = sum(len(s.tokens) for part in parts for s in part)
    real += sum(map(len, {(i, s.prompt.tobytes()): s.prompt for i, part in enumerate(parts) for s in part}.values()))
    return 1 - real / max(1, read)
