"""The door that every policy passes: families that must hold, what is refused and how it is said, what comes back from a folder."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from transformers import dynamic_module_utils

from agents.batching import batch
from agents.building import make_policy
from agents.config import read
from agents.core import Policy, TrainingSample, rngs
from agents.decoding.sampling import Sampling
from agents.functional import token_logprobs
from agents.policies import _door, _trial, causal, shape, tiny
from agents.policies._cache import rows_of, selected
from agents.policies._ways import PADDED, Parts, by_length, even_batches, in_order
from agents.policies.causal import CausalPolicy
from agents.policies.seq2seq import Seq2SeqPolicy
from agents.testing import check_policy
from benchmarks.studies._small import small
from benchmarks.studies.architectures import made
from rltf_env.errors import UsageError

NOTHING = np.zeros(0, np.int64)
HELD = {
    "qwen3_next": PADDED.name, "qwen3_5_text": PADDED.name, "lfm2": PADDED.name, "lfm2_moe": PADDED.name,
    "granitemoehybrid": PADDED.name, "jamba": PADDED.name, "bamba": PADDED.name, "falcon_h1": PADDED.name,
    "nemotron_h": PADDED.name, "olmo_hybrid": PADDED.name, "mamba2": PADDED.name,
    "mamba": "padded rows, steps without a mask", "falcon_mamba": "padded rows, steps without a mask",
    "bart": "rows of one length at a time", "mbart": "rows of one length at a time",
    "recurrent_gemma": "rows of one length at a time, read anew for each token",
    "gemma3": PADDED.name, "llama4": PADDED.name, "gemma4": PADDED.name,
}  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return tiny.dataset_tokenizer(300, "procedural", {"size": 8})


@pytest.fixture
def policy() -> CausalPolicy:
    return tiny.load(width=16, layers=1, heads=2, vocab_size=280, dataset_options={"size": 4})


def held(family: str, kind: str, tokenizer: Any) -> Any:
    """A small model of a type, through the door."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _door.entered(
            (CausalPolicy if family == "causal" else Seq2SeqPolicy)(made(family, kind, tokenizer), tokenizer)
        )


def gap(policy: Policy[Any], lengths: tuple[int, ...] = (3, 12, 1), repeats: int = 3) -> float:
    """The largest difference, in nats, between sampling and learning."""
    rng = np.random.default_rng(0)
    prompts = [rng.integers(1, len(policy.tokenizer), n) for n in lengths]
    groups = Sampling()(
        policy, prompts, [NOTHING] * len(prompts), repeats=repeats, max_tokens=20, generator=rngs(0, policy.device)[1]
    )
    pairs = [(p, c) for p, group in zip(prompts, groups, strict=True) for c in group]
    assert len({len(c.tokens) for _, c in pairs}) > 1 or len(pairs[0][1].tokens) == 20
    data = batch([TrainingSample(p, c.tokens, c.logprobs < 1, c.logprobs, c.logprobs) for p, c in pairs], policy.pad_id)
    with torch.no_grad():
        return float(
            ((token_logprobs(policy.logits(data), data.tokens) - data.old_logprobs).abs() * data.token_mask).max()
        )


# ------------------------------------------------------------------------------------------------------------ families


@pytest.mark.parametrize("kind", HELD)
def test_families_of_many_kinds_learn_from_the_numbers_that_they_sampled_with(kind: str, tokenizer: Any) -> None:
    policy = held("causal", kind, tokenizer)
    assert policy.way.name == HELD[kind]
    assert gap(policy) < 1e-4


@pytest.mark.parametrize("kind", ["switch_transformers", "nllb-moe", "m2m_100", "plbart"])
def test_encoder_decoders_of_many_kinds_learn_from_the_numbers_that_they_sampled_with(
    kind: str, tokenizer: Any
) -> None:
    assert gap(held("seq2seq", kind, tokenizer), (3, 12, 7)) < 1e-4


@pytest.mark.parametrize("kind", ["mamba", "bart", "lfm2"])
def test_the_contract_holds_in_each_way(kind: str, tokenizer: Any) -> None:
    check_policy(held("causal", kind, tokenizer))


