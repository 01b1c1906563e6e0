"""Encoder-decoder transformers as policies: those of `AutoModelForSeq2SeqLM`, such as T5, CodeT5 and CodeT5+.

The encoder reads each prompt once, framed as its tokenizer frames text (CodeT5: `<s> ... </s>`; T5: `... </s>`), whatever the
number of samples; the decoder writes the program after its start token, on a key-value cache. Prompts are padded on the right
and masked, in the encoder and in the decoder's looks at it: the released code of RLTF and CodeRL masks neither (PAPERS.md).

Given tokens stand at the beginning of the decoder's program. Where they differ in length they are padded on the left, which
only a decoder with relative positions (T5's kind) reads as if nothing were there; any other refuses.

Where a prompt goes is the `mode` (CodeT5+, arXiv 2305.07922): to the encoder, to both halves, or to the decoder alone.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.batching import pad_left
from agents.core import Batch
from agents.policies import _loading, _trial
from agents.policies._cache import roomy, selected
from agents.policies._codet5p import Mode, Tokens, framed_by_makers, in_mode, mode_of, with_task_tokens
from agents.policies._door import entered
from agents.policies._forward import cache_of, last_states
from agents.policies._transformer import Transformer, checkpointing
from agents.policies.causal import distinct
from rltf_env.core import IntArray
from rltf_env.errors import UsageError


@dataclass
class Seq2SeqState:
    """Cache by its name, the encoder's output (B, P, D) with its mask (B, P), and the decoder's mask (B, length).

    Without a cache, `ids` (B, length) are all that the decoder has read. `padded` says, on the host, of either whether its mask
    hides anything.
    """

    cache: Any
    encoded: Encoded
    mask: Tensor
    ids: Tensor | None = None
    padded: tuple[bool, bool] = (True, True)  # prompts, what the decoder has read


@dataclass(frozen=True)
class Encoded:
    """Prompts as the encoder leaves them: states (B, P, D), which of them there are (B, P), and the model's kind of output."""

    states: Tensor
    mask: Tensor
    kind: Any

    def rows(self, rows: Any) -> Encoded:
        """These of the rows, in this order."""
        return replace(self, states=self.states[rows], mask=self.mask[rows])

    def repeated(self, repeats: int) -> Encoded:
        """Each row `repeats` times in a row."""
        states, mask = (t.repeat_interleave(repeats, 0) for t in (self.states, self.mask))
        return replace(self, states=states, mask=mask)


