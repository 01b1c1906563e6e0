"""Causal (decoder-only) transformers as policies: any `AutoModelForCausalLM`, from a hub id, a local folder or a GGUF file.

The prompt is read once per problem, whatever the number of samples; programs then grow by one token a step on a key-value
cache. Rows are padded on the left with masked positions, so that a row's log-probabilities do not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.core import Batch
from agents.policies import _loading
from agents.policies._cache import is_plain, roomy
from agents.policies._transformer import Transformer, checkpointing
from rltf_env.core import IntArray
from rltf_env.errors import UsageError


@dataclass
class CausalState:
    """Cache, attention mask (B, length) and next position (B,) of rows that are being written."""

    cache: Any
    mask: Tensor
    position: Tensor


class CausalPolicy(Transformer):
    """A causal language model with its tokenizer. See `agents.core.Policy`."""

    # ---------------------------------------------------------------------------------------------------- generation

    @torch.no_grad()
    def begin(
        self, prompts: Sequence[IntArray], given: Sequence[IntArray], repeats: int = 1
    ) -> tuple[CausalState, Tensor]:
        rows = [np.concatenate([p, g]) for p, g in zip(prompts, given, strict=True)]
        if not all(map(len, rows)):  # what a model answers to padding alone depends on how its attention is computed
            raise UsageError(
                "Expected a prompt or given tokens to write after, got neither. Begin the prompt with a token that stands "
                "for the start, such as the tokenizer's bos_token."
            )
        ids, mask = pad_left(rows, self.pad_id)
        ids, mask = ids.to(self.device), mask.to(self.device)
        out = self.model(
            input_ids=ids,
            attention_mask=mask.long(),
            position_ids=positions(mask),
            use_cache=True,
            logits_to_keep=1,
        )
        cache = roomy(out.past_key_values, repeats)
        mask = mask.repeat_interleave(repeats, 0)
        logits = out.logits[:, -1, : self.vocab_size].repeat_interleave(repeats, 0)
        return CausalState(cache, mask, mask.sum(1)), logits

    @torch.no_grad()
    def extend(self, state: CausalState, tokens: Tensor) -> Tensor:
        state.mask = torch.cat([state.mask, state.mask.new_ones(len(tokens), 1)], 1)
        out = self.model(
            input_ids=tokens[:, None],
            attention_mask=state.mask.long(),
            position_ids=state.position[:, None],
            past_key_values=state.cache,
            use_cache=True,
        )
        state.position = state.position + 1
        return out.logits[:, -1, : self.vocab_size]

    def keep(self, state: CausalState, rows: Tensor) -> None:
        state.cache.batch_select_indices(rows)
        state.mask, state.position = state.mask[rows], state.position[rows]

    # ------------------------------------------------------------------------------------------------------ learning

    def logits(self, batch: Batch) -> Tensor:
        return self._predict(batch)[0]

    def read(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return self._predict(batch, output_hidden_states=True)

    def _predict(self, batch: Batch, **options: Any) -> Any:
        """Logits (B, T, V); with `output_hidden_states` also the states (B, T, D) that they were computed from.

        A prompt that several rows share is read once, up to its last token, which predicts the first one of the program.
        """
        with checkpointing(self.model) as no_cache:
            shared = None if no_cache or not self._differentiable else distinct(batch.prompt, batch.prompt_mask)
            out = self._alone(batch, options) if shared is None else self._together(batch, *shared, options)
        states = out.hidden_states[-1][:, -batch.tokens.shape[1] :] if options else None
        return out.logits[..., : self.vocab_size], states

    def _alone(self, batch: Batch, options: dict[str, bool]) -> Any:
        """Each row with a prompt of its own."""
        ids = torch.cat([batch.prompt, batch.tokens[:, :-1]], 1)
        mask = torch.cat([batch.prompt_mask, batch.token_mask[:, :-1]], 1)
        return self.model(
            input_ids=ids,
            attention_mask=mask.long(),
            position_ids=positions(mask),
            use_cache=False,
            logits_to_keep=batch.tokens.shape[1],
            **options,
        )

    def _together(self, batch: Batch, rows: Tensor, which: Tensor, options: dict[str, bool]) -> Any:
        """Rows of `batch.prompt` that differ (U,), and for each row of the batch which of them it has (B,)."""
        prompt, mask = batch.prompt[rows, :-1], batch.prompt_mask[rows, :-1]
        cache = self.model(
            input_ids=prompt,
            attention_mask=mask.long(),
            position_ids=positions(mask),
            use_cache=True,
            logits_to_keep=1,
        ).past_key_values
        cache.batch_select_indices(which)
        ids = torch.cat([batch.prompt[:, -1:], batch.tokens[:, :-1]], 1)
        mask = torch.cat([batch.prompt_mask, batch.token_mask[:, :-1]], 1)
        return self.model(
            input_ids=ids,
            attention_mask=mask.long(),
            position_ids=positions(mask)[:, -ids.shape[1] :],
            past_key_values=cache,
            use_cache=True,
            **options,
        )

    @cached_property
    def _differentiable(self) -> bool:
        return is_plain(self.model.config)


def distinct(prompt: Tensor, mask: Tensor) -> tuple[Tensor, Tensor] | None:
    """Rows (U,) of a left-padded (B, P) that are unlike all before them, and the place in that list of each row (B,).

    None if reading those alone would save nothing.
    """
    if prompt.shape[1] < 2:
        return None
    _, which = torch.unique(prompt.masked_fill(~mask, -1), dim=0, return_inverse=True)
    count = int(which.max()) + 1
    if count == len(prompt):
        return None
    rows = torch.empty(count, dtype=torch.long, device=which.device)
    rows[which] = torch.arange(len(which), device=which.device)  # any of the rows that are equal
    return rows, which


def pad_left(rows: Sequence[IntArray], pad_id: int) -> tuple[Tensor, Tensor]:
    """int64 (B, L) with padding in front, and bool (B, L) where there is a token."""
    width = max(1, *map(len, rows))  # a prompt may be empty where tokens are given (HumanEval): one column of padding
    ids = np.full((len(rows), width), pad_id, np.int64)
    mask = np.zeros((len(rows), width), bool)
    for i, row in enumerate(rows):
        ids[i, width - len(row) :] = row
        mask[i, width - len(row) :] = True
    return torch.from_numpy(ids), torch.from_numpy(mask)


def positions(mask: Tensor) -> Tensor:
    """Position of each token among the real ones of its row: bool (B, L) -> int64 (B, L)."""
    return (mask.long().cumsum(1) - 1).clamp(min=0)


def load(path: str = "", **options: Any) -> CausalPolicy:
    """A causal policy from weights that exist; see `agents.policies._loading.load` for the options."""
    return CausalPolicy(*_loading.load("AutoModelForCausalLM", path, **options))
