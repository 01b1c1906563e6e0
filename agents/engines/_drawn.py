"""What an engine of another project drew, as completions: the policy says what it thinks of each token itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch

from agents.core import Completion, Policy, Request, TrainingSample
from agents.decoding._stopping import Stops, ends_of
from agents.decoding.sampling import Sampling, make_completion
from agents.learning.reference import logprobs
from rltf_env.core import FloatArray, IntArray
from rltf_env.errors import UsageError

READ = 16  # programs that the policy reads at a time, as they end


class Drawn(NamedTuple):
    """A row that has been written.

    Args:
        row: which one.
        tokens: int64 (T,), those that are new.
        behaviour: float32 (T,), the log-probability that each was drawn with.
        version: see `agents.core.Completion.version`.
    """

    row: int
    tokens: IntArray
    behaviour: FloatArray
    version: int | None = None


class Draw(Protocol):
    """How an engine is asked."""

    def __call__(self, rows: Sequence[IntArray], limits: Sequence[int], seeds: Sequence[int]) -> Iterator[Drawn]:
        """Continues each row by at most its limit of tokens; what was written, in the order in which it ends."""
        ...


def check_policy(policy: Policy[Any], engine: str) -> None:
    """Raises UsageError for a policy that an engine cannot write with from its weights alone."""
    if getattr(policy, "writes_itself", False):
        raise UsageError(
            f"Expected a policy that vLLM can write with, got {type(policy).__name__}. Set sampling.engine = 'own'."
        )
    model: Any = policy.model
    if model.config.is_encoder_decoder:
        raise UsageError(f"Expected a causal model for sampling.engine={engine!r}, got one with an encoder.")


def drawing(sampling: Sampling, policy: Policy[Any]) -> dict[str, Any]:
    """How tokens are drawn and where programs end, by the names that vLLM has for it in memory and over HTTP."""
    return {
        "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": sampling.top_k, "min_p": sampling.min_p,
        "stop": list(sampling.stop), "stop_token_ids": list(ends_of(policy)),
    }  # fmt: skip


def completed(sampling: Sampling, policy: Policy[Any], request: Request, draw: Draw) -> list[list[Completion]]:
    """The request's completions, as `draw` writes them; `request.done` is called for each as it ends."""
    prompts, prefixes, repeats = request.prompts, request.prefixes, request.repeats
    stops, ends = Stops.of(policy, sampling.stop), ends_of(policy)
    asked = [i for i in range(len(prompts)) for _ in range(repeats)]
    device = request.generator.device
    drawn = draw(
        [np.concatenate([prompts[i], prefixes[i]]) for i in asked],
        [request.max_tokens - len(prefixes[i]) for i in asked],
        torch.randint(2**62, (len(asked),), generator=request.generator, device=device).tolist(),
    )
    written: list[list[Any]] = [[None] * repeats for _ in prompts]
    with closing(drawn):  # type: ignore[type-var] - a generator: whoever is interrupted leaves nothing behind
        while lot := list(islice(drawn, READ)):
            starts = [prefixes[asked[each.row]] for each in lot]
            programs = [np.concatenate([start, each.tokens]) for start, each in zip(starts, lot, strict=True)]
            own = _own(policy, [prompts[asked[each.row]] for each in lot], programs)
            for start, logp, each in zip(starts, own, lot, strict=True):
                behaviour = each.behaviour if sampling.temperature else np.zeros_like(each.behaviour)
                i, k = divmod(each.row, repeats)
                completion = make_completion(
                    start, ends, stops, each.tokens, logp[len(start) :], behaviour, len(each.tokens)
                )
                written[i][k] = replace(completion, version=each.version)
                if request.done:
                    request.done(i, k, written[i][k])
    return written


def _own(policy: Policy[Any], prompts: Sequence[IntArray], programs: Sequence[IntArray]) -> list[FloatArray]:
    """What the policy itself thinks of each token of each program: float32 (T,) each."""
    nothing = [np.zeros(len(tokens), np.float32) for tokens in programs]
    samples = [
        TrainingSample(p, t, zeros > -1, zeros, zeros) for p, t, zeros in zip(prompts, programs, nothing, strict=True)
    ]
    return logprobs(policy, samples, READ)
