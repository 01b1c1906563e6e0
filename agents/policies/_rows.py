"""Rows of tokens in other arrangements: in a line without their padding, and by groups that share something."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rectangle:
    """Rows of tokens padded on the right, and the same tokens in a line."""

    shape: tuple[int, int]
    places: Tensor  # int64 (N,): where in the flattened rectangle each token of the line stands
    tokens: Tensor  # int64 (rows * width,): which token of the line stands there; where none does, the first
    mask: Tensor  # bool (rows * width,): whether one does

    @classmethod
    def of(cls, mask: Tensor) -> Rectangle:
        """Of the rectangle (rows, width) that has tokens where `mask` says."""
        flat = mask.flatten()
        rows, width = mask.shape
        return cls((rows, width), flat.nonzero()[:, 0], (flat.cumsum(0) - 1) * flat, flat)

    def spread(self, line: Tensor) -> Tensor:
        """(N, ...) -> (rows, width, ...). What stands on padding is finite and means nothing; its gradient is dropped."""
        full = len(self.places) == len(self.tokens)
        return (line if full else _Spread.apply(line, self)).unflatten(0, self.shape)

    def gathered(self, rectangle: Tensor) -> Tensor:
        """(rows, width, ...) -> (N, ...); the gradient on padding is 0."""
        flat = rectangle.flatten(0, 1)
        return flat if len(self.places) == len(self.tokens) else _Gathered.apply(flat, self)


class _Spread(torch.autograd.Function):
    """No token stands in two places, so that the gradient too is a choice of rows (that of `index_select` is a sum)."""

    @staticmethod
    def forward(ctx: Any, line: Tensor, at: Rectangle) -> Tensor:
        ctx.at = at
        return line.index_select(0, at.tokens)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return gradients[0].index_select(0, ctx.at.places), None


class _Gathered(torch.autograd.Function):
    """The way back."""

    @staticmethod
    def forward(ctx: Any, flat: Tensor, at: Rectangle) -> Tensor:
        ctx.at = at
        return flat.index_select(0, at.places)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        gradient = gradients[0].index_select(0, ctx.at.tokens)
        return gradient.mul_(ctx.at.mask.view(-1, *(1,) * (gradient.dim() - 1))), None


@dataclass(frozen=True)
class Groups:
    """Which of U things each of B rows has."""

    which: Tensor  # int64 (B,)
    rows: Tensor  # int64 (U * n,): the rows that have each thing, n of them at the most; after the last, any
    mask: Tensor  # bool (U, n): whether there is one
    plain: bool  # row i has thing i
    full: bool  # the rows are in the order of `rows`, n for each thing
    places: Tensor  # int64 (B,): where in `rows` each row is

    @classmethod
    def of(cls, which: Tensor, count: int) -> Groups:
        """Of rows that have things 0 ... `count` - 1, each at least one row."""
        sizes = torch.bincount(which, minlength=count)
        mask = torch.arange(int(sizes.max()), device=which.device) < sizes[:, None]
        rows = torch.zeros(mask.shape, dtype=torch.long, device=which.device)
        order, each = which.argsort(stable=True), torch.arange(len(which), device=which.device)
        rows[mask] = order
        full = bool(mask.all()) and torch.equal(order, each)
        places = torch.empty_like(order)
        places[order] = mask.flatten().nonzero()[:, 0]
        return cls(which, rows.flatten(), mask, full and mask.shape[1] == 1, full, places)

    def gathered(self, x: Tensor) -> Tensor:
        """Of rows (B, heads, q, ...) to groups (U, heads, n * q, ...)."""
        x = x if self.full else x.index_select(0, self.rows)
        return x.view(*self.mask.shape, *x.shape[1:]).transpose(1, 2).flatten(2, 3)

    def spread(self, x: Tensor, queries: int) -> Tensor:
        """The way back: of groups (U, heads, n * q, ...) to rows (B, heads, q, ...)."""
        groups, heads, _, width = x.shape
        x = x.view(groups, heads, -1, queries, width).transpose(1, 2).flatten(0, 1)
        return x if self.full else x.index_select(0, self.places)

    def repeated(self, things: Tensor) -> Tensor:
        """(U, ...) -> (B, ...): to each row what it has."""
        return things if self.plain else _Repeated.apply(things, self)


class _Repeated(torch.autograd.Function):
    """The gradient is the sum over the rows of a group, which are few (that of `index_select` adds row after row)."""

    @staticmethod
    def forward(ctx: Any, things: Tensor, groups: Groups) -> Tensor:
        ctx.groups = groups
        return things.index_select(0, groups.which)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        groups = ctx.groups
        each = gradients[0].index_select(0, groups.rows).unflatten(0, groups.mask.shape)
        if not bool(groups.mask.all()):
            each.mul_(groups.mask.view(*groups.mask.shape, *(1,) * (each.dim() - 2)))
        return each.sum(1), None
