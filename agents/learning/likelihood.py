"""What a policy makes of the tokens of its programs, at the temperature of the loss.

Three distributions meet in an update. A token was *drawn* from the policy at a temperature, with what top-p and its
kind cut off, by an engine with roundings of its own (`behaviour_logprobs`). The policy as it was then gave
it some probability (`old_logprobs`), and the policy as it is now gives it another. The last two
are compared, so they must be read alike: whole programs at once, in the learner's precision, at the temperature of
the draw. At temperature 1 in float32 that is what sampling reported. Otherwise the programs are read once more.

With the loss at another temperature than the draw, the expected gradient of tokens on which no reward depends is not 0: below 1
it sharpens what follows a good token and flattens what follows a bad one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, Protocol

import torch

from agents.core import Policy, TrainingSample
from agents.learning.learner import OptimiserConfig
from agents.learning.reference import Place, Reference, logprobs
from rltf_env.errors import UsageError

LossTemperature = Literal["sampling", 1]


class Options(Protocol):
    """What of an agent's configuration is read here."""

    @property
    def sampling(self) -> Any:
        """How programs were drawn."""
        ...

    @property
    def loss_temperature(self) -> LossTemperature:
        """At which temperature the loss reads them."""
        ...

    @property
    def optimiser(self) -> OptimiserConfig:
        """Whose micro-batches they are read in."""
        ...


def temperature_of(c: Options) -> float:
    """By what logits are divided in the loss.

    Raises:
        UsageError: that of greedy programs, which has no distribution.
    """
    if c.loss_temperature == 1:
        return 1.0
    if c.sampling.temperature == 0:
        raise UsageError(
            "Expected sampling.temperature > 0 to learn at the temperature of sampling, got 0, at which nothing is drawn. Raise "
            "it, or set loss_temperature = 1."
        )
    return c.sampling.temperature


class Held(Options, Protocol):
    """What of the configuration of an agent that is held to its first policy is read here."""

    @property
    def reference(self) -> Place: ...


def reference_of(policy: Policy[Any], c: Held) -> Reference:
    """The policy as it is now, to be asked at the temperature of the loss."""
    o = c.optimiser
    return Reference(policy, o.limit, temperature_of(c), place=c.reference, logit_rows=o.logit_rows)


def with_old_logprobs(policy: Policy[Any], samples: Sequence[TrainingSample], c: Options) -> list[TrainingSample]:
    """The samples, whose `old_logprobs` are what sampling reported, with those that an update compares with.

    Args:
        policy: as it was when it wrote the programs.
        samples: (N,).
        c: how they were drawn, and what they are learnt at.
    """
    temperature = temperature_of(c)
    if temperature == 1 and not rounds(policy):
        return list(samples)
    rows = logprobs(policy, samples, c.optimiser.limit, temperature, c.optimiser.logit_rows)
    return [replace(sample, old_logprobs=row) for sample, row in zip(samples, rows, strict=True)]


def rounds(policy: Policy[Any]) -> bool:
    """Whether a program read token by token has other probabilities than one that is read at once."""
    if policy.device.type == "cuda" and torch.backends.cuda.matmul.allow_tf32:
        return True
    return any(p.dtype in (torch.bfloat16, torch.float16) for p in policy.model.parameters())
