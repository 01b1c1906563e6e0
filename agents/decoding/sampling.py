"""Sampling: temperature, min-p, top-k, top-p, stop strings; greedy at temperature 0. The plain way of choosing tokens.

A completion says both what the policy itself thought of each token (`logprobs`) and what it was really drawn with
(`behaviour_logprobs`); they differ where the distribution was changed. Which one a loss compares with, the agent says.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from agents.core import Completion, Done, Policy, Request
from agents.decoding._stopping import Stops
from agents.options import chosen
from rltf_env import plugins
from rltf_env._renamed import renamed
from rltf_env.core import IntArray
from rltf_env.errors import UnknownName, UsageError

ENGINES = ("own", "vllm", "vllm_server")
WHOLE = 1 << 52  # a probability of 1, where draws are in whole numbers


@dataclass(frozen=True)
class Sampling:
    """See `agents.core.Decoder`.

    Args:
        temperature: divides the logits; 0 takes the most likely token.
        top_p: keep the smallest set of tokens whose probabilities sum to at least this (nucleus sampling).
        top_k: keep this many most likely tokens; 0 keeps all.
        min_p: keep tokens at least this many times as likely as the most likely one (arXiv 2407.01082); 0 keeps all.
        stop: a program also ends with the token that completes one of these strings. Its text is what stands before the
            string; the string's tokens belong to the program as its end token would, and it is not truncated.
        rows: how many programs are written at once, at the most; samples of one problem are split up if need be.
        engine: what computes the next tokens: the policy itself ("own"), or vLLM with a copy of its weights, which has
            no use for `rows`: in this process ("vllm"), or as servers that several writers share ("vllm_server").
        engine_options: of vLLM's `LLM`, such as `{max_model_len = 1024, gpu_memory_utilization = 0.3, max_num_seqs = 128}`,
            and `sleep`; for servers, `agents.engines.vllm_server.Options`.
    """

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    rows: int = 256
    min_p: float = 0.0
    stop: tuple[str, ...] = ()
    engine: Literal["own", "vllm", "vllm_server"] = "own"
    engine_options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 <= self.min_p <= 1:
            raise UsageError(f"Expected 0 <= min_p <= 1, got {self.min_p}.")
        if isinstance(self.stop, str) or not all(isinstance(s, str) and s for s in self.stop):
            raise UsageError(
                f'Expected stop to be a list of strings that are not empty, such as ["```"], got {self.stop!r}.'
            )
        if not 0 <= self.temperature < np.inf or not 0 < self.top_p <= 1 or self.top_k < 0 or self.rows < 1:
            raise UsageError(
                f"Expected a finite temperature >= 0, 0 < top_p <= 1, top_k >= 0, rows >= 1, got {chosen(self)}."
            )
        if self.engine not in ENGINES:
            raise UnknownName("engine", self.engine, ENGINES)
        if self.engine_options and self.engine == "own":
            raise UsageError(
                f"Expected engine_options with engine='vllm' or 'vllm_server' alone, got {self.engine_options}."
            )

    def __call__(
        self,
        policy: Policy[Any],
        prompts: Sequence[IntArray],
        given: Sequence[IntArray],
        *,
        repeats: int = 1,
        max_tokens: int,
        generator: torch.Generator,
        done: Done | None = None,
    ) -> list[list[Completion]]:
        if repeats < 1:
            raise UsageError(f"Expected at least 1 program for each prompt, got repeats={repeats}.")
        if any(len(g) >= max_tokens for g in given):
            raise UsageError(
                f"Expected given tokens to leave room within {max_tokens} tokens, got {max(map(len, given))}."
            )
        check_room = getattr(policy, "check_room", None)
        if check_room and prompts:
            check_room(max(map(len, prompts)), max_tokens)
        was_training = policy.model.training
        policy.model.eval()
        try:
            # By name: an engine knows what sampling is.
            write = plugins.find("engines", self.engine, package="agents")()
            return write(self, policy, Request(prompts, given, repeats, max_tokens, generator, done))
        finally:
            policy.model.train(was_training)

    def draw(self, logits: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Next tokens (B,), their log-probability under the policy (B,), and under what was drawn from (B,).

        Of logits that are not numbers, any tokens, whose log-probabilities are NaN: see `check_numbers`.
        """
        logp = logits.float().log_softmax(-1)
        if self.temperature == 0:
            token = logp.argmax(-1)
            own = logp.gather(1, token[:, None])[:, 0]
            return token, own, torch.zeros_like(own)
        warped = warp(logp, self.temperature, self.top_p, self.top_k, self.min_p)
        token = sample_tokens(warped, generator)
        return token[:, 0], logp.gather(1, token)[:, 0], warped.gather(1, token)[:, 0]


