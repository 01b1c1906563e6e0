"""Products of few rows with large matrices: on a CPU, fast only where the matrix lies in memory as its blocks are read.

A step of writing multiplies the matrices of all layers by a handful of rows, and takes as long as they take to be read. oneDNN,
which torch carries, reads them almost twice as fast in an order of its own. So they are laid out anew for the time of writing,
at the price of a second copy and of the time that ten to fifteen tokens take.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

LEAST = 100_000  # numbers in a matrix, below which it stays in the processor's cache and nothing is gained


class Reordered(TorchFunctionMode):
    """While entered, `F.linear` multiplies by the copies of these matrices; what they are is fixed when this is made."""

    def __init__(self, matrices: dict[int, tuple[Tensor, Tensor]]) -> None:
        super().__init__()
        self._matrices = matrices

    @classmethod
    def of(cls, model: nn.Module, rows: int) -> Reordered | None:
        """For products with `rows` rows; None where it would not pay."""
        found = {id(weight): weight for weight in _large(model)}
        if not found or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
            return None
        reorder = torch.ops.mkldnn._reorder_linear_weight
        return cls({key: (weight, reorder(weight.detach(), rows)) for key, weight in found.items()})

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is F.linear and not kwargs:
            found = self._matrices.get(id(args[1]))
            if found is not None:
                bias = args[2] if len(args) > 2 else None
                return torch.ops.mkldnn._linear_pointwise(args[0], found[1], bias, "none", [], "")
        return func(*args, **(kwargs or {}))


def _large(model: nn.Module) -> Iterator[Tensor]:
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.weight.numel() >= LEAST and module.weight.dtype == torch.float32:
            yield module.weight
