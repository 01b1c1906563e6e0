"""Batches without padding and prompts that are read once: the numbers of a model that knows nothing of it, or the model itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from small_policies import copy_of
from transformers import AutoConfig, AutoModelForCausalLM

from agents.algorithms.supervised import supervised_loss
from agents.batching import batch
from agents.core import Batch, TrainingSample
from agents.functional import token_logprobs
from agents.learning.learner import Learner, OptimiserConfig
from agents.policies import _linear, causal, tiny
from agents.policies._attention import fits
from agents.policies._linear import Reordered
from agents.policies._rows import Groups, Rectangle
from agents.policies.causal import CausalPolicy, pack
from agents.testing import check_policy

SMALL: dict[str, Any] = {"width": 16, "layers": 2, "heads": 2, "vocab_size": 280, "dataset_options": {"size": 4}}
SHAPE: dict[str, Any] = {
    "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 8,
    "max_position_embeddings": 64, "bos_token_id": None, "pad_token_id": 0, "eos_token_id": 0,
}  # fmt: skip
KNOWN: dict[str, dict[str, Any]] = {
    "llama": {**SHAPE, "num_key_value_heads": 2},
    "qwen3": {**SHAPE, "num_key_value_heads": 1},
    "gpt_neox": SHAPE,
    "phi": {**SHAPE, "num_key_value_heads": 4},
    "opt": {**SHAPE, "ffn_dim": 64, "word_embed_proj_dim": 32},
    "olmoe": {**SHAPE, "num_experts": 4, "num_experts_per_tok": 2, "num_key_value_heads": 2},
    "gpt2": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "bos_token_id": 0, "eos_token_id": 0},
}  # positions of many kinds, heads that share keys, experts
UNKNOWN: dict[str, dict[str, Any]] = {
    "mistral": {**SHAPE, "sliding_window": 4, "num_key_value_heads": 2},  # forgets keys
    "codegen": {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "rotary_dim": 4, "bos_token_id": 0,
                "eos_token_id": 0},  # attention of its own
    "diffllama": {**SHAPE, "num_key_value_heads": 2},  # says that it takes any attention, and takes none
    "jetmoe": {**SHAPE, "kv_channels": 8, "num_key_value_heads": 2, "num_local_experts": 4},  # changes keys after the cache
}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return copy_of(tiny.load, **SMALL).tokenizer


def policy_of(kind: str, options: dict[str, Any], tokenizer: Any) -> CausalPolicy:
    config = AutoConfig.for_model(kind, vocab_size=len(tokenizer), **options)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return CausalPolicy(AutoModelForCausalLM.from_config(config).eval(), tokenizer)


def samples() -> list[TrainingSample]:
    """Nine programs of four prompts, in no order; one has a single token."""
    rng = np.random.default_rng(0)
    prompts = [rng.integers(1, 250, p) for p in (5, 1, 8, 3)]
    made = []
    for i, t in enumerate((9, 3, 4, 6, 12, 5, 1, 7, 7)):
        weights = rng.normal(size=t).astype(np.float32)
        made.append(
            TrainingSample(prompts[i % 4 if i < 7 else 0], rng.integers(1, 250, t), np.ones(t, bool), weights, weights)
        )
    return made


def learnt(policy: CausalPolicy, data: Batch) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Log-probabilities where there are tokens, and the gradient of their weighted sum."""
    policy.model.zero_grad()
    logprobs = token_logprobs(policy.logits(data), data.tokens)
    (logprobs * data.weights * data.token_mask).sum().backward()
    grads = {name: p.grad.clone() for name, p in policy.model.named_parameters() if p.grad is not None}
    return (logprobs * data.token_mask).detach(), grads


# --------------------------------------------------------------------------------------------------------- equal numbers


