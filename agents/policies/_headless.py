"""A model without its head: it gives what the head would have read, so that logits can be made of it later, a few at a time.

The head is the module that a model names as its output embedding. Some models do more to logits than it does: they scale them, cap
them or add a bias. Which do is found out by one try, with a head that gives numbers of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from agents.core import Batch
from agents.policies import _trial

WIDEST = 100.0  # numbers that the tried head gives: any cap shows
NEAR = 0.01  # in standard deviations of the logits, that two shapes of one product may be apart, in 16 bits too


@dataclass(frozen=True)
class Head:
    """States (N, D) to logits (N, V). Rows of the matrix beyond the vocabulary are left out."""

    module: Any
    vocab_size: int

    def __call__(self, states: Tensor) -> Tensor:
        return self.module(states)[..., : self.vocab_size]


@contextmanager
def replaced(head: Any, forward: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Lets the module `head` do something else."""
    before = head.__dict__.get("forward")
    head.forward = forward
    try:
        yield
    finally:
        del head.forward
        if before is not None:
            head.forward = before


@contextmanager
def without_head(model: Any) -> Iterator[Any]:
    """Lets a model give as its logits what its head reads; the head itself is given here, for afterwards."""
    head = model.get_output_embeddings()
    with replaced(head, lambda states: states):
        yield head


def is_last(policy: Any) -> bool:
    """Whether a policy's logits are what its head gives, to the bit, and the model reads without a head too."""
    head = policy.model.get_output_embeddings()
    if head is None or getattr(policy.model, "_compiled_call_impl", None) is not None:
        return False
    batch, probe = _batch(policy), _Probe(head.forward)
    try:
        with _trial.quietly(policy.model):
            with replaced(head, probe):
                answer = policy.logits(batch)[batch.token_mask]
            own, states, _ = policy.before_head(batch)
            logits, again = policy.logits(batch)[batch.token_mask], own(states[batch.token_mask])
    except torch.OutOfMemoryError:
        raise
    except Exception:  # the model's own code runs: one that adds a bias to logits cannot add it to states
        return False
    exact = probe.row is not None and torch.equal(answer, probe.row[: policy.vocab_size].expand_as(answer))
    return exact and bool((again - logits).abs().max() <= NEAR * logits.float().std())


class _Probe:
    """A head that gives the same wide row of numbers for whatever it reads."""

    def __init__(self, own: Callable[[Tensor], Tensor]) -> None:
        self._own = own
        self.row: Tensor | None = None

    def __call__(self, states: Tensor) -> Tensor:
        logits = self._own(states)
        self.row = torch.linspace(-WIDEST, WIDEST, logits.shape[-1], device=logits.device).to(logits.dtype)
        return self.row.expand_as(logits)


def _batch(policy: Any) -> Batch:
    """Two rows of unlike length."""
    ids = torch.arange(12, device=policy.device).view(2, 6) % policy.vocab_size
    real = torch.ones_like(ids, dtype=torch.bool)
    real[0, 0] = False
    none = torch.zeros(2, 3, device=policy.device)
    return Batch(ids[:, :3], real[:, :3], ids[:, 3:], real[:, 3:], real[:, 3:], none, none)
