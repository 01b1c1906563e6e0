"""What the families have in common: a model of transformers with its tokenizer, saved as a plain folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from agents.policies import _lora
from rltf_env.errors import UsageError


class Transformer:
    """The part of `agents.core.Policy` that does not depend on the family.

    Raises:
        UsageError: the tokenizer has no end-of-sequence token, or more tokens than the model has rows for.
    """

    def __init__(self, model: Any, tokenizer: Any) -> None:
        if tokenizer.eos_token_id is None:
            raise UsageError(
                f"Expected a tokenizer with an end-of-sequence token, got {tokenizer.name_or_path!r} without one. "
                "Name the token that ends a program: policy.eos=TEXT in a recipe, or tokenizer.eos_token = TEXT."
            )
        self.model, self.tokenizer, self.eos_id = model, tokenizer, int(tokenizer.eos_token_id)
        self.pad_id = self.eos_id if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id)
        rows = model.config.get_text_config().vocab_size  # the config of a text model may stand within another
        if len(tokenizer) > rows:
            raise UsageError(
                f"Expected a model with a row for each of the tokenizer's {len(tokenizer)} tokens, got "
                f"{rows}. Call model.resize_token_embeddings(len(tokenizer))."
            )

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def vocab_size(self) -> int:
        """V: the number of tokens. Rows of the model beyond it (padding of the embedding) are never sampled."""
        return len(self.tokenizer)

    def save(self, folder: Path) -> None:
        """Writes a plain transformers folder; LoRA's adapters are merged into a copy of the weights."""
        model = _lora.merged(self.model)
        if getattr(model, "generation_config", None) is not None:
            model.generation_config.eos_token_id = _ends(self.eos_id, model.generation_config)
        model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def _ends(eos_id: int, generation: Any) -> int | list[int]:
    """Where others' `generate` ends: where programs do, and wherever the model's makers say."""
    declared = generation.eos_token_id
    more = declared if isinstance(declared, (list, tuple)) else [declared] if declared is not None else []
    ends = list(dict.fromkeys([eos_id, *map(int, more)]))
    return ends if len(ends) > 1 and isinstance(declared, (list, tuple)) else eos_id


def checkpointed(model: Any) -> list[Any]:
    """The layers of a model with gradient checkpointing."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    return [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer) and m.gradient_checkpointing]


@contextmanager
def checkpointing(model: Any) -> Iterator[bool]:
    """Lets the layers of a model with gradient checkpointing drop their activations here; tells whether they do.

    transformers checkpoints in training mode only, but a `Learner` keeps a model in evaluation mode, for the sake of dropout.
    So the layers themselves are switched, not what they consist of; what dropout they do by themselves is 0
    (`_loading.prepare`).
    """
    layers = checkpointed(model) if torch.is_grad_enabled() else []
    before = [layer.training for layer in layers]
    try:
        for layer in layers:
            layer.training = True
        yield bool(layers)
    finally:
        for layer, mode in zip(layers, before, strict=True):
            layer.training = mode
