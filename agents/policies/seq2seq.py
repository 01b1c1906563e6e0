"""Encoder-decoder transformers as policies: any `AutoModelForSeq2SeqLM`, such as T5, CodeT5 and CodeT5+.

The encoder reads each prompt once, framed as its tokenizer frames text (CodeT5: `<s> ... </s>`; T5: `... </s>`), whatever the
number of samples; the decoder writes the program after its start token, on a key-value cache. Prompts are padded on the right
and masked, in the encoder and in the decoder's looks at it: the released code of RLTF and CodeRL masks neither (PAPERS.md).

Given tokens stand at the beginning of the decoder's program. Where they differ in length they are padded on the left, which
only a decoder with relative positions (T5's kind) reads as if nothing were there; any other refuses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.batching import pad_left
from agents.core import Batch
from agents.policies import _loading
from agents.policies._cache import roomy
from agents.policies._transformer import Transformer, checkpointing
from agents.policies.causal import distinct
from rltf_env.core import IntArray
from rltf_env.errors import UsageError


@dataclass
class Seq2SeqState:
    """Caches, the encoder's states (B, P, D) with their mask (B, P), and the decoder's mask (B, length)."""

    cache: Any
    encoded: Tensor
    prompt_mask: Tensor
    mask: Tensor


class Seq2SeqPolicy(Transformer):
    """An encoder-decoder language model with its tokenizer. See `agents.core.Policy`."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(model, tokenizer)
        self.start_id = _start(model)
        before, after = frame(tokenizer)  # without an end, prompts come begun: `HuggingFace.encode_prompt`
        self.frame = (before if after else [], after)

    # ---------------------------------------------------------------------------------------------------- generation

    @torch.no_grad()
    def begin(
        self, prompts: Sequence[IntArray], given: Sequence[IntArray], repeats: int = 1
    ) -> tuple[Seq2SeqState, Tensor]:
        self._check_given(given)
        ids, mask = (t.to(self.device) for t in pad_left(prompts, self.pad_id))
        encoded, prompt_mask = self._encode(ids, mask)
        starts = [np.concatenate([[self.start_id], g]) for g in given]
        ids, mask = (t.to(self.device) for t in pad_left(starts, self.pad_id))
        out = self._decode(ids, mask, encoded, prompt_mask, use_cache=True)
        cache = out.past_key_values
        for part in (cache.self_attention_cache, cache.cross_attention_cache):
            roomy(part, repeats)
        encoded, prompt_mask, mask = (t.repeat_interleave(repeats, 0) for t in (encoded, prompt_mask, mask))
        logits = out.logits[:, -1, : self.vocab_size].repeat_interleave(repeats, 0)
        return Seq2SeqState(cache, encoded, prompt_mask, mask), logits

    @torch.no_grad()
    def extend(self, state: Seq2SeqState, tokens: Tensor) -> Tensor:
        state.mask = torch.cat([state.mask, state.mask.new_ones(len(tokens), 1)], 1)
        out = self._decode(
            tokens[:, None], state.mask, state.encoded, state.prompt_mask, past_key_values=state.cache, use_cache=True
        )
        return out.logits[:, -1, : self.vocab_size]

    def keep(self, state: Seq2SeqState, rows: Tensor) -> None:
        state.cache.batch_select_indices(rows)
        state.encoded, state.prompt_mask, state.mask = (t[rows] for t in (state.encoded, state.prompt_mask, state.mask))

    # ------------------------------------------------------------------------------------------------------ learning

    def logits(self, batch: Batch) -> Tensor:
        return self._predict(batch)[0]

    def read(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return self._predict(batch, output_hidden_states=True)

    def _predict(self, batch: Batch, **options: Any) -> Any:
        """Logits (B, T, V); with `output_hidden_states` also the decoder's last states (B, T, D), which they come from."""
        ids = torch.cat([torch.full_like(batch.tokens[:, :1], self.start_id), batch.tokens[:, :-1]], 1)
        mask = torch.cat([torch.ones_like(batch.token_mask[:, :1]), batch.token_mask[:, :-1]], 1)
        with checkpointing(self.model):
            rows, which = distinct(batch.prompt, batch.prompt_mask) or (slice(None), slice(None))
            encoded, prompt_mask = (t[which] for t in self._encode(batch.prompt[rows], batch.prompt_mask[rows]))
            out = self._decode(ids, mask, encoded, prompt_mask, use_cache=False, **options)
        states = out.decoder_hidden_states[-1] if options else None
        return out.logits[..., : self.vocab_size], states

    # ----------------------------------------------------------------------------------------------------- the halves

    def _encode(self, prompt: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """What the encoder makes of left-padded prompts (B, P): states (B, P', D), and their mask (B, P')."""
        ids, mask = framed(prompt, mask, self.frame, self.pad_id)
        out = self.model.get_encoder()(input_ids=ids, attention_mask=mask.long())
        return out.last_hidden_state, mask

    def _decode(self, ids: Tensor, mask: Tensor, encoded: Tensor, prompt_mask: Tensor, **options: Any) -> Any:
        from transformers.modeling_outputs import BaseModelOutput

        return self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=encoded),
            attention_mask=prompt_mask.long(),
            decoder_input_ids=ids,
            decoder_attention_mask=mask.long(),
            **options,
        )

    def _check_given(self, given: Sequence[IntArray]) -> None:
        lengths = sorted({len(g) for g in given})
        if len(lengths) > 1 and not hasattr(self.model.config, "relative_attention_num_buckets"):
            raise UsageError(
                f"Expected given tokens of one length with a decoder of absolute positions, got lengths {lengths}. Ask for "
                "problems with prefixes of like length together, or use a model with relative positions (T5's kind)."
            )


def frame(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens that the tokenizer puts around a text; the end token behind it where it puts none."""
    inner, whole = tokenizer.encode("a", add_special_tokens=False), tokenizer.encode("a")
    at = next(i for i in range(len(whole)) if whole[i : i + len(inner)] == inner)
    before, after = whole[:at], whole[at + len(inner) :]
    return before, after if before or after else [int(tokenizer.eos_token_id)]


def framed(ids: Tensor, mask: Tensor, frame: tuple[list[int], list[int]], pad_id: int) -> tuple[Tensor, Tensor]:
    """Left-padded (B, P) with its mask, to right-padded with the frame's tokens around each row: (B, P + frame) and mask."""
    before, after = frame
    length = mask.sum(1, keepdim=True)  # (B, 1)
    column = torch.arange(ids.shape[1] + len(before) + len(after), device=ids.device)[None]  # (1, P + frame)
    source = (column - len(before) + ids.shape[1] - length).clamp(0, ids.shape[1] - 1)
    out = ids.gather(1, source).masked_fill(column >= len(before) + length, pad_id)
    for i, token in enumerate(before):
        out[:, i] = token
    for i, token in enumerate(after):
        out.scatter_(1, length + len(before) + i, token)
    return out, column < length + len(before) + len(after)


def _start(model: Any) -> int:
    """The token that a decoder begins with."""
    places = (model.config, model.generation_config)
    found = [getattr(place, name, None) for name in ("decoder_start_token_id", "bos_token_id") for place in places]
    start = next((token for token in found if token is not None), None)
    if start is None:
        raise UsageError(
            "Expected a model that knows what its decoder begins with, got none. Set model.config.decoder_start_token_id."
        )
    return int(start)


def load(path: str = "", **options: Any) -> Seq2SeqPolicy:
    """An encoder-decoder policy from weights that exist; see `agents.policies._loading.load` for the options."""
    return Seq2SeqPolicy(*_loading.load("AutoModelForSeq2SeqLM", path, **options))
