"""Tables worked by hand for every function."""

from __future__ import annotations

import ast
import subprocess
import sys
from math import exp, log
from typing import Any

import pytest
import torch
from torch import Tensor

from agents import functional as f

# Two programs of three and two tokens.
LOGP = torch.tensor([[-1.0, -2.0, -3.0], [-4.0, -5.0, -6.0]])
MASK = torch.tensor([[True, True, True], [True, True, False]])
WEIGHTS = torch.tensor([[1.0, -1.0, 2.0], [0.5, 0.0, 100.0]])


def close(value: Tensor, expected: object) -> None:
    torch.testing.assert_close(value, torch.as_tensor(expected, dtype=value.dtype), atol=1e-6, rtol=1e-6)


def test_token_logprobs_are_those_of_the_chosen_tokens() -> None:
    logits = torch.tensor([[[0.0, log(3.0)], [5.0, 5.0]]])
    close(f.token_logprobs(logits, torch.tensor([[1, 0]])), [[log(0.75), log(0.5)]])


def test_token_logprobs_are_computed_in_float32() -> None:
    logits = torch.tensor([[[0.0, log(3.0)]]], dtype=torch.bfloat16)
    assert f.token_logprobs(logits, torch.tensor([[1]])).dtype == torch.float32


def test_entropy_of_even_and_of_certain() -> None:
    logits = torch.tensor([[[7.0, 7.0, 7.0, 7.0], [1e4, 0.0, 0.0, 0.0]]])
    close(f.token_entropy(logits), [[log(4), 0.0]])


def test_masked_mean_and_of_nothing() -> None:
    close(f.masked_mean(LOGP, MASK), -3.0)
    close(f.masked_mean(LOGP, torch.zeros_like(MASK)), 0.0)


@pytest.mark.parametrize(
    ("how", "expected"), [("token_mean", -3.0), ("seq_mean", -3.25), ("seq_sum", -7.5), ("constant", -0.75)]
)
def test_reduce(how: f.Reduction, expected: float) -> None:
    close(f.reduce(LOGP, MASK, how, constant=10.0), expected)


def test_cross_entropy() -> None:
    close(f.cross_entropy(LOGP, MASK), 3.0)
    close(f.cross_entropy(LOGP, MASK, "seq_sum"), 7.5)
    close(f.cross_entropy(LOGP, MASK, "constant", 5.0), 1.5)


@pytest.mark.parametrize(("how", "expected"), [("token_mean", 7 / 5), ("seq_sum", 7 / 2), ("constant", 7 / 4)])
def test_reinforce(how: f.Reduction, expected: float) -> None:
    # -(1 * -1 + -1 * -2 + 2 * -3 + 0.5 * -4 + 0) = 1 - 2 + 6 + 2 = 7
    close(f.reinforce(LOGP, WEIGHTS, MASK, how, constant=2.0), expected)


def test_clipped_surrogate_by_hand() -> None:
    #                       ratio    1.5   1.5    0.5   0.5   1.1
    ratio = torch.tensor([[1.5, 1.5, 0.5, 0.5, 1.1]])
    weights = torch.tensor([[2.0, -2.0, 2.0, -2.0, 3.0]])
    # gains: min(3, 2.4) = 2.4; min(-3, -2.4) = -3; min(1, 1.6) = 1; min(-1, -1.6) = -1.6; 3.3
    mask = torch.ones(1, 5, dtype=torch.bool)
    close(
        f.clipped_surrogate(ratio.log(), torch.zeros(1, 5), weights, mask, 0.2, "seq_sum"), -(2.4 - 3 + 1 - 1.6 + 3.3)
    )
    close(f.clip_fraction(ratio.log(), torch.zeros(1, 5), weights, mask, 0.2), 2 / 5)


@pytest.mark.parametrize("now", [-8.0, -6.0, -3.0, -1.0])
def test_what_has_become_likely_since_costs_no_more_than_three_of_its_weight(now: float) -> None:
    mask = torch.ones(1, 1, dtype=torch.bool)
    logp, old, weight = torch.tensor([[now]], requires_grad=True), torch.tensor([[-8.0]]), torch.tensor([[-1.0]])
    loss = f.clipped_surrogate(logp, old, weight, mask, 0.2)
    loss.backward()
    assert logp.grad is not None
    assert 0 <= float(logp.grad) <= 3
    assert float(loss.detach()) <= 3


