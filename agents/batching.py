"""From samples to rectangular batches: the only place that pads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from agents.core import Batch, TrainingSample
from rltf_env.core import IntArray


def batch(samples: Sequence[TrainingSample], pad_id: int) -> Batch:
    """Pads prompts on the left and programs on the right; see `agents.core.Batch`."""
    prompt, prompt_mask = pad_left([s.prompt for s in samples], pad_id)
    return Batch(
        prompt=prompt,
        prompt_mask=prompt_mask,
        tokens=pad_right([s.tokens for s in samples], pad_id),
        token_mask=pad_right([np.ones(len(s.tokens), bool) for s in samples], False),
        loss_mask=pad_right([s.loss_mask for s in samples], False),
        weights=pad_right([s.weights for s in samples], 0.0),
        old_logprobs=pad_right([s.old_logprobs for s in samples], 0.0),
        extra={name: pad_right([s.extra[name] for s in samples], 0.0) for name in samples[0].extra},
    )


def pad_right(rows: Sequence[np.ndarray], value: float) -> Tensor:
    """(B, T): rows of different length, filled up with `value`."""
    out = np.full((len(rows), max(map(len, rows))), value, rows[0].dtype)
    for i, row in enumerate(rows):
        out[i, : len(row)] = row
    return torch.from_numpy(out)


def pad_left(rows: Sequence[IntArray], pad_id: int) -> tuple[Tensor, Tensor]:
    """int64 (B, L) with padding in front, and bool (B, L) where there is a token."""
    width = max(1, *map(len, rows))  # a prompt may be empty where tokens are given (HumanEval): one column of padding
    ids = np.full((len(rows), width), pad_id, np.int64)
    mask = np.zeros((len(rows), width), bool)
    for i, row in enumerate(rows):
        ids[i, width - len(row) :] = row
        mask[i, width - len(row) :] = True
    return torch.from_numpy(ids), torch.from_numpy(mask)
