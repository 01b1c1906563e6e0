"""A discriminator: is a program a reference, or was it generated? The second half of RLCF's grounding (arXiv 2305.18341).

    D(W, x) = sigmoid(linear(h))          h: the last state of a transformer that has read the problem and the program
    L       = (-log D(reference) - log(1 - D(sample))) / 2
    reward  = 2 D - 1                     in [-1, 1]

It reads text with its own tokenizer, so the policy whose programs it reads may have another one. It does not know
what a program does, and nothing keeps it from knowing references by heart: what it pays for is likeness.

    reader = Discriminator(policy, style="statement", max_prompt_tokens=128, max_program_tokens=128)
    reader.learn([reader.sample(problem, reference)], [reader.sample(problem, written)])
    reader.scores([reader.sample(problem, program)])        # D, (B,)
    reader.save(folder)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents import functional
from agents.core import Batch, Policy, TrainingSample
from agents.critics import _saved
from agents.critics.outcome import states_after
from agents.learning.learner import Learner, OptimiserConfig
from agents.learning.reference import read_each
from agents.policies import value_head
from agents.policies._tokenizer import tokenizer_of
from rltf_env import prompts
from rltf_env.core import Problem
from rltf_env.errors import UsageError

DESCRIPTION, HEAD = "discriminator.json", "discriminator_head.pt"


class Discriminator:
    """See the head of this file.

    Args:
        policy: the transformer that reads; it learns with the head, so it is nobody else's.
        style: how problems are put into words, as in an environment.
        max_prompt_tokens, max_program_tokens: of its own tokens; longer prompts lose the end of their statement, longer
            programs their own end.
        optimiser: of `learn`.
    """

    def __init__(
        self,
        policy: Policy[Any],
        *,
        style: prompts.Style | None = None,
        max_prompt_tokens: int = 512,
        max_program_tokens: int = 512,
        optimiser: OptimiserConfig | None = None,
    ) -> None:
        self.policy, self.style, self.tokenizer = policy, style, tokenizer_of(policy)
        self.max_prompt_tokens, self.max_program_tokens = max_prompt_tokens, max_program_tokens
        self.head = value_head.on(policy)
        parts = {"model": policy.model, "head": self.head}
        self.learner = Learner(policy, optimiser or OptimiserConfig(lr=2e-5), parts)

    # -------------------------------------------------------------------------------------------------------- reading

    def sample(self, problem: Problem, text: str, *, ended: bool = True) -> TrainingSample:
        """A program as it is read: the problem's prompt, the text's tokens, and the end token unless it was cut off."""
        style, limit = self.style, self.max_prompt_tokens
        prompt = prompts.fit(problem, self.tokenizer, limit, style, on_long="truncate")
        legible = text.encode("utf-8", "replace").decode()  # a lone surrogate is in no tokenizer
        tokens = self.tokenizer.encode(legible)[: self.max_program_tokens - 1]
        if ended or not tokens:
            tokens = [*tokens, self.tokenizer.eos_id]
        size = len(tokens)
        return TrainingSample(
            np.array(prompt, np.int64),
            np.array(tokens, np.int64),
            np.ones(size, bool),
            np.zeros(size, np.float32),
            np.zeros(size, np.float32),
        )

    def scores(self, samples: Sequence[TrainingSample], *, alone: bool = False) -> np.ndarray:
        """float64 (B,): D of each, the probability that it is a reference.

        Args:
            samples: (B,), as `sample` gives them.
            alone: each is read by itself, so that what stands beside it cannot change its last digits.
        """
        if not samples:
            return np.zeros(0)

        def score(data: Batch) -> Tensor:
            return self._logits(data, states_after(self.policy, data)).sigmoid()[:, None].expand(data.tokens.shape)

        size = 1 if alone else self.learner.config.limit
        return np.array([row[0] for row in read_each(self.policy, samples, size, score)], np.float64)

    def _logits(self, data: Batch, states: Tensor) -> Tensor:
        """(B,): of whole programs."""
        last = data.token_mask.sum(1) - 1
        return self.head.values(states[torch.arange(len(last), device=last.device), last])

    # ------------------------------------------------------------------------------------------------------- learning

    def learn(self, references: Sequence[TrainingSample], samples: Sequence[TrainingSample]) -> dict[str, float]:
        """One step towards telling references from as many generated programs; the loss before it.

        Raises:
            UsageError: there are not as many of each.
        """
        if len(references) != len(samples) or not samples:
            raise UsageError(
                f"Expected as many references as samples, and one at least, got {len(references)} and {len(samples)}."
            )
        labelled = [*(_labelled(r, True) for r in references), *(_labelled(s, False) for s in samples)]
        metrics = self.learner.step(labelled, "seq_sum", self._loss, self._states)
        return {"discriminator_loss": metrics["loss"]}

    def _states(self, data: Batch) -> Tensor:
        return states_after(self.policy, data)

    def _loss(self, data: Batch, states: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return functional.discriminator_loss(self._logits(data, states), data.extra["real"][:, 0] > 0), {}

    # ---------------------------------------------------------------------------------------------------------- state

    def state_dict(self) -> dict[str, Any]:
        """Transformer, head and optimiser."""
        return self.learner.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self.learner.load_state_dict(state)

    def save(self, folder: Path) -> None:
        """Writes a transformers folder with a head beside it.

        Raises:
            UsageError: problems are put into words by a function, which no file can hold.
        """
        if not isinstance(self.style, str | None):
            raise UsageError(f"Expected a prompt style with a name, got {self.style!r}. Set env.prompt_style to one.")
        limits = {"max_prompt_tokens": self.max_prompt_tokens, "max_program_tokens": self.max_program_tokens}
        description = {"style": self.style, **limits}
        _saved.save(folder, self.policy, (HEAD, self.head), (DESCRIPTION, description))

    @classmethod
    def load(cls, folder: str | Path, *, optimiser: OptimiserConfig | None = None, **options: Any) -> Discriminator:
        """What `save` wrote; `options` (dtype, device, ...) are those of its kind of policy.

        Raises:
            MissingData: there is no discriminator in `folder`.
        """
        remedy = "Make one with python -m agents.train_discriminator RUN."
        policy, head, described = _saved.load(folder, HEAD, DESCRIPTION, "Discriminator", remedy, options)
        loaded = cls(policy, optimiser=optimiser, **described)
        loaded.head.load_state_dict(head)
        return loaded


def _labelled(sample: TrainingSample, real: bool) -> TrainingSample:
    return replace(sample, extra={"real": np.full(len(sample.tokens), real, np.float32)})
