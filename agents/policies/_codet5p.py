"""What CodeT5+ (arXiv 2305.07922) asks of an encoder-decoder model beyond T5: where a prompt goes, and tokens for its tasks."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch

from rltf_env.errors import UnknownName, UsageError

Mode = Literal["seq2seq", "both", "decoder"]
Tokens = Literal["own", "paper"]
KEY = "prompt_mode"  # of a saved config
LARGE = "codet5p"  # the model type of 2B, 6B and 16B: a causal decoder that also looks at an encoder
TASKS = {"match": "[ENC]", "t2c": "[CDEC]", "c2t": "[TDEC]", "causal": "[CLM]"}
SENTINELS = 100


def mode_of(config: Any) -> Mode:
    """Where prompts go: as a config says, else to both halves of CodeT5+'s large models and to the encoder of any other."""
    default = "both" if getattr(config, "model_type", "") == LARGE else "seq2seq"
    return getattr(config, KEY, default)


def in_mode(model: Any, mode: Mode | None) -> Any:
    """`model`, whose config says from now on where prompts go; None changes nothing.

    Raises:
        UnknownName: there is no such mode.
    """
    if mode is not None and mode not in get_args(Mode):
        raise UnknownName("policy.mode", str(mode), get_args(Mode))
    if mode is not None and mode != mode_of(model.config):
        setattr(model.config, KEY, mode)
    return model


def framed_by_makers(config: Any) -> bool:
    """Whether a prompt stands in a frame in the encoder; that of CodeT5+'s large models reads the bare text."""
    return getattr(config, "model_type", "") != LARGE


def with_task_tokens(model: Any, tokenizer: Any, tokens: Tokens, seed: int) -> None:
    """With "paper", adds the tokens that tell tasks apart, and sentinels, and a row of the model for each new one.

    Rows that the model has already are used first; others are drawn with `seed`, around the mean of those that are there. A
    program begins with the token that asks for one, from now on also where others generate from the saved folder.
    """
    if tokens not in get_args(Tokens):
        raise UnknownName("policy.tokens", str(tokens), get_args(Tokens))
    if tokens == "own":
        return
    known = tokenizer.get_vocab()
    new = [token for token in (*TASKS.values(), *map(_sentinel, range(SENTINELS))) if token not in known]
    tokenizer.add_tokens(new, special_tokens=True)
    if len(tokenizer) > model.config.vocab_size:
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            model.resize_token_embeddings(len(tokenizer))
    for config in (model.config, model.generation_config):
        config.decoder_start_token_id = tokenizer.convert_tokens_to_ids(TASKS["t2c"])


def task_token(tokenizer: Any, task: str) -> int | None:
    """The token of a task of `TASKS`; None where the tokenizer has none, and the content alone tells tasks apart."""
    return tokenizer.get_vocab().get(TASKS[task])


def sentinels(tokenizer: Any) -> list[int]:
    """The tokens that stand for a span, in order.

    Raises:
        UsageError: the tokenizer has none.
    """
    known = tokenizer.get_vocab()
    ids = [known[token] for token in map(_sentinel, range(SENTINELS)) if token in known]
    if not ids:
        raise UsageError(
            'Expected a tokenizer with sentinels (<extra_id_0>, ...) for span denoising, got none. Set policy.tokens = "paper".'
        )
    return ids


def _sentinel(i: int) -> str:
    return f"<extra_id_{i}>"