@pytest.mark.parametrize("kind", KNOWN)
@pytest.mark.parametrize("some", [slice(None), slice(4), slice(6, 7)], ids=["shared", "each its own", "one token"])
def test_a_batch_in_a_line_gives_the_numbers_and_gradients_of_rows(
    kind: str, some: slice, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = policy_of(kind, KNOWN[kind], tokenizer)
    assert policy.supports_packing
    data = batch(samples()[some], policy.pad_id)
    packed = learnt(policy, data)
    monkeypatch.setattr(causal, "fits", lambda model: False)
    plain = learnt(policy, data)
    torch.testing.assert_close(packed[0], plain[0], atol=1e-5, rtol=1e-4)
    assert packed[1].keys() == plain[1].keys()
    for name, gradient in plain[1].items():
        torch.testing.assert_close(packed[1][name], gradient, atol=1e-5, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


@pytest.mark.parametrize("kind", KNOWN)
def test_contract_holds_by_layout(kind: str, tokenizer: Any) -> None:
    check_policy(policy_of(kind, KNOWN[kind], tokenizer))


@pytest.mark.parametrize("kind", UNKNOWN)
def test_a_model_that_is_not_plain_attention_reads_as_it_does_by_itself(kind: str, tokenizer: Any) -> None:
    policy = policy_of(kind, UNKNOWN[kind], tokenizer)
    assert not policy.supports_packing
    check_policy(policy)


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")  # by torch's compiler, when it is imported
def test_a_layout_is_not_for_everybody() -> None:
    policy = copy_of(tiny.load, **SMALL)
    assert fits(policy.model)
    assert fits(copy_of(tiny.load, **SMALL, lora={"targets": ["q_proj"]}).model)
    assert not fits(copy_of(tiny.load, **SMALL, gradient_checkpointing=True).model)
    assert not fits(tiny.load(**SMALL, compile=True).model)
    policy.model.train()
    assert not fits(policy.model)
    policy.model.eval().set_attn_implementation("eager")
    assert not fits(policy.model)


def test_to_others_the_model_is_what_it_was() -> None:
    policy = copy_of(tiny.load, **SMALL)
    data = batch(samples(), policy.pad_id)
    before = policy.model(data.tokens).logits
    policy.logits(data)
    assert policy.model.config._attn_implementation == "sdpa"
    assert torch.equal(policy.model(data.tokens).logits, before)


def test_no_layer_reads_padding_or_a_prompt_twice() -> None:
    policy = copy_of(tiny.load, **SMALL)
    seen: list[int] = []
    policy.model.model.layers[0].mlp.register_forward_hook(
        lambda m, inputs, out: seen.append(inputs[0].shape[:2].numel())
    )
    assert policy.supports_packing
    seen.clear()
    made = samples()
    policy.logits(batch(made, policy.pad_id))
    assert seen == [5 + 1 + 8 + 3 + sum(len(s.tokens) - 1 for s in made)]
    learner = Learner(policy, OptimiserConfig(micro_batch=0))
    assert learner.step(made, "token_mean", supervised_loss)["padding"] == 0.0
    policy.model.set_attn_implementation("eager")
    assert learner.step(made, "token_mean", supervised_loss)["padding"] > 0.1


def test_programs_are_written_on_when_others_of_their_group_and_whole_groups_have_left() -> None:
    policy = copy_of(tiny.load, **SMALL)
    prompts = [np.arange(3, 3 + n) for n in (5, 2, 9)]
    none = [np.array([], np.int64)] * 3

    def write(kept: list[int] | None) -> torch.Tensor:
        state, _ = policy.begin(prompts, none, 3)
        policy.extend(state, torch.arange(20, 29))
        if kept:
            policy.keep(state, torch.tensor(kept))
        return policy.extend(state, torch.arange(30, 39)[kept] if kept else torch.arange(30, 39))

    whole = write(None)
    for kept in ([8, 0, 2, 6], [4], [0, 3, 6], list(range(9))):
        torch.testing.assert_close(write(kept), whole[kept], atol=1e-5, rtol=1e-5)


# --------------------------------------------------------------------------------------------------------------- by hand


def test_a_rectangle_by_hand() -> None:
    made = Rectangle.of(torch.tensor([[True, True, False], [True, False, False], [True, True, True]]))
    line = torch.arange(1.0, 7.0)[:, None].requires_grad_()
    rows = made.spread(line)[..., 0]
    assert rows[made.mask.view(3, 3)].tolist() == [1, 2, 3, 4, 5, 6]
    (rows * torch.tensor([[1.0, 2, 9], [3, 9, 9], [4, 5, 6]])).sum().backward()
    assert line.grad is not None
    assert line.grad[:, 0].tolist() == [1, 2, 3, 4, 5, 6]  # nothing of what was written on padding
    flat = torch.arange(9.0).view(3, 3, 1).requires_grad_()
    back = made.gathered(flat)
    assert back[:, 0].tolist() == [0, 1, 3, 6, 7, 8]
    (back[:, 0] * torch.arange(1.0, 7.0)).sum().backward()
    assert flat.grad is not None
    assert flat.grad[..., 0].tolist() == [[1, 2, 0], [3, 0, 0], [4, 5, 6]]


def test_groups_by_hand() -> None:
    groups = Groups.of(torch.tensor([1, 0, 1, 2, 1]), 3)
    things = torch.tensor([[10.0], [20.0], [30.0]], requires_grad=True)
    assert groups.repeated(things)[:, 0].tolist() == [20, 10, 20, 30, 20]
    (groups.repeated(things)[:, 0] * torch.tensor([1.0, 2, 4, 8, 16])).sum().backward()
    assert things.grad is not None
    assert things.grad[:, 0].tolist() == [2, 21, 8]
    rows = torch.arange(5.0).view(5, 1, 1, 1)  # (B, heads, q, width)
    together = groups.gathered(rows)
    assert together[groups.mask[:, None]].flatten().tolist() == [1, 0, 2, 4, 3]
    assert torch.equal(groups.spread(together, 1), rows)


def test_of_a_batch_in_a_line_each_token_knows_its_place() -> None:
    prompt, one = np.array([7, 8]), np.ones(3, np.float32)
    made = [
        TrainingSample(prompt, np.array(t), np.ones(len(t), bool), one[: len(t)], one[: len(t)])
        for t in ([1, 2, 3], [4])
    ]
    packed = pack(
        batch([*made, TrainingSample(np.array([9]), np.array([5, 6]), np.ones(2, bool), one[:2], one[:2])], 0)
    )
    assert packed is not None
    lines = sorted(zip(packed.ids.tolist(), packed.positions.tolist(), strict=True))
    assert lines == [(1, 2), (2, 3), (5, 1), (7, 0), (8, 1), (9, 0)]  # without 3, 4 and 6, which predict nothing
    assert packed.ids[packed.predicting].tolist() == [8, 1, 2, 8, 9, 5]  # what stands before 1 2 3, 4, 5 6


# ---------------------------------------------------------------------------------------------------------- large matrices


def test_reordered_matrices_multiply_as_they_did(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_linear, "LEAST", 16 * 16)
    policy = copy_of(tiny.load, **SMALL)
    ids = torch.arange(12).view(2, 6)
    with torch.no_grad():
        plain = policy.model(ids).logits
        made = Reordered.of(policy.model, 12)
        assert made is not None
        with made:
            reordered = policy.model(ids).logits
        torch.testing.assert_close(reordered, plain, atol=1e-5, rtol=1e-5)
        policy.model.lm_head.weight.zero_()
        with made:  # fixed when it was made
            assert not torch.equal(policy.model.lm_head(torch.ones(1, 16)), torch.zeros(1, 280))
    check_policy(policy_with_head(monkeypatch))


def policy_with_head(monkeypatch: pytest.MonkeyPatch) -> CausalPolicy:
    """One whose matrices are reordered each time it begins."""
    policy, made = copy_of(tiny.load, **SMALL), Reordered.of
    monkeypatch.setattr(Reordered, "of", classmethod(lambda cls, model, rows: made(model, rows)))
    return policy


def test_small_matrices_stay_where_they_are() -> None:
    assert Reordered.of(copy_of(tiny.load, **SMALL).model, 8) is None
