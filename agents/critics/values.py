"""What a state is worth, for agents that learn values: read with the policy's own transformer, or with another one.

    shared    a linear head on the policy's last states; it learns with the policy, in the same step
    own       a transformer of its own with a head, which learns in steps of its own, at a rate of its own

A transformer of its own does not disturb the policy, and may begin as what already knows something of the task: as the
policy does (StepCoder, arXiv 2402.01391, section 4.1), or as a line model. Both say the value of token t's state before t is read.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from agents.core import Batch, Policy, TrainingSample
from agents.functional import Reduction
from agents.learning import logits
from agents.learning.learner import Learner, OptimiserConfig
from agents.options import chosen
from agents.policies import value_head
from rltf_env import plugins
from rltf_env.errors import MissingData, UsageError

HEAD = "value_head.pt"  # beside a saved transformer: the head that read it

# (batch, what was read of it) -> (the scalar to descend, what to log)
ValueLoss = Callable[[Batch, Any], tuple[Tensor, dict[str, Tensor]]]


@dataclass(frozen=True)
class ValueConfig:
    """Who says what a state is worth.

    Args:
        trunk: "shared", the policy's transformer; or "own".
        path: of an own trunk: a transformers folder to begin with, with the policy's vocabulary, and the head in it if
            there is one; "": it begins as the policy does.
        lr: of an own trunk and its head; 0: as the policy's. All else is as in the policy's optimiser.
    """

    trunk: Literal["shared", "own"] = "shared"
    path: str = ""
    lr: float = 0.0

    def __post_init__(self) -> None:
        if self.trunk == "shared" and (self.path or self.lr):
            raise UsageError(f"Expected agent.value.trunk = 'own' with a path or an lr of its own, got {chosen(self)}.")
        if not 0 <= self.lr < float("inf"):
            raise UsageError(f"Expected a finite agent.value.lr >= 0, got {self.lr}.")


class SharedValues:
    """A head on the policy's states. Its gradient reaches the policy, unless the states were detached.

    `parts` are for the policy's learner.
    """

    own: None = None

    def __init__(self, policy: Policy[Any]) -> None:
        self.head = value_head.on(policy)
        self.parts: dict[str, nn.Module] = {"head": self.head}

    def read(self, data: Batch, states: Tensor) -> Tensor:
        """(B, T): what the `states` (B, T, D) of the policy are worth."""
        return self.head.values(states)


class OwnValues:
    """A transformer and a head that learn apart from the policy, whose learner gets no `parts` of them."""

    def __init__(self, policy: Policy[Any], config: ValueConfig, optimiser: OptimiserConfig) -> None:
        self.policy, head = _began(policy, config.path)
        self.head = value_head.on(self.policy)
        if head is not None:
            self.head.load_state_dict(head)
        self.parts: dict[str, nn.Module] = {}
        rate = replace(optimiser, lr=config.lr or optimiser.lr)
        self.own = Learner(self.policy, rate, {"model": self.policy.model, "head": self.head})

    def read(self, data: Batch, states: Tensor) -> Tensor:
        """(B, T), without a gradient; the policy's states are of no use here."""
        with torch.no_grad():
            return self.values(data)

    def values(self, data: Batch) -> Tensor:
        """(B, T), with a gradient to the transformer and the head."""
        return self.head.values(logits.states(self.policy, data))

    def step(
        self,
        samples: Sequence[TrainingSample],
        how: Reduction,
        loss: ValueLoss,
        read: Callable[[Batch], Any] | None = None,
    ) -> dict[str, float]:
        """One step down `loss`, of a batch and of what `read` says of it (without: `values`); its metrics."""
        metrics = self.own.step(samples, how, loss, read or self.values)
        return {"value_loss": metrics["loss"], "value_grad_norm": metrics["grad_norm"], "value_lr": metrics["lr"]}


AnyValues = SharedValues | OwnValues


def load(policy: Policy[Any], config: ValueConfig, optimiser: OptimiserConfig) -> AnyValues:
    """The values that `config` asks for; `optimiser` is the policy's.

    Raises:
        MissingData: no transformer in `config.path`.
        UsageError: one of another vocabulary.
    """
    return SharedValues(policy) if config.trunk == "shared" else OwnValues(policy, config, optimiser)


def _began(policy: Policy[Any], path: str) -> tuple[Policy[Any], Mapping[str, Tensor] | None]:
    """The transformer that an own trunk begins as, and the weights of its head if it has one."""
    if not path:
        twin = copy.copy(policy)
        twin.model = copy.deepcopy(policy.model)
        return twin, None
    if not (Path(path) / "config.json").is_file():
        raise MissingData(f"Expected agent.value.path to be a folder with a transformer, got {path!r}. Save one there.")
    kind = "seq2seq" if policy.model.config.is_encoder_decoder else "causal"  # type: ignore[union-attr]
    found = plugins.find("policies", kind, package="agents")(path, device=str(policy.device))
    if found.tokenizer.get_vocab() != policy.tokenizer.get_vocab():
        raise UsageError(f"Expected the transformer in {path!r} to have the policy's vocabulary, got another one.")
    head = Path(path) / HEAD
    return found, torch.load(head, map_location="cpu", weights_only=True) if head.is_file() else None
