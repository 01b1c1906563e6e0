"""One optimiser step: micro-batches change nothing, dropout draws nothing, what is not finite is refused."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel

from agents import functional
from agents.core import Batch, TrainingSample
from agents.learning.learner import Decay, Learner, OptimiserConfig, micro_batches, padding, positions_read
from agents.policies.causal import CausalPolicy
from rltf_env.errors import NotFinite, RLTFError, UsageError


def samples(scale: float = 1.0) -> list[TrainingSample]:
    """Of different lengths; one has nothing to learn from, one begins with given tokens and no prompt."""
    rng = np.random.default_rng(0)
    made = []
    for p, t, skip in ((5, 9, 0), (1, 3, 0), (8, 4, 4), (0, 6, 2), (3, 12, 0), (3, 12, 5), (2, 1, 0)):
        weights = scale * rng.normal(size=t).astype(np.float32)
        made.append(
            TrainingSample(rng.integers(1, 250, p), rng.integers(1, 250, t), np.arange(t) >= skip, weights, weights * 0)
        )
    return made


def loss(how: functional.Reduction) -> Any:
    def compute(data: Batch, logits: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        logprobs = functional.token_logprobs(logits, data.tokens)
        return functional.reinforce(logprobs, data.weights, data.loss_mask, how, 7.0), {}

    return compute


def gradient(
    policy: CausalPolicy, how: functional.Reduction, micro_batch: int, order: list[TrainingSample]
) -> tuple[float, Tensor]:
    learner = Learner(copy.copy(policy), OptimiserConfig(clip_norm=0, micro_batch=micro_batch, lr=1e-30))
    metrics = learner.step(order, how, loss(how))
    return metrics["loss"], torch.cat([p.grad.flatten() for p in policy.model.parameters() if p.grad is not None])


def test_a_policy_says_how_many_updates_its_weights_have_seen(policy: CausalPolicy) -> None:
    learner = Learner(policy, OptimiserConfig(lr=1e-3))
    assert policy.updates == 0  # type: ignore[attr-defined]
    learner.step(samples(), "seq_mean", loss("seq_mean"))
    assert policy.updates == learner.updates == 1  # type: ignore[attr-defined]
    state = learner.state_dict()
    other = Learner(copy.copy(policy), OptimiserConfig(lr=1e-3))
    other.load_state_dict({**state, "updates": 30})
    assert other.policy.updates == 30  # type: ignore[attr-defined]
    Learner(policy, OptimiserConfig(), {"head": torch.nn.Linear(2, 2)})
    assert policy.updates == 1, "a head beside it learns on its own account"  # type: ignore[attr-defined]


@pytest.mark.parametrize("how", ["token_mean", "seq_mean", "seq_sum", "constant"])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 50])
def test_micro_batches_give_the_loss_and_gradient_of_the_whole(
    policy: CausalPolicy, how: functional.Reduction, size: int
) -> None:
    whole = gradient(policy, how, 0, samples())
    parts = gradient(policy, how, size, samples())
    assert parts[0] == pytest.approx(whole[0], rel=1e-4)
    torch.testing.assert_close(parts[1], whole[1], atol=1e-5, rtol=1e-4)
    assert whole[1].abs().max() > 1e-3


@pytest.mark.parametrize("how", ["token_mean", "seq_sum"])
def test_order_of_the_samples_does_not_matter(policy: CausalPolicy, how: functional.Reduction) -> None:
    first, second = gradient(policy, how, 3, samples()), gradient(policy, how, 3, samples()[::-1])
    torch.testing.assert_close(first[1], second[1], atol=1e-5, rtol=1e-4)


def test_samples_of_like_length_share_a_micro_batch() -> None:
    parts = list(micro_batches(samples(), 3, "seq_sum"))
    lengths = [[len(s.prompt) + len(s.tokens) for s in part] for part, _ in parts]
    assert lengths == [[3, 4, 6], [12, 14, 15], [15]]
    assert [share for _, share in parts] == pytest.approx([3 / 7, 3 / 7, 1 / 7])


def lengths(*pairs: tuple[int, int]) -> list[TrainingSample]:
    """A sample for each (prompt, program) length; prompts of one length are equal."""
    made = []
    for p, t in pairs:
        nothing = np.zeros(t, np.float32)
        made.append(
            TrainingSample(np.full(p, 7, np.int64), np.full(t, 9, np.int64), np.ones(t, bool), nothing, nothing)
        )
    return made


def test_samples_of_one_prompt_share_a_micro_batch_where_that_reads_less() -> None:
    mixed = lengths((20, 3), (21, 3), (20, 5), (21, 5))
    # by length: (20,3) (21,3) | (20,5) (21,5) reads 2*21 + 2*3 and 2*21 + 2*5; by prompt: 20 + 2*5 and 21 + 2*5
    assert [positions_read(mixed, 2), positions_read(mixed[::2] + mixed[1::2], 2)] == [100, 61]
    parts = [[(len(s.prompt), len(s.tokens)) for s in part] for part, _ in micro_batches(mixed, 2, "seq_sum")]
    assert parts == [[(20, 3), (20, 5)], [(21, 3), (21, 5)]]
    # By prompt: 1 + 2*50 and 2 + 2*50; by length: 4 + 2*3 and 4 + 2*50.
    long = lengths((1, 3), (2, 3), (1, 50), (2, 50))
    parts = [[len(s.tokens) for s in part] for part, _ in micro_batches(long, 2, "seq_sum")]
    assert parts == [[3, 3], [50, 50]]


def test_padding_by_hand() -> None:
    assert padding([lengths((4, 6))]) == 0
    assert padding([lengths((4, 6), (4, 6))]) == 0  # the prompt is read once
    assert padding([lengths((4, 6), (2, 4))]) == pytest.approx(4 / 20)
    assert padding([lengths((4, 6), (4, 3)), lengths((2, 2))]) == pytest.approx(3 / 20)


def test_padding_is_told_of_every_update(policy: CausalPolicy) -> None:
    learner = Learner(policy, OptimiserConfig(micro_batch=2))
    made = lengths((4, 6), (4, 3))
    assert learner.step(made, "token_mean", loss("token_mean"))["padding"] == 0  # this policy reads none
    policy.model.set_attn_implementation("eager")
    assert learner.step(made, "token_mean", loss("token_mean"))["padding"] == pytest.approx(3 / 16)


def test_shares_of_a_token_mean_are_shares_of_tokens() -> None:
    shares = [share for _, share in micro_batches(samples(), 3, "token_mean")]
    # learnt tokens, by length: 1, 3, 4 | 0 (12 long), 9, 12 | 7
    assert shares == pytest.approx([8 / 36, 21 / 36, 7 / 36])


def test_dropout_is_off_so_that_a_run_can_be_repeated(policy: CausalPolicy) -> None:
    config = GPT2Config(vocab_size=len(policy.tokenizer), n_positions=64, n_embd=16, n_layer=1, n_head=2)
    assert config.resid_pdrop > 0
    losses = []
    for seed in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(0)
            learner = Learner(CausalPolicy(GPT2LMHeadModel(config), policy.tokenizer), OptimiserConfig())
            torch.default_generator.manual_seed(seed)
            before = torch.random.get_rng_state()
            losses.append(learner.step(samples(), "token_mean", loss("token_mean")))
            assert torch.equal(before, torch.random.get_rng_state())
    assert losses[0] == losses[1]


def with_dropout(policy: CausalPolicy) -> CausalPolicy:
    config = GPT2Config(vocab_size=len(policy.tokenizer), n_positions=64, n_embd=16, n_layer=1, n_head=2)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return CausalPolicy(GPT2LMHeadModel(config), policy.tokenizer)


def test_dropout_may_stay_on_and_is_drawn_by_the_number_of_the_update(policy: CausalPolicy) -> None:
    runs = []
    for seed in (1, 2):
        learner = Learner(with_dropout(policy), OptimiserConfig(dropout=True, lr=1e-12))
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(seed)
            before = torch.random.get_rng_state()
            runs.append([learner.step(samples(), "token_mean", loss("token_mean"))["loss"] for _ in range(2)])
            assert torch.equal(before, torch.random.get_rng_state())
        assert not learner.policy.model.training
    dry = Learner(with_dropout(policy), OptimiserConfig()).step(samples(), "token_mean", loss("token_mean"))["loss"]
    assert runs[0] == runs[1]
    assert len({*runs[0], dry}) == 3, "two updates drop different parts out, and neither drops nothing out"


def test_dropout_of_a_model_that_has_none_is_refused(policy: CausalPolicy) -> None:
    with pytest.raises(UsageError, match="layers drop nothing out"):
        Learner(policy, OptimiserConfig(dropout=True))


def test_a_logarithmic_warm_up_is_that_of_deepspeed() -> None:
    optimiser = OptimiserConfig(lr=1.0, warmup=500, rise="log")
    shares = [optimiser.rate(update) for update in (0, 10, 50, 100, 250, 499, 500, 9000)]
    assert shares == pytest.approx([0, 0.3858, 0.6327, 0.7426, 0.8891, 1, 1, 1], abs=1e-4)  # log(u + 1) / log(500)
    assert [OptimiserConfig(lr=1.0, warmup=1, rise="log").rate(update) for update in (0, 1)] == [0, 1]


def test_warm_up_is_linear_then_constant(policy: CausalPolicy) -> None:
    learner = Learner(policy, OptimiserConfig(lr=1e-3, warmup=4))
    rates = [learner.step(samples(), "token_mean", loss("token_mean"))["lr"] for _ in range(6)]
    assert rates == pytest.approx([2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3, 1e-3])


@pytest.mark.parametrize(
    ("decay", "expected"),
    [
        # warm-up 2, then from 1 at update 2 to final = 0.2 at update 6: a quarter, a half, three quarters of the way
        ("linear", [0.5, 1.0, 1.0, 0.8, 0.6, 0.4, 0.2, 0.2]),
        ("cosine", [0.5, 1.0, 1.0, 0.8828427, 0.6, 0.3171573, 0.2, 0.2]),  # 0.2 + 0.8 (1 + cos(pi / 4)) / 2 = 0.8828427
        ("constant", [0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]),
    ],
)
def test_rate_falls_after_the_warm_up_as_the_schedule_says(
    policy: CausalPolicy, decay: Decay, expected: list[float]
) -> None:
    ends = {} if decay == "constant" else {"length": 6, "final": 0.2}
    learner = Learner(policy, OptimiserConfig(lr=1e-3, warmup=2, decay=decay, **ends))
    rates = [learner.step(samples(), "token_mean", loss("token_mean"))["lr"] for _ in expected]
    assert rates == pytest.approx([1e-3 * share for share in expected])


def test_rate_that_has_fallen_to_nothing_ends_all_learning(policy: CausalPolicy) -> None:
    learner = Learner(policy, OptimiserConfig(lr=1e-2, warmup=0, decay="linear", length=2))
    weights = []
    for _ in range(3):
        learner.step(samples(), "token_mean", loss("token_mean"))
        weights.append(torch.cat([p.detach().flatten() for p in policy.model.parameters()]))
    assert not torch.equal(weights[0], weights[1])
    assert torch.equal(weights[1], weights[2])


def test_schedule_goes_on_where_the_state_was_saved(policy: CausalPolicy) -> None:
    config = OptimiserConfig(lr=1e-3, warmup=1, decay="cosine", length=5)
    first = Learner(policy, config)
    for _ in range(3):
        first.step(samples(), "token_mean", loss("token_mean"))
    second = Learner(policy, config)
    second.load_state_dict(first.state_dict())
    assert second.step(samples(), "token_mean", loss("token_mean"))["lr"] == config.rate(3) != config.rate(2)


def test_gradient_is_clipped_to_its_norm_and_the_norm_before_is_logged(policy: CausalPolicy) -> None:
    learner = Learner(policy, OptimiserConfig(clip_norm=0.5))
    assert learner.step(samples(1000.0), "seq_sum", loss("seq_sum"))["grad_norm"] > 0.5
    norm = torch.stack([p.grad.norm() for p in policy.model.parameters() if p.grad is not None]).norm()
    assert float(norm) == pytest.approx(0.5, rel=1e-3)


def test_what_is_not_finite_leaves_the_policy_as_it_was(policy: CausalPolicy) -> None:
    learner = Learner(policy, OptimiserConfig(lr=1.0))
    before = {name: tensor.clone() for name, tensor in policy.model.state_dict().items()}
    with pytest.raises(FloatingPointError, match="lower lr"):
        learner.step(samples(1e38), "seq_sum", loss("seq_sum"))
    for name, tensor in policy.model.state_dict().items():
        assert torch.equal(tensor, before[name])
    assert learner.updates == 0


@pytest.mark.parametrize(
    "options",
    [
        {"lr": 0.0}, {"lr": float("nan")}, {"lr": float("inf")}, {"warmup": -1}, {"clip_norm": -1.0},
        {"clip_norm": float("nan")}, {"micro_batch": -1}, {"beta1": 1.0}, {"beta2": -0.1}, {"weight_decay": -1.0},
        {"length": 9}, {"final": 0.1}, {"decay": "linear"}, {"decay": "cosine", "warmup": 9, "length": 9},
        {"decay": "linear", "length": 600, "final": 1.1}, {"decay": "linear", "length": 600, "final": float("nan")},
    ],
)  # fmt: skip
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        OptimiserConfig(**options)


def test_a_gradient_that_is_not_finite_is_an_error_of_ours() -> None:
    assert issubclass(NotFinite, RLTFError)
    assert issubclass(NotFinite, FloatingPointError)
