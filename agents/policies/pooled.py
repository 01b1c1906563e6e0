"""Prompt pooling: a frozen model, and a pool of short prompts that are chosen by what a text is like (arXiv 2307.02435).

    q(x) = mean of the frozen model's last states on the text x
    K    = the `top` pairs whose keys are nearest to q(x) by cosine
    L    = loss of (prompts of K, x) - weight * sum over K of cos(q(x), k_j)

Learning changes prompts and keys and nothing else. Any agent learns so: the first term is the
agent's own loss, supervised or of rewards, and `own_loss` is the second. Where a pool learns one task
after another, `assign` decides from which pairs a text may choose while it learns:

    free      all of them (prompt pooling)
    forced    those assigned to the task in advance (teacher forcing); see `_pool.owned`

A policy that is measured always chooses among all: nobody tells it the task. Keys begin as queries of
the texts of the first task that may choose them.
"""

from __future__ import annotations

import copy
import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents import functional
from agents.batching import pad_left
from agents.core import Batch
from agents.policies import _folder, _pool, _trial, causal, seq2seq
from agents.policies._door import entered
from agents.policies._pool import Assign, Extended, Pool
from agents.policies._transformer import Transformer
from agents.policies._whereabouts import out_of_reach
from rltf_env.core import IntArray
from rltf_env.errors import DataError, UnknownName, UsageError

POOL = "pool.pt"  # in a saved folder: keys, prompts, and which keys have been set
REMEMBERED = 4096  # queries of texts
REFUSED = ("lora", "compile", "freeze")  # options that would change what is frozen here, or how it reads tokens


