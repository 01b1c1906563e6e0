"""One optimiser step, the part that every agent shares: AdamW, warm-up, gradient clipping, micro-batches.

Weights of 16 bits learn through copies of 32 (`agents.learning.masters`): a step of one part in a thousand would be rounded away.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import cos, inf, log, pi
from typing import Any, Literal

import torch
from torch import Tensor, nn

from agents import parallel
from agents.batching import batch
from agents.core import Batch, Policy, TrainingSample
from agents.functional import Reduction
from agents.learning import shards
from agents.learning.in_order import in_order
from agents.learning.logits import Logits, predict, read
from agents.learning.masters import Masters
from agents.learning.micro import Limit, micro_batches, padding, positions_read
from agents.options import chosen
from rltf_env.errors import NotFinite, UsageError

# (batch, what was read of it: by default the logits (B, T, V), or `Deferred` ones) -> (scalar, things to log)
Loss = Callable[[Batch, Any], tuple[Tensor, dict[str, Tensor]]]


Slice = tuple[Sequence[TrainingSample], float]  # samples that are read at once, and their share of the loss
Decay = Literal["constant", "linear", "cosine"]
Rise = Literal["linear", "log"]
PROGRAMS = 16  # per forward pass, unless a recipe says otherwise
UNSET: Any = None
RANKS_APART = 1 << 40  # between the seeds of their dropout


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW. `warmup` updates of linear warm-up, then constant; `clip_norm` 0 clips nothing.

    `rise = "log"` is the warm-up of DeepSpeed's `WarmupLR`, which RLTF's released code uses: update u = 0, 1, ... has the share
    log(u + 1) / log(`warmup`) of `lr`, so that the first has none and the tenth a third. `dropout` keeps the model's own dropout
    on while it learns, as there; it is drawn anew for each update, the same in every run.

    With another `decay` the rate falls from `lr`, reached at the warm-up's end, to `final * lr` at update `length`, and stays
    there: `final` 0 ends all learning.
    """

    lr: float = 2e-6
    weight_decay: float = 0.05
    beta1: float = 0.9
    beta2: float = 0.999
    warmup: int = 500
    rise: Rise = "linear"
    decay: Decay = "constant"
    length: int = 0  # updates until the decay has ended, the warm-up counted in
    final: float = 0.0  # the share of lr that is left then
    clip_norm: float = 1.0
    micro_batch: int = UNSET  # programs per forward pass; 0: the whole batch at once. Unset: 16 without micro_tokens
    micro_tokens: int = 0  # in place of programs: tokens per forward pass, padding included
    logit_rows: int = 0  # positions whose logits are in memory at a time; 0: as many as 128 MiB hold
    dropout: bool = False

    def __post_init__(self) -> None:
        if min(self.micro_tokens, self.logit_rows) < 0:
            raise UsageError(f"Expected micro_tokens and logit_rows >= 0, got {self.micro_tokens}, {self.logit_rows}.")
        if self.micro_tokens and self.micro_batch:
            raise UsageError(
                f"Expected optimiser.micro_batch or optimiser.micro_tokens, got both ({self.micro_batch} programs, "
                f"{self.micro_tokens} tokens). Remove one of them."
            )
        if self.micro_batch is None:
            object.__setattr__(self, "micro_batch", 0 if self.micro_tokens else PROGRAMS)
        if not 0 < self.lr < inf or self.warmup < 0 or not self.clip_norm >= 0 or self.micro_batch < 0:
            raise UsageError(f"Expected a finite lr > 0 and warmup, clip_norm, micro_batch >= 0, got {chosen(self)}.")
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1 and 0 <= self.weight_decay < inf):
            raise UsageError(f"Expected beta1 and beta2 in [0, 1) and a finite weight_decay >= 0, got {chosen(self)}.")
        if not 0 <= self.final <= 1:
            raise UsageError(f"Expected final in [0, 1], a share of lr, got {self.final}.")
        if self.decay == "constant" and (self.length or self.final):
            raise UsageError("Expected no length and no final with decay='constant'. Choose 'linear' or 'cosine'.")
        if self.decay != "constant" and self.length <= self.warmup:
            raise UsageError(f"Expected length > warmup={self.warmup} for decay={self.decay!r}, got {self.length}.")

    @property
    def limit(self) -> Limit:
        """Of what is read at once."""
        return Limit(self.micro_batch, self.micro_tokens)

    def rate(self, update: int) -> float:
        """The learning rate of update 0, 1, ..."""
        if update < self.warmup:
            linear = (update + 1) / self.warmup
            return self.lr * (linear if self.rise == "linear" else log(update + 1) / log(max(2, self.warmup)))
        if self.decay == "constant":
            return self.lr
        done = min(1.0, (update - self.warmup) / (self.length - self.warmup))
        left = 1 - done if self.decay == "linear" else (1 + cos(pi * done)) / 2
        return self.lr * (self.final + (1 - self.final) * left)


