"""Sums of gradients in one order, so that a run on a CPU gives the same bits again whatever else the machine does.

The gradient of `x[index]`, where an index stands twice, is a sum. On several threads of a CPU torch adds its terms as the threads
come to them: the last bits change from run to run, and after some hundred updates so do the programs. transformers reads
`hidden[:, positions]` before each head. With deterministic algorithms torch adds in the order of the indices, on one thread.
On a GPU that costs more, so there it is asked for: `run.deterministic`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils import deterministic as _deterministic

SETTINGS: Any = _deterministic  # its attribute is set by a module of its own, which type checkers do not see


@contextmanager
def in_order(device: torch.device) -> Iterator[None]:
    """Deterministic algorithms inside the block, where `device` is a CPU; an operation without one warns and goes on."""
    if device.type != "cpu" or torch.are_deterministic_algorithms_enabled():
        yield
        return
    fills = SETTINGS.fill_uninitialized_memory
    torch.use_deterministic_algorithms(True, warn_only=True)
    SETTINGS.fill_uninitialized_memory = False  # of tensors that are written anyway
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        SETTINGS.fill_uninitialized_memory = fills
