"""A frozen trunk: what learns is the head and the last layers, a tied head is its own, and a saved policy is the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from agents.algorithms.supervised import supervised_loss
from agents.batching import batch
from agents.critics import values
from agents.learning.learner import Learner, OptimiserConfig
from agents.policies import _freezing, causal, pooled, seq2seq, shape, tiny, tiny_seq2seq
from agents.policies._freezing import layers
from agents.policies.pair_heads import plain_sample
from agents.testing import check_policy
from rltf_env.errors import UnknownName, UsageError

SMALL: dict[str, Any] = {"width": 16, "layers": 3, "heads": 2, "vocab_size": 280, "dataset_options": {"size": 4}}
FAMILIES: dict[str, Any] = {"tiny": (tiny, causal), "tiny_seq2seq": (tiny_seq2seq, seq2seq)}
SAMPLES = [plain_sample(np.array([60, 70]), np.array([80, 90, 100])), plain_sample(np.array([61]), np.array([81]))]


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> Any:
    return FAMILIES[request.param]


def learnt(policy: Any) -> set[str]:
    """The weights that three steps change."""
    before = {name: p.detach().clone() for name, p in policy.model.named_parameters(remove_duplicate=False)}
    learner = Learner(policy, OptimiserConfig(lr=1e-2, warmup=0))
    for _ in range(3):
        learner.step(SAMPLES, "token_mean", supervised_loss)
    return {n for n, p in policy.model.named_parameters(remove_duplicate=False) if not torch.equal(p, before[n])}


@pytest.mark.parametrize("thaw", [0, 1, 3])
def test_only_the_head_and_the_last_layers_learn(family: Any, thaw: int) -> None:
    policy = family[0].load(**SMALL, freeze="trunk", thaw=thaw)
    changed = learnt(policy)
    ours = [f"layers.{i}." for i in range(3 - thaw, 3)] + [f"decoder.block.{i}." for i in range(3 - thaw, 3)]
    assert "lm_head.weight" in changed
    assert all(name == "lm_head.weight" or any(part in name for part in ours) for name in changed)
    expected = {n for n, p in policy.model.named_parameters(remove_duplicate=False) if p.requires_grad}
    assert changed == expected
    assert len(changed) > 1 or not thaw


def test_a_tied_head_begins_as_a_copy_so_that_nothing_else_changes(family: Any) -> None:
    plain, frozen = family[0].load(**SMALL), family[0].load(**SMALL, freeze="trunk")
    data = batch(SAMPLES, plain.pad_id)
    with torch.no_grad():
        assert torch.equal(plain.logits(data), frozen.logits(data))
    assert frozen.model.get_output_embeddings().weight is not frozen.model.get_input_embeddings().weight


def test_what_a_frozen_policy_has_learnt_is_saved_and_loaded(family: Any, tmp_path: Path) -> None:
    """Whoever loads it has two matrices; and frozen again, or not, it is asked the same."""
    policy = family[0].load(**SMALL, freeze="trunk")
    learnt(policy)
    check_policy(policy)
    policy.save(tmp_path)
    data = batch(SAMPLES, policy.pad_id)
    for how in ({}, {"freeze": "trunk", "thaw": 2}):
        again = family[1].load(str(tmp_path), **how)
        with torch.no_grad():
            torch.testing.assert_close(again.logits(data), policy.logits(data), atol=1e-5, rtol=1e-5)
        assert again.model.lm_head.weight.requires_grad
        assert again.model.get_input_embeddings().weight.requires_grad == (not how)


def test_no_gradient_is_kept_of_what_is_frozen() -> None:
    policy = tiny.load(**SMALL, freeze="trunk", gradient_checkpointing=True)
    policy.logits(batch(SAMPLES, policy.pad_id)).sum().backward()
    with_gradient = {name for name, p in policy.model.named_parameters() if p.grad is not None}
    assert with_gradient == {n for n, p in policy.model.named_parameters() if p.requires_grad}


def test_values_with_a_trunk_of_their_own_stay_as_frozen_as_the_policy() -> None:
    """So that PPO's values may stand on a pre-trained trunk that neither of the two changes."""
    policy = tiny.load(**SMALL, freeze="trunk", thaw=1)
    own = values.load(policy, values.ValueConfig(trunk="own"), OptimiserConfig())
    assert isinstance(own, values.OwnValues)
    frozen = [n for n, p in own.policy.model.named_parameters() if not p.requires_grad]  # type: ignore[union-attr]
    assert frozen == [n for n, p in policy.model.named_parameters() if not p.requires_grad]
    assert len(frozen) > 5


@pytest.mark.parametrize("kind", ["gpt2", "gpt_neox"])
def test_layers_are_found_by_another_name(kind: str) -> None:
    config = {"model_type": kind, "n_embd": 16, "n_layer": 2, "n_head": 2, "hidden_size": 16, "num_hidden_layers": 2}
    config |= {"num_attention_heads": 2, "intermediate_size": 32} if kind == "gpt_neox" else {}
    config = {k: v for k, v in config.items() if kind == "gpt_neox" or k.startswith(("model", "n_"))}
    config = {k: v for k, v in config.items() if kind == "gpt2" or not k.startswith("n_")}
    policy = shape.load(config=config, vocab_size=280, dataset_options={"size": 4}, freeze="trunk")
    found = layers(policy.model)
    assert len(found) == 2
    assert [any(p.requires_grad for p in layer.parameters()) for layer in found] == [False, True]


# ------------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"freeze": "trunk", "thaw": 4}, r"policy\.thaw <= 3"),
        ({"freeze": "trunk", "thaw": -1}, r"policy\.thaw >= 0"),
        ({"thaw": 2}, r'policy\.freeze = "trunk"'),
        ({"freeze": "trunk", "lora": {}}, r"policy\.lora"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        tiny.load(**SMALL, **options)


def test_other_words_and_other_policies_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="trunk"):
        tiny.load(**SMALL, freeze="head")
    with pytest.raises(UsageError, match=r"policy\.freeze"):
        pooled.load(str(tmp_path), freeze="trunk")
    with pytest.raises(UsageError, match=r"policy\.tokens"):
        seq2seq.load(str(tmp_path), tokens="paper", freeze="trunk")


class Odd(nn.Module):
    """A model without a list of layers, or with one layer twice."""

    def __init__(self, twice: bool) -> None:
        super().__init__()
        self.first, self.head = (nn.utils.skip_init(nn.Linear, 2, 2) for _ in range(2))
        if twice:
            self.layers = nn.ModuleList([nn.Sequential(self.first), nn.Sequential(nn.Identity(), self.first)])
        self.config: Any = type("Config", (), {"is_encoder_decoder": False})()

    def get_output_embeddings(self) -> nn.Module:
        return self.head


def test_a_model_whose_layers_are_not_found_is_refused_with_its_modules() -> None:
    with pytest.raises(UsageError, match="first, head"):
        _freezing.freeze(Odd(twice=False), 1)


def test_layers_that_share_their_weights_are_refused() -> None:
    model = Odd(twice=True)
    model.layers[1] = nn.Sequential(nn.utils.skip_init(nn.Linear, 2, 2))
    model.layers[1][0].weight = model.first.weight  # type: ignore[index]
    with pytest.raises(UsageError, match="'first'"):
        _freezing.freeze(model, 1)
