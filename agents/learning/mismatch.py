"""How far the engine that wrote programs is from the policy that learns from them, as metrics of an update.

An engine of another project (`sampling.engine`), or one that works in 16 bits, gives a token another
probability than the learner does that reads whole programs. What is compared are two numbers for each
token that is learnt from, of the same weights at the same temperature:

    d = log p_policy - log p_engine         `old_logprobs` - `behaviour_logprobs`

They are comparable only where nothing else sets them apart: no cut-offs (top-p, top-k, min-p change
what is drawn from by design), and a loss at the temperature of the draw. Elsewhere nothing is logged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from agents.core import Policy, TrainingSample
from agents.learning.likelihood import Options, rounds, temperature_of

LARGEST = 50.0  # nats: beyond, a ratio is no number that tells anything


def mismatch(policy: Policy[Any], samples: Sequence[TrainingSample], c: Options) -> dict[str, float]:
    """Metrics of samples, over all of their tokens that are learnt from; none where there is nothing to compare.

    `mismatch` is the mean of |d| in nats, `mismatch_kl` the mean of exp(d) - 1 - d, which estimates the KL divergence of
    the policy from the engine, and `mismatch_ratio` the largest exp(d).

    Args:
        policy: that learns.
        samples: (N,), of an update.
        c: how their programs were drawn, and what the loss reads them at.
    """
    if not is_comparable(policy, c):
        return {}
    parts = [_differences(s) for s in samples if "behaviour" in s.extra]
    d = np.concatenate(parts) if parts else np.zeros(0)
    if not len(d):
        return {}
    held = np.minimum(d, LARGEST)
    return {
        "mismatch": float(np.abs(d).mean()),
        "mismatch_kl": float((np.expm1(held) - held).mean()),
        "mismatch_ratio": float(np.exp(held.max())),
    }


def is_comparable(policy: Policy[Any], c: Options) -> bool:
    """Whether the engine may differ from the policy, and nothing but the engine does."""
    sampling = c.sampling
    if sampling.engine == "own" and not rounds(policy):
        return False
    if getattr(c, "ratio", "policy") == "behaviour":  # the policy's own probabilities are not kept
        return False
    return (sampling.top_p, sampling.top_k, sampling.min_p, sampling.temperature) == (1, 0, 0, temperature_of(c))


def _differences(sample: TrainingSample) -> np.ndarray:
    """d of the tokens that are learnt from: float64."""
    mask = sample.loss_mask
    return sample.old_logprobs[mask].astype(np.float64) - sample.extra["behaviour"][mask]
