"""A batch that is read in a line: prompts that differ once, then what was written after them, and no padding.

See `agents.policies._attention`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from agents.core import Batch
from agents.policies._rows import Groups, Rectangle


@dataclass(frozen=True)
class Packed:
    """The tokens of a batch, one after the other: prompts that differ, each once (U), then the programs (B) that follow them.

    Programs go without their last token, which predicts nothing. Inside `attend` all are rectangles again, padded on the
    right: prompts (U, P) look at themselves, programs (B, L) at their prompt and at themselves.
    """

    ids: Tensor  # int64 (N,)
    positions: Tensor  # int64 (N,)
    predicting: Tensor  # int64 (M,): by which of these each token of the batch is predicted
    prompts: Rectangle
    programs: Rectangle
    predicted: Rectangle  # (B, T), of M tokens
    groups: Groups  # which prompt each program has
    mask: Tensor  # (B or 1, 1, L, P + L): 0, or -inf

    @classmethod
    def of(cls, batch: Batch, rows: Tensor, which: Tensor) -> Packed | None:
        """`rows` (U,) of the batch have the prompts that differ, `which` (B,) says which of these each row has.

        None if no row has a prompt.
        """
        prompt_mask, program_mask = batch.prompt_mask[rows], batch.token_mask[:, 1:]
        lengths = prompt_mask.sum(1)
        first, width = int(lengths.sum()), int(lengths.max())
        if not first:
            return None
        columns = torch.arange(width, device=rows.device) < lengths[:, None]  # (U, P)
        places = first + program_mask.flatten().cumsum(0).view_as(program_mask) - 1
        predicting = torch.cat([(lengths.cumsum(0) - 1).clamp(min=0)[which, None], places], 1)
        own = lengths[which, None] + torch.arange(program_mask.shape[1], device=rows.device)
        return cls(
            ids=torch.cat([batch.prompt[rows][prompt_mask], batch.tokens[:, :-1][program_mask]]),
            positions=torch.cat([(prompt_mask.cumsum(1) - 1)[prompt_mask], own[program_mask]]),
            predicting=predicting[batch.token_mask],
            prompts=Rectangle.of(columns),
            programs=Rectangle.of(program_mask),
            predicted=Rectangle.of(batch.token_mask),
            groups=Groups.of(which, len(rows)),
            mask=_mask(columns[which], program_mask.shape[1]),
        )

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Attention over packed prompts and programs: (1, heads, N, width) each, to (1, N, heads, width)."""
        first = len(self.prompts.places)
        flat = [t[0].transpose(0, 1) for t in (query, key, value)]  # (N, heads, width of a head)
        grouped = query.shape[1] != key.shape[1]
        q, k, v = (self.prompts.spread(t[:first]).transpose(1, 2) for t in flat)
        read = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scaling, enable_gqa=grouped)
        out = self.prompts.gathered(read.transpose(1, 2))
        if not len(self.programs.places):
            return out[None]
        q, *new = (self.programs.spread(t[first:]).transpose(1, 2) for t in flat)
        k, v = (torch.cat([self.groups.repeated(t), n], 2) for t, n in zip((k, v), new, strict=True))
        mask = self.mask.to(q.dtype)
        read = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scaling, enable_gqa=grouped)
        return torch.cat([out, self.programs.gathered(read.transpose(1, 2))])[None]


def _mask(prompts: Tensor, length: int) -> Tensor:
    """Which prompt token there is: bool (B, P) -> what `length` programs' queries may look at: 0 or -inf (B or 1, 1, L, P + L)."""
    prompts = prompts[:1] if bool(prompts.all()) else prompts
    seen = torch.ones(length, length, dtype=torch.bool, device=prompts.device).tril()
    parts = (prompts[:, None].expand(-1, length, -1), seen.expand(len(prompts), -1, -1))
    allowed = torch.cat(parts, 2)[:, None]
    return torch.zeros(allowed.shape, device=prompts.device).masked_fill(~allowed, -torch.inf)
