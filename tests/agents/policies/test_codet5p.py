"""CodeT5+'s policies: where a prompt goes, which tokens tell tasks apart, and how its checkpoints come from a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_policies import copy_of
from tokenizers.processors import TemplateProcessing
from transformers import EncoderDecoderConfig, EncoderDecoderModel, GPT2Config, T5Config

from agents import config
from agents.batching import batch, pad_left
from agents.core import TrainingSample
from agents.decoding.sampling import Sampling
from agents.policies import _codet5p, seq2seq, tiny_seq2seq
from agents.policies.seq2seq import Seq2SeqPolicy
from agents.testing import check_policy
from rltf_env.errors import UnknownName, UsageError

NONE = np.array([], np.int64)
SMALL: dict[str, Any] = {
    "width": 16, "layers": 1, "heads": 2, "vocab_size": 280, "dataset_options": {"size": 4}
}  # fmt: skip


def small(**options: Any) -> Seq2SeqPolicy:
    return copy_of(tiny_seq2seq.load, **SMALL, **options)


def ids(*tokens: int) -> np.ndarray:
    return np.array(tokens, np.int64)


def sample(prompt: np.ndarray, tokens: np.ndarray) -> TrainingSample:
    zeros = np.zeros(len(tokens), np.float32)
    return TrainingSample(prompt, tokens, np.ones(len(tokens), bool), zeros, zeros)


def large(policy: Seq2SeqPolicy) -> Any:
    """The shape of CodeT5+ 2B as far as transformers has it: an encoder, and a causal decoder with absolute positions."""
    common: dict[str, Any] = {
        "vocab_size": len(policy.tokenizer), "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64,
        "eos_token_id": policy.eos_id, "pad_token_id": policy.pad_id, "bos_token_id": policy.eos_id,
    }  # fmt: skip
    half = GPT2Config(**common)
    made = EncoderDecoderConfig.from_encoder_decoder_configs(half, GPT2Config(**common))
    made.decoder_start_token_id, made.pad_token_id = policy.eos_id, policy.pad_id
    made.eos_token_id, made.vocab_size = policy.eos_id, len(policy.tokenizer)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return EncoderDecoderModel(made).eval()


# ------------------------------------------------------------------------------------------------------------- modes


@pytest.mark.parametrize("mode", ["both", "decoder"])
def test_contract_holds_wherever_a_prompt_goes(mode: Any) -> None:
    check_policy(small(mode=mode))


def test_a_decoder_that_counts_positions_reads_prompts_of_any_length() -> None:
    policy = small()
    made = Seq2SeqPolicy(_codet5p.in_mode(large(policy), "both"), policy.tokenizer)
    assert made.way.even
    check_policy(made)


def test_a_prompt_in_the_decoder_stands_behind_its_start_and_before_the_program() -> None:
    policy = small(mode="both").starting(30)  # no padding, which would stand there anyway
    prompt, program = ids(40, 50, 60), ids(70, 80, 90)
    told = torch.tensor([[40, 50, 60, policy.eos_id]])
    written = torch.tensor([[policy.start_id, 40, 50, 60, 70, 80]])
    theirs = policy.model(
        input_ids=told, attention_mask=torch.ones_like(told), decoder_input_ids=written,
    ).logits[:, 3:, : policy.vocab_size]  # fmt: skip
    data = batch([sample(prompt, program), sample(ids(7), ids(5))], policy.pad_id)
    both = policy.logits(data)
    torch.testing.assert_close(both[:1], theirs)
    torch.testing.assert_close(both[1:, :1], policy.alone(ids(7), ids(5)[None]))  # padded in front


def test_both_with_an_empty_encoder_is_the_decoder_alone() -> None:
    both, alone = small(mode="both"), small(mode="decoder")
    data = batch([sample(ids(40, 50, 60), ids(70, 80)), sample(ids(9), ids(8, 7))], both.pad_id)
    assert not torch.allclose(both.logits(data), alone.logits(data), atol=1e-3)
    both._encode = lambda prompt, mask: both._read_in(prompt[:, :0], mask[:, :0])  # type: ignore[method-assign]
    torch.testing.assert_close(both.logits(data), alone.logits(data))


def test_the_model_of_two_billion_parameters_reads_its_prompt_twice_and_without_a_frame() -> None:
    made = T5Config()
    assert _codet5p.mode_of(made) == "seq2seq"
    made.model_type = "codet5p"
    assert _codet5p.mode_of(made) == "both"
    assert not _codet5p.framed_by_makers(made)


def test_an_encoder_without_a_frame_has_something_to_read_in_place_of_an_empty_prompt() -> None:
    policy = small()
    policy.frame = ([], [])
    encoded = policy._read_in(*pad_left([ids(5, 6), NONE], policy.pad_id))
    assert encoded.mask.tolist() == [[True, True], [True, False]]
    assert bool(encoded.states.isfinite().all())


def test_a_run_goes_on_in_the_mode_that_its_folder_was_trained_in(tmp_path: Path) -> None:
    small(mode="both").save(tmp_path / "policy")
    (tmp_path / "recipe.toml").write_text(
        '[run]\nname = "a"\nupdates = 1\n[env]\nid = "RLTF-Procedural-v0"\n[policy]\nkind = "tiny_seq2seq"\n'
        '[agent]\nkind = "supervised"\n'
    )
    options = dict(config.finished(tmp_path).policy)
    assert options.pop("kind") == "seq2seq"
    assert seq2seq.load(**options).mode == "both"
    assert seq2seq.load(**options, mode="seq2seq").mode == "seq2seq"


def test_another_mode_is_refused() -> None:
    with pytest.raises(UnknownName, match="decoder"):
        small(mode="decode")


# ------------------------------------------------------------------------------------------------------------ tokens


def test_the_papers_tokens_are_there_and_those_before_them_stay_what_they_were(tmp_path: Path) -> None:
    plain, more = small(), small(tokens="paper")
    assert len(more.tokenizer) == len(plain.tokenizer) + len(_codet5p.TASKS) + _codet5p.SENTINELS
    assert more.tokenizer.encode("return 3") == plain.tokenizer.encode("return 3")
    assert len({*_codet5p.sentinels(more.tokenizer)}) == _codet5p.SENTINELS
    text = more.tokenizer.decode(_codet5p.sentinels(more.tokenizer)[:2], skip_special_tokens=True)
    assert text == ""
    more.save(tmp_path)
    again = seq2seq.load(str(tmp_path), tokens="paper")
    assert len(again.tokenizer) == len(more.tokenizer)
    assert _codet5p.task_token(again.tokenizer, "match") == _codet5p.task_token(more.tokenizer, "match")


def test_without_them_there_are_no_sentinels() -> None:
    with pytest.raises(UsageError, match=r"policy\.tokens"):
        _codet5p.sentinels(small().tokenizer)


# ------------------------------------------------------------------------------------------------- checkpoints, states


def test_a_checkpoint_like_those_of_220m_loads_from_its_folder_and_writes_as_it_did(tmp_path: Path) -> None:
    """Framed as theirs (`<s> ... </s>`), with more rows than tokens."""
    policy = small()
    policy.tokenizer.add_special_tokens({"bos_token": "<s>"})
    policy.model.resize_token_embeddings(len(policy.tokenizer) + 20, mean_resizing=False)
    policy.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"<s> $A {policy.tokenizer.eos_token}",
        special_tokens=[
            ("<s>", policy.tokenizer.bos_token_id),
            (policy.tokenizer.eos_token, policy.eos_id),
        ],
    )
    policy = Seq2SeqPolicy(policy.model, policy.tokenizer)
    policy.save(tmp_path)
    again = seq2seq.load(str(tmp_path))
    assert again.frame == ([policy.tokenizer.bos_token_id], [policy.eos_id])
    options: dict[str, Any] = {"repeats": 1, "max_tokens": 12, "generator": torch.Generator()}
    (a,), (b,) = (Sampling(0.0)(p, [ids(40, 50)], [NONE], **options) for p in (policy, again))
    assert a[0].tokens.tolist() == b[0].tokens.tolist()
    texts = pad_left([ids(40, 50, 60), ids(7)], again.pad_id)
    encoded = again._read_in(*texts)
    torch.testing.assert_close(again.sentence_states(*texts), encoded.states[:, 0])


def test_the_state_of_a_text_is_that_of_its_end_where_nothing_begins_it() -> None:
    policy = small()
    texts = pad_left([ids(40, 50, 60), ids(7)], policy.pad_id)
    encoded = policy._read_in(*texts)
    torch.testing.assert_close(policy.sentence_states(*texts), encoded.states[[0, 1], [3, 1]])
    alone = policy.sentence_states(*pad_left([ids(7)], policy.pad_id))
    torch.testing.assert_close(policy.sentence_states(*texts)[1:], alone)
    assert alone.shape == (1, policy.sentence_width)
