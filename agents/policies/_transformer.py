"""What the families have in common: a model of transformers with its tokenizer, saved as a plain folder."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from agents.core import Batch
from agents.policies import _headless as headless
from agents.policies import _lora, _trial
from agents.policies._forward import Forward
from agents.policies._ways import Parts, Way, by_length, even_batches, in_order
from agents.running.files import write_atomically
from rltf_env.core import IntArray
from rltf_env.errors import UsageError

NO_LIMIT = 1 << 40  # tokens for an expert


class Transformer:
    """The part of `agents.core.Policy` that does not depend on the family.

    A family has `begin_rows`, `extend_rows`, `keep_rows` and `predict`, which read rows as they are given, and `alone`. Which
    rows they are given together is this class's business, and found out by one try (`way`).

    Raises:
        UsageError: the tokenizer has no end-of-sequence token, or more tokens than the model has rows for.
    """

    AUTO = ""  # the class of transformers that loads the family
    _way: Way | None = None

    def __init__(self, model: Any, tokenizer: Any) -> None:
        if tokenizer.eos_token_id is None:
            raise UsageError(
                f"Expected a tokenizer with an end-of-sequence token, got {tokenizer.name_or_path!r} without one. "
                "Name the token that ends a program: policy.eos=TEXT in a recipe, or tokenizer.eos_token = TEXT."
            )
        self.model, self.tokenizer, self.eos_id = model, tokenizer, int(tokenizer.eos_token_id)
        self.beside: dict[str, torch.nn.Module] = {}  # what is saved with it, and is no part of the model
        self.pad_id = self.eos_id if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id)
        rows = model.config.get_text_config().vocab_size  # the config of a text model may stand within another
        if len(tokenizer) > rows:
            raise UsageError(
                f"Expected a model with a row for each of the tokenizer's {len(tokenizer)} tokens, got "
                f"{rows}. Call model.resize_token_embeddings(len(tokenizer))."
            )
        self._forward = Forward(model)
        _let_experts_take_all(model)

    @property
    def forward(self) -> Forward:
        """How the model is called; a copy of this policy that was given another model calls that one."""
        if self._forward.model is not self.model:
            self._forward = Forward(self.model)
        return self._forward

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def vocab_size(self) -> int:
        """V: the number of tokens. Rows of the model beyond it (padding of the embedding) are never sampled."""
        return len(self.tokenizer)

    @property
    def head_rows(self) -> int:
        """Logits that the model computes for each position, V and those that are never sampled."""
        return int(self.model.config.get_text_config(decoder=True).vocab_size)

    @property
    def ends(self) -> tuple[int, ...]:
        """Tokens that end a program: `eos_id`, and what else the model's makers declare as ends.

        What their `generation_config` lists counts. A single id that comes from a model's config is often a default that
        means nothing, so it counts where it is a special token.
        """
        generation = getattr(self.model, "generation_config", None)
        declared = getattr(generation, "eos_token_id", None)
        if declared is None:
            return (self.eos_id,)
        if not isinstance(declared, (list, tuple)):
            listed = not getattr(generation, "_from_model_config", True) or declared in self._special
            declared = [declared] if listed else []
        more = (int(token) for token in declared if 0 <= int(token) < self.vocab_size)
        return tuple(dict.fromkeys([self.eos_id, *more]))

    @property
    def positions(self) -> int | None:
        """Tokens, prompt and program together, that the model was made for; None where it sets no limit, or says none."""
        config = self.model.config.get_text_config(decoder=True)
        found = getattr(config, "max_position_embeddings", None)
        return found if isinstance(found, int) and found > 0 else None

    @cached_property
    def has_absolute_positions(self) -> bool:
        """Whether there is a learnt vector for each position, and none beyond them."""
        limit = self.positions or 0
        return any(
            isinstance(module, torch.nn.Embedding)
            and ("pos" in name.lower() or name.endswith("wpe"))
            and limit <= module.num_embeddings <= limit + 4  # some skip a few
            for name, module in self.model.named_modules()
        )

    def check_room(self, prompt: int, program: int) -> None:
        """Refuses lengths, in tokens, for which the model has no positions.

        Raises:
            UsageError: there are too few.
        """
        if self.has_absolute_positions and self.positions and not self.has_room(prompt, program):
            raise UsageError(self.no_room(prompt, program))

    def has_room(self, prompt: int, program: int) -> bool:
        """Whether the model was made for so many tokens."""
        return self.positions is None or prompt + program <= self.positions

    def no_room(self, prompt: int, program: int) -> str:
        """The sentence that refuses so many tokens."""
        return (
            f"Expected prompt and program to fit into the {self.positions} positions of {_trial.name_of(self)}, got {prompt} and "
            f"{program} tokens. Lower max_prompt_tokens or max_program_tokens, or choose a model with more positions."
        )

    @property
    def _special(self) -> set[int]:
        return {*self.tokenizer.all_special_ids, *getattr(self.tokenizer, "added_tokens_decoder", {})}

    # ------------------------------------------------------------------------------------------------ rows, in some way

    @property
    def way(self) -> Way:
        """How rows are fed to this model: tried when it is first asked for.

        Raises:
            UsageError: the model does not read and write alike in any way.
        """
        if self._way is None:
            try:
                self._way = _trial.choose(self)
            except UsageError:
                self._way = None
                raise
        return self._way

    @way.setter
    def way(self, way: Way) -> None:
        self._way = way

    def begin(self, prompts: Sequence[IntArray], given: Sequence[IntArray], repeats: int = 1) -> tuple[Any, Tensor]:
        """See `agents.core.Policy`."""
        self.check_begun(prompts, given)
        if not self.way.even:
            return self.begin_rows(prompts, given, repeats)
        parts, logits = Parts([], []), []
        for chosen in by_length([self.length_of(p, g) for p, g in zip(prompts, given, strict=True)]):
            state, first = self.begin_rows([prompts[i] for i in chosen], [given[i] for i in chosen], repeats)
            rows = torch.tensor(chosen, device=first.device)[:, None] * repeats
            parts.rows.append((rows + torch.arange(repeats, device=first.device)).flatten())
            parts.states.append(state)
            logits.append(first)
        return parts, in_order(parts.rows, logits)

    def extend(self, state: Any, tokens: Tensor) -> Tensor:
        """See `agents.core.Policy`."""
        return state.extend(self.extend_rows, tokens) if isinstance(state, Parts) else self.extend_rows(state, tokens)

    def keep(self, state: Any, rows: Tensor) -> None:
        """See `agents.core.Policy`."""
        if isinstance(state, Parts):
            state.keep(self.keep_rows, rows)
        else:
            self.keep_rows(state, rows)

    @property
    def prepares_masks(self) -> bool:
        """Whether a step of writing takes a mask as attention uses it, or none: from one of (B, L) transformers makes that itself
        at each token, and asks the device each time whether it hides anything."""
        return _trial.could_prepare_masks(self) and self._takes_prepared_masks

    @cached_property
    def _takes_prepared_masks(self) -> bool:
        return _trial.takes_prepared_masks(self)

    def step_mask(self, mask: Tensor, padded: bool) -> Tensor | None:
        """What a step of writing is told of the tokens before it, bool (B, L). `padded`: whether some of them are padding."""
        if not self.prepares_masks:
            return mask.long()
        return mask[:, None, None] if padded else None

    def logits(self, batch: Batch) -> Tensor:
        """See `agents.core.Policy`."""
        return self._read(batch)[0]

    def read(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """See `agents.core.Policy`."""
        return self._read(batch, output_hidden_states=True)

    @cached_property
    def can_defer(self) -> bool:
        """Whether nothing follows the model's head, so that logits can be made of what it reads, whenever they are needed."""
        return headless.is_last(self)

    def before_head(self, batch: Batch, **options: bool) -> tuple[headless.Head, Tensor, Any]:
        """The head, what it reads (B, T, D), and with `output_hidden_states` the last states: see `agents.learning.logits`."""
        with headless.without_head(self.model) as head:
            inputs, states = self._rows_of(batch, **options)
        return headless.Head(head, self.vocab_size), inputs, states

    def _read(self, batch: Batch, **options: Any) -> Any:
        logits, states = self._rows_of(batch, **options)
        return logits[..., : self.vocab_size], states

    def _rows_of(self, batch: Batch, **options: Any) -> Any:
        if not self.way.even:
            return self.predict(batch, **options)
        parts = even_batches(batch)
        rows = [chosen for chosen, _ in parts]
        answers = [self.predict(part, **options) for _, part in parts]
        logits, states = zip(*answers, strict=True)
        return in_order(rows, logits), in_order(rows, states) if options else None

    # ------------------------------------------------------------------------------------------- what a family answers

    def check_begun(self, prompts: Sequence[IntArray], given: Sequence[IntArray]) -> None:
        """Refuses what this family cannot write after."""

    def length_of(self, prompt: IntArray, given: IntArray) -> Hashable:
        """What rows must have in common to be of one length."""
        raise NotImplementedError

    def begin_rows(self, prompts: Sequence[IntArray], given: Sequence[IntArray], repeats: int) -> tuple[Any, Tensor]:
        """`begin` for rows that the model is given together."""
        raise NotImplementedError

    def extend_rows(self, state: Any, tokens: Tensor) -> Tensor:
        """`extend` for such rows."""
        raise NotImplementedError

    def keep_rows(self, state: Any, rows: Tensor) -> None:
        """`keep` for such rows."""
        raise NotImplementedError

    def predict(self, batch: Batch, **options: Any) -> Any:
        """Logits (B, T, rows of the model); with `output_hidden_states` also the states (B, T, D) before them, else None."""
        raise NotImplementedError

    def alone(self, prompt: IntArray, programs: IntArray) -> Tensor:
        """Logits (K, T, V) of programs (K, T) after a prompt: by the model itself, without padding, cache or positions."""
        raise NotImplementedError

    def prompt_states(self, prompt: IntArray) -> Tensor:
        """(P, D): the last states that the model makes of a prompt of at least one token, read by itself."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Writes a plain transformers folder; LoRA's adapters are merged into a copy of the weights.

        Whoever generates with it ends where programs end here: its `generation_config` has all the `ends`. Parts `beside` the
        model are files of their own there.
        """
        model = _lora.merged(self.model)
        generation = getattr(model, "generation_config", None)
        if generation is not None:
            generation.eos_token_id = self.ends[0] if len(self.ends) == 1 else list(self.ends)
        model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)
        for name, part in self.beside.items():
            write_atomically(folder / f"{name}.pt", partial(torch.save, part.state_dict()))


