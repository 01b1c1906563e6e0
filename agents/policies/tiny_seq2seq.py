"""`tiny` with an encoder: a small, randomly initialised T5 with the same kind of vocabulary, for a CPU and for tests."""

from __future__ import annotations

from typing import Any

import torch

from agents.policies._codet5p import Mode, Tokens, in_mode, with_task_tokens
from agents.policies._door import entered
from agents.policies._loading import prepare
from agents.policies.seq2seq import Seq2SeqPolicy
from agents.policies.tiny import check_sizes, dataset_tokenizer, drawn
from rltf_env.errors import UsageError


def load(
    *,
    width: int = 128,
    layers: int = 2,
    heads: int = 4,
    vocab_size: int = 512,
    dataset: str = "procedural",
    dataset_options: dict[str, Any] | None = None,
    device: str = "cpu",
    seed: int = 0,
    mode: Mode | None = None,
    tokens: Tokens = "own",
    **how: Any,
) -> Seq2SeqPolicy:
    """A random policy with `layers` in the encoder and as many in the decoder; see `tiny.load` and `seq2seq.load` for the rest.

    Embeddings are drawn `width ** -0.5` times as large as T5's own: those are also the head, so that a random T5 repeats the
    token that it sees, and would end each program at its start.
    """
    from transformers import T5Config, T5ForConditionalGeneration

    check_sizes(width=width, layers=layers, heads=heads)
    if width % heads:
        raise UsageError(f"Expected policy.width to be a multiple of heads = {heads}, got {width}.")
    tokenizer = dataset_tokenizer(vocab_size, dataset, dataset_options)
    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=width,
        d_kv=width // heads,
        d_ff=4 * width,
        num_layers=layers,
        num_heads=heads,
        dropout_rate=0.0,
        bos_token_id=None,  # pyright: ignore[reportCallIssue]
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,  # pyright: ignore[reportCallIssue]
    )
    model = drawn(T5ForConditionalGeneration, config, seed)
    with torch.no_grad():
        model.shared.weight.mul_(width**-0.5)
    with_task_tokens(model, tokenizer, tokens, seed)
    return entered(Seq2SeqPolicy(in_mode(prepare(model, device, seed=seed, **how), mode), tokenizer))
