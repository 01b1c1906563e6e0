"""Tables worked by hand for every function."""

from __future__ import annotations

import ast
import subprocess
import sys
from math import exp, log

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


@pytest.mark.parametrize(("how", "expected"), [("token_mean", -3.0), ("seq_sum", -7.5), ("constant", -0.75)])
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


def test_gradient_is_zero_exactly_where_clip_fraction_counts() -> None:
    logp = torch.tensor([[1.5, 1.5, 0.5, 0.5, 1.1]]).log().requires_grad_()
    weights = torch.tensor([[2.0, -2.0, 2.0, -2.0, 3.0]])
    f.clipped_surrogate(logp, torch.zeros(1, 5), weights, torch.ones(1, 5, dtype=torch.bool), 0.2).backward()
    assert logp.grad is not None
    assert (logp.grad == 0).tolist() == [[True, False, False, True, False]]


@pytest.mark.parametrize("how", ["token_mean", "seq_sum", "constant"])
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


def test_imports_torch_alone() -> None:
    code = "import sys; before = set(sys.modules); import torch; ours = set(sys.modules); import agents.functional; "
    code += "print(sorted(n for n in set(sys.modules) - ours if n.split('.')[0] not in ('agents', 'torch')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [n for n in ast.literal_eval(done.stdout) if n.split(".")[0] not in sys.stdlib_module_names] == []
