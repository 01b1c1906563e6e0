"""Attention in which each prompt is read once, whatever the number of its programs, and no padding goes through the layers.

transformers lets a model's attention be computed by a registered function, to which it passes what its caller gave the model
(`AttentionInterface`). Here that is a layout of rows: `_packed.Packed` for a batch that is read, all of its tokens one after
the other; `_shared.Shared` for programs that are being written. A model attends so only while it is told to; to everybody
else it is what it was.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor
from transformers import AttentionInterface

from agents.policies._cache import is_plain
from agents.policies._transformer import checkpointed

NAME = "rltf_layout"
PLAIN = {  # what a model may say to its attention that changes nothing here
    "position_ids", "use_cache", "cache_position", "is_causal",
    "output_attentions", "output_hidden_states", "output_router_logits",
}  # fmt: skip


class Layout(Protocol):
    """Knows which keys each query may look at."""

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """Queries, keys and values (B, heads, T, width) of a layer -> (B, T, heads, width)."""
        ...


def attention(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    layout: Layout,
    scaling: float | None = None,
    dropout: float = 0.0,
    **options: Any,
) -> tuple[Tensor, None]:
    """What transformers calls. It refuses whatever would make it another function than softmax(q k) v.

    Raises:
        NotImplementedError: an option is given that this is not meant for.
    """
    strange = [
        name for name, given in options.items() if name not in PLAIN and given is not None and given is not False
    ]
    if strange or dropout or attention_mask is not None:
        raise NotImplementedError(f"Expected plain attention, got {strange}, dropout {dropout}.")
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    return layout.attend(module.layer_idx, query, key, value, scale), None


def fits(model: Any) -> bool:
    """Whether a model should attend by a layout: all its layers keep all keys, its attention is a function that can be chosen.

    So it is on a CPU, where it was measured, unless another attention was asked for, or the model is compiled, or computes
    activations again, which it would do outside `by_layout`.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model  # of LoRA
    return (
        not model.training  # nothing drops out here
        and inner.config.get_text_config() is inner.config
        and inner.config._attn_implementation == "sdpa"
        and bool(getattr(inner, "_supports_attention_backend", False))
        and is_plain(inner.config)
        and not checkpointed(model)
        and getattr(model, "_compiled_call_impl", None) is None
        and next(model.parameters()).device.type == "cpu"
        and "logits_to_keep" in inspect.signature(inner.forward).parameters
    )


@contextmanager
def by_layout(model: Any) -> Iterator[None]:
    """Lets `model` attend by the `layout` that it is called with, which stands for the mask too."""
    AttentionInterface.register(NAME, attention)
    before = model.config._attn_implementation
    model.config._attn_implementation = NAME
    try:
        yield
    finally:
        model.config._attn_implementation = before


@dataclass
class Counted:
    """A layout that counts the layers that ask it."""

    layout: Layout
    calls: int = 0

    def attend(self, layer: int, query: Tensor, key: Tensor, value: Tensor, scaling: float) -> Tensor:
        """As the layout's, and counts the call."""
        self.calls += 1
        return self.layout.attend(layer, query, key, value, scaling)