def test_no_ratio_is_infinite_and_neither_is_its_gradient() -> None:
    mask = torch.ones(1, 3, dtype=torch.bool)
    logp, old = torch.zeros(1, 3, requires_grad=True), torch.full((1, 3), -1e4)
    for dual_clip in (0.0, 3.0):
        loss = f.clipped_surrogate(logp, old, torch.tensor([[-1.0, 0.0, 1.0]]), mask, 0.2, dual_clip=dual_clip)
        (gradient,) = torch.autograd.grad(loss + f.kl_estimate(old, logp).sum(), logp)
        assert bool(loss.isfinite())
        assert bool(gradient.isfinite().all())


def test_gradient_is_zero_exactly_where_clip_fraction_counts() -> None:
    logp = torch.tensor([[1.5, 1.5, 0.5, 0.5, 1.1, 4.0]]).log().requires_grad_()
    weights = torch.tensor([[2.0, -2.0, 2.0, -2.0, 3.0, -1.0]])
    all_of_them: Any = (logp, torch.zeros(1, 6), weights, torch.ones(1, 6, dtype=torch.bool), 0.2)
    for dual_clip, last in ((3.0, True), (0.0, False)):
        (gradient,) = torch.autograd.grad(f.clipped_surrogate(*all_of_them, dual_clip=dual_clip), logp)
        cut = [True, False, False, True, False, last]
        assert (gradient == 0).tolist() == [cut]
        close(f.clip_fraction(*all_of_them, dual_clip=dual_clip), sum(cut) / 6)


def test_clip_higher_leaves_more_to_gain_upwards_only() -> None:
    ratio, mask = torch.tensor([[1.25, 1.5, 0.5]]), torch.ones(1, 3, dtype=torch.bool)
    weights = torch.tensor([[2.0, 2.0, -2.0]])
    loss = f.clipped_surrogate(ratio.log(), torch.zeros(1, 3), weights, mask, 0.2, "seq_sum", clip_high=0.28)
    close(loss, -(2.5 + 2.56 - 1.6))
    close(f.clip_fraction(ratio.log(), torch.zeros(1, 3), weights, mask, 0.2, clip_high=0.28), 2 / 3)


@pytest.mark.parametrize("how", ["token_mean", "seq_mean", "seq_sum", "constant"])
def test_at_ratio_one_the_surrogates_gradient_is_reinforces(how: f.Reduction) -> None:
    gradients = []
    for loss in (f.reinforce, lambda x, *rest: f.clipped_surrogate(x, LOGP, *rest[:2], 0.2, *rest[2:])):
        logp = LOGP.clone().requires_grad_()
        loss(logp, WEIGHTS, MASK, how, 3.0).backward()
        gradients.append(logp.grad)
    close(gradients[0], gradients[1])
    assert gradients[0][1, 2] == 0  # beyond the mask


def test_kl_estimate_by_hand_and_never_negative() -> None:
    close(f.kl_estimate(torch.tensor([-1.0, -2.0]), torch.tensor([-1.0, -1.0])), [0.0, exp(1.0) - 2.0])
    grid = torch.linspace(-4, 0, 9)
    assert bool((f.kl_estimate(grid[:, None], grid[None]) >= 0).all())


def test_kl_estimate_is_unbiased() -> None:
    p, q = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.2, 0.6])
    close((p * f.kl_estimate(p.log(), q.log())).sum(), (p * (p / q).log()).sum())


def test_leave_one_out() -> None:
    close(f.leave_one_out(torch.tensor([[1.0, 2.0, 6.0]])), [[1 - 4.0, 2 - 3.5, 6 - 1.5]])
    close(f.leave_one_out(torch.tensor([[3.0, 3.0]])), [[0.0, 0.0]])
    close(f.leave_one_out(torch.tensor([[2.5], [-1.0]])), [[2.5], [-1.0]])


