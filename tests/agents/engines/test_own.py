"""The policy as its own engine: the host does not wait for the device at every token."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from small_policies import copy_of
from torch.utils._python_dispatch import TorchDispatchMode

from agents.decoding.sampling import Sampling
from agents.engines import own
from agents.policies import causal, tiny_seq2seq
from agents.policies.causal import CausalPolicy

READS = {torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default, torch.ops.aten.nonzero.default}


class Reads(TorchDispatchMode):
    """How often the host asks for a number; on a GPU it would wait for all work before it."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func in READS
        return func(*args, **(kwargs or {}))


def reads(policy: Any, tokens: int, *lengths: int) -> int:
    prompts = [np.arange(10, 10 + n) for n in lengths]
    nothing = [np.zeros(0, np.int64)] * len(prompts)
    generator = torch.Generator()
    generator.manual_seed(0)
    with Reads() as seen:
        Sampling()(policy, prompts, nothing, max_tokens=tokens, generator=generator)
    return seen.count


@pytest.mark.parametrize("kind", ["causal", "seq2seq"])
@pytest.mark.parametrize("lengths", [(5, 5), (5, 9)])
def test_the_host_reads_nothing_between_looks_at_who_has_ended(
    policy: CausalPolicy, monkeypatch: pytest.MonkeyPatch, kind: str, lengths: tuple[int, int]
) -> None:
    monkeypatch.setattr(causal, "fits", lambda model: False)  # as on a GPU: rectangles
    sizes: dict[str, Any] = {"width": 16, "layers": 1, "heads": 2, "vocab_size": 280, "dataset_options": {"size": 4}}
    used: Any = policy if kind == "causal" else copy_of(tiny_seq2seq.load, **sizes)
    monkeypatch.setattr(own, "ends_of", lambda policy: (-1,))  # no program ends before its limit
    used.prepares_masks  # noqa: B018 - asked once, before it is measured
    eight, forty = (reads(used, tokens, *lengths) for tokens in (8, 40))
    looks = 40 // own.SYNC_EVERY - 1
    assert forty - eight <= 4 * looks, "some reads at each look, none at a token"


def test_prepared_masks_write_the_same_programs(policy: CausalPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(causal, "fits", lambda model: False)
    assert policy.prepares_masks
    written = []
    for prepared in (True, False):
        policy.__dict__["_takes_prepared_masks"] = prepared
        generator = torch.Generator()
        generator.manual_seed(0)
        prompts = [np.arange(10, 10 + n) for n in (3, 9, 9)]
        nothing = [np.zeros(0, np.int64)] * 3
        written.append(Sampling()(policy, prompts, nothing, repeats=4, max_tokens=30, generator=generator))
    for group, other in zip(*written, strict=True):
        for a, b in zip(group, other, strict=True):
            assert np.array_equal(a.tokens, b.tokens)
            assert np.array_equal(a.logprobs, b.logprobs)


def test_a_model_that_is_not_attended_by_sdpa_gets_masks_as_ever(policy: CausalPolicy) -> None:
    policy.model.set_attn_implementation("eager")
    assert not policy.prepares_masks
    mask = torch.ones(2, 3, dtype=torch.bool)
    assert torch.equal(policy.step_mask(mask, False), mask.long())  # type: ignore[arg-type]