class PooledPolicy:
    """A policy that reads chosen prompts of a pool before each text. See `agents.core.Policy`.

    Args:
        inner: reads and writes; its model has an embedding with a pool (`_pool.extend`).
        top: prompts before a text.
        weight: lambda, of the keys' own loss.
        allowed: the pairs from which texts choose while the policy learns; None: all.
    """

    writes_itself = True  # no other engine knows the pool

    def __init__(self, inner: Transformer, top: int, weight: float = 0.5, allowed: Sequence[int] | None = None) -> None:
        self.inner, self.top, self.weight = inner, top, weight
        self.tokenizer, self.eos_id, self.pad_id = inner.tokenizer, inner.eos_id, inner.pad_id
        self.allowed = tuple(range(len(self.pool)) if allowed is None else allowed)
        self._queries: OrderedDict[bytes, Tensor] = OrderedDict()
        self._measured = False

    @property
    def model(self) -> Any:
        """The frozen model with its pool."""
        return self.inner.model

    @model.setter
    def model(self, model: Any) -> None:
        """For a copy of this policy: a reference that stays behind, values of its own."""
        self.inner = _twin(self.inner, model)

    @property
    def embedding(self) -> Extended:
        """Where the pool is."""
        return self.model.get_input_embeddings()

    @property
    def pool(self) -> Pool:
        """Keys and prompts."""
        return self.embedding.pool

    @property
    def device(self) -> torch.device:
        return self.inner.device

    @property
    def vocab_size(self) -> int:
        """V: the number of tokens."""
        return self.inner.vocab_size

    @property
    def ends(self) -> tuple[int, ...]:
        """Tokens that end a program."""
        return self.inner.ends

    @property
    def supports_packing(self) -> bool:
        """Whether padding is left out, as the frozen model does it."""
        return bool(getattr(self.inner, "supports_packing", False))

    @property
    def room(self) -> int:
        """Tokens that the chosen prompts take."""
        return self.top * self.pool.length

    def check_room(self, prompt: int, program: int) -> None:
        """See `agents.core.Policy`."""
        self.inner.check_room(prompt + self.room, program)

    def has_room(self, prompt: int, program: int) -> bool:
        """Whether the model was made for so many tokens, and those of the pool before them."""
        return self.inner.has_room(prompt + self.room, program)

    def no_room(self, prompt: int, program: int) -> str:
        """The sentence that refuses so many tokens."""
        return f"{self.inner.no_room(prompt + self.room, program)} {self.room} of them are the pool's prompts."

    # ------------------------------------------------------------------------------------------------------- choosing

    def query(self, prompt: IntArray) -> Tensor:
        """float32 (D,) on the CPU: the mean of the frozen model's states on a text read by itself; zeros of no text."""
        key = prompt.tobytes()
        if key not in self._queries:
            if len(self._queries) == REMEMBERED:
                self._queries.popitem(last=False)
            self._queries[key] = self._read_query(prompt)
        return self._queries[key]

    def _read_query(self, prompt: IntArray) -> Tensor:
        if not len(prompt):
            return torch.zeros(self.pool.keys[0].shape)
        with _trial.quietly(self.model):
            return self.inner.prompt_states(prompt).float().mean(0).cpu()

    @torch.no_grad()
    def choose(self, prompts: Sequence[IntArray]) -> Tensor:
        """int64 (N, top), on the CPU: the pairs of each text, the nearest first."""
        allowed = torch.zeros(len(self.pool), dtype=torch.bool)
        allowed[list(range(len(self.pool)) if self._measured else self.allowed)] = True
        similarity = functional.cosines(self._queries_of(prompts), self.pool.stacked().cpu())
        return functional.nearest(similarity, allowed, self.top)

    def _queries_of(self, prompts: Sequence[IntArray]) -> Tensor:
        return torch.stack([self.query(prompt) for prompt in prompts])

    def prefixed(self, prompts: Sequence[IntArray]) -> list[IntArray]:
        """Each text after the tokens of its chosen prompts."""
        chosen = self.choose(prompts).tolist()
        return [np.concatenate([self.embedding.tokens(k), p]) for k, p in zip(chosen, prompts, strict=True)]

    @contextmanager
    def measured(self) -> Iterator[None]:
        """Here texts choose among all pairs, as after training."""
        before, self._measured = self._measured, True
        try:
            yield
        finally:
            self._measured = before

    def meet(self, draw: Callable[[], IntArray]) -> None:
        """Before learning: keys that may be chosen and that no text has set yet begin as queries of texts, one each."""
        _pool.set_keys(self.pool, self.allowed, lambda: self.query(draw()))

    # ---------------------------------------------------------------------------------------------------- the policy

    def begin(self, prompts: Sequence[IntArray], given: Sequence[IntArray], repeats: int = 1) -> tuple[Any, Tensor]:
        """See `agents.core.Policy`."""
        return self.inner.begin(self.prefixed(prompts), given, repeats)

    def extend(self, state: Any, tokens: Tensor) -> Tensor:
        """See `agents.core.Policy`."""
        return self.inner.extend(state, tokens)

    def keep(self, state: Any, rows: Tensor) -> None:
        """See `agents.core.Policy`."""
        self.inner.keep(state, rows)

    def logits(self, batch: Batch) -> Tensor:
        """See `agents.core.Policy`."""
        return self.inner.logits(self._prefixed_batch(batch))

    def read(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """See `agents.core.Policy`."""
        return self.inner.read(self._prefixed_batch(batch))

    def own_loss(self, batch: Batch) -> Tensor:
        """The keys' part of the loss, mean over the rows. Keys that no row chose have no gradient."""
        prompts = _prompts(batch)
        chosen = self.choose(prompts)
        used, places = torch.unique(chosen, return_inverse=True)
        keys = self.pool.stacked(used.tolist())
        similarity = functional.cosines(self._queries_of(prompts).to(keys.device), keys)
        return functional.key_loss(similarity, places.to(keys.device), self.weight)

    def _prefixed_batch(self, batch: Batch) -> Batch:
        prompt, mask = pad_left(self.prefixed(_prompts(batch)), self.pad_id)
        return replace(batch, prompt=prompt.to(batch.prompt.device), prompt_mask=mask.to(batch.prompt.device))

    def save(self, folder: Path) -> None:
        """Writes the frozen model as a plain transformers folder, and the pool beside it."""
        with _pool.without(self.model):
            self.inner.save(folder)
        torch.save(self.pool.state_dict(), folder / POOL)
        shape = {"pool": len(self.pool), "top": self.top, "length": self.pool.length}
        _folder.write(folder, "pooled", shape)


def _twin(inner: Transformer, model: Any) -> Transformer:
    twin = copy.copy(inner)
    twin.model = model
    return twin


def _prompts(batch: Batch) -> list[IntArray]:
    """The texts of a batch, without padding."""
    rows = zip(batch.prompt.cpu().numpy(), batch.prompt_mask.cpu().numpy(), strict=True)
    return [prompt[mask] for prompt, mask in rows]


# ------------------------------------------------------------------------------------------------------------ loading


def load(
    path: str = "",
    *,
    pool: int | None = None,
    top: int | None = None,
    length: int | None = None,
    weight: float = 0.5,
    assign: Assign = "free",
    task: int = 0,
    tasks: int = 1,
    seed: int = 0,
    **options: Any,
) -> PooledPolicy:
    """A pool beside the model in `path`, or the pool that was saved with it.

    Args:
        path: of the model that is frozen, as in `causal` and `seq2seq`; or a folder that a pooled policy has saved.
        pool, top, length: pairs, prompts before a text, and vectors of a prompt; of a fresh pool 20, 5 and 5, L2P's
            sizes (arXiv 2112.08654), since the paper's are not known to us.
        weight: of the keys' own loss; 0: keys stay where `meet` has put them.
        assign: from which pairs texts choose while they are learnt from: "free" or "forced".
        task, tasks: with "forced": the number of the task that is learnt, from 0, and how many there are.
        seed: of a fresh pool.
        options: of the model, as in `causal`: dtype, device, eos and so on.

    Raises:
        UsageError: sizes that do not fit together, or that are not those of the saved pool; LoRA or a compiled model.
        DataError: a saved pool that cannot be read.
    """
    for name in REFUSED:
        if options.get(name):
            raise UsageError(f"Expected a frozen model without policy.{name}, got {options[name]!r}. Leave it out.")
    known = _folder.read(path)
    shape = _shape({"pool": pool, "top": top, "length": length}, known if known.get("kind") == "pooled" else {})
    allowed = _allowed(assign, shape["pool"], shape["top"], task, tasks, weight)
    inner = (seq2seq if _has_encoder(path) else causal).load(path, plain=True, **options)
    extended = _extended(inner, shape, seed)
    if known.get("kind") == "pooled":
        _restore(extended.pool, Path(path) / POOL)
    return entered(PooledPolicy(inner, shape["top"], weight, allowed))


def _shape(asked: dict[str, int | None], saved: dict[str, Any]) -> dict[str, int]:
    """The sizes of the pool: the saved ones, or those asked for, or the defaults."""
    fresh = {"pool": 20, "top": 5, "length": 5}
    for name, size in asked.items():
        if saved and size is not None and size != saved[name]:
            raise UsageError(
                f"Expected policy.{name} = {saved[name]}, that of the saved pool, got {size}. Leave it out."
            )
    shape = {name: int(saved.get(name) or (fresh[name] if size is None else size)) for name, size in asked.items()}
    if min(shape.values()) < 1 or shape["top"] > shape["pool"]:
        raise UsageError(f"Expected policy sizes >= 1 and top <= pool, got {shape}.")
    return shape


def _allowed(assign: str, pool: int, top: int, task: int, tasks: int, weight: float) -> tuple[int, ...] | None:
    if assign not in ("free", "forced"):
        raise UnknownName("value of policy.assign", str(assign), ("free", "forced"))
    if not 0 <= weight < float("inf"):
        raise UsageError(f"Expected a finite policy.weight >= 0, got {weight}.")
    if assign == "free":
        return None
    pairs = _pool.owned(pool, task, tasks)
    if top > pool // tasks:
        raise UsageError(
            f"Expected policy.top <= {pool // tasks}, the pairs of a task ({pool} for {tasks} tasks), got {top}. "
            "Lower top or enlarge the pool."
        )
    return pairs


def _extended(inner: Transformer, shape: dict[str, int], seed: int) -> Extended:
    with _trial.quietly(inner.model):
        width = inner.prompt_states(np.array([inner.eos_id])).shape[-1]
    return _pool.extend(inner.model, shape["pool"], shape["length"], width, seed)


def _has_encoder(path: str) -> bool:
    if not path:  # `load` of the family says what is missing
        return False
    silent = out_of_reach(path)
    file = Path(path) / "config.json"
    if file.is_file():
        return bool(json.loads(file.read_text(encoding="utf-8")).get("is_encoder_decoder"))
    from transformers import AutoConfig

    try:
        return bool(AutoConfig.from_pretrained(path, local_files_only=bool(silent)).is_encoder_decoder)
    except (OSError, ValueError):  # as above
        return False


def _restore(pool: Pool, file: Path) -> None:
    try:
        pool.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    except Exception as error:  # of any kind: a file that is not there, half written, or of other sizes
        raise DataError(f"Expected the pool of a saved policy in {str(file)!r}, got: {error}") from error
