"""Which kernels a GPU computes with: exact or quick, the same every time or not. On a CPU only draws change.

tf32           products of float32 matrices keep 10 bits of mantissa instead of 23, and are quicker on GPUs that have them.
               Log-probabilities are off by as much, so that programs are read once more before they are learnt from
               (`agents.learning.likelihood`), as with bfloat16.
deterministic  every kernel gives the same bits in every run, or there is an error. Sums of gradients of embeddings and of
               attention take longer, and cuBLAS takes a workspace of some MiB. Tokens are drawn by whole numbers, since a GPU has
               no deterministic cumulative sum of others.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import torch

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"


@contextmanager
def chosen(tf32: bool, deterministic: bool) -> Iterator[None]:
    """The kernels that a recipe asks for, inside the block. Both false: whatever torch is set to."""
    matmul, cudnn = torch.backends.cuda.matmul, cast(Any, torch.backends.cudnn)
    before = (
        matmul.allow_tf32,
        cudnn.allow_tf32,
        torch.are_deterministic_algorithms_enabled(),
        os.environ.get(WORKSPACE),
    )
    try:
        if tf32:
            matmul.allow_tf32 = cudnn.allow_tf32 = True
        if deterministic:
            os.environ.setdefault(WORKSPACE, ":4096:8")  # cuBLAS reads it when it is first used
            torch.use_deterministic_algorithms(True)
        yield
    finally:
        if tf32:
            matmul.allow_tf32, cudnn.allow_tf32 = before[:2]
        if deterministic:
            torch.use_deterministic_algorithms(before[2])
            if before[3] is None:
                os.environ.pop(WORKSPACE, None)
