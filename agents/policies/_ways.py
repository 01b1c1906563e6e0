"""How rows of unlike length are fed to a model. Which way is right for a model, one try tells (`_trial`).

Most models take rows padded on the left, with masked positions. State spaces mask what they read, not what they have read: a step
of theirs goes without a mask. Some models count positions by themselves, or mix what stands before a row into it: they are given
rows of one length at a time, so that nothing is padded in front. And a few keep what they have read where it cannot be repeated
and dropped with its rows, or not at all: they read each row anew for each token, which is slow.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from agents.core import Batch


@dataclass(frozen=True)
class Way:
    """Args:
    name: what is done, in words.
    even: rows of one length at a time.
    masked: a step is told which of the tokens before it are padding.
    cached: what was read is kept; else a row is read anew for each of its tokens.
    """

    name: str
    even: bool = False
    masked: bool = True
    cached: bool = True

    def __str__(self) -> str:
        return self.name


PADDED = Way("padded rows")
WAYS = (
    PADDED,
    Way("padded rows, steps without a mask", masked=False),
    Way("rows of one length at a time", even=True, masked=False),
    Way("rows of one length at a time, read anew for each token", even=True, masked=False, cached=False),
)


@dataclass
class Parts:
    """States of rows of unlike length: `rows[i]` (int64) says which of all rows `states[i]` has."""

    rows: list[Tensor]
    states: list[Any]

    def extend(self, step: Callable[[Any, Tensor], Tensor], tokens: Tensor) -> Tensor:
        """`step` for each part with its tokens; logits (B, V) in the order of `tokens` (B,)."""
        logits = [step(state, tokens[rows]) for rows, state in zip(self.rows, self.states, strict=True)]
        return in_order(self.rows, logits)

    def keep(self, drop: Callable[[Any, Tensor], None], chosen: Tensor) -> None:
        """Drops all rows but the `chosen`, whose places are then 0, 1, ... in that order."""
        rows, states = self.rows, self.states
        place = torch.full((1 + max(int(r.max()) for r in rows),), -1, device=chosen.device)
        place[chosen] = torch.arange(len(chosen), device=chosen.device)
        self.rows, self.states = [], []
        for own, state in zip(rows, states, strict=True):
            left = (place[own] >= 0).nonzero()[:, 0]
            if len(left):
                drop(state, left)
                self.rows.append(place[own][left])
                self.states.append(state)


def by_length(lengths: Sequence[Hashable]) -> list[list[int]]:
    """The places of each length that there is."""
    groups: dict[Hashable, list[int]] = {}
    for i, length in enumerate(lengths):
        groups.setdefault(length, []).append(i)
    return list(groups.values())


def in_order(rows: Sequence[Tensor], values: Sequence[Tensor]) -> Tensor:
    """`values[i]` (b, ...) are those of `rows[i]`: all of them, in order."""
    return torch.cat(list(values))[torch.cat(list(rows)).argsort()]


def even_batches(batch: Batch) -> list[tuple[Tensor, Batch]]:
    """The rows of a batch by the length of their prompts, none of which is padded any more; an empty one has no columns."""
    lengths = batch.prompt_mask.sum(1).tolist()
    parts = []
    for chosen in by_length(lengths):
        rows = torch.tensor(chosen, device=batch.prompt.device)
        width = batch.prompt.shape[1] - lengths[chosen[0]]
        cut = {name: getattr(batch, name)[rows] for name in _PLAIN}
        cut |= {name: cut[name][:, width:] for name in ("prompt", "prompt_mask")}
        parts.append((rows, replace(batch, **cut, extra={})))
    return parts


_PLAIN = ("prompt", "prompt_mask", "tokens", "token_mask", "loss_mask", "weights", "old_logprobs")
