"""A model of a known shape with **random weights**: for speed, memory and plumbing where the real weights are not at hand.

It knows nothing: what it scores says nothing of the model that the shape belongs to. With weights, use `causal` or `seq2seq`.
The vocabulary is trained on a dataset like that of `tiny`; the rows that the shape has beyond it are there, but never written.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from agents.policies import _loading
from agents.policies._door import entered
from agents.policies.causal import CausalPolicy
from agents.policies.seq2seq import Seq2SeqPolicy
from agents.policies.tiny import dataset_tokenizer, drawn
from rltf_env.errors import UnknownName, UsageError

T5 = {"model_type": "t5", "vocab_size": 32100, "d_kv": 64, "feed_forward_proj": "relu"}
BASE = {**T5, "d_model": 768, "d_ff": 3072, "num_layers": 12, "num_heads": 12}
LARGE = {**T5, "d_model": 1024, "d_ff": 4096, "num_layers": 24, "num_heads": 16}
CODEGEN = {"model_type": "codegen", "vocab_size": 51200, "n_positions": 2048}
SHAPES: dict[str, dict[str, Any]] = {
    "codet5_60m": {**T5, "d_model": 512, "d_ff": 2048, "num_layers": 6, "num_heads": 8},
    "codet5_220m": BASE,
    "codet5_770m": LARGE,  # the paper's actor
    "codet5p_220m": BASE,
    "codet5p_770m": LARGE,
    "codegen_350m": {**CODEGEN, "n_embd": 1024, "n_layer": 20, "n_head": 16, "rotary_dim": 32},
    "codegen_2b": {**CODEGEN, "n_embd": 2560, "n_layer": 32, "n_head": 32, "rotary_dim": 64},  # the paper's other actor
    "smollm2_135m": {
        "model_type": "llama", "vocab_size": 49152, "hidden_size": 576, "intermediate_size": 1536,
        "num_hidden_layers": 30, "num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 8192,
        "rope_theta": 100000.0, "tie_word_embeddings": True,
    },
}  # fmt: skip


def config_of(shape: str = "", config: Mapping[str, Any] | None = None) -> Any:
    """The transformers config of a named shape, with the entries of `config` in place of its own.

    Raises:
        UnknownName: no such shape, or no such model type.  UsageError: neither a shape nor a model type.
    """
    from transformers import CONFIG_MAPPING

    if shape and shape not in SHAPES:
        raise UnknownName("policy.shape", shape, tuple(SHAPES))
    entries = {**SHAPES.get(shape, {}), **(config or {})}
    kind = entries.pop("model_type", "")
    if not kind:
        raise UsageError(
            f'Expected policy.shape (one of {", ".join(SHAPES)}) or policy.config with a model_type such as "t5", got neither.'
        )
    if kind not in CONFIG_MAPPING:
        raise UnknownName("policy.config.model_type", kind, tuple(CONFIG_MAPPING.keys()))
    return CONFIG_MAPPING[kind](**entries)


def load(
    *,
    shape: str = "",
    config: Mapping[str, Any] | None = None,
    vocab_size: int = 4096,
    dataset: str = "procedural",
    dataset_options: dict[str, Any] | None = None,
    dtype: str = "float32",
    device: str = "cpu",
    seed: int = 0,
    **how: Any,
) -> CausalPolicy | Seq2SeqPolicy:
    """A random policy of a shape, causal or with an encoder as the shape has it.

    Args:
        shape: one of `SHAPES`.
        config: entries of its transformers config, beside or instead of `shape`: `{ model_type = "gpt2", n_embd = 64 }`.
        vocab_size: tokens that are trained, at the most; the model keeps the shape's own number of rows, if that is larger.
        dataset, dataset_options, seed: as in `tiny`.
        dtype, device: of the weights, as in `causal`.
        how: see `_loading.prepare`.
    """
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    made = config_of(shape, config)
    tokenizer = dataset_tokenizer(vocab_size, dataset, dataset_options)
    text = made.get_text_config(decoder=True)  # the config of a text model may stand within another
    rows = max(text.vocab_size, len(tokenizer))
    for part in {id(each): each for each in (made, text)}.values():
        part.vocab_size = rows
        part.eos_token_id, part.pad_token_id, part.bos_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id, None
    family, policy = AutoModelForCausalLM, CausalPolicy
    if made.is_encoder_decoder:
        made.decoder_start_token_id = tokenizer.pad_token_id
        family, policy = AutoModelForSeq2SeqLM, Seq2SeqPolicy
    model = drawn(family.from_config, made, seed).to(_loading.dtype_of(dtype))
    return entered(policy(_loading.prepare(model, device, seed=seed, **how), tokenizer))


def parameters(config: Any) -> int:
    """Number of parameters of a model of this config, which is not built."""
    from transformers import AutoModelForCausalLM, AutoModelForSeq2SeqLM

    family = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    with torch.device("meta"):
        return family.from_config(config).num_parameters()
