"""A vLLM server's writers: what tests of the engine `vllm_server` ask of it, and what must be right of the answers."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fake_vllm import FakeVLLM

from agents.batching import batch
from agents.core import Completion, TrainingSample
from agents.decoding.sampling import Sampling, warp
from agents.policies.causal import CausalPolicy
from rltf_env.core import IntArray

PROMPTS = [np.array([5, 6, 7, 8]), np.array([9, 10, 11]), np.arange(20, 40)]
GIVEN = [np.array([], np.int64), np.array([30, 31]), np.array([], np.int64)]
LENGTH, REPEATS = 8, 2
PUSH = ["pause", "load", "reset", "resume"]


def twin(policy: CausalPolicy) -> CausalPolicy:
    """The same policy with weights of its own, as another process would load it."""
    other = copy.copy(policy)
    other.model = copy.deepcopy(policy.model)
    return other


def learn(policy: CausalPolicy, updates: int, seed: int = 3) -> None:
    """Other weights, which have seen so many updates."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in policy.model.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=generator))
    policy.updates = updates  # type: ignore[attr-defined]


def sampling(*servers: FakeVLLM | str, folder: Path, how: dict[str, Any] | None = None, **options: Any) -> Sampling:
    urls = [each if isinstance(each, str) else each.url for each in servers]
    made = {"url": urls, "folder": str(folder), "connections": 4, "patience": 20.0, **options}
    return Sampling(engine="vllm_server", engine_options=made, **(how or {}))


def write(policy: CausalPolicy, how: Sampling, **more: Any) -> list[list[Completion]]:
    generator = torch.Generator().manual_seed(1)
    options = {"repeats": REPEATS, "max_tokens": LENGTH, **more}
    return how(policy, PROMPTS, GIVEN, generator=generator, **options)


def texts(groups: list[list[Completion]]) -> list[list[int]]:
    return [c.tokens.tolist() for group in groups for c in group]


def said(policy: CausalPolicy, prompt: IntArray, tokens: IntArray) -> torch.Tensor:
    nothing = np.zeros(len(tokens), np.float32)
    with torch.no_grad():
        data = batch([TrainingSample(prompt, tokens, nothing > -1, nothing, nothing)], policy.pad_id)
        return policy.logits(data)[0].log_softmax(-1)


def assert_right(policy: CausalPolicy, groups: list[list[Completion]], how: Sampling, writer: CausalPolicy) -> None:
    """Each token's log-probability is the policy's, and its other one is that of what `writer` drew it from."""
    for prompt, given, group in zip(PROMPTS, GIVEN, groups, strict=True):
        assert len(group) == REPEATS
        for c in group:
            at, n = torch.from_numpy(c.tokens)[:, None], len(given)
            assert c.given == n
            assert c.tokens[:n].tolist() == given.tolist()
            assert n < len(c.tokens) <= LENGTH
            own = said(policy, prompt, c.tokens).gather(1, at)[n:, 0]
            drawn = warp(
                said(writer, prompt, c.tokens), how.temperature or 1.0, how.top_p, how.top_k, how.min_p
            ).gather(1, at)[n:, 0]
            np.testing.assert_allclose(c.logprobs[n:], own, atol=1e-4)
            np.testing.assert_allclose(
                c.behaviour_logprobs[n:], drawn if how.temperature else torch.zeros_like(drawn), atol=1e-4
            )
