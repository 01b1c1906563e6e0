"""A reference that stays behind, whichever way its model is called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from agents.core import TrainingSample
from agents.learning.reference import Reference
from agents.policies import tiny, tiny_seq2seq

SMALL: dict[str, Any] = {"width": 16, "layers": 1, "heads": 2, "vocab_size": 300, "dataset_options": {"size": 8}}


@pytest.mark.parametrize("family", [tiny, tiny_seq2seq])
def test_a_reference_does_not_change_with_the_policy_that_it_was_copied_from(family: Any) -> None:
    policy = family.load(**SMALL, gradient_checkpointing=family is tiny)  # which is not read by a layout of ours
    zeros, program = np.zeros(3, np.float32), np.array([7, 8, 9])
    samples = [TrainingSample(np.array([40, 41]), program, np.ones(3, bool), zeros, zeros)]
    reference = Reference(policy, 0)
    before = reference.with_reference_logprobs(samples)[0].extra["reference"]
    with torch.no_grad():
        for parameter in policy.model.parameters():
            parameter.mul_(1.5)
    after = reference.with_reference_logprobs(samples)[0].extra["reference"]
    assert np.array_equal(before, after)
    assert not np.allclose(Reference(policy, 0).with_reference_logprobs(samples)[0].extra["reference"], before)