# --------------------------------------------------------------------------------- advantages, values, KL, and length

# Two programs, of three and of two tokens; what stands beyond the second's end must not matter.
REWARDS = torch.tensor([[1.0, 0.0, 2.0], [0.0, 1.0, 100.0]])
VALUES = torch.tensor([[1.0, 2.0, 3.0], [2.0, 4.0, 50.0]])


def test_centred_and_standardised() -> None:
    close(f.centred(torch.tensor([[1.0, 3.0], [5.0, 5.0]])), [[-1.0, 1.0], [0.0, 0.0]])
    close(f.standardised(torch.tensor([[1.0, 5.0], [5.0, 5.0]]), 0.5), [[-0.8, 0.8], [0.0, 0.0]])  # std 2, and 0
    # The mean is 2, the standard deviation sqrt(8).
    close(f.standardised(torch.tensor([[0.0, 0.0, 6.0]]), 0.0), [[-(0.5**0.5), -(0.5**0.5), 2**0.5]])


def test_whiten() -> None:
    close(f.whiten(torch.tensor([[1.0, 5.0, 100.0]]), torch.tensor([[True, True, False]])), [[-1.0, 1.0, 0.0]])
    close(f.whiten(torch.tensor([[3.0, 3.0]]), torch.tensor([[True, True]])), [[0.0, 0.0]])


def test_gae_by_hand() -> None:
    # gamma = lam = 1/2. deltas: 1 + 1 - 1 = 1, 0 + 1.5 - 2 = -0.5, 2 - 3 = -1; 0 + 2 - 2 = 0, 1 - 4 = -3.
    advantages, returns = f.gae(REWARDS, VALUES, MASK, 0.5, 0.5)
    close(advantages, [[1 - 0.75 / 4, -0.5 - 1 / 4, -1.0], [-0.75, -3.0, 0.0]])
    close(returns, [[1.8125, 1.25, 2.0], [1.25, 1.0, 0.0]])


def test_gae_with_gamma_and_lambda_one_is_what_is_still_to_come_less_the_value() -> None:
    advantages, returns = f.gae(REWARDS, VALUES, MASK, 1.0, 1.0)
    close(returns, [[3.0, 2.0, 2.0], [1.0, 1.0, 0.0]])
    close(advantages, (returns - VALUES) * MASK)


def test_vtrace_by_hand() -> None:
    # Ratios 2, 1/2, 1, so rho = c = 1, 1/2, 1; gamma = 1/2. deltas 1, -0.5 / 2, -1.
    ratio = torch.tensor([[2.0, 0.5, 1.0], [4.0, 1.0, 1.0]])
    targets, advantages = f.vtrace(ratio.log(), torch.zeros(2, 3), REWARDS, VALUES, MASK, 0.5, 1.0)
    # v - V: -1; -0.25 + 1/2 * 1/2 * -1 = -0.5; 1 + 1/2 * -0.5 = 0.75.   Second: -3; 0 + 1/2 * -3
    close(targets, [[1.75, 1.5, 2.0], [0.5, 1.0, 0.0]])
    # rho (r + gamma v' - V): 1 + 0.75 - 1; (0 + 1 - 2) / 2; 2 - 3.     Second: 0 + 0.5 - 2; 1 - 4
    close(advantages, [[0.75, -0.5, -1.0], [-1.5, -3.0, 0.0]])
    wide, _ = f.vtrace(ratio.log(), torch.zeros(2, 3), REWARDS, VALUES, MASK, 0.5, 1.0, rho=2.0)
    close(wide[0, 0], 1 + 2 * 1 - 0.25)  # rho 2 on the first token, c still 1


def test_vtrace_of_a_policys_own_programs_is_gae() -> None:
    for lam in (0.0, 0.7, 1.0):
        targets, advantages = f.vtrace(LOGP, LOGP, REWARDS, VALUES, MASK, 0.9, lam)
        estimates, returns = f.gae(REWARDS, VALUES, MASK, 0.9, lam)
        close(targets, returns)
        if lam == 1.0:
            close(advantages, estimates)


