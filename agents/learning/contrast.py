"""Texts and programs that belong together (CodeT5+, arXiv 2305.07922): losses on pairs, a slow copy that reads keys, a queue.

    contrast   of all programs that are there, which is this text's; and of all texts, which is this program's
    match      whether a text and a program belong together, asked of pairs and of pairs that look like one

The losses are pure. Axes: N pairs of an update, n of them in a micro-batch, K keys, D width of a feature.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from agents import functional
from agents.core import Policy
from agents.learning.reference import Average
from agents.policies.pair_heads import PairHeads, embed, sentence_states
from rltf_env.core import IntArray


def contrastive(queries: Tensor, keys: Tensor, own: Tensor, same: Tensor, temperature: float | Tensor = 1.0) -> Tensor:
    """(n,): -log of the share that each query gives its own key among all keys, by similarity over temperature.

    Args:
        queries: (n, D), of unit length.
        keys: (K, D), of unit length.
        own: int64 (n,), which key belongs to each query.
        same: bool (n, K), keys of equal content, which are no negatives.
        temperature: by which similarities are divided.
    """
    return functional.info_nce(queries @ keys.T / temperature, own, same)


def negative_probabilities(similarity: np.ndarray, same: np.ndarray) -> np.ndarray:
    """float64 (N, N): with which probability each column is a row's negative, softmax over those that may be.

    Args:
        similarity: (N, N), of rows with columns, over a temperature.
        same: bool (N, N), what is no negative. A row of which nothing else is left has zeros.
    """
    logits = np.where(same, -np.inf, similarity.astype(np.float64))
    highest = logits.max(1, keepdims=True)
    weights = np.exp(logits - np.where(np.isfinite(highest), highest, 0.0))
    return weights / np.maximum(weights.sum(1, keepdims=True), 1e-300)


def hard_negatives(similarity: np.ndarray, same: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """int64 (N,): for each row a column, drawn with `negative_probabilities`; -1 where there is none."""
    probabilities = negative_probabilities(similarity, same)
    chosen = [int(rng.choice(len(p), p=p)) if p.sum() > 0 else -1 for p in probabilities]
    return np.array(chosen, np.int64)


def matching(logits: Tensor, labels: Tensor) -> Tensor:
    """(n,): -log p of whether a text and a program belong together; logits (n, 2), labels int64 (n,), 1 if they do."""
    return F.cross_entropy(logits.float(), labels, reduction="none")


# ------------------------------------------------------------------------------------------------------------- memory


class Momentum:
    """A copy of what reads a text, encoder and projection, that follows the learner slowly and makes the keys.

    Args:
        policy: whose encoder is copied; of a decoder alone, all of it.
        heads: whose projection is copied.
        rate: the share of itself that the copy keeps in each update.
    """

    def __init__(self, policy: Policy[Any], heads: PairHeads, rate: float) -> None:
        self.rate = rate
        self.policy = copy.copy(policy)
        self.policy.model = _copied(policy.model).eval().requires_grad_(False)
        self.projection = copy.deepcopy(heads.projection).requires_grad_(False)
        self.average = Average(self.policy.model)
        self.projected = Average(self.projection)

    @torch.no_grad()
    def features(self, texts: Sequence[IntArray], size: int) -> Tensor:
        """(N, D): of unit length, of texts that are read `size` at a time (0: all at once)."""
        size = size or len(texts)
        parts = [texts[i : i + size] for i in range(0, len(texts), size)]
        return torch.cat([embed(self.projection, sentence_states(self.policy, part)) for part in parts])

    def follow(self, policy: Policy[Any], heads: PairHeads) -> None:
        """Moves the copy by `1 - rate` of its way to the learner."""
        self.average.follow(part_that_reads(policy.model), 1 - self.rate)
        self.projected.follow(heads.projection, 1 - self.rate)

    def state_dict(self) -> dict[str, Any]:
        """The copy's weights."""
        return {
            "model": self.policy.model.state_dict(),
            "projection": self.projection.state_dict(),
            "average": self.average.state_dict(),
            "projected": self.projected.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self.policy.model.load_state_dict(state["model"])
        self.projection.load_state_dict(state["projection"])
        self.average.load_state_dict(state.get("average", {}))
        self.projected.load_state_dict(state.get("projected", {}))


class _Encoder(nn.Module):
    """An encoder in the place of the model that it is a part of."""

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def get_encoder(self) -> nn.Module:
        """As a model has it."""
        return self.encoder


def part_that_reads(model: Any) -> nn.Module:
    """The encoder of a model; a decoder alone is all of it."""
    return model.get_encoder() if model.config.is_encoder_decoder else model


def _copied(model: Any) -> nn.Module:
    part = copy.deepcopy(part_that_reads(model))
    return _Encoder(part) if model.config.is_encoder_decoder else part


class Queue:
    """The newest keys of texts and programs, first in first out, each with the digests of its pair.

    Args:
        size: pairs at the most; 0 keeps none.
        width: D.
    """

    def __init__(self, size: int, width: int, device: torch.device) -> None:
        self.size = size
        self.text, self.code = (torch.zeros(0, width, device=device) for _ in range(2))
        self.digests = torch.zeros(0, 2, dtype=torch.int64, device=device)

    def __len__(self) -> int:
        return len(self.digests)

    def push(self, text: Tensor, code: Tensor, digests: Tensor) -> None:
        """Adds the keys (N, D) of pairs and their digests (N, 2); the oldest beyond the size fall out."""
        self.text = torch.cat([text, self.text])[: self.size]
        self.code = torch.cat([code, self.code])[: self.size]
        self.digests = torch.cat([digests, self.digests])[: self.size]

    def state_dict(self) -> dict[str, Tensor]:
        """Keys and digests, the newest first."""
        return {"text": self.text, "code": self.code, "digests": self.digests}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restores what `state_dict` gave."""
        device = self.text.device
        self.text, self.code, self.digests = (state[name].to(device) for name in ("text", "code", "digests"))


def known(some: Tensor, among: Tensor) -> Tensor:
    """bool (n, K): whether each one's first and the second of each of `among` are a pair that is known, hence no negative.

    Args:
        some: int64 (n, 2), digests of a text and its program, or of a program and its text.
        among: int64 (K, 2), likewise, of all pairs that are known, `some` being there too.
    """
    _, second = among[:, 1].unique(return_inverse=True)
    row, column = (some[:, None, 0] == among[None, :, 0]).nonzero(as_tuple=True)
    belongs = torch.zeros(len(some), int(second.max()) + 1, dtype=torch.bool, device=some.device)
    belongs[row, second[column]] = True
    return belongs[:, second]