class Learner:
    """A policy and its optimiser. `parts` are the modules that learn: the policy's model, unless others are named.

    Raises:
        UsageError: weights in float16, or dropout asked of a model that has none.
    """

    def __init__(
        self, policy: Policy[Any], config: OptimiserConfig, parts: Mapping[str, nn.Module] | None = None
    ) -> None:
        self.policy, self.config = policy, config
        self.parts = {"model": policy.model} if parts is None else dict(parts)
        _refuse_float16(self._parameters())
        shards.share_out(policy, self.parts.values())
        self.masters = Masters([p for p in self._parameters() if p.requires_grad])
        self.optimiser = torch.optim.AdamW(
            self.masters.leaves,
            lr=config.lr,
            betas=(config.beta1, config.beta2),
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.updates = 0
        if config.dropout and not any(isinstance(m, nn.Dropout) and m.p > 0 for m in policy.model.modules()):
            raise UsageError(
                "Expected a model with dropout for optimiser.dropout = true, got one whose layers drop nothing out. "
                "Set optimiser.dropout = false, or policy.gradient_checkpointing = false, which silences dropout."
            )

    @property
    def updates(self) -> int:
        """Updates so far. The policy says the same of itself (`updates`), if it is its model that learns."""
        return self._updates

    @updates.setter
    def updates(self, count: int) -> None:
        self._updates = count
        policy: Any = self.policy
        if any(part is policy.model for part in self.parts.values()):
            policy.updates = count

    def _parameters(self) -> Iterator[nn.Parameter]:
        for part in self.parts.values():
            yield from part.parameters()

    def step(
        self,
        samples: Sequence[TrainingSample],
        how: Reduction,
        loss: Loss,
        read: Callable[[Batch], Any] | None = None,
    ) -> dict[str, float]:
        """Descends `loss` on `samples`, micro-batch by micro-batch. `padding` is the share of positions read for nothing.

        On several ranks (`agents.parallel`) each reads some of the micro-batches, and all take the same step.

        Args:
            how: by which means `loss` reduces what it computes of each token.
            read: what `loss` is given of a batch, if not `predict`.

        Raises:
            NotFinite: the loss or the gradient is not finite; the policy is left as it was.
        """
        ranks = parallel.current()
        self.masters.follow()
        self.optimiser.zero_grad(set_to_none=True)
        logged: dict[str, Tensor] = {}
        parts = list(micro_batches(samples, self.config.limit.for_ranks(len(samples), ranks.world), how))
        with self._mode(ranks.rank), shards.passes():
            for part, share in self._passes(parts, ranks):
                data = batch(part, self.policy.pad_id).to(self.policy.device)
                value, extra = loss(data, (read or self.predict)(data))
                own = self._own(data, len(part) / len(samples))
                total = value * share if own is None else value * share + own
                with in_order(self.policy.device):
                    (total * ranks.world if ranks.sharded else total).backward()  # FSDP takes the mean over ranks
                self.masters.take_gradients()
                if own is not None:
                    logged["own_loss"] = logged.get("own_loss", torch.zeros_like(own)) + own.detach()
                for name, item in {"loss": value, **extra}.items():
                    logged[name] = logged.get(name, torch.zeros_like(item)) + item.detach() * share
        ranks.sum_gradients(self.masters.leaves)
        norm = shards.whole(torch.nn.utils.clip_grad_norm_(self.masters.leaves, self.config.clip_norm or torch.inf))
        if not torch.isfinite(norm):
            raise NotFinite(
                f"Expected a finite gradient at update {self.updates + 1}, got one of norm {float(norm)}. The same run would come "
                "to it again: start another (run.out) with a lower lr, a clipped ratio, or smaller rewards."
            )
        lr = self.config.rate(self.updates)
        for group in self.optimiser.param_groups:
            group["lr"] = lr
        self.optimiser.step()
        self.masters.give_weights()
        self.updates += 1
        shown = ranks.summed(_numbers(logged))
        return {**shown, "grad_norm": float(norm), "lr": lr, "padding": self._padding([part for part, _ in parts])}

    def _passes(self, parts: Sequence[Slice], ranks: parallel.Ranks) -> list[Slice]:
        """The slices that this rank reads, and their shares of the loss."""

        def cost(each: Slice) -> float:
            return positions_read(each[0], 0)

        return ranks.dealt(parts, cost) + [(part, 0.0) for part, _ in ranks.idle(parts, cost)]

    def predict(self, data: Batch) -> Logits:
        """The policy's logits, deferred where they are many."""
        return predict(self.policy, data, self.config.logit_rows)

    def read(self, data: Batch) -> tuple[Logits, Tensor]:
        """The policy's logits, deferred where they are many, and its last states (B, T, D)."""
        return read(self.policy, data, self.config.logit_rows)

    def _own(self, data: Batch, share: float) -> Tensor | None:
        """The policy's own part of the loss, if it has one and it is the policy that learns here."""
        own_loss = getattr(self.policy, "own_loss", None)
        learns = any(part is self.policy.model for part in self.parts.values())
        return None if own_loss is None or not learns else own_loss(data) * share

    @contextmanager
    def _mode(self, rank: int = 0) -> Iterator[None]:
        """The model as it learns: without dropout, or with dropout from a generator that is lent the update's number."""
        # Dropout draws from the global generator, and no ratio to the sampled would be 1.
        model = self.policy.model.eval()
        if not self.config.dropout:
            yield
            return
        device = self.policy.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.default_generator.manual_seed(self.updates + rank * RANKS_APART)
            if device.type == "cuda":
                torch.cuda.manual_seed(self.updates + rank * RANKS_APART)
            model.train()
            try:
                yield
            finally:
                model.eval()

    def _padding(self, parts: Sequence[Sequence[TrainingSample]]) -> float:
        packs = getattr(self.policy, "supports_packing", getattr(self.policy, "packs", False))  # its name before
        return 0.0 if packs else padding(parts)

    def state_dict(self) -> dict[str, Any]:
        """Parts, optimiser, number of updates; and the float32 copies, where there are any.

        Of sharded parts rank 0 has all, and the others nothing: a checkpoint is the same on any number of ranks.
        """
        return {
            **{name: shards.state_dict(part) for name, part in self.parts.items()},
            **shards.gathered(self.masters.state_dict()),
            "optimiser": shards.gathered(self.optimiser.state_dict()),
            "updates": self.updates,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        for name, part in self.parts.items():
            shards.load_state_dict(part, state[name])
        self.masters.load_state_dict(state)
        self.optimiser.load_state_dict(shards.shared_out(state["optimiser"], self.masters.leaves))
        self.updates = state["updates"]


def _numbers(logged: Mapping[str, Tensor]) -> dict[str, float]:
    """All in one read: each would make the host wait for the device."""
    if not logged:
        return {}
    return dict(zip(logged, torch.stack([item.double() for item in logged.values()]).tolist(), strict=True))


def _refuse_float16(parameters: Iterator[nn.Parameter]) -> None:
    if any(p.dtype == torch.float16 for p in parameters):
        raise UsageError(
            "Expected weights in float32 or bfloat16 to learn with, got float16, in which small gradients are 0 and large ones "
            'infinite. Set policy.dtype = "bfloat16" or "float32"; to evaluate, float16 will do.'
        )