def _let_experts_take_all(model: Any) -> None:
    """No token is turned away by a full expert: what is said of it would depend on which others are read with it."""
    for module in model.modules():
        if hasattr(module, "expert_capacity"):
            module.expert_capacity = NO_LIMIT
            if hasattr(module, "moe_eval_capacity_token_fraction"):
                module.moe_eval_capacity_token_fraction = 0.0  # of a batch's tokens, padding among them


def checkpointed(model: Any) -> list[Any]:
    """The layers of a model with gradient checkpointing."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    return [m for m in model.modules() if isinstance(m, GradientCheckpointingLayer) and m.gradient_checkpointing]


@contextmanager
def checkpointing(model: Any) -> Iterator[bool]:
    """Lets the layers of a model with gradient checkpointing drop their activations here; tells whether they do.

    transformers checkpoints in training mode only, but a `Learner` keeps a model in evaluation mode, for the sake of dropout.
    So the layers themselves are switched, not what they consist of; what dropout they do by themselves is 0
    (`_loading.prepare`).
    """
    layers = checkpointed(model) if torch.is_grad_enabled() else []
    before = [layer.training for layer in layers]
    try:
        for layer in layers:
            layer.training = True
        yield bool(layers)
    finally:
        for layer, mode in zip(layers, before, strict=True):
            layer.training = mode
