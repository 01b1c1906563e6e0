"""Small configs of transformers' model types: as few layers and as narrow as each of them allows, two of everything at the least.

A config says by its entries what sizes it has. The names are many, but most types use a few of them (`SIZES`); what else a type
needs to be small and whole stands in `OWN`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

SIZES: Mapping[str, Any] = {
    # widths
    "hidden_size": 32, "n_embd": 32, "d_model": 32, "dim": 32, "embed_dim": 32, "intermediate_size": 64, "ffn_dim": 64,
    "d_ff": 64, "n_inner": 64, "dff": 64, "inner_dim": 64, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64, "d_inner": 64,
    "d_kv": 8, "head_dim": 8, "d_head": 8, "kv_channels": 8, "ffn_hidden_size": 64, "word_embed_proj_dim": 32,
    "moe_intermediate_size": 16, "shared_expert_intermediate_size": 16, "shared_intermediate_size": 16,
    "embedding_size": 32, "hidden_size_per_layer_input": 8, "vocab_size_per_layer_input": 300, "lru_width": 32,
    "mlp_dim": 64, "expert_ffn_hidden_size": 16, "expert_dim": 16, "mlp_ratio": 2,
    # depths
    "num_hidden_layers": 2, "n_layer": 2, "n_layers": 2, "num_layers": 2, "encoder_layers": 2, "decoder_layers": 2,
    "num_decoder_layers": 2, "num_encoder_layers": 2, "num_blocks": 2,
    # heads
    "num_attention_heads": 4, "n_head": 4, "n_heads": 4, "num_heads": 4, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "num_key_value_heads": 2, "num_kv_heads": 2, "num_encoder_attention_heads": 4,
    "num_decoder_attention_heads": 4, "num_global_key_value_heads": 2, "global_head_dim": 8,
    # positions and windows
    "max_position_embeddings": 128, "n_positions": 128, "n_ctx": 128, "max_seq_len": 128, "sliding_window": 6,
    "attention_window_size": 6, "sliding_window_size": 6, "attention_chunk_size": 8,
    # experts
    "num_local_experts": 4, "num_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_num_experts": 4,
    "n_group": 1, "topk_group": 1, "moe_topk": 2, "top_k_experts": 2, "num_experts_per_token": 2, "moe_k": 2,
    "n_shared_experts": 1, "first_k_dense_replace": 1,
    # low ranks of keys and queries
    "q_lora_rank": 16, "kv_lora_rank": 16, "qk_nope_head_dim": 8, "qk_rope_head_dim": 8, "v_head_dim": 8,
    # linear attention, state spaces, convolutions
    "linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8,
    "state_size": 8, "mamba_d_state": 8, "mamba_d_head": 8, "mamba_n_heads": 8, "mamba_n_groups": 1, "mamba_num_heads": 8,
    "mamba_head_dim": 8, "ssm_state_size": 8, "n_groups": 1, "mamba_ngroups": 1, "mamba_headdim": 8, "mamba_d_ssm": 64,
    "chunk_size": 8, "mamba_chunk_size": 8, "time_step_rank": 4, "mamba_dt_rank": 4, "block_size": 8, "attention_head_size": 8,
    # nothing drops out
    "dropout": 0.0, "attention_dropout": 0.0, "activation_dropout": 0.0, "resid_pdrop": 0.0, "embd_pdrop": 0.0,
    "attn_pdrop": 0.0, "dropout_rate": 0.0, "hidden_dropout": 0.0, "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}  # fmt: skip
LINEAR = "linear_attention"
QWEN4 = {
    "indexer_n_heads": 2, "indexer_kv_heads": 1, "indexer_head_dim": 8, "indexer_budget": 64, "indexer_compress_ratio": 1,
    "hc_lowrank": 8, "ple_embed_dim": 32, "ngram_vocab_size_base": 300, "split_ngram_parts": 1, "heads_per_ngram": 2,
}  # fmt: skip
OWN: Mapping[str, Mapping[str, Any]] = {
    "codegen": {"rotary_dim": 4}, "gptj": {"rotary_dim": 4},
    "bamba": {"attn_layer_indices": [1]},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"]},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "expert_layer_offset": 1},
    "mamba2": {"num_heads": 8, "expand": 2},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"], "num_dense_layers": 1},
    "cohere_compass_text": {"layer_types": ["sliding_attention", "full_attention"], "num_hidden_layers": 2},
    "dots3_note_text": {"num_key_value_heads": 4}, "dots3_note": {"text_config": {"num_key_value_heads": 4}},
    "gemma3n_text": {
        "num_hidden_layers": 4, "num_kv_shared_layers": 2, "layer_types": ["sliding_attention", "full_attention"] * 2,
        "activation_sparsity_pattern": [0.0] * 4, "intermediate_size": [64] * 4,
    },
    "gemma4_assistant": {"text_config": {"hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0}},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 6},
    "mpt": {"attn_config": {"attn_pdrop": 0}},
    "qwen4_exp_text": QWEN4, "qwen4_exp": {"text_config": QWEN4},
    "zamba": {
        "num_hidden_layers": 3, "layers_block_type": [LINEAR, "hybrid", "hybrid"], "attention_hidden_size": 64,
        "attention_head_dim": 16, "n_mamba_heads": 2, "num_key_value_heads": 4,
    },
    "zamba2": {"layers_block_type": [LINEAR, "hybrid"], "n_mamba_heads": 8, "mamba_headdim": 8, "num_key_value_heads": 4},
    "switch_transformers": {"num_sparse_encoder_layers": 1, "num_sparse_decoder_layers": 1},
    "zaya": {"num_experts_per_tok": 1, "router_hidden_size": 16},
    "reformer": {
        "attn_layers": ["local", "local"], "axial_pos_embds": False, "is_decoder": True, "local_attn_chunk_length": 8,
    },
    "encoder-decoder": {
        "encoder": {"model_type": "bert"}, "decoder": {"model_type": "bert", "is_decoder": True, "add_cross_attention": True},
    },
    "xmod": {"default_language": "en_XX"},
}  # fmt: skip


def small(kind: str, tokenizer: Any, *, decoder: bool) -> Any:
    """A config of a type for a tokenizer's vocabulary. `decoder`: as a decoder, where the type can also be an encoder."""
    from transformers import CONFIG_MAPPING

    make = CONFIG_MAPPING[kind]
    config = make(**_entries(make(), OWN.get(kind, {})))
    for part in _parts(config):
        if hasattr(part, "vocab_size"):
            part.vocab_size = len(tokenizer)
        part.eos_token_id, part.pad_token_id = tokenizer.eos_token_id, tokenizer.pad_token_id
        part.bos_token_id = tokenizer.eos_token_id  # some types allow no None
    if config.is_encoder_decoder and not decoder:
        config.decoder_start_token_id = 1
    if decoder and not config.is_encoder_decoder and "is_decoder" in vars(config):
        config.is_decoder = True
    return config


