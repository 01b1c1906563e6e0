"""A pool of prompts beside a frozen model: pairs of a key and a few vectors that are read in front of a text.

The vectors stand in the model's input embedding, as rows after its own (`Extended`). So a prompt of
the pool is written as tokens that no tokenizer has, and whatever reads tokens reads it: batches,
caches, packing. Each pair is a parameter of its own. A pair that no row of an update chose has no
gradient at all, and an optimiser with weight decay or momentum leaves it as it is, to the bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from rltf_env.core import IntArray
from rltf_env.errors import UsageError

Assign = Literal["free", "forced"]


def owned(pairs: int, task: int, tasks: int) -> tuple[int, ...]:
    """The pairs of a task when every pair belongs to one task or is shared by two.

    Each of the tasks has a block of `pairs / tasks`, and the last of a block is shared with the next
    task (the paper does not say how its pairs are shared; this is ours).

    Raises:
        UsageError: the pairs cannot be divided, or there is no such task.
    """
    if tasks < 1 or not 0 <= task < tasks:
        raise UsageError(f"Expected policy.task in 0 ... tasks - 1, got task {task} of {tasks}.")
    if pairs % tasks:
        raise UsageError(f"Expected policy.pool to be a multiple of policy.tasks, got {pairs} for {tasks} tasks.")
    size = pairs // tasks
    return tuple(range(max(0, task * size - 1), (task + 1) * size))


class Pool(nn.Module):
    """N pairs: a key (D,) and a prompt (L, E) each; and which keys have been set from data.

    Args:
        pairs: N.
        width: D, of the queries.
        prompts: (N, L, E), what the prompts begin as.
        generator: draws the keys, which stay random until `set_key`.
    """

    met: Tensor

    def __init__(self, pairs: int, width: int, prompts: Tensor, generator: torch.Generator) -> None:
        super().__init__()
        keys = torch.randn(pairs, width, generator=generator)
        self.keys = nn.ParameterList(nn.Parameter(key.clone()) for key in keys)
        self.prompts = nn.ParameterList(nn.Parameter(prompt.clone()) for prompt in prompts.float())
        self.register_buffer("met", torch.zeros(pairs, dtype=torch.bool))

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def length(self) -> int:
        """L: the vectors of a prompt."""
        return len(self.prompts[0])

    def stacked(self, chosen: Sequence[int] | None = None) -> Tensor:
        """Keys (n, D): all, or those of the chosen pairs, to which alone a gradient then flows."""
        return torch.stack([self.keys[j] for j in (range(len(self)) if chosen is None else chosen)])

    @torch.no_grad()
    def set_key(self, pair: int, query: Tensor) -> None:
        """Lets a key begin as a query."""
        self.keys[pair].copy_(query)
        self.met[pair] = True


class Extended(nn.Module):
    """An input embedding with the vectors of a pool as rows after its own.

    Token `rows + j * L + l` is vector l of the prompt of pair j.
    """

    def __init__(self, base: nn.Module, pool: Pool) -> None:
        super().__init__()
        self.base, self.pool = base, pool
        self.rows = len(base.weight)  # type: ignore[arg-type]

    @property
    def weight(self) -> Any:
        """The embedding's own rows, which an output layer may share."""
        return self.base.weight

    def forward(self, ids: Tensor) -> Tensor:
        """Vectors (..., E) of tokens (...)."""
        out = self.base(ids.clamp(max=self.rows - 1))
        extra = ids >= self.rows
        if not bool(extra.any()):
            return out
        place = ids[extra] - self.rows
        used, which = torch.unique(place // self.pool.length, return_inverse=True)
        table = torch.cat([self.pool.prompts[j] for j in used.tolist()])
        vectors = table.index_select(0, which * self.pool.length + place % self.pool.length)
        return out.index_put((extra,), vectors.to(out.dtype))

    def tokens(self, chosen: Sequence[int]) -> IntArray:
        """int64 (k * L,): the tokens that spell the prompts of these pairs, in order."""
        each = np.arange(self.pool.length)
        return np.concatenate([self.rows + j * self.pool.length + each for j in chosen]).astype(np.int64)


def extend(model: Any, pairs: int, length: int, width: int, seed: int) -> Extended:
    """Freezes a model and gives its input embedding the rows of a fresh pool.

    Args:
        model: of transformers, without a pool.
        pairs, length: N and L.
        width: D, of the queries.
        seed: draws the keys, and the tokens whose vectors the prompts begin as.
    """
    model.requires_grad_(False)
    base = model.get_input_embeddings()
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(len(base.weight), (pairs, length), generator=generator)
    device = base.weight.device
    with torch.no_grad():
        prompts = base(ids.to(device)).cpu()
    extended = Extended(base, Pool(pairs, width, prompts, generator).to(device))
    model.set_input_embeddings(extended)
    return extended


@contextmanager
def without(model: Any) -> Iterator[None]:
    """The model as it was before `extend`: to save it."""
    extended = model.get_input_embeddings()
    model.set_input_embeddings(extended.base)
    try:
        yield
    finally:
        model.set_input_embeddings(extended)


def set_keys(pool: Pool, pairs: Sequence[int], query: Callable[[], Tensor]) -> int:
    """Sets those of the keys that no data have set yet, each from a query of its own; how many."""
    fresh = [j for j in pairs if not pool.met[j]]
    for j in fresh:
        pool.set_key(j, query())
    return len(fresh)
