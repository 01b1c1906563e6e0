"""Causal (decoder-only) transformers as policies, from a hub id, a local folder or a GGUF file.

There are several ways to the same numbers. Most models take rows padded on the left with masked positions, and the keys, values
and states of a prompt copied to each of its programs; others read rows of one length at a time (`_ways`). Where a model's
attention can be chosen (`supports_packing`), prompts are read once and no layer sees padding: `agents.policies._attention`.
Whichever it is, a row's log-probabilities do not depend on its neighbours; one try tells (`_trial`). Which architectures hold is
in docs/results/architectures.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.batching import pad_left
from agents.core import Batch
from agents.policies import _loading
from agents.policies._attention import Counted, Layout, by_layout, fits
from agents.policies._cache import is_plain, roomy, selected
from agents.policies._door import entered
from agents.policies._forward import cache_of, last_states
from agents.policies._linear import Reordered
from agents.policies._packed import Packed
from agents.policies._shared import Shared
from agents.policies._transformer import Transformer, checkpointing
from agents.policies._ways import PADDED
from rltf_env.core import IntArray
from rltf_env.errors import UsageError


@dataclass
class CausalState:
    """What rows that are being written need: the cache by its name, attention mask (B, length) and next position (B,).

    Without a cache, `ids` (B, length) are all that they have read. `padded` says, on the host, whether the mask hides anything.
    """

    cache: Any
    mask: Tensor
    position: Tensor
    linear: Reordered | None = None
    ids: Tensor | None = None
    padded: bool = True


class CausalPolicy(Transformer):
    """A causal language model with its tokenizer. See `agents.core.Policy`."""

    AUTO = "AutoModelForCausalLM"
    can_shard = True
    settled = False

    # ---------------------------------------------------------------------------------------------------- generation

    def check_begun(self, prompts: Sequence[IntArray], given: Sequence[IntArray]) -> None:
        """Refuses to write after nothing."""
        if not all(len(p) + len(g) for p, g in zip(prompts, given, strict=True)):
            # what a model answers to padding alone depends on how its attention is computed
            raise UsageError(
                "Expected a prompt or given tokens to write after, got neither. Begin the prompt with a token that stands "
                "for the start, such as the tokenizer's bos_token."
            )

    def length_of(self, prompt: IntArray, given: IntArray) -> int:
        """Tokens that the model has read before the first that is written."""
        return len(prompt) + len(given)

    @torch.no_grad()
    def begin_rows(
        self, prompts: Sequence[IntArray], given: Sequence[IntArray], repeats: int = 1
    ) -> tuple[CausalState, Tensor]:
        """Reads prompts and given tokens, for `repeats` rows each; state and logits (B * repeats, V)."""
        rows = [np.concatenate([p, g]) for p, g in zip(prompts, given, strict=True)]
        ids, mask = pad_left(rows, self.pad_id)
        padded = not bool(mask.all())  # on the host
        ids, mask = ids.to(self.device), mask.to(self.device)
        if self.way == PADDED and self.supports_packing:
            return self._begin_shared(ids, mask, repeats)
        out = self.forward(
            input_ids=ids,
            attention_mask=mask.long(),
            position_ids=self._positions(mask),
            use_cache=self.way.cached,
            logits_to_keep=1,
        )
        mask = mask.repeat_interleave(repeats, 0)
        logits = out.logits[:, -1, : self.vocab_size].repeat_interleave(repeats, 0)
        if not self.way.cached:
            return CausalState(None, mask, mask.sum(1), ids=ids.repeat_interleave(repeats, 0)), logits
        name, cache = cache_of(out)
        return CausalState((name, roomy(cache, repeats)), mask, mask.sum(1), padded=padded), logits

    def _begin_shared(self, ids: Tensor, mask: Tensor, repeats: int) -> tuple[CausalState, Tensor]:
        """Prompts in a line; rows of a group share their prompt's keys and values."""
        every, one = torch.arange(len(ids), device=ids.device), torch.ones_like(mask[:, :1])
        nothing = torch.zeros_like(one, dtype=torch.float32)
        packed = Packed.of(Batch(ids, mask, one.long(), one, one, nothing, nothing), every, every)
        assert packed, "no prompt is empty here"
        linear = Reordered.of(self.model, len(ids) * repeats)
        with linear or nullcontext():
            out = self._forward_packed(packed, packed, use_cache=True)
        cache = Shared(packed.prompts, out.past_key_values, repeats)
        logits = out.logits[0, :, : self.vocab_size].repeat_interleave(repeats, 0)
        return CausalState(cache, mask, mask.sum(1).repeat_interleave(repeats), linear), logits

    def extend_rows(self, state: CausalState, tokens: Tensor) -> Tensor:
        """Reads one more token (B,) of each row; logits (B, V)."""
        if isinstance(state.cache, Shared):
            return self._extend_shared(state, state.cache, tokens)
        with torch.no_grad():
            return self._extend(state, tokens)

    @torch.no_grad()
    def _extend_shared(self, state: CausalState, cache: Shared, tokens: Tensor) -> Tensor:
        with by_layout(self.model), state.linear or nullcontext():
            out = self.model(
                input_ids=tokens[:, None],
                position_ids=state.position[:, None],
                past_key_values=cache,
                use_cache=True,
                layout=cache,
            )
        state.position = state.position + 1
        return out.logits[:, -1, : self.vocab_size]

    def _extend(self, state: CausalState, tokens: Tensor) -> Tensor:
        state.mask = torch.cat([state.mask, state.mask.new_ones(len(tokens), 1)], 1)
        if state.ids is None:
            ids, where = tokens[:, None], state.position[:, None]
        else:
            ids = state.ids = torch.cat([state.ids, tokens[:, None]], 1)
            where = positions(state.mask)
        where = None if self.way.even else where
        out = self.forward(
            input_ids=ids,
            attention_mask=self.step_mask(state.mask, state.padded) if self.way.masked else None,
            position_ids=where,
            cache=state.cache,
            use_cache=state.ids is None,
            logits_to_keep=1,
        )
        if state.cache is not None:
            state.cache = cache_of(out)  # some models give another than they were given
        state.position = state.position + 1
        return out.logits[:, -1, : self.vocab_size]

    def keep_rows(self, state: CausalState, rows: Tensor) -> None:
        """The state of some of the rows."""
        state.position = state.position[rows]
        if isinstance(state.cache, Shared):
            state.cache.batch_select_indices(rows)
            return
        state.mask = state.mask[rows]
        state.padded = state.padded and not bool(state.mask.all())
        if state.ids is not None:
            state.ids = state.ids[rows]
        else:
            state.cache = state.cache[0], selected(state.cache[1], rows)

    # ------------------------------------------------------------------------------------------------------ learning

    def predict(self, batch: Batch, **options: Any) -> Any:
        """See `Transformer.predict`.

        A prompt that several rows share is read once, up to its last token, which predicts the first one of the program.
        """
        with checkpointing(self.model) as no_cache:
            packed = pack(batch) if self.way == PADDED and self.supports_packing else None
            if packed:
                return self._packed(packed, packed, options)
            shared = None
            if self.way == PADDED and not no_cache and self._differentiable and not self.settled:
                shared = distinct(batch.prompt, batch.prompt_mask)
            out = (
                self._forward_padded(batch, options)
                if shared is None
                else self._forward_shared_prompt(batch, *shared, options)
            )
        columns = batch.tokens.shape[1]
        states = _columns(last_states(out.hidden_states, columns), columns) if options else None
        return _columns(out.logits, columns), states

    def _packed(self, packed: Packed, layout: Layout, options: dict[str, bool]) -> Any:
        """All tokens in one row, none of them padding."""
        out = self._forward_packed(packed, layout, use_cache=False, **options)
        states = packed.predicted.spread(out.hidden_states[-1][0, packed.predicting]) if options else None
        return packed.predicted.spread(out.logits[0]), states

    def _forward_packed(self, packed: Packed, layout: Layout, **options: Any) -> Any:
        with by_layout(self.model):
            return self.model(
                input_ids=packed.ids[None],
                position_ids=packed.positions[None],
                logits_to_keep=packed.predicting,
                layout=layout,
                **options,
            )

    def _forward_padded(self, batch: Batch, options: dict[str, bool]) -> Any:
        """Each row with a prompt of its own."""
        ids = torch.cat([batch.prompt, batch.tokens[:, :-1]], 1)
        mask = torch.cat([batch.prompt_mask, batch.token_mask[:, :-1]], 1)
        return self.forward(
            input_ids=ids,
            attention_mask=mask.long(),
            position_ids=self._positions(mask),
            use_cache=False,
            logits_to_keep=batch.tokens.shape[1],
            **options,
        )

    def _positions(self, mask: Tensor) -> Tensor | None:
        """Positions (B, L) to be given to the model; None where it counts them by itself, in rows without padding in front."""
        return None if self.way.even else positions(mask)

    def alone(self, prompt: IntArray, programs: IntArray) -> Tensor:
        """The logits (N, T, V) of programs (N, T) after one prompt, read without padding."""
        rows = np.concatenate([np.broadcast_to(prompt, (len(programs), len(prompt))), programs[:, :-1]], 1)
        out = self.forward(input_ids=torch.from_numpy(rows).to(self.device), use_cache=False)
        return out.logits[:, -programs.shape[1] :, : self.vocab_size]

    def prompt_states(self, prompt: IntArray) -> Tensor:
        """See `Transformer`."""
        ids = torch.from_numpy(prompt)[None].to(self.device)
        out = self.forward(input_ids=ids, use_cache=False, output_hidden_states=True, logits_to_keep=1)
        return out.hidden_states[-1][0]

    def _forward_shared_prompt(self, batch: Batch, rows: Tensor, which: Tensor, options: dict[str, bool]) -> Any:
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

    @property
    def supports_packing(self) -> bool:
        """Whether prompts that programs share are read once and padding is left out, by a layout of our own: see `_attention`."""
        return fits(self.model) and self._packing_is_exact

    @cached_property
    @torch.no_grad()
    def _packing_is_exact(self) -> bool:
        """Whether the model says by a layout what it says without: tried once, for that is no promise of transformers.

        Some models ask for more than plain attention, do not pass on what they are given, or have layers of another kind.
        """
        ids = torch.arange(12, device=self.device).view(2, 6) % self.vocab_size
        real = torch.ones_like(ids, dtype=torch.bool)
        real[0, 0] = False
        none = torch.zeros(2, 3, device=self.device)
        batch = Batch(ids[:, :3], real[:, :3], ids[:, 3:], real[:, 3:], real[:, 3:], none, none)
        packed = pack(batch)
        assert packed
        counted = Counted(packed)
        try:
            read = self._packed(packed, counted, {})[0][..., : self.vocab_size]
            state, first = self._begin_shared(ids[:, :3], real[:, :3], 1)
            written = torch.stack([first, self.extend_rows(state, ids[:, 3]), self.extend_rows(state, ids[:, 4])], 1)
        except Exception:  # refused, or the layout was not passed on, or the model has caches or states of another kind
            return False
        alone = self._forward_padded(batch, {}).logits[..., : self.vocab_size]
        near = alone.std() * (1e-3 if alone.dtype in (torch.float32, torch.float64) else 0.1)
        same = all(bool((said - alone).abs().max() <= near) for said in (read, written))
        return same and counted.calls == self.model.config.get_text_config().num_hidden_layers

    def settle(self) -> None:
        """Before the model is shared out: asks what is found out by a try, and from now on reads each row in one pass."""
        self.settled = True
        _ = self.way, self.supports_packing, self.can_defer, self._differentiable, self.prepares_masks

    @cached_property
    def _differentiable(self) -> bool:
        return is_plain(self.model.config)


def _columns(values: Tensor, count: int) -> Tensor:
    """(B, count, ...): zeros in front where a row without a prompt has none for its first token, which was given."""
    missing = count - values.shape[1]
    return torch.cat([torch.zeros_like(values[:, :1]), values], 1) if missing else values


def pack(batch: Batch) -> Packed | None:
    """The batch in a line, each prompt once; None where no row has a prompt."""
    every = torch.arange(len(batch.prompt), device=batch.prompt.device)
    return Packed.of(batch, *(distinct(batch.prompt, batch.prompt_mask) or (every, every)))


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


def positions(mask: Tensor) -> Tensor:
    """Position of each token among the real ones of its row: bool (B, L) -> int64 (B, L)."""
    return (mask.long().cumsum(1) - 1).clamp(min=0)


def load(path: str = "", **options: Any) -> CausalPolicy:
    """A causal policy from weights that exist; see `agents.policies._loading.load` for the options."""
    return entered(CausalPolicy(*_loading.load(CausalPolicy.AUTO, path, **options)))
