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

from agents.batching import batch
from agents.core import Batch, Policy, TrainingSample
from agents.functional import Reduction
from agents.learning.masters import Masters
from rltf_env.errors import NotFinite, UsageError

# (batch, what was read of it: by default the logits (B, T, V)) -> (scalar, things to log)
Loss = Callable[[Batch, Any], tuple[Tensor, dict[str, Tensor]]]


Decay = Literal["constant", "linear", "cosine"]
Rise = Literal["linear", "log"]


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
    micro_batch: int = 16  # programs per forward pass; 0: the whole batch at once
    dropout: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.lr < inf or self.warmup < 0 or not self.clip_norm >= 0 or self.micro_batch < 0:
            raise UsageError(f"Expected a finite lr > 0 and warmup, clip_norm, micro_batch >= 0, got {self}.")
        if not (0 <= self.beta1 < 1 and 0 <= self.beta2 < 1 and 0 <= self.weight_decay < inf):
            raise UsageError(f"Expected beta1 and beta2 in [0, 1) and a finite weight_decay >= 0, got {self}.")
        if not 0 <= self.final <= 1:
            raise UsageError(f"Expected final in [0, 1], a share of lr, got {self.final}.")
        if self.decay == "constant" and (self.length or self.final):
            raise UsageError("Expected no length and no final with decay='constant'. Choose 'linear' or 'cosine'.")
        if self.decay != "constant" and self.length <= self.warmup:
            raise UsageError(f"Expected length > warmup={self.warmup} for decay={self.decay!r}, got {self.length}.")

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

        Args:
            how: by which means `loss` reduces what it computes of each token.
            read: what `loss` is given of a batch, if not the policy's logits.

        Raises:
            NotFinite: the loss or the gradient is not finite; the policy is left as it was.
        """
        self.masters.follow()
        self.optimiser.zero_grad(set_to_none=True)
        logged: dict[str, Tensor] = {}
        parts = list(micro_batches(samples, self.config.micro_batch, how))
        with self._mode():
            for part, share in parts:
                data = batch(part, self.policy.pad_id).to(self.policy.device)
                value, extra = loss(data, (read or self.policy.logits)(data))
                own = self._own(data, len(part) / len(samples))
                (value * share if own is None else value * share + own).backward()
                self.masters.take_gradients()
                if own is not None:
                    logged["own_loss"] = logged.get("own_loss", torch.zeros_like(own)) + own.detach()
                for name, item in {"loss": value, **extra}.items():
                    logged[name] = logged.get(name, torch.zeros_like(item)) + item.detach() * share
        norm = torch.nn.utils.clip_grad_norm_(self.masters.leaves, self.config.clip_norm or torch.inf)
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
        shown = {name: float(item) for name, item in logged.items()}
        return {**shown, "grad_norm": float(norm), "lr": lr, "padding": self._padding([part for part, _ in parts])}

    def _own(self, data: Batch, share: float) -> Tensor | None:
        """The policy's own part of the loss, if it has one and it is the policy that learns here."""
        own_loss = getattr(self.policy, "own_loss", None)
        learns = any(part is self.policy.model for part in self.parts.values())
        return None if own_loss is None or not learns else own_loss(data) * share

    @contextmanager
    def _mode(self) -> Iterator[None]:
        """The model as it learns: without dropout, or with dropout from a generator that is lent the update's number."""
        model = (
            self.policy.model.eval()
        )  # dropout draws from the global generator, and no ratio to the sampled would be 1
        if not self.config.dropout:
            yield
            return
        device = self.policy.device
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.default_generator.manual_seed(self.updates)
            if device.type == "cuda":
                torch.cuda.manual_seed(self.updates)
            model.train()
            try:
                yield
            finally:
                model.eval()

    def _padding(self, parts: Sequence[Sequence[TrainingSample]]) -> float:
        packs = getattr(self.policy, "supports_packing", getattr(self.policy, "packs", False))  # its name before
        return 0.0 if packs else padding(parts)

    def state_dict(self) -> dict[str, Any]:
        """Parts, optimiser, number of updates; and the float32 copies, where there are any."""
        return {
            **{name: part.state_dict() for name, part in self.parts.items()},
            **self.masters.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
        self.masters.load_state_dict(state)
        self.optimiser.load_state_dict(state["optimiser"])
        self.updates = state["updates"]


def _refuse_float16(parameters: Iterator[nn.Parameter]) -> None:
    if any(p.dtype == torch.float16 for p in parameters):
        raise UsageError(
            "Expected weights in float32 or bfloat16 to learn with, got float16, in which small gradients are 0 and large ones "
            'infinite. Set policy.dtype = "bfloat16" or "float32"; to evaluate, float16 will do.'
        )


def micro_batches(
    samples: Sequence[TrainingSample], size: int, how: Reduction
) -> Iterator[tuple[Sequence[TrainingSample], float]]:
    """Slices of at most `size` samples with their share of the loss, so that the shares' sum is the loss of the whole.

    Samples of like length share a slice, or samples of one prompt do: whichever lets a policy read fewer positions.
    """
    size = size or len(samples)
    by_length = sorted(samples, key=lambda s: len(s.prompt) + len(s.tokens))
    by_prompt = sorted(samples, key=lambda s: (len(s.prompt), s.prompt.tobytes(), len(s.tokens)))
    shared = len({s.prompt.tobytes() for s in samples}) < len(samples)
    ordered = min(by_length, by_prompt, key=lambda order: positions_read(order, size)) if shared else by_length
    counts = [int(s.loss_mask.sum()) if how == "token_mean" else 1 for s in ordered]
    total = max(1, sum(counts))
    for i in range(0, len(ordered), size):
        yield ordered[i : i + size], sum(counts[i : i + size]) / total


def positions_read(samples: Sequence[TrainingSample], size: int) -> int:
    """Positions, padding included, of the slices of `size` samples; a prompt counts once in a slice, however many share it."""
    total = 0
    for part in (samples[i : i + size] for i in range(0, len(samples), size)):
        prompts = {s.prompt.tobytes() for s in part}
        total += len(prompts) * max(len(s.prompt) for s in part) + len(part) * max(len(s.tokens) for s in part)
    return total


def padding(parts: Sequence[Sequence[TrainingSample]]) -> float:
    """Share of the positions that are read in these slices where nothing stands."""
    read = sum(positions_read(part, len(part)) for part in parts)
    real = sum(positions_read([s], 1) - len(s.prompt) for part in parts for s in part)
    real += sum(map(len, {(i, s.prompt.tobytes()): s.prompt for i, part in enumerate(parts) for s in part}.values()))
    return 1 - real / max(1, read)
