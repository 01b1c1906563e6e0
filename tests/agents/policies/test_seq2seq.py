"""Encoder-decoder policies: the model's own answers, whatever stands beside a prompt; frames, starts, other architectures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_policies import copy_of
from tokenizers.processors import TemplateProcessing
from transformers import AutoModelForSeq2SeqLM, BartConfig, BartForConditionalGeneration

from agents.batching import batch
from agents.core import Batch, Completion, TrainingSample
from agents.decoding.sampling import Sampling
from agents.functional import token_logprobs
from agents.policies import seq2seq, tiny_seq2seq
from agents.policies.seq2seq import Seq2SeqPolicy, frame, framed
from agents.testing import check_policy
from rltf_env.errors import UsageError

NONE = np.array([], np.int64)


@pytest.fixture
def t5() -> Seq2SeqPolicy:
    return copy_of(tiny_seq2seq.load, width=16, layers=2, heads=2, vocab_size=280, dataset_options={"size": 4})


def ids(*tokens: int) -> np.ndarray:
    return np.array(tokens, np.int64)


def write(policy: Any, prompts: Any, given: Any = None, **options: Any) -> list[list[Completion]]:
    call: dict[str, Any] = {"repeats": 1, "max_tokens": 20} | options
    generator = torch.Generator()
    generator.manual_seed(0)
    return Sampling(call.pop("temperature", 0.0))(
        policy, prompts, given or [NONE] * len(prompts), generator=generator, **call
    )


def samples() -> list[TrainingSample]:
    rng = np.random.default_rng(0)
    prompts = [rng.integers(1, 250, p) for p in (5, 1, 0, 3)]
    made = []
    for i, t in ((0, 9), (1, 3), (0, 4), (2, 6), (3, 12), (1, 5)):  # prompts that are shared, one that is empty
        weights = rng.normal(size=t).astype(np.float32)
        made.append(TrainingSample(prompts[i], rng.integers(1, 250, t), np.ones(t, bool), weights, weights))
    return made


def bart(policy: Seq2SeqPolicy) -> Seq2SeqPolicy:
    config = BartConfig(
        vocab_size=len(policy.tokenizer) + 8, d_model=16, encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=32, decoder_ffn_dim=32, max_position_embeddings=64, dropout=0.5,
        bos_token_id=None, pad_token_id=policy.pad_id, eos_token_id=policy.eos_id, decoder_start_token_id=policy.eos_id,
        forced_eos_token_id=None,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return Seq2SeqPolicy(BartForConditionalGeneration(config), policy.tokenizer)


# ------------------------------------------------------------------------------------------------- numbers in any batch


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_contract_holds_whichever_way_an_encoder_is_computed(t5: Seq2SeqPolicy, attention: str) -> None:
    t5.model.set_attn_implementation(attention)
    check_policy(t5)


def test_greedy_is_the_models_own_generate(t5: Seq2SeqPolicy) -> None:
    prompts = [ids(40, 50, 60), ids(70), ids(3, 4, 5, 6, 7, 8, 9)]
    for prompt, [completion] in zip(prompts, write(t5, prompts, max_tokens=30), strict=True):
        inputs = torch.tensor([[*prompt, t5.eos_id]])
        theirs = t5.model.generate(inputs, attention_mask=torch.ones_like(inputs), do_sample=False, max_new_tokens=30)
        assert completion.tokens.tolist() == theirs[0, 1:].tolist()
        assert len(completion.tokens) > 5


def test_given_tokens_go_to_the_decoder_and_the_rest_follows(t5: Seq2SeqPolicy) -> None:
    [[whole]] = write(t5, [ids(40, 50)])
    for n in (1, 4, 7):
        [[rest]] = write(t5, [ids(40, 50)], [whole.tokens[:n]])
        assert rest.tokens.tolist() == whole.tokens.tolist()
        np.testing.assert_allclose(rest.logprobs[n:], whole.logprobs[n:], atol=1e-5)


def test_rows_with_given_tokens_of_any_length_read_as_if_alone(t5: Seq2SeqPolicy) -> None:
    prompts, given = [ids(40, 50), ids(7), ids(9, 9, 9)], [ids(5, 6, 7, 8), NONE, ids(3)]
    together = write(t5, prompts, given)
    for prompt, start, [completion] in zip(prompts, given, together, strict=True):
        [[alone]] = write(t5, [prompt], [start])
        assert completion.tokens.tolist() == alone.tokens.tolist()
        np.testing.assert_allclose(completion.logprobs, alone.logprobs, atol=1e-5)


def test_contract_sees_an_encoder_that_reads_padding(t5: Seq2SeqPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(*arguments: Any) -> Any:
        made, mask = framed(*arguments)
        return made, torch.ones_like(mask)

    monkeypatch.setattr(seq2seq, "framed", careless)
    with pytest.raises(AssertionError, match="log-probabilities of sampling"):
        check_policy(t5)


def test_shared_prompts_give_the_gradient_of_prompts_read_one_by_one(
    t5: Seq2SeqPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = batch(samples(), t5.pad_id)
    shared = gradients(t5, data)
    monkeypatch.setattr(seq2seq, "distinct", lambda prompt, mask: None)
    for name, gradient in gradients(t5, data).items():
        torch.testing.assert_close(shared[name], gradient, atol=1e-5, rtol=1e-4)


def gradients(policy: Any, data: Batch) -> dict[str, torch.Tensor]:
    policy.model.zero_grad()
    (token_logprobs(policy.logits(data), data.tokens) * data.weights * data.token_mask).sum().backward()
    return {name: p.grad.clone() for name, p in policy.model.named_parameters() if p.grad is not None}


def test_states_are_what_the_head_turns_into_logits(t5: Seq2SeqPolicy) -> None:
    data = batch(samples(), t5.pad_id)
    logits, states = t5.read(data)
    assert states.shape == (*data.tokens.shape, 16)
    scale = 16**-0.5 if t5.model.config.scale_decoder_outputs else 1.0
    torch.testing.assert_close(t5.model.lm_head(states * scale)[..., : t5.vocab_size], logits)
    torch.testing.assert_close(t5.logits(data), logits)


# ------------------------------------------------------------------------------------------------------- frames, starts


def test_framing_and_right_padding_by_hand() -> None:
    prompt = torch.tensor([[0, 5, 6], [0, 0, 0], [7, 8, 9]])
    mask = torch.tensor([[False, True, True], [False] * 3, [True] * 3])
    made, seen = framed(prompt, mask, ([1], [2, 3]), 0)
    assert made.tolist() == [[1, 5, 6, 2, 3, 0], [1, 2, 3, 0, 0, 0], [1, 7, 8, 9, 2, 3]]
    assert seen.tolist() == [[True] * 5 + [False], [True] * 3 + [False] * 3, [True] * 6]


def test_a_prompt_stands_in_the_frame_of_its_tokenizer(t5: Seq2SeqPolicy) -> None:
    assert frame(t5.tokenizer) == ([], [t5.eos_id])  # this one puts nothing around a text
    start = t5.tokenizer.convert_tokens_to_ids("A")
    t5.tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"A $A {t5.tokenizer.eos_token}", special_tokens=[("A", start), (t5.tokenizer.eos_token, t5.eos_id)]
    )
    assert frame(t5.tokenizer) == ([start], [t5.eos_id])


def test_a_decoder_without_a_start_is_an_error(t5: Seq2SeqPolicy) -> None:
    for place in (t5.model.config, t5.model.generation_config):
        place.decoder_start_token_id = place.bos_token_id = None
    with pytest.raises(UsageError, match="decoder_start_token_id"):
        Seq2SeqPolicy(t5.model, t5.tokenizer)


# -------------------------------------------------------------------------------------------- other models, other files


def test_absolute_positions_hold_in_any_batch_while_given_tokens_are_of_one_length(t5: Seq2SeqPolicy) -> None:
    policy = bart(t5)
    prompts = [ids(40, 50, 60), ids(70), ids(3, 4, 5, 6)]
    answers = write(policy, prompts, [ids(9, 8)] * 3, repeats=2, temperature=1.0, max_tokens=9)
    made = [
        TrainingSample(p, c.tokens, np.arange(len(c.tokens)) >= 2, c.logprobs, c.logprobs)
        for p, group in zip(prompts, answers, strict=True)
        for c in group
    ]
    policy.model.eval()
    with torch.no_grad():
        for part in (made, made[::-1], *([s] for s in made)):
            data = batch(part, policy.pad_id)
            gap = (token_logprobs(policy.logits(data), data.tokens) - data.old_logprobs).abs() * data.loss_mask
            assert gap.max() < 1e-4


def test_absolute_positions_refuse_given_tokens_of_several_lengths(t5: Seq2SeqPolicy) -> None:
    with pytest.raises(UsageError, match=r"got lengths \[0, 2\]"):
        write(bart(t5), [ids(40), ids(50)], [ids(9, 8), NONE])


def test_saved_encoder_decoder_is_a_plain_transformers_folder(t5: Seq2SeqPolicy, tmp_path: Path) -> None:
    t5.save(tmp_path)
    model = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    for name, tensor in t5.model.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name])
    again = seq2seq.load(str(tmp_path), dtype="bfloat16")
    assert next(again.model.parameters()).dtype == torch.bfloat16
    assert (again.start_id, again.frame) == (t5.start_id, t5.frame)


def test_weights_draw_from_the_seed(t5: Seq2SeqPolicy) -> None:
    other = tiny_seq2seq.load(width=16, layers=2, heads=2, vocab_size=280, dataset_options={"size": 4}, seed=1)
    same = tiny_seq2seq.load(width=16, layers=2, heads=2, vocab_size=280, dataset_options={"size": 4})
    assert torch.equal(t5.model.shared.weight, same.model.shared.weight)
    assert not torch.equal(t5.model.shared.weight, other.model.shared.weight)
