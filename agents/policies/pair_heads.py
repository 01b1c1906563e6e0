"""Heads on any policy that say how texts and programs belong together (CodeT5+, arXiv 2305.07922).

    projection    the state of a text or program as a whole, to a feature of unit length: what retrieval compares
    match         the state of a decoder that has read a program, and looks at a text: two numbers, apart or together
    temperature   by which similarities are divided, learnt as its logarithm

They are no part of the model: `policy.beside["heads"]` keeps them next to it, and `policy.save` writes `heads.pt` beside the
weights of its folder, which stays a plain one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agents.batching import batch, pad_left
from agents.core import Batch, Policy, TrainingSample
from agents.policies import _codet5p
from agents.policies.value_head import ValueHead, state_width
from rltf_env.core import IntArray
from rltf_env.errors import MissingData, UsageError

NAME = "heads"
FILE = f"{NAME}.pt"
COLDEST, WARMEST = 1e-3, 0.5  # between which a temperature is learnt, as in the vision models that the paper follows


class PairHeads(nn.Module):
    """See the head of this file. All of it is float32.

    Args:
        read: D of the states of whole texts.
        written: D of the decoder's states.
        width: of a feature.
        temperature: at first.
        seed: draws the projection; the match begins at zero, as likely apart as together.
    """

    def __init__(self, read: int, written: int, width: int = 256, temperature: float = 0.07, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator()
        generator.manual_seed(seed)
        self.projection = ValueHead(read, width)
        with torch.no_grad():
            self.projection.weight.normal_(0.0, read**-0.5, generator=generator)
        self.match = ValueHead(written, 2)
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))

    @property
    def width(self) -> int:
        """Of a feature."""
        return len(self.projection.bias)

    @property
    def temperature(self) -> Tensor:
        """Of the similarities, a scalar that learns between `COLDEST` and `WARMEST`."""
        return self.log_temperature.exp().clamp(COLDEST, WARMEST)

    def embed(self, states: Tensor) -> Tensor:
        """States (B, D) to features (B, width) of unit length."""
        return embed(self.projection, states)


def embed(projection: ValueHead, states: Tensor) -> Tensor:
    """States (B, D) to features (B, width) of unit length."""
    return F.normalize(projection(states), dim=-1)


def on(policy: Policy[Any], width: int = 256, temperature: float = 0.07, seed: int = 0) -> PairHeads:
    """Fresh heads for a policy, on its device."""
    written = state_width(policy)
    return PairHeads(getattr(policy, "sentence_width", written), written, width, temperature, seed).to(policy.device)


def read(folder: str | Path, policy: Policy[Any]) -> PairHeads:
    """The heads that were saved beside a policy.

    Raises:
        MissingData: there are none.
        UsageError: they are those of a model of another width.
    """
    file = Path(folder) / FILE
    if not file.is_file():
        raise MissingData(
            f'Expected the heads of a run with kind = "codet5p" at {file}, got none. Name the folder `policy` of such a run.'
        )
    state = torch.load(file, map_location="cpu", weights_only=True)
    heads = on(policy, len(state["projection.bias"]))
    wrong = [name for name, tensor in heads.state_dict().items() if state[name].shape != tensor.shape]
    if wrong:
        raise UsageError(f"Expected heads of a model as wide as this one in {file}, got another {wrong[0]}.")
    heads.load_state_dict(state)
    return heads


def attach(policy: Policy[Any], heads: PairHeads) -> None:
    """Lets `policy.save` write the heads too.

    Raises:
        UsageError: a policy of another make, which would leave them out.
    """
    beside: dict[str, nn.Module] | None = getattr(policy, "beside", None)
    if beside is None:
        raise UsageError(f"Expected a policy that saves what stands `beside` it, got {type(policy).__name__}.")
    beside[NAME] = heads


# ------------------------------------------------------------------------------------------------------------- states


def starting(policy: Policy[Any], task: str) -> Policy[Any]:
    """The policy with a decoder that begins with the token of a task, "match" or "c2t", if the tokenizer has one."""
    token = _codet5p.task_token(policy.tokenizer, task) if task in ("match", "c2t") else None
    other: Any = getattr(policy, "starting", None)
    return other(token) if other and token is not None else policy


def sentence_states(policy: Policy[Any], texts: Sequence[IntArray]) -> Tensor:
    """(B, D): the state of each text as a whole: the encoder's, or of a decoder alone the one that has read all of it.

    Raises:
        UsageError: a text without a token.
    """
    if not all(map(len, texts)):
        raise UsageError(f"Expected texts of at least one token, got none in text {[len(t) for t in texts].index(0)}.")
    encoder: Any = getattr(policy, "sentence_states", None)
    if encoder:
        return encoder(*(t.to(policy.device) for t in pad_left(texts, policy.pad_id)))
    end = np.array([policy.eos_id], np.int64)
    data = batch([plain_sample(text, end) for text in texts], policy.pad_id).to(policy.device)
    return policy.read(data)[1][:, 0]


def match_logits(policy: Policy[Any], heads: PairHeads, data: Batch) -> Tensor:
    """(B, 2): apart or together, by the decoder's state when it has read a whole program and looked at the prompt.

    `policy` is one that is `starting` the task "match".
    """
    tokens = F.pad(data.tokens, (0, 1), value=policy.pad_id)
    mask = F.pad(data.token_mask, (1, 0), value=True)
    states = policy.read(replace(data, tokens=tokens, token_mask=mask))[1]
    last = data.token_mask.sum(1)
    return heads.match(states[torch.arange(len(last), device=last.device), last])


def plain_sample(prompt: IntArray, tokens: IntArray) -> TrainingSample:
    """Tokens after a prompt, all to be learnt."""
    nothing = np.zeros(len(tokens), np.float32)
    return TrainingSample(prompt, tokens, np.ones(len(tokens), bool), nothing, nothing)
