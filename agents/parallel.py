"""Several processes that learn as one: each reads a part of every batch, and all take the same step (data parallelism).

    rank 0    draws, writes, has judged, evaluates, and writes files     --sends--> the others, which do the same updates
    all       read their micro-batches, sum gradients, clip, step

Every rank runs the same agent with the same seeds, so that buffers, draws and weights are equal everywhere. What comes from
outside (programs and verdicts) rank 0 alone asks for, and sends (`Ranks.from_first`). A batch is cut into micro-batches, whose
shares of the loss are those of the whole batch. So whichever rank reads them, the sum of all gradients is the gradient of one
process, but for the order in which it was summed. Weights, moments and gradients lie on every rank, or each rank has a part of
them (`agents.learning.shards`).

Who asks for the `current` ranks need not know whether there are any: of one rank, everything is the identity.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from rltf_env.errors import RLTFError

T = TypeVar("T")
K = TypeVar("K")
BUCKET = 1 << 23  # numbers that are summed at a time: 32 MiB in float32


class RankError(RLTFError, RuntimeError):
    """The ranks do not agree, or one of them has ended."""


@dataclass(frozen=True)
class Ranks:
    """This process among `world` others.

    `patient` is a group of those that waits for as long as rank 0 writes and judges; `sharded`: each has a part of the weights,
    those of the modules `roots`.
    """

    rank: int = 0
    world: int = 1
    patient: Any = None
    sharded: bool = False
    roots: list[Any] = field(default_factory=list, compare=False, repr=False)

    @property
    def leads(self) -> bool:
        """Whether this is rank 0."""
        return self.rank == 0

    def dealt(self, parts: Sequence[T], cost: Callable[[T], float]) -> list[T]:
        """This rank's share of `parts`: the costliest first to whoever has least. In their order."""
        if self.world == 1:
            return list(parts)
        return [part for part, rank in zip(parts, self._owners(parts, cost), strict=True) if rank == self.rank]

    def idle(self, parts: Sequence[T], cost: Callable[[T], float]) -> list[T]:
        """What this rank reads besides, for nothing: of sharded weights all ranks make equally many passes."""
        if not self.sharded or not parts:
            return []
        owners = self._owners(parts, cost)
        most = max(owners.count(rank) for rank in range(self.world))
        return [min(parts, key=cost)] * (most - owners.count(self.rank))

    def _owners(self, parts: Sequence[T], cost: Callable[[T], float]) -> list[int]:
        """The rank of each part."""
        owner, spent = [0] * len(parts), [0.0] * self.world
        for i in sorted(range(len(parts)), key=lambda i: -cost(parts[i])):
            owner[i] = min(range(self.world), key=lambda rank: (spent[rank], rank))
            spent[owner[i]] += cost(parts[i])
        return owner

    @torch.no_grad()
    def sum_gradients(self, parameters: Sequence[Tensor]) -> None:
        """Gives every rank the sum of all ranks' gradients. A parameter that none has a gradient of keeps none.

        Gradients of sharded weights are summed already, on the way back.
        """
        if self.world == 1 or self.sharded:
            return
        own = torch.tensor([p.grad is not None for p in parameters], dtype=torch.uint8, device=parameters[0].device)
        with _answered():
            dist.all_reduce(own, dist.ReduceOp.MAX)
        learning = [p for p, has in zip(parameters, own.tolist(), strict=True) if has]
        for p in learning:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad
        for bucket in _buckets([p.grad for p in learning if p.grad is not None]):
            whole = torch.cat([grad.flatten() for grad in bucket])
            with _answered():
                dist.all_reduce(whole)
            for grad, part in zip(bucket, whole.split([grad.numel() for grad in bucket]), strict=True):
                grad.copy_(part.view_as(grad))

    def summed(self, numbers: Mapping[str, float]) -> dict[str, float]:
        """Each number summed over the ranks that have it."""
        if self.world == 1:
            return dict(numbers)
        totals: dict[str, float] = {}
        for each in self._gathered(dict(numbers)):
            for name, value in each.items():
                totals[name] = totals.get(name, 0.0) + value
        return totals

    def merged(self, own: Mapping[K, T]) -> dict[K, T]:
        """What all ranks have, by its name."""
        if self.world == 1:
            return dict(own)
        return {key: value for each in self._gathered(dict(own)) for key, value in each.items()}

    def from_first(self, make: Callable[[], T]) -> T:
        """What `make` gives on rank 0, where alone it is called, as if there were no other ranks; an error of it on all of them."""
        if self.world == 1:
            return make()
        box: list[Any] = [None, None]
        if self.leads:
            with alone():
                try:
                    box = [make(), None]
                except Exception as error:
                    box = [None, error]
        with _answered():
            dist.broadcast_object_list(box, src=0, group=self.patient)
        if box[1] is not None:
            raise box[1]
        return box[0]

    def check_equal(self, tensors: Sequence[Tensor], what: str) -> None:
        """Refuses to go on with other numbers than the other ranks.

        Raises:
            RankError: the sums of the tensors differ.
        """
        if self.world == 1 or self.sharded:
            return
        sums = [float(t.detach().double().sum()) for t in tensors]
        if any(each != sums for each in self._gathered(sums)):
            raise RankError(
                f"Expected the same {what} on all {self.world} ranks, got others on some: they no longer learn as one. Give them "
                "equal machines, versions and run.threads; the same command continues from the last checkpoint."
            )

    def _gathered(self, own: T) -> list[T]:
        box: list[Any] = [None] * self.world
        with _answered():
            dist.all_gather_object(box, own)
        return box


@contextmanager
def _answered() -> Iterator[None]:
    """Whatever a collective fails with means that another rank is no longer there, or too late."""
    try:
        yield
    except RankError:
        raise
    except RuntimeError as error:
        raise RankError(
            f"Expected an answer of every rank within scale.silence seconds, got: {str(error).splitlines()[0]} See ranks/ in the "
            "run's folder; the same command continues from the last checkpoint."
        ) from error


def _buckets(gradients: Sequence[Tensor]) -> Iterator[list[Tensor]]:
    """Gradients of one type, `BUCKET` numbers at a time."""
    bucket: list[Tensor] = []
    for grad in gradients:
        if bucket and (grad.dtype != bucket[0].dtype or sum(g.numel() for g in bucket) + grad.numel() > BUCKET):
            yield bucket
            bucket = []
        bucket.append(grad)
    if bucket:
        yield bucket


_SINGLE = Ranks()
_current = _SINGLE


def current() -> Ranks:
    """The ranks that learn together with this process."""
    return _current


@contextmanager
def within(ranks: Ranks) -> Iterator[Ranks]:
    """Makes `ranks` the current ones."""
    global _current
    before, _current = _current, ranks
    try:
        yield ranks
    finally:
        _current = before


def alone() -> Any:
    """A context in which this process has no other ranks beside it: what it does, they do not do."""
    return within(_SINGLE)
