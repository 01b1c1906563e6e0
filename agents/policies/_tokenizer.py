"""A policy's tokenizer as the environment knows tokenizers."""

from __future__ import annotations

from typing import Any

from agents.core import Policy
from rltf_env.tokenizers import HuggingFace


def tokenizer_of(policy: Policy[Any]) -> HuggingFace:
    """The policy's tokenizer as an environment takes it, which begins prompts as this kind of model expects."""
    config: Any = getattr(policy.model, "config", None)
    return HuggingFace(policy.tokenizer, for_decoder=not getattr(config, "is_encoder_decoder", False))
