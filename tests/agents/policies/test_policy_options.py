"""How a policy learns: LoRA's adapters alone, activations computed again, prompts read once. The numbers stay the same."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from agents.algorithms.supervised import supervised_loss
from agents.batching import batch
from agents.core import Batch, TrainingSample
from agents.functional import token_logprobs
from agents.learning.learner import Learner, OptimiserConfig
from agents.policies import causal, seq2seq, tiny, tiny_seq2seq
from agents.policies._cache import LEAST, RoomyLayer, roomy
from agents.policies.causal import CausalPolicy, distinct
from agents.testing import check_policy
from rltf_env.errors import UnknownName, UsageError

SMALL: dict[str, Any] = {"width": 16, "layers": 2, "heads": 2, "vocab_size": 280, "dataset_options": {"size": 4}}
LORA = {"tiny": {"r": 4, "alpha": 8, "targets": ["q_proj", "v_proj"]}, "tiny_seq2seq": {"r": 4, "targets": ["q", "v"]}}
FAMILIES: dict[str, Callable[..., Any]] = {"tiny": tiny.load, "tiny_seq2seq": tiny_seq2seq.load}


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    return request.param


def samples() -> list[TrainingSample]:
    """Nine programs of four prompts."""
    rng = np.random.default_rng(0)
    prompts = [rng.integers(1, 250, p) for p in (5, 1, 8, 3)]
    made = []
    for i, t in enumerate((9, 3, 4, 6, 12, 5, 1, 7, 7)):
        weights = rng.normal(size=t).astype(np.float32)
        made.append(
            TrainingSample(prompts[i % 4 if i < 7 else 0], rng.integers(1, 250, t), np.ones(t, bool), weights, weights)
        )
    return made


def gradients(policy: Any, data: Batch) -> dict[str, torch.Tensor]:
    policy.model.eval()
    policy.model.zero_grad()
    (token_logprobs(policy.logits(data), data.tokens) * data.weights * data.token_mask).sum().backward()
    return {name: p.grad.clone() for name, p in policy.model.named_parameters() if p.grad is not None}


def assert_same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> None:
    assert first.keys() == second.keys()
    for name, gradient in first.items():
        torch.testing.assert_close(
            second[name], gradient, atol=1e-5, rtol=1e-4, msg=lambda text, n=name: f"{n}: {text}"
        )


# --------------------------------------------------------------------------------------------------------------- LoRA


def test_contract_holds_with_adapters(family: str) -> None:
    policy = FAMILIES[family](**SMALL, lora=LORA[family])
    learn(policy, 3)  # adapters begin as nothing: let them be something
    check_policy(policy)


def learn(policy: Any, updates: int) -> Learner:
    learner = Learner(policy, OptimiserConfig(lr=1e-2, warmup=0, micro_batch=4))
    for _ in range(updates):
        learner.step(samples(), "token_mean", supervised_loss)
    return learner


def test_only_adapters_learn(family: str) -> None:
    policy = FAMILIES[family](**SMALL, lora=LORA[family])
    before = {name: tensor.clone() for name, tensor in policy.model.state_dict().items()}
    learn(policy, 3)
    changed = {name for name, tensor in policy.model.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed
    assert all("lora_" in name for name in changed)
    assert changed == {name for name, p in policy.model.named_parameters() if p.requires_grad}


def test_adapters_change_nothing_until_they_have_learnt(family: str) -> None:
    data = batch(samples(), 0)
    plain, adapted = (FAMILIES[family](**SMALL, **how) for how in ({}, {"lora": LORA[family]}))
    with torch.no_grad():
        assert torch.equal(plain.logits(data), adapted.logits(data))


def test_saved_adapters_are_merged_into_a_plain_folder(tmp_path: Path) -> None:
    policy = tiny.load(**SMALL, lora=LORA["tiny"])
    learn(policy, 3)
    policy.save(tmp_path)
    assert not (tmp_path / "adapter_config.json").exists()
    plain = CausalPolicy(AutoModelForCausalLM.from_pretrained(tmp_path), policy.tokenizer)
    data = batch(samples(), policy.pad_id)
    with torch.no_grad():
        torch.testing.assert_close(plain.logits(data), policy.logits(data), atol=1e-5, rtol=1e-5)
    learn(policy, 1)  # saving leaves the adapters where they were


def test_a_run_with_adapters_goes_on_to_the_bit(family: str) -> None:
    first, second = (FAMILIES[family](**SMALL, lora=LORA[family], seed=3) for _ in range(2))
    state = learn(first, 2).state_dict()
    learner = Learner(second, OptimiserConfig(lr=1e-2, warmup=0, micro_batch=4))
    learner.load_state_dict(state)
    learner.step(samples(), "token_mean", supervised_loss)
    third = FAMILIES[family](**SMALL, lora=LORA[family], seed=3)
    learn(third, 3)
    for name, tensor in third.model.state_dict().items():
        assert torch.equal(tensor, second.model.state_dict()[name])


def test_adapters_are_drawn_from_the_seed_alone() -> None:
    before = torch.random.get_rng_state()
    first, same, other = (tiny.load(**SMALL, lora={}, seed=seed).model.state_dict() for seed in (0, 0, 1))
    assert torch.equal(before, torch.random.get_rng_state())
    name = next(n for n in first if "lora_A" in n)
    assert torch.equal(first[name], same[name])
    assert not torch.equal(first[name], other[name])


def test_adapters_stand_beside_weights_that_are_loaded(tmp_path: Path) -> None:
    tiny.load(**SMALL).save(tmp_path)
    policy = causal.load(str(tmp_path), lora=LORA["tiny"], gradient_checkpointing=True)
    learn(policy, 1)
    check_policy(policy)


@pytest.mark.parametrize(
    "sizes", [{"width": 33, "heads": 2}, {"width": 0}, {"heads": 0}, {"layers": -1}, {"width": 32.5}]
)
def test_impossible_sizes_are_refused_in_a_sentence(sizes: dict[str, Any]) -> None:
    for load in (tiny.load, tiny_seq2seq.load):
        with pytest.raises(UsageError, match=r"Expected policy\.\w+ to be (an integer|a multiple)"):
            load(**sizes)


def test_wrong_adapters_say_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"policy\.lora\.targets"):
        tiny.load(**SMALL, lora={"targets": ["no_such_layer"]})
    with pytest.raises(UnknownName, match="Did you mean 'targets'"):
        tiny.load(**SMALL, lora={"target": ["q_proj"]})
    with pytest.raises(UsageError, match="r >= 1"):
        tiny.load(**SMALL, lora={"r": 0})
    with pytest.raises(UsageError, match=r"policy\.lora as a table such as .*, got 8"):
        tiny.load(**SMALL, lora=8)  # type: ignore[arg-type]
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(UsageError, match=r"pip install 'rltf\[lora\]'"):
        tiny.load(**SMALL, lora={})


# --------------------------------------------------------------------------------------------- gradient checkpointing


@pytest.mark.parametrize("lora", [False, True])
def test_activations_computed_again_give_the_same_gradient(family: str, lora: bool) -> None:
    how = {"lora": LORA[family]} if lora else {}
    plain, again = (FAMILIES[family](**SMALL, gradient_checkpointing=c, **how) for c in (False, True))
    data = batch(samples(), plain.pad_id)
    calls = count_layers(again.model)
    assert_same(gradients(plain, data), gradients(again, data))
    assert calls["forward"] == 2 * len(layers(again.model))  # once, and again on the way back


def layers(model: torch.nn.Module) -> list[torch.nn.Module]:
    return [m for m in model.modules() if type(m).__name__ in ("LlamaDecoderLayer", "T5Block")]


def count_layers(model: torch.nn.Module) -> dict[str, int]:
    calls = {"forward": 0}

    def hook(*_: Any) -> None:
        calls["forward"] += 1

    for layer in layers(model):
        next(m for m in layer.modules() if "Norm" in type(m).__name__).register_forward_hook(hook)
    return calls


def test_a_checkpointed_policy_keeps_the_contract_and_its_mode(family: str) -> None:
    policy = FAMILIES[family](**SMALL, gradient_checkpointing=True)
    check_policy(policy)
    policy.model.eval()
    policy.logits(batch(samples(), policy.pad_id))
    assert not any(module.training for module in policy.model.modules())


def test_nothing_drops_out_where_activations_are_computed_again(tmp_path: Path) -> None:
    policy = tiny_seq2seq.load(**SMALL)
    policy.model.config.dropout_rate = 0.5
    policy.save(tmp_path)
    plain = seq2seq.load(str(tmp_path))
    again = seq2seq.load(str(tmp_path), gradient_checkpointing=True)
    data = batch(samples(), plain.pad_id)
    assert_same(gradients(plain, data), gradients(again, data))


# ------------------------------------------------------------------------------------------------------ shared prompts


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_shared_prompts_give_the_gradient_of_prompts_read_one_by_one(
    attention: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tiny.load(**SMALL)
    policy.model.set_attn_implementation(attention)
    monkeypatch.setattr(causal, "fits", lambda model: False)  # as on a GPU; by a layout: test_layouts.py
    data = batch(samples(), policy.pad_id)
    read: list[int] = []
    together = CausalPolicy._forward_shared_prompt
    monkeypatch.setattr(CausalPolicy, "_forward_shared_prompt", lambda s, *a: read.append(len(a[1])) or together(s, *a))
    shared = gradients(policy, data)
    assert read == [4]
    monkeypatch.setattr(causal, "distinct", lambda prompt, mask: None)
    assert_same(gradients(policy, data), shared)


def test_states_are_what_the_head_turns_into_logits() -> None:
    policy = tiny.load(**SMALL)
    made = samples()
    for part in (made, made[:4]):  # with prompts that are shared, and without
        data = batch(part, policy.pad_id)
        logits, states = policy.read(data)
        assert states.shape == (*data.tokens.shape, 16)
        torch.testing.assert_close(policy.model.lm_head(states), logits)
        torch.testing.assert_close(policy.logits(data), logits)


def test_prompts_that_differ_are_found_by_hand() -> None:
    prompt = torch.tensor([[0, 5, 6], [0, 5, 6], [9, 5, 6], [0, 5, 6]])
    mask = torch.tensor([[False, True, True], [False, True, True], [False, True, True], [True, True, True]])
    found = distinct(prompt, mask)
    assert found is not None
    rows, which = found
    assert len(rows) == 2  # what stands under the padding does not count, and a real token 0 does
    assert which[0] == which[1] == which[2] != which[3]
    assert torch.equal((prompt * mask)[rows][which], prompt * mask)
    assert distinct(prompt[2:], mask[2:]) is None  # each its own


# -------------------------------------------------------------------------------------------------------------- cache


def test_cache_with_room_is_the_cache_that_concatenates() -> None:
    generator = torch.Generator()
    generator.manual_seed(0)
    keys, values = torch.randn(2, 3, 2, 5, 4, generator=generator)
    layer = RoomyLayer(keys, values, repeats=2)
    plain = [t.repeat_interleave(2, 0) for t in (keys, values)]
    for step in range(2 * LEAST + 3):
        new = torch.randn(2, len(plain[0]), 2, 1, 4, generator=generator)
        plain = [torch.cat([t, n], 2) for t, n in zip(plain, new, strict=True)]
        seen = layer.update(*new)
        assert all(map(torch.equal, seen, plain))
        assert layer.get_seq_length() == 6 + step
        if step in (4, LEAST + 9):  # rows leave
            rows = torch.tensor([2, 0, 3][: len(plain[0]) - 1])
            rows = rows[rows < len(plain[0])]
            layer.batch_select_indices(rows)
            plain = [t[rows] for t in plain]
    assert all(map(torch.equal, (layer.keys, layer.values), plain))


def test_a_step_writes_in_place_while_there_is_room() -> None:
    layer = RoomyLayer(torch.zeros(1, 1, 5, 4), torch.zeros(1, 1, 5, 4))
    place = layer.keys.data_ptr()
    for _ in range(LEAST):
        layer.update(torch.ones(1, 1, 1, 4), torch.ones(1, 1, 1, 4))
        assert layer.keys.data_ptr() == place
    layer.update(torch.ones(1, 1, 1, 4), torch.ones(1, 1, 1, 4))
    assert layer.keys.data_ptr() != place


def test_layers_of_another_kind_stay_what_they_are() -> None:
    from transformers.cache_utils import DynamicCache, DynamicLayer, DynamicSlidingWindowLayer

    cache = DynamicCache()
    cache.layers = [DynamicLayer(), DynamicSlidingWindowLayer(sliding_window=4)]
    for i in range(2):
        cache.layers[i].update(torch.ones(1, 1, 3, 4), torch.ones(1, 1, 3, 4))
    roomy(cache, 2)
    assert [type(layer) for layer in cache.layers] == [RoomyLayer, DynamicSlidingWindowLayer]
    assert all(len(layer.keys) == 2 for layer in cache.layers)


# ------------------------------------------------------------------------------------------------------------- compile


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")  # torch's compiler uses what torch gives up
def test_a_compiled_policy_keeps_the_contract() -> None:
    check_policy(tiny.load(**SMALL, compile=True))


@pytest.mark.parametrize("vocab_size", [10, 256, True])
def test_a_vocabulary_without_room_for_every_byte_is_refused(vocab_size: int) -> None:
    with pytest.raises(UsageError, match=r"Expected policy\.vocab_size to be an integer of at least 257"):
        tiny.load(width=16, layers=1, heads=2, vocab_size=vocab_size, dataset_options={"size": 4})
