"""Kernels by choice: set for a run, put back after it; draws are right with those that are deterministic."""

from __future__ import annotations

import os

import pytest
import torch

from agents.decoding.sampling import sample_tokens
from agents.running import kernels


def state() -> tuple[object, ...]:
    return (
        torch.backends.cuda.matmul.allow_tf32,
        torch.are_deterministic_algorithms_enabled(),
        os.environ.get(kernels.WORKSPACE),
    )


def test_what_a_run_chooses_ends_with_it() -> None:
    before = state()
    with kernels.chosen(tf32=True, deterministic=True):
        assert state() == (True, True, ":4096:8")
    assert state() == before
    with kernels.chosen(tf32=False, deterministic=False):
        assert state() == before


def test_draws_with_deterministic_kernels_have_their_probabilities() -> None:
    logp = torch.tensor([[0.5, 0.0, 0.25, 0.25]]).log().repeat(4000, 1)
    with kernels.chosen(tf32=False, deterministic=True):
        generator = torch.Generator()
        generator.manual_seed(0)
        shares = torch.bincount(sample_tokens(logp, generator)[:, 0], minlength=4) / 4000
        assert int(sample_tokens(torch.full((1, 4), torch.nan), generator)) < 4
    assert shares[1] == 0
    torch.testing.assert_close(shares, torch.tensor([0.5, 0.0, 0.25, 0.25]), atol=0.03, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU with CUDA")
def test_tokens_are_drawn_on_a_gpu_with_deterministic_kernels() -> None:
    with kernels.chosen(tf32=True, deterministic=True):
        generator = torch.Generator("cuda")
        tokens = sample_tokens(torch.zeros(8, 4, device="cuda").log_softmax(-1), generator)
    assert bool((tokens < 4).all())
