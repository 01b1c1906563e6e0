"""A saved policy to look at: `python -m rltf_env.play --policy agents.play:watch --with path=runs/NAME/policy`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from agents.core import Policy
from agents.decoding.sampling import Sampling
from rltf_env import plugins
from rltf_env.env import Observation, UnitTestEnv
from rltf_env.tokenizers import HuggingFace


def watch(
    path: str, *, kind: str = "causal", temperature: float = 0.6, top_p: float = 1.0, seed: int = 0, **options: Any
) -> Watched:
    """The policy in the folder `path` (what a run calls `policy`), as `rltf_env.play` wants it.

    Args:
        kind: a file of agents/policies that loads weights.
        temperature, top_p: how it is sampled; temperature 0 takes the likeliest token.
        options: the policy's own.
    """
    policy = plugins.find("policies", kind, package="agents")(path, **options)
    return Watched(policy, Sampling(temperature=temperature, top_p=top_p), seed)


class Watched:
    """Writes the whole program, then hands out its tokens."""

    def __init__(self, policy: Policy[Any], decoder: Sampling, seed: int) -> None:
        self.policy, self.decoder = policy, decoder
        self.tokenizer = HuggingFace(policy.tokenizer)
        self.generator = torch.Generator(policy.device).manual_seed(seed)

    def __call__(self, env: UnitTestEnv, observation: Observation) -> Sequence[int]:
        prompt = observation["prompt"]
        ((completion,),) = self.decoder(
            self.policy,
            [prompt[prompt != env.pad_id]],
            [env.encode_prefix(env.problem)],
            max_tokens=env.max_program_tokens,
            generator=self.generator,
        )
        return np.asarray(completion.tokens)[completion.given :].tolist()
