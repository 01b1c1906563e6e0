"""Shapes: as many parameters as published, random weights of either family, errors that name the nearest."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from agents.policies import shape
from agents.policies.causal import CausalPolicy
from agents.policies.seq2seq import Seq2SeqPolicy
from rltf_env.errors import UnknownName, UsageError

SMALL: dict[str, Any] = {"vocab_size": 280, "dataset_options": {"size": 4}}
T5 = {"model_type": "t5", "d_model": 16, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "vocab_size": 300}


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("codet5_60m", 60.5),
        ("codet5_220m", 222.9),
        ("codet5_770m", 737.6),
        ("codet5p_220m", 222.9),
        ("codet5p_770m", 737.6),
        ("codegen_350m", 356.7),
        ("codegen_2b", 2779.4),
        ("smollm2_135m", 134.5),
    ],
)
def test_shape_has_as_many_parameters_as_the_model_it_is_named_after(name: str, millions: float) -> None:
    assert shape.parameters(shape.config_of(name)) / 1e6 == pytest.approx(millions, abs=0.05)


def test_a_config_with_an_encoder_makes_an_encoder_decoder_policy() -> None:
    policy = shape.load(config=T5, **SMALL)
    assert isinstance(policy, Seq2SeqPolicy)
    assert policy.model.config.vocab_size == 300 > policy.vocab_size


def test_a_config_changes_entries_of_a_shape() -> None:
    made = shape.config_of("codegen_350m", {"n_layer": 1})
    assert (made.n_layer, made.n_embd) == (1, 1024)
    small = {"n_layer": 1, "n_embd": 32, "n_head": 4, "rotary_dim": 8, "vocab_size": 10}
    policy = shape.load(shape="codegen_350m", config=small, **SMALL)
    assert isinstance(policy, CausalPolicy)
    assert policy.model.config.vocab_size == policy.vocab_size > 256


def test_weights_are_drawn_from_the_seed_in_the_wanted_type() -> None:
    first, same, other = (shape.load(config=T5, seed=seed, dtype="bfloat16", **SMALL) for seed in (0, 0, 1))
    weights = [p.model.shared.weight for p in (first, same, other)]
    assert weights[0].dtype == torch.bfloat16
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_unknown_shapes_are_named_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'codet5_220m'"):
        shape.load(shape="codet5_220n")
    with pytest.raises(UnknownName, match="Did you mean 't5'"):
        shape.load(config={"model_type": "tt5"})
    with pytest.raises(UsageError, match="got neither"):
        shape.load()