def _parts(config: Any) -> Iterator[Any]:
    """A config and those inside it, the innermost first."""
    for name in getattr(config, "sub_configs", {}):
        if hasattr(getattr(config, name, None), "to_dict"):
            yield from _parts(getattr(config, name))
    yield config


def _entries(default: Any, own: Mapping[str, Any]) -> dict[str, Any]:
    """The `SIZES` that a config has, and those of the configs inside it; then the type's own."""
    plain = default.to_dict()
    known = {*plain, *getattr(default, "attribute_map", {})}
    entries: dict[str, Any] = {name: value for name, value in SIZES.items() if name in plain}
    entries |= {name: SIZES[name] for name in known if name in SIZES and name in getattr(default, "attribute_map", {})}
    if "kv_lora_rank" in plain:  # keys of low rank are made for each head of queries
        entries["num_key_value_heads"] = 4
    if plain.get("layer_types"):
        entries["layer_types"] = _two(plain["layer_types"])
    for name in getattr(default, "sub_configs", {}):
        inner = getattr(default, name, None)
        if inner is not None and hasattr(inner, "to_dict"):
            entries[name] = _entries(inner, own.get(name, {})) | (
                {"model_type": inner.model_type} if inner.model_type else {}
            )
    return entries | {
        name: value for name, value in own.items() if name not in entries or not isinstance(value, Mapping)
    }


def _two(layers: list[str]) -> list[str]:
    """Two layers, of two kinds where there are two."""
    first = layers[0]
    return [first, next((kind for kind in layers if kind != first), first)]
