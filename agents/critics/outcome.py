"""CodeRL's critic (arXiv 2207.01780, sections 3.2 and 3.3): reads a problem and a program, and says what will become of it.

    h_t          the last state of a transformer that has read the problem and the program up to and with token t
    p(u | W, D)  = softmax(linear(max over t of h_t)):      learnt, -log p of the true outcome
    q_t          = softmax(linear(h_t))[u]:                 what token t of a program with outcome u is multiplied by

The transformer is one of the critic's own, which learns and is saved with it, or the actor's, whose states are read as they are.
Where we differ from the released code: token t has been read when q_t is given (there, in encoder-decoder models, only those
before it), and the maximum is taken over tokens, not over padding too.

    critic = Critic.load(folder)                            # or Critic(policy)
    critic.learn(samples, outcomes)                         # one step on judged programs
    critic.probabilities(samples)                           # (T, classes) for each program; the last class is "passed"
    critic.weights(samples, outcomes)                       # q_t, (T,) for each program
    critic.save(folder)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from agents.core import Batch, Policy, TrainingSample
from agents.critics import _saved
from agents.learning.learner import Learner, OptimiserConfig
from agents.learning.logits import states
from agents.learning.reference import read_each
from agents.options import chosen
from agents.policies import value_head
from rltf_env.core import Outcome
from rltf_env.errors import UsageError

Trunk = Literal["own", "actor"]
DESCRIPTION, HEAD = "critic.json", "critic_head.pt"


class Critic:
    """See the head of this file.

    Args:
        policy: the transformer that reads; of a policy, only its states are used.
        classes: 4, the outcomes in their order; or 2, not passed and passed (CodeRL's critic for sampling).
        trunk: "own": `policy` learns with the head; "actor": it is someone else's, and is left alone.
        optimiser: of `learn`.
    """

    def __init__(
        self,
        policy: Policy[Any],
        *,
        classes: int = len(Outcome),
        trunk: Trunk = "own",
        optimiser: OptimiserConfig | None = None,
    ) -> None:
        if classes not in (2, len(Outcome)):
            raise UsageError(f"Expected 2 or {len(Outcome)} classes, got {classes}.")
        self.policy, self.classes, self.trunk = policy, classes, trunk
        self.head = value_head.on(policy, classes)
        own = {"model": policy.model} if trunk == "own" else {}
        self.learner = Learner(policy, optimiser or OptimiserConfig(lr=2e-5), {**own, "head": self.head})

    def label(self, outcome: Outcome) -> int:
        """The class of an outcome."""
        return int(outcome) if self.classes == len(Outcome) else int(outcome is Outcome.PASSED)

    # ------------------------------------------------------------------------------------------------------- learning

    def learn(self, samples: Sequence[TrainingSample], outcomes: Sequence[Outcome]) -> dict[str, float]:
        """One step towards the outcomes of judged programs; loss and accuracy before it."""
        labels = [np.full(len(s.tokens), self.label(o), np.float32) for s, o in zip(samples, outcomes, strict=True)]
        labelled = [replace(s, extra={"label": label}) for s, label in zip(samples, labels, strict=True)]
        metrics = self.learner.step(labelled, "seq_sum", self._loss, self._states)
        return {"critic_loss": metrics["loss"], "critic_accuracy": metrics["accuracy"]}

    def _loss(self, data: Batch, read: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        labels = data.extra["label"][:, 0].long()
        logits = self._pooled(data, read)
        right = (logits.detach().argmax(-1) == labels).float().mean()
        return F.cross_entropy(logits, labels), {"accuracy": right}

    def _pooled(self, data: Batch, read: Tensor) -> Tensor:
        """(B, classes): of whole programs, from their states."""
        return self.head(read.masked_fill(~data.token_mask[..., None], -torch.inf).amax(1))

    def _states(self, data: Batch) -> Tensor:
        """(B, T, D): state t has read token t, too."""
        if self.trunk == "own":
            return states_after(self.policy, data)
        with torch.no_grad():
            return states_after(self.policy, data)

    # -------------------------------------------------------------------------------------------------------- reading

    def probabilities(self, samples: Sequence[TrainingSample]) -> list[np.ndarray]:
        """float32 (T, classes) for each program: what is to be expected when its tokens up to t have been read."""
        size = self.learner.config.limit
        return read_each(self.policy, samples, size, lambda data: self.head(self._states(data)).softmax(-1))

    def judgements(self, samples: Sequence[TrainingSample]) -> np.ndarray:
        """float32 (B, classes): what is to be expected of whole programs."""

        def pooled(data: Batch) -> Tensor:
            return self._pooled(data, self._states(data)).softmax(-1)[:, None].expand(-1, data.tokens.shape[1], -1)

        return np.stack([rows[0] for rows in read_each(self.policy, samples, self.learner.config.limit, pooled)])

    def weights(self, samples: Sequence[TrainingSample], outcomes: Sequence[Outcome]) -> list[np.ndarray]:
        """float32 (T,) for each program: q_t, the probability at each token of the outcome that came."""
        rows = self.probabilities(samples)
        return [p[:, self.label(outcome)] for p, outcome in zip(rows, outcomes, strict=True)]

    # ---------------------------------------------------------------------------------------------------------- state

    def state_dict(self) -> dict[str, Any]:
        """Head, optimiser and, if it is the critic's own, transformer."""
        return self.learner.state_dict()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        self.learner.load_state_dict(state)

    def save(self, folder: Path) -> None:
        """Writes a transformers folder with a head beside it."""
        if self.trunk != "own":
            raise UsageError(
                "Expected a critic with a transformer of its own to save, got one that reads with the actor's."
            )
        _saved.save(folder, self.policy, (HEAD, self.head), (DESCRIPTION, {"classes": self.classes}))

    @classmethod
    def load(cls, folder: str | Path, *, optimiser: OptimiserConfig | None = None, **options: Any) -> Critic:
        """What `save` wrote; `options` (dtype, device, ...) are those of its kind of policy.

        Raises:
            MissingData: there is no critic in `folder`.
        """
        remedy = "Train a critic on judged programs and save it there."
        policy, head, described = _saved.load(folder, HEAD, DESCRIPTION, "Critic", remedy, options)
        critic = cls(policy, classes=described["classes"], optimiser=optimiser)
        critic.head.load_state_dict(head)
        return critic


def states_after(policy: Policy[Any], data: Batch) -> Tensor:
    """(B, T, D): the last states of a policy when it has read the prompt and the tokens up to and with t.

    One token more after each program, which nothing reads, gives the last one.
    """
    tokens = F.pad(data.tokens, (0, 1), value=policy.pad_id)
    wider = replace(data, tokens=tokens, token_mask=F.pad(data.token_mask, (1, 0), value=True))
    return states(policy, wider)[:, 1:]


# ---------------------------------------------------------------------------------------------------------- weighting


@dataclass(frozen=True)
class CriticConfig:
    """How a critic weighs what an agent learns.

    Args:
        mode: "off"; "frozen": the critic in `path`, as it is (RLTF's released code); "online": it learns from every refresh.
        path: a folder that `Critic.save` wrote. Online, without one: a new head on the actor's own states.
        updates, batch_size, optimiser: of an online critic, for each refresh. The rate is by default that of a new head, or with
            `path`, where a whole transformer learns, 2e-5.
    """

    mode: Literal["off", "frozen", "online"] = "off"
    path: str = ""
    updates: int = 16
    batch_size: int = 32
    optimiser: OptimiserConfig | None = None

    def __post_init__(self) -> None:
        if self.updates < 1 or self.batch_size < 1:
            raise UsageError(f"Expected [agent.critic] updates and batch_size >= 1, got {chosen(self)}.")
        if self.mode == "frozen" and not self.path:
            raise UsageError('Expected agent.critic.path, the folder of a critic, for mode = "frozen", got none.')
        if self.optimiser is None:
            lr = 2e-5 if self.path else 1e-3
            object.__setattr__(self, "optimiser", OptimiserConfig(lr=lr, warmup=0, weight_decay=0.0))


class Weighting:
    """Multiplies the weight of each token by q_t; `actor` is the policy that learns."""

    def __init__(self, actor: Policy[Any], config: CriticConfig) -> None:
        self.config = config
        if not config.path:
            self.critic = Critic(actor, trunk="actor", optimiser=config.optimiser)
            return
        self.critic = Critic.load(config.path, optimiser=config.optimiser, device=str(actor.device))
        if self.critic.policy.tokenizer.get_vocab() != actor.tokenizer.get_vocab():
            raise UsageError(f"Expected the critic in {config.path!r} to have the actor's tokenizer, got another one.")

    def __call__(
        self, samples: Sequence[TrainingSample], outcomes: Sequence[Outcome], rng: np.random.Generator
    ) -> tuple[list[TrainingSample], dict[str, float]]:
        """The samples, weighted; and the critic's metrics. An online critic learns from them first."""
        metrics: dict[str, float] = {}
        for _ in range(self.config.updates if self.config.mode == "online" else 0):
            rows = rng.integers(len(samples), size=self.config.batch_size)
            metrics = self.critic.learn([samples[i] for i in rows], [outcomes[i] for i in rows])
        q = self.critic.weights(samples, outcomes)
        weighted = [replace(s, weights=s.weights * w) for s, w in zip(samples, q, strict=True)]
        return weighted, metrics | {"critic_weight": float(np.mean([w.mean() for w in q]))}

    def state_dict(self) -> dict[str, Any]:
        """Of an online critic all that it has learnt; a frozen one is what its folder holds."""
        return self.critic.state_dict() if self.config.mode == "online" else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restores what `state_dict` gave."""
        if self.config.mode == "online":
            self.critic.load_state_dict(state)