class Seq2SeqPolicy(Transformer):
    """An encoder-decoder language model with its tokenizer. See `agents.core.Policy`.

    The model's config says where prompts go (`_codet5p.mode_of`), so that a saved folder is asked as it was trained.
    """

    AUTO = "AutoModelForSeq2SeqLM"

    def __init__(self, model: Any, tokenizer: Any) -> None:
        super().__init__(model, tokenizer)
        if not model.config.is_encoder_decoder:
            raise UsageError(
                f'Expected a model with an encoder, got {_trial.name_of(self)} without one. Set policy.kind = "causal".'
            )
        self.start_id = _start(model)
        before, after = frame(tokenizer)  # without an end, prompts come begun: `HuggingFace.encode_prompt`
        self.frame = (before if after else [], after) if framed_by_makers(model.config) else ([], [])

    @property
    def mode(self) -> Mode:
        """Where a prompt goes."""
        return mode_of(self.model.config)

    def starting(self, token: int) -> Seq2SeqPolicy:
        """This policy, whose decoder begins with another token."""
        twin = copy.copy(self)
        twin.start_id = token
        return twin

    # ---------------------------------------------------------------------------------------------------- generation

    def check_begun(self, prompts: Sequence[IntArray], given: Sequence[IntArray]) -> None:
        """Refuses given tokens of unlike lengths where a decoder counts its positions from the first, padding or not."""
        if self.mode != "seq2seq":  # the try has shown how rows that begin at unlike places are read
            return
        lengths = sorted({len(g) for g in given})
        if len(lengths) > 1 and not hasattr(self.model.config, "relative_attention_num_buckets"):
            raise UsageError(
                f"Expected given tokens of one length with a decoder of absolute positions, got lengths {lengths}. Ask for "
                "problems with prefixes of like length together, or use a model with relative positions (T5's kind)."
            )

    def has_room(self, prompt: int, program: int) -> bool:
        """The two halves count their positions by themselves: the prompt with its frame, the program with its start."""
        framed_prompt = prompt + sum(map(len, self.frame))
        written = program if self.mode == "seq2seq" else prompt + program
        return self.positions is None or max(framed_prompt, written) <= self.positions

    def length_of(self, prompt: IntArray, given: IntArray) -> tuple[int, int]:
        """Tokens that the decoder has read before the first that is written."""
        return len(prompt), len(given)

    @torch.no_grad()
    def begin_rows(
        self, prompts: Sequence[IntArray], given: Sequence[IntArray], repeats: int = 1
    ) -> tuple[Seq2SeqState, Tensor]:
        """Encodes prompts and reads given tokens, for `repeats` rows each; state and logits (B * repeats, V)."""
        encoded = self._encode(*(t.to(self.device) for t in pad_left(prompts, self.pad_id)))
        shown = [p[:0] if self.mode == "seq2seq" else p for p in prompts]
        starts = [np.concatenate([[self.start_id], p, g]) for p, g in zip(shown, given, strict=True)]
        ids, mask = (t.to(self.device) for t in pad_left(starts, self.pad_id))
        padded = len({len(p) for p in prompts}) > 1, len({len(s) for s in starts}) > 1
        out = self._decode(ids, mask, encoded, use_cache=self.way.cached)
        logits = out.logits[:, -1, : self.vocab_size].repeat_interleave(repeats, 0)
        state = Seq2SeqState(None, encoded.repeated(repeats), mask.repeat_interleave(repeats, 0), padded=padded)
        if self.way.cached:
            name, cache = cache_of(out)
            state.cache = name, roomy(cache, repeats)
        else:
            state.ids = ids.repeat_interleave(repeats, 0)
        return state, logits

    @torch.no_grad()
    def extend_rows(self, state: Seq2SeqState, tokens: Tensor) -> Tensor:
        """Reads one more token (B,) of each row; logits (B, V)."""
        state.mask = torch.cat([state.mask, state.mask.new_ones(len(tokens), 1)], 1)
        ids = tokens[:, None]
        if state.ids is not None:
            ids = state.ids = torch.cat([state.ids, ids], 1)
        out = self._decode(ids, state.mask, state.encoded, state.padded, cache=state.cache, use_cache=state.ids is None)
        if state.cache is not None:
            state.cache = cache_of(out)
        return out.logits[:, -1, : self.vocab_size]

    def keep_rows(self, state: Seq2SeqState, rows: Tensor) -> None:
        """The state of some of the rows."""
        state.encoded, state.mask = state.encoded.rows(rows), state.mask[rows]
        hides = [not bool(mask.all()) for mask in (state.encoded.mask, state.mask)]
        state.padded = state.padded[0] and hides[0], state.padded[1] and hides[1]
        if state.ids is not None:
            state.ids = state.ids[rows]
        else:
            state.cache = state.cache[0], selected(state.cache[1], rows)

    # ------------------------------------------------------------------------------------------------------ learning

    def predict(self, batch: Batch, **options: Any) -> Any:
        """See `Transformer.predict`; the states are the decoder's."""
        start, seen = self._start(batch)
        ids, mask = torch.cat([start, batch.tokens[:, :-1]], 1), torch.cat([seen, batch.token_mask[:, :-1]], 1)
        length = batch.tokens.shape[1]
        with checkpointing(self.model):
            rows, which = distinct(batch.prompt, batch.prompt_mask) or (slice(None), slice(None))
            encoded = self._encode(batch.prompt[rows], batch.prompt_mask[rows]).rows(which)
            out = self._decode(ids, mask, encoded, use_cache=False, **options)
        states = last_states(out.decoder_hidden_states, length) if options else None
        return out.logits[:, -length:], states

    def _start(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """What the decoder reads before the programs, left-padded (B, S), and where it is there: its start, and in some
        modes the prompt."""
        start, seen = torch.full_like(batch.tokens[:, :1], self.start_id), torch.ones_like(batch.token_mask[:, :1])
        if self.mode == "seq2seq":
            return start, seen
        ids = torch.cat([start, batch.prompt], 1)
        first = (~batch.prompt_mask).sum(1, keepdim=True)  # (B, 1): the column before the prompt
        column = torch.arange(ids.shape[1], device=ids.device)[None]
        return ids.scatter(1, first, self.start_id), column >= first

    def alone(self, prompt: IntArray, programs: IntArray) -> Tensor:
        """The logits (N, T, V) of programs (N, T) after one prompt, read without padding."""
        before, after = self.frame
        told = [] if self.mode == "decoder" else prompt
        text = np.concatenate([before, told, after]).astype(np.int64)
        if not len(text):  # as `framed` leaves nothing empty
            text = np.array([self.eos_id], np.int64)
        start = np.concatenate([[self.start_id], prompt[:0] if self.mode == "seq2seq" else prompt]).astype(np.int64)
        begun = np.tile(start, (len(programs), 1))
        rows = (np.tile(text, (len(programs), 1)), np.concatenate([begun, programs[:, :-1]], 1))
        ids, decoder_ids = (torch.from_numpy(each).to(self.device) for each in rows)
        out = self.forward(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),  # else some take a prompt's end for padding, where one token is both
            decoder_input_ids=decoder_ids,
            decoder_attention_mask=torch.ones_like(decoder_ids),
            use_cache=False,
        )
        return out.logits[:, len(start) - 1 :, : self.vocab_size]

    def prompt_states(self, prompt: IntArray) -> Tensor:
        """See `Transformer`."""
        ids = torch.from_numpy(prompt)[None].to(self.device)
        return self._encode(ids, torch.ones_like(ids, dtype=torch.bool)).states[0]

    # ----------------------------------------------------------------------------------------------------- the halves

    @property
    def sentence_width(self) -> int:
        """D of `sentence_states`."""
        return int(self.model.get_encoder().config.hidden_size)

    def sentence_states(self, ids: Tensor, mask: Tensor) -> Tensor:
        """(B, D): the encoder's state of each left-padded text (B, P) as a whole.

        It is that of the token that the frame begins with, as in CodeT5+'s embedding models; else that of the last one.
        """
        encoded = self._read_in(ids, mask)
        last = encoded.mask.sum(1) - 1
        rows = torch.arange(len(last), device=last.device)
        return encoded.states[rows, torch.zeros_like(last) if self.frame[0] else last]

    def _encode(self, prompt: Tensor, mask: Tensor) -> Encoded:
        """What the encoder makes of left-padded prompts (B, P); of empty ones where they go to the decoder alone."""
        if self.mode == "decoder":
            prompt, mask = prompt[:, :0], mask[:, :0]
        return self._read_in(prompt, mask)

    def _read_in(self, ids: Tensor, mask: Tensor) -> Encoded:
        ids, mask = framed(ids, mask, self.frame, self.pad_id)
        if not any(self.frame):  # attention needs one token at the least
            empty = ~mask.any(1)
            ids = torch.cat([ids[:, :1].masked_fill(empty[:, None], self.eos_id), ids[:, 1:]], 1)
            mask = torch.cat([mask[:, :1] | empty[:, None], mask[:, 1:]], 1)
        out = self.model.get_encoder()(input_ids=ids, attention_mask=mask.long())
        return Encoded(out.last_hidden_state, mask, type(out))

    def _decode(
        self, ids: Tensor, mask: Tensor, encoded: Encoded, padded: tuple[bool, bool] | None = None, **options: Any
    ) -> Any:
        """`padded` is what the state of a step says; without it, of a whole read, nothing is known."""
        prompts, own = encoded.mask.long(), mask.long()
        if padded is not None:
            prompts, own = self.step_mask(encoded.mask, padded[0]), self.step_mask(mask, padded[1])
        return self.forward(
            # A model of experts asks its own kind for more.
            encoder_outputs=encoded.kind(last_hidden_state=encoded.states),
            attention_mask=prompts,
            decoder_input_ids=ids,
            decoder_attention_mask=own,
            **options,
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
    if not ids.shape[1]:  # prompts without a token
        ids, mask = ids.new_full((len(ids), 1), pad_id), mask.new_zeros(len(ids), 1)
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


def load(path: str = "", *, mode: Mode | None = None, tokens: Tokens = "own", **options: Any) -> Seq2SeqPolicy:
    """An encoder-decoder policy from weights that exist; see `agents.policies._loading.load` for the other options.

    Args:
        path: hub id or folder, such as "Salesforce/codet5p-220m-py".
        mode: where prompts go: "seq2seq", to the encoder; "both" halves, as CodeT5+'s models of 2 billion parameters and more
            want it; "decoder" alone. None: as the model's config says.
        tokens: "paper" adds CodeT5+'s task tokens, and sentinels for span denoising, where the tokenizer has none.
    """
    if tokens == "paper" and options.get("freeze"):
        raise UsageError(
            'Expected policy.tokens = "own" with policy.freeze, got "paper": the rows of new tokens would never learn. Let a '
            "run without policy.freeze add them first."
        )
    model, tokenizer = _loading.load(Seq2SeqPolicy.AUTO, path, **options)
    with_task_tokens(model, tokenizer, tokens, options.get("seed", 0))
    return entered(Seq2SeqPolicy(in_mode(model, mode), tokenizer))