@pytest.mark.parametrize("kind", ["mamba", "bart", "qwen3_next", "recurrent_gemma", "falcon_h1"])
def test_the_gradient_of_a_batch_is_that_of_its_rows_alone(kind: str, tokenizer: Any) -> None:
    policy = held("causal", kind, tokenizer)
    rng = np.random.default_rng(0)
    rows = [(rng.integers(1, 290, p), rng.integers(1, 290, t)) for p, t in ((3, 4), (7, 2), (3, 6))]
    weights = [rng.normal(size=len(tokens)).astype(np.float32) for _, tokens in rows]
    samples = [TrainingSample(p, t, w < 9, w, w) for (p, t), w in zip(rows, weights, strict=True)]

    def gradients(parts: list[list[TrainingSample]]) -> dict[str, torch.Tensor]:
        policy.model.zero_grad()
        for part in parts:
            data = batch(part, policy.pad_id)
            (token_logprobs(policy.logits(data), data.tokens) * data.weights * data.token_mask).sum().backward()
        return {name: p.grad.clone() for name, p in policy.model.named_parameters() if p.grad is not None}

    together, alone = gradients([samples]), gradients([[sample] for sample in samples])
    assert together.keys() == alone.keys()
    scale = max(float(g.abs().max()) for g in alone.values())
    for name, gradient in alone.items():
        torch.testing.assert_close(
            together[name], gradient, atol=1e-5 * scale, rtol=1e-3, msg=lambda m, n=name: f"{n}: {m}"
        )


def test_given_tokens_go_on_where_prompts_are_empty_and_rows_of_one_length(tokenizer: Any) -> None:
    policy = held("causal", "bart", tokenizer)
    prompts, given = [np.array([5, 6, 7]), NOTHING], [NOTHING, np.array([9, 8])]
    [[first], [second]] = Sampling()(
        policy, prompts, given, repeats=1, max_tokens=9, generator=rngs(0, policy.device)[1]
    )
    masks = (np.ones(len(first.tokens), bool), np.arange(len(second.tokens)) >= 2)
    samples = [
        TrainingSample(p, c.tokens, m, c.logprobs, c.logprobs)
        for p, c, m in zip(prompts, (first, second), masks, strict=True)
    ]
    data = batch(samples, policy.pad_id)
    with torch.no_grad():
        again, states = policy.read(data)
    gaps = (token_logprobs(again, data.tokens) - data.old_logprobs).abs() * data.loss_mask
    assert float(gaps.max()) < 1e-4
    assert states.shape[:2] == data.tokens.shape


def test_experts_turn_no_token_away(tokenizer: Any) -> None:
    policy = held("seq2seq", "switch_transformers", tokenizer)
    capacities = [m.expert_capacity for m in policy.model.modules() if hasattr(m, "expert_capacity")]
    assert capacities
    assert min(capacities) > 1 << 30
    assert gap(policy, (200, 3)) < 1e-4  # more tokens than an expert would take


def test_a_shape_may_hold_its_text_config_inside_another() -> None:
    text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "head_dim": 8,
            "num_key_value_heads": 2, "vocab_size": 300, "sliding_window": 6}  # fmt: skip
    sight = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 28,
             "patch_size": 14}  # fmt: skip
    policy = shape.load(
        config={"model_type": "gemma3", "text_config": text, "vision_config": sight},
        vocab_size=300,
        dataset_options={"size": 4},
    )
    assert policy.ends == (policy.eos_id,)
    assert gap(policy) < 1e-4


# ------------------------------------------------------------------------------------------------------------- refusals


def test_an_encoder_is_refused_and_told_how_it_would_be_a_decoder(tokenizer: Any) -> None:
    config = small("bert", tokenizer, decoder=False)
    with pytest.raises(UsageError, match=r"BertLMHeadModel to predict each token from those before it.*is_decoder"):
        assert CausalPolicy(transformers.AutoModelForCausalLM.from_config(config).eval(), tokenizer).way