def sample_tokens(logp: Tensor, generator: torch.Generator) -> Tensor:
    """A token (B, 1) of each distribution (B, V): where its cumulated probability passes a uniform number.

    One random number a row; `torch.multinomial` draws one for each token of the vocabulary. In double precision, so that a token
    has its probability wherever in the vocabulary it stands; one of probability 0 is never drawn. With deterministic kernels it
    is in whole numbers of 2^-52: only of those has a GPU a cumulative sum that is the same every time.
    """
    if torch.are_deterministic_algorithms_enabled():
        return _in_whole_numbers(logp, generator)
    kind = torch.float32 if logp.device.type == "mps" else torch.float64  # which has no doubles
    passed = logp.exp().cumsum(-1, dtype=kind)
    uniform = torch.rand(len(logp), 1, dtype=kind, device=logp.device, generator=generator)
    drawn = torch.searchsorted(passed, uniform * passed[:, -1:], right=True)
    # Of NaN the index is beyond the vocabulary, which kills a GPU; that it is NaN is found out later.
    return drawn.clamp(max=logp.shape[-1] - 1)


def _in_whole_numbers(logp: Tensor, generator: torch.Generator) -> Tensor:
    passed = (logp.double().exp() * WHOLE).nan_to_num(0).long().cumsum(-1)
    uniform = torch.rand(len(logp), 1, dtype=torch.float64, device=logp.device, generator=generator)
    drawn = torch.searchsorted(passed, (uniform * passed[:, -1:]).long(), right=True)
    return drawn.clamp(max=logp.shape[-1] - 1)


def check_numbers(logprobs: Tensor) -> None:
    """Refuses log-probabilities of drawn tokens that are NaN. It makes the host wait: call it where it waits anyway.

    Raises:
        UsageError: at least one is.
    """
    if bool(logprobs.isnan().any()):
        raise UsageError(
            "Expected logits that are numbers, got NaN from the policy: its weights are not finite, or overflow in its "
            'precision. Load other weights, or set policy.dtype = "float32".'
        )


def warp(logp: Tensor, temperature: float = 1.0, top_p: float = 1.0, top_k: int = 0, min_p: float = 0.0) -> Tensor:
    """Log-probabilities (B, V) after temperature, then min-p, top-k, top-p; what is cut off has -inf."""
    if temperature != 1:
        logp = (logp / temperature).log_softmax(-1)
    if min_p:
        unlikely = logp < logp.amax(-1, keepdim=True) + math.log(min_p)
        logp = logp.masked_fill(unlikely, -torch.inf).log_softmax(-1)
    if top_k:
        worst = logp.topk(min(top_k, logp.shape[-1])).values[:, -1:]
        logp = logp.masked_fill(logp < worst, -torch.inf).log_softmax(-1)
    if top_p < 1:
        ordered, index = logp.sort(-1, descending=True)
        before = ordered.exp().cumsum(-1) - ordered.exp()  # the mass in front of each token
        cut = torch.zeros_like(before, dtype=torch.bool).scatter(1, index, before >= top_p)
        logp = logp.masked_fill(cut, -torch.inf).log_softmax(-1)
    return logp


def make_completion(
    given: IntArray,
    ends: Sequence[int],
    stops: Stops | None,
    tokens: IntArray,
    logprobs: np.ndarray,
    behaviour: np.ndarray,
    length: int,
) -> Completion:
    """The completion that begins with `given` and goes on with the first `length` of `tokens`, up to the first stop string.

    One whose last token is among `ends` is not truncated.
    """
    lead = np.zeros(len(given), np.float32)
    whole = np.concatenate([given, tokens[:length]]).astype(np.int64)
    end, kept = (stops.cut(whole, len(given)) if stops else None) or (len(whole), None)
    return Completion(
        tokens=whole[:end],
        logprobs=np.concatenate([lead, logprobs[:length]])[:end],
        behaviour_logprobs=np.concatenate([lead, behaviour[:length]])[:end],
        given=len(given),
        truncated=kept is None and int(whole[-1]) not in ends,
        kept=kept,
    )


def load(**options: Any) -> Sampling:
    """A `Sampling` decoder."""
    return Sampling(**options)


__getattr__ = renamed(
    __name__,
    {
        "alike": "agents.engines.own.similar_length_chunks",
        "drawn": "agents.decoding.sampling.sample_tokens",
        "completed": "agents.decoding.sampling.make_completion",
    },
)
