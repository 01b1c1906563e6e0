"""What writes programs in an actor of a cluster: policy, environment and judge, built there from the recipe."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import numpy as np
import torch

from agents import building
from agents.actors import messages
from agents.actors.process import rollout_batch, take_over
from agents.config import Recipe
from agents.core import OffPolicyAgent, Policy
from agents.options import build

Packed = Mapping[str, tuple[np.ndarray, str]]  # by name: an array, and the type of tensor that it stands for


class Writer:
    """A generator. Its calls come one at a time, those of `beat` aside.

    Args:
        orders: `pool.instructions`. Nothing is built from them before the first lot: until then `beat` could not answer.
    """

    def __init__(self, orders: Mapping[str, Any]) -> None:
        self.orders, self.version = orders, -1
        self._stack = ExitStack()
        self._agent: OffPolicyAgent | None = None

    def beat(self) -> int:
        """A sign of life: the number of the process."""
        return os.getpid()

    def lot(self, version: int, weights: Packed) -> bytes:
        """`process.rollout_batch` as a frame, written with these weights.

        Args:
            version: of the weights; those that it has already are not read again.
            weights: `pack_weights`.
        """
        torch.set_num_threads(self.orders["threads"])  # of this thread, which may be another than last time
        agent = self._agent = self._agent or self._build()
        if version != self.version:
            take_over(agent.policy, unpack_weights(weights))
            self.version = agent.learner.updates = version
        return messages.frame(rollout_batch(agent, self.orders["programs"]))

    def _build(self) -> OffPolicyAgent:
        recipe = build(Recipe, self.orders["recipe"], "recipe")
        building.quiet_libraries()
        policy = building.make_policy(recipe)
        env = self._stack.enter_context(building.make_env(recipe, policy))
        agent = building.make_agent(recipe, policy, env)
        assert isinstance(agent, OffPolicyAgent)
        return agent


def pack_weights(policy: Policy[Any]) -> Packed:
    """What of the policy learns, as arrays that an object store shares between processes: NumPy has no bfloat16."""
    learns = {name: p.detach().cpu().contiguous() for name, p in policy.model.named_parameters() if p.requires_grad}
    return {name: (_bits(tensor).numpy(), str(tensor.dtype).removeprefix("torch.")) for name, tensor in learns.items()}


def unpack_weights(packed: Packed) -> dict[str, torch.Tensor]:
    """What `pack_weights` was given. Arrays of a store cannot be written to: these are copies."""
    return {name: torch.from_numpy(array.copy()).view(getattr(torch, kind)) for name, (array, kind) in packed.items()}


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor, in a type of its size that NumPy has."""
    return tensor.view(torch.int16) if tensor.dtype == torch.bfloat16 else tensor