def test_value_loss_by_hand() -> None:
    values, old, returns = torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, 3.0]]), torch.tensor([[2.0, 2.0]])
    mask = torch.ones(1, 2, dtype=torch.bool)
    close(f.value_loss(values, old, returns, mask), 0.5)  # errors 1, 1
    close(f.value_loss(values, old, returns, mask, 0.5), (2.25 + 1) / 4)  # held at 0.5: error 2.25; not moved: 1
    close(f.value_loss(values, old, returns, mask, 0.0, "seq_sum"), 1.0)


@pytest.mark.parametrize(("kl", "expected"), [(12.0, 0.204), (6.0, 0.2), (5.4, 0.198), (0.0, 0.196)])
def test_kl_coefficient_follows_its_target_at_most_so_fast(kl: float, expected: float) -> None:
    assert f.adaptive_kl(0.2, kl, 6.0) == pytest.approx(expected)


def test_soft_overlong() -> None:
    lengths = torch.tensor([10.0, 80.0, 90.0, 100.0, 120.0])
    close(f.soft_overlong(lengths, 100.0, 20.0), [0.0, 0.0, -0.5, -1.0, -1.0])


def test_contrast_by_hand_and_whatever_is_added_to_a_row() -> None:
    """Logits (2, 2), (0, 1), less the highest of a row (0, 0), (-1, 0): ln 2 and ln(1 + 1 / e)."""
    anchors, keys, weight = torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 1.0]]), torch.diag(torch.tensor([2.0, 1.0]))
    logits = f.bilinear(anchors, weight, keys)
    assert logits.tolist() == [[2.0, 2.0], [0.0, 1.0]]
    losses = f.info_nce(logits, torch.arange(2))
    assert [round(each, 4) for each in losses.tolist()] == [0.6931, 0.3133]
    assert round(float(losses.mean()), 4) == 0.5032
    torch.testing.assert_close(f.info_nce(logits + torch.tensor([[500.0], [-500.0]]), torch.arange(2)), losses)


def test_a_bilinear_product_is_of_the_anchor_first() -> None:
    weight = torch.tensor([[0.0, 1.0], [0.0, 0.0]])
    assert f.bilinear(torch.eye(2), weight, torch.eye(2)).tolist() == weight.tolist()


def test_a_row_without_a_key_of_its_own_is_ignored() -> None:
    logits = torch.tensor([[2.0, 0.0, 1.0], [0.0, 1.0, 0.0], [1.0, 1.0, 3.0]])
    losses = f.info_nce(logits, torch.arange(3))
    assert [round(each, 4) for each in losses.tolist()] == [0.4076, 0.5514, 0.2395]
    assert round(float(losses.mean()), 4) == 0.3995
    ignored = f.info_nce(logits, torch.tensor([0, -1, 2]))
    assert ignored[1] == 0
    assert round(float(ignored.sum() / 2), 4) == 0.3236  # its key stays a negative of the others


def test_keys_of_equal_content_are_no_negatives_but_ones_own_counts() -> None:
    logits, same = torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([[True, False, True]])
    expected = f.info_nce(logits[:, :2], torch.tensor([0]))
    torch.testing.assert_close(f.info_nce(logits, torch.tensor([0]), same), expected)


def test_imports_torch_alone() -> None:
    code = "import sys; before = set(sys.modules); import torch; ours = set(sys.modules); import agents.functional; "
    code += "print(sorted(n for n in set(sys.modules) - ours if n.split('.')[0] not in ('agents', 'torch')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [n for n in ast.literal_eval(done.stdout) if n.split(".")[0] not in sys.stdlib_module_names] == []


def test_the_reduction_may_be_given_by_its_old_name() -> None:
    values, mask = torch.tensor([[1.0, 3.0]]), torch.ones(1, 2)
    with pytest.warns(DeprecationWarning, match=r"^reduce\(how=\) is now reduce\(reduction=\)\.$"):
        assert f.reduce(values, mask, how="seq_sum") == 4.0  # type: ignore[call-arg]
