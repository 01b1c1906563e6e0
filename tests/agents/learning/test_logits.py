"""Logits a few positions at a time: the same loss and gradient, and never all of them in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from agents.algorithms import actor_critic, policy_gradient, ppo, rltf, soft_q, supervised
from agents.batching import batch
from agents.core import Batch, TrainingSample
from agents.decoding.sampling import Sampling
from agents.learning import logits
from agents.learning.learner import Learner, OptimiserConfig
from agents.policies import shape, value_head
from agents.policies.causal import CausalPolicy

AT_2 = Sampling(temperature=2.0)
EXTRA = ("behaviour", "reference", "values", "returns", "rewards")
ALL = 1 << 30  # positions: all of them


def samples() -> list[TrainingSample]:
    """Of different lengths; some share a prompt, one has nothing to learn from."""
    rng = np.random.default_rng(0)
    made = []
    for i, (p, t, skip) in enumerate(((5, 9, 0), (1, 3, 0), (8, 4, 4), (3, 12, 0), (3, 12, 5), (2, 1, 0))):
        prompt = np.full(p, 7, np.int64) if i % 2 else rng.integers(1, 250, p)
        numbers = [rng.normal(size=t).astype(np.float32) for _ in range(2 + len(EXTRA))]
        extra = dict(zip(EXTRA, numbers[2:], strict=True))
        extra |= {name: extra[name] * 0.1 - 5.5 for name in ("behaviour", "reference")}
        old = numbers[1] * 0.1 - 5.5
        made.append(TrainingSample(prompt, rng.integers(1, 250, t), np.arange(t) >= skip, numbers[0], old, extra=extra))
    return made


def with_values(policy: CausalPolicy, loss: Callable[..., Any], **options: Any) -> tuple[Learner, Any, Any]:
    """A learner with a head, which is not 0, and its loss."""
    head = value_head.on(policy)
    torch.nn.init.ones_(head.weight)
    learner = Learner(policy, OptimiserConfig(**options), {"model": policy.model, "head": head})

    def of_read(data: Batch, read: Any) -> Any:
        return loss(data, read[0], head.values(read[1]))

    return learner, of_read, learner.read


def soft(policy: CausalPolicy, kind: Any, **options: Any) -> tuple[Learner, Any, Any]:
    """Soft Q-learning against a target that differs from the policy."""
    learner, target = Learner(policy, OptimiserConfig(**options)), copy.copy(policy)
    target.model = copy.deepcopy(policy.model)
    with torch.no_grad():
        for p in target.model.parameters():
            p.mul_(0.9)

    def read(data: Batch) -> Any:
        with torch.no_grad():
            other = logits.predict(target, data, learner.config.logit_rows)
        return learner.predict(data), other.detach()

    return learner, partial(soft_q.loss, c=soft_q.Config(loss=kind, coefficient=0.5)), read


def plain(policy: CausalPolicy, loss: Callable[..., Any], **options: Any) -> tuple[Learner, Any, Any]:
    return Learner(policy, OptimiserConfig(**options)), loss, None


ENTROPY = policy_gradient.Config(clip=0.2, kl=0.1, entropy=0.1, sampling=AT_2, reduction="seq_mean")
LOSSES: dict[str, Callable[..., tuple[Learner, Any, Any]]] = {
    "policy_gradient": partial(plain, loss=partial(policy_gradient.loss, c=ENTROPY)),
    "rltf": partial(plain, loss=partial(rltf.loss, c=rltf.Config(sampling=AT_2))),
    "supervised": partial(plain, loss=supervised.supervised_loss),
    "ppo": partial(with_values, loss=partial(ppo.loss, c=ppo.Config(entropy=0.1))),
    "ppo_head_alone": partial(
        with_values, loss=lambda d, x, v: ppo.loss(d, x.detach(), v, ppo.Config(), head_alone=True)
    ),
    "actor_critic": partial(with_values, loss=partial(actor_critic.loss, c=actor_critic.Config(entropy=0.1))),
    "soft_q": partial(soft, kind="both"),
    "soft_q_vanilla": partial(soft, kind="vanilla"),
}
REDUCTION = {"policy_gradient": "seq_mean", "rltf": "seq_sum", "soft_q": "seq_sum", "soft_q_vanilla": "seq_sum"}


def updated(policy: CausalPolicy, name: str, rows: int) -> tuple[dict[str, float], Tensor, int]:
    """The metrics and the gradient of one update, and the numbers in the largest tensor on the way."""
    own = copy.copy(policy)
    own.model = copy.deepcopy(policy.model)
    learner, loss, read = LOSSES[name](own, clip_norm=0, lr=1e-30, micro_batch=4, logit_rows=rows)
    assert own.can_defer  # asked before anything is measured
    with Largest() as seen:
        metrics = learner.step(samples(), REDUCTION.get(name, "token_mean"), loss, read)  # type: ignore[arg-type]
    gradients = [p.grad.flatten() for part in learner.parts.values() for p in part.parameters() if p.grad is not None]
    return metrics, torch.cat(gradients), seen.numbers


class Largest(TorchDispatchMode):
    """The largest tensor that any operation gives."""

    numbers = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        for tensor in out if isinstance(out, (tuple, list)) else [out]:
            if isinstance(tensor, Tensor):
                self.numbers = max(self.numbers, tensor.numel())
        return out


@pytest.mark.parametrize("name", LOSSES)
def test_a_few_positions_at_a_time_give_the_loss_and_gradient_of_all(policy: CausalPolicy, name: str) -> None:
    whole, parts = updated(policy, name, ALL), updated(policy, name, 5)
    assert parts[2] == policy.vocab_size * 16, "no tensor is larger than the embedding, of width 16"
    assert whole[2] >= 30 * policy.vocab_size, "logits of all positions"
    assert parts[0] == pytest.approx(whole[0], rel=1e-5, abs=1e-6)
    largest = float(whole[1].abs().max())
    assert largest > 1e-4
    torch.testing.assert_close(parts[1], whole[1], atol=1e-6 * max(1.0, largest), rtol=1e-5)


def test_few_positions_are_spelled_out_as_ever(policy: CausalPolicy) -> None:
    data = batch(samples(), policy.pad_id)
    assert torch.equal(logits.predict(policy, data), policy.logits(data))  # type: ignore[arg-type]
    assert isinstance(logits.predict(policy, data, 71), logits.Deferred)
    assert isinstance(logits.predict(policy, data, 72), Tensor), "6 programs of at most 12 tokens"


def test_states_are_read_without_logits(policy: CausalPolicy) -> None:
    data = batch(samples()[3:5], policy.pad_id)
    with Largest() as seen:
        states = logits.states(policy, data)
    assert torch.equal(states, policy.read(data)[1])
    assert policy.can_defer  # asked before it is measured
    with Largest() as seen:
        logits.states(policy, data)
    assert seen.numbers < 24 * policy.vocab_size


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2}, True),
        ({"model_type": "gemma2", "final_logit_softcapping": 30.0, "head_dim": 8}, False),
        ({"model_type": "t5", "d_model": 16, "d_kv": 8, "d_ff": 16, "num_layers": 1, "num_heads": 2}, True),
        ({"model_type": "bart", "d_model": 16, "encoder_layers": 1, "decoder_layers": 1}, False),
    ],
)  # fmt: skip
def test_what_scales_caps_or_shifts_its_logits_spells_them_out(config: dict[str, Any], expected: bool) -> None:
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    bart = {"encoder_attention_heads": 2, "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16}
    more = {"bart": bart, "gemma2": {**small, "num_key_value_heads": 2}}
    made = shape.load(config={**more.get(config["model_type"], {}), **config, "vocab_size": 300}, vocab_size=300)
    assert made.can_defer is expected
    data = batch(samples()[:2], made.pad_id)
    plain = logits.token_logprobs(made.logits(data), data.tokens) * data.token_mask
    few = logits.token_logprobs(logits.predict(made, data, 2), data.tokens) * data.token_mask
    torch.testing.assert_close(few, plain, atol=1e-5, rtol=1e-5)