def test_weights_that_are_not_finite_are_refused_at_the_door(policy: CausalPolicy) -> None:
    with torch.no_grad():
        policy.model.model.norm.weight[0] = torch.nan
    policy._way = None
    with pytest.raises(UsageError, match=r"LlamaForCausalLM, got NaN.*float32"):
        _door.entered(policy)


def test_a_model_that_holds_in_no_way_is_refused_with_each_reason(
    policy: CausalPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy._way = None
    monkeypatch.setattr(_trial, "read", lambda policy, question: [2 * t for t in _trial.written(policy, question)])
    with pytest.raises(
        UsageError, match=r"LlamaForCausalLM .*padded rows: .*one length at a time.*Choose another model"
    ):
        _door.entered(policy)
    assert policy._way is None


def test_what_a_killed_process_left_is_removed_a_day_later(
    policy: CausalPolicy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(_door, "_saved", set())
    folders = {name: tmp_path / f"{_door.FOLDERS}{name}" for name in ("old", "young")}
    for folder in folders.values():
        folder.mkdir()
        (folder / "config.json").touch()
    os.utime(folders["old"], (0, 0))
    _door.entered(policy)
    assert list(tmp_path.iterdir()) == [folders["young"]]


def test_a_policy_of_another_make_is_tried_too(policy: CausalPolicy) -> None:
    class Wrapped:
        """A policy that is no class of ours, and reads other numbers than it wrote with."""

        def __init__(self, factor: float) -> None:
            self.factor = factor

        def __getattr__(self, name: str) -> Any:
            return getattr(policy, name)

        def logits(self, data: Any) -> torch.Tensor:
            return self.factor * policy.logits(data)

    assert _door.entered(Wrapped(1.0))
    with pytest.raises(UsageError, match="the same when it writes and when it reads"):
        _door.entered(Wrapped(1.5))


def test_a_recipe_names_a_policy_that_does_not_hold_and_is_told(tmp_path: Path, tokenizer: Any) -> None:
    transformers.AutoModelForCausalLM.from_config(small("bert", tokenizer, decoder=False)).save_pretrained(
        tmp_path / "m"
    )
    tokenizer.save_pretrained(tmp_path / "m")
    (tmp_path / "r.toml").write_text(
        f'[run]\nupdates = 1\n[env]\nid = "RLTF-Procedural-v0"\n[policy]\nkind = "causal"\npath = "{tmp_path / "m"}"\n'
        '[agent]\nkind = "grpo"\n'
    )
    with pytest.raises(UsageError, match="predict each token from those before it"):
        make_policy(read(tmp_path / "r.toml"))


def test_half_precision_is_held_to_less() -> None:
    exact, noisy = torch.zeros(5, 100), torch.zeros(5, 100)
    exact[:, 0], noisy[2] = 10.0, 1.0
    assert _trial.apart([exact + noisy], [exact], True) > 0.9
    assert _trial.apart([exact + noisy], [exact], False) == 0.0  # one token of five: the middle one is right
    assert _trial.apart([exact + 1], [exact], False) > 0.9


# -------------------------------------------------------------------------------------------------- what is shared is one


@pytest.mark.parametrize("target", ["lm_head", "embed_tokens"])
def test_adapters_beside_a_matrix_that_two_parts_share_are_refused(target: str) -> None:
    options: dict[str, Any] = {"width": 16, "layers": 1, "heads": 2, "vocab_size": 280, "dataset_options": {"size": 4}}
    with pytest.raises(UsageError, match=f"'{target}', whose matrix also serves elsewhere"):
        tiny.load(**options, lora={"targets": ["q_proj", target]})
    assert tiny.load(**options, lora={"targets": ["q_proj"]})


def test_adapters_beside_a_head_that_is_its_own_are_taken() -> None:
    config = {"model_type": "llama", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
              "num_attention_heads": 2, "vocab_size": 300, "tie_word_embeddings": False}  # fmt: skip
    assert shape.load(config=config, vocab_size=300, dataset_options={"size": 4}, lora={"targets": ["lm_head"]})


# ----------------------------------------------------------------------------------------------------- saved and loaded


@pytest.mark.parametrize("kind", ["qwen2", "llama", "phi3", "qwen3"])
def test_a_tokenizer_comes_back_as_it_was_saved_whatever_model_stands_beside_it(kind: str, tmp_path: Path) -> None:
    config = {"model_type": kind, "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
              "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 8, "vocab_size": 1024}  # fmt: skip
    policy = shape.load(config=config, vocab_size=512, dataset_options={"size": 8})
    policy.save(tmp_path)
    again = causal.load(str(tmp_path))
    text = "def f(x):\n    return x + 12  # caf\u00e9\n"
    assert again.tokenizer.get_vocab() == policy.tokenizer.get_vocab()
    assert again.tokenizer.encode(text) == policy.tokenizer.encode(text)


def test_a_tokenizer_of_its_own_code_is_saved_and_loaded_with_its_code(
    policy: CausalPolicy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dynamic_module_utils, "HF_MODULES_CACHE", str(tmp_path / "modules"))
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = tmp_path / "policy"
    policy.save(folder)
    (folder / "tokenization_mine.py").write_text(
        "from transformers import PreTrainedTokenizerFast\nclass MineTokenizer(PreTrainedTokenizerFast):\n    pass\n"
    )
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config |= {
        "tokenizer_class": "MineTokenizer",
        "auto_map": {"AutoTokenizer": [None, "tokenization_mine.MineTokenizer"]},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    assert type(causal.load(str(folder), trust_remote_code=True).tokenizer).__name__ == "MineTokenizer"


def test_a_tokenizer_that_does_not_come_back_is_refused(policy: CausalPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tiny.dataset_tokenizer(270, "procedural", {"size": 4})
    monkeypatch.setattr(_door.huggingface, "pretrained", lambda *where, **options: other)
    monkeypatch.setattr(_door, "_saved", set())
    with pytest.raises(UsageError, match=r"tokenizer of LlamaForCausalLM.*got another: \d+ tokens instead of 280"):
        _door.entered(policy)


def test_weights_that_do_not_come_back_are_refused(policy: CausalPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tiny.load(width=16, layers=1, heads=2, vocab_size=280, dataset_options={"size": 4}, seed=1)
    monkeypatch.setattr(_door, "_loaded", lambda *options: other.model)
    monkeypatch.setattr(_door, "_saved", set())
    with pytest.raises(UsageError, match="weights of LlamaForCausalLM to be the same"):
        _door.entered(policy)


def test_of_a_large_model_no_second_copy_is_made(policy: CausalPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_door, "SMALL", 10)
    monkeypatch.setattr(_door, "_saved", set())
    monkeypatch.setattr(type(policy.model), "save_pretrained", lambda *options: pytest.fail("weights were written"))
    assert _door.entered(policy)


def test_all_ends_of_a_model_end_a_program_and_are_saved(tmp_path: Path) -> None:
    config = {"model_type": "phi", "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
              "num_attention_heads": 2, "vocab_size": 300}  # fmt: skip
    policy = shape.load(config=config, vocab_size=300, dataset_options={"size": 8})
    turn = 299
    policy.model.generation_config.eos_token_id = [policy.eos_id, turn]
    with torch.no_grad():
        policy.model.lm_head.weight.zero_()
        policy.model.lm_head.bias.fill_(-30)
        policy.model.lm_head.bias[[7, turn]] = 10.0
    groups = Sampling()(
        policy, [np.array([5, 6])], [NOTHING], repeats=16, max_tokens=64, generator=rngs(0, policy.device)[1]
    )
    for completion in groups[0]:
        assert completion.tokens.tolist().count(turn) == 1
        assert completion.tokens[-1] == turn
        assert not completion.truncated
        assert completion.kept == len(policy.tokenizer.decode(completion.tokens[:-1]))  # the end spells nothing of it
    policy.save(tmp_path)
    assert json.loads((tmp_path / "generation_config.json").read_text())["eos_token_id"] == [policy.eos_id, turn]
    assert causal.load(str(tmp_path)).ends == (policy.eos_id, turn)


def test_a_default_that_means_nothing_ends_no_program(tokenizer: Any) -> None:
    config = transformers.LlamaConfig(
        vocab_size=300, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    policy = CausalPolicy(transformers.LlamaForCausalLM(config).eval(), tokenizer)
    assert policy.model.generation_config.eos_token_id == 2  # of the config's class: an ordinary token here
    assert policy.ends == (policy.eos_id,)


# ------------------------------------------------------------------------------------------------------------ positions


def test_programs_beyond_the_last_position_are_refused_before_they_are_written(tokenizer: Any) -> None:
    config = transformers.GPT2Config(vocab_size=300, n_positions=32, n_embd=16, n_layer=1, n_head=2)
    policy = CausalPolicy(transformers.GPT2LMHeadModel(config).eval(), tokenizer)
    assert policy.positions == 32
    ask: dict[str, Any] = {"repeats": 1, "generator": rngs(0, policy.device)[1]}
    prompt = [np.arange(1, 17)]
    assert Sampling()(policy, prompt, [NOTHING], max_tokens=16, **ask)
    with pytest.raises(UsageError, match=r"32 positions of GPT2LMHeadModel, got 16 and 17 tokens\. Lower"):
        Sampling()(policy, prompt, [NOTHING], max_tokens=17, **ask)


def test_the_halves_of_an_encoder_decoder_count_positions_by_themselves(tokenizer: Any) -> None:
    policy = held("seq2seq", "plbart", tokenizer)
    assert policy.has_room(policy.positions - sum(map(len, policy.frame)), policy.positions)
    assert not policy.has_room(policy.positions + 1, 1)
    assert not policy.has_room(1, policy.positions + 1)


# --------------------------------------------------------------------------------------------------------------- by hand


def test_rows_of_one_length_by_hand() -> None:
    assert by_length([3, 1, 3, 2]) == [[0, 2], [1], [3]]
    rows = [torch.tensor([0, 2]), torch.tensor([1])]
    assert in_order(rows, [torch.tensor([10.0, 30.0]), torch.tensor([20.0])]).tolist() == [10, 20, 30]
    parts = Parts([torch.tensor([0, 3]), torch.tensor([1]), torch.tensor([2])], ["a", "b", "c"])
    dropped: list[Any] = []
    parts.keep(lambda state, left: dropped.append((state, left.tolist())), torch.tensor([3, 2]))
    assert dropped == [("a", [1]), ("c", [0])]
    assert [r.tolist() for r in parts.rows] == [[0], [1]]
    assert parts.extend(lambda state, tokens: tokens * (2 if state == "a" else 3), torch.tensor([5, 7])).tolist() == [
        10,
        21,
    ]


def test_batches_of_one_length_by_hand() -> None:
    one = np.ones(1, np.float32)
    prompts = [np.arange(1, 1 + n) for n in (2, 1, 2, 0)]
    samples = [TrainingSample(prompt, np.array([9]), one > 0, one, one) for prompt in prompts]
    parts = even_batches(batch(samples, 0))
    assert [(rows.tolist(), part.prompt.tolist()) for rows, part in parts] == [
        ([0, 2], [[1, 2], [1, 2]]), ([1], [[1]]), ([3], [[]]),
    ]  # fmt: skip


def test_states_of_any_make_are_chosen_by_their_rows() -> None:
    @dataclasses.dataclass
    class Own:
        states: dict[int, tuple[torch.Tensor, torch.Tensor]]
        seen: int = 3

    def column() -> torch.Tensor:
        return torch.arange(3.0)[:, None]

    cache = Own({0: (column(), 10 * column())})
    assert rows_of(cache) == 3
    kept = selected(cache, torch.tensor([2, 0, 2]))
    assert kept.states[0][1][:, 0].tolist() == [20, 0, 20]
    assert kept.seen == 3
    assert [t[:, 0].tolist() for t in selected([column()], torch.tensor([1]))] == [[1]]
