"""What of shared weights can be said by one process; that they learn the same is asked in `test_parallel`."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from agents import parallel
from agents.learning import shards
from agents.parallel import Ranks
from rltf_env.errors import UsageError


class Policy:
    """Something that has a model."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.device = torch.device("cpu")


def test_without_shared_weights_nothing_changes() -> None:
    policy: Any = Policy(nn.Linear(2, 2))
    model = policy.model
    shards.share_out(policy, [model])
    assert not shards.is_sharded(model)
    with shards.passes(), shards.whole_model(policy):
        assert policy.model is model
    assert shards.gathered({"a": [torch.ones(2), 3]})["a"][1] == 3
    weight = torch.ones(2)
    assert shards.whole(weight) is weight
    assert shards.part_like(weight, torch.zeros(2)) is weight


def test_a_policy_that_is_read_in_parts_is_refused() -> None:
    policy: Any = Policy(nn.Linear(2, 2))
    with parallel.within(Ranks(0, 2, sharded=True)), pytest.raises(UsageError, match="Expected a decoder"):
        shards.share_out(policy, [policy.model])


def test_a_skeleton_has_no_weights_and_can_be_filled() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 2))
    model[1].bias = model[1].bias.requires_grad_(False)
    tied = nn.ModuleDict({"one": model, "other": model[0]})
    skeleton = shards._skeleton(tied)
    assert all(p.is_meta for p in skeleton.parameters())
    assert [p.requires_grad for p in skeleton.parameters()] == [True, True, True, False]
    object.__setattr__(tied, shards.SKELETON, skeleton)
    filled: Any = shards._filled(tied, [p.detach() + 1 for p in tied.parameters()])
    assert filled["other"] is filled["one"][0]
    torch.testing.assert_close(filled["one"][0].weight, model[0].weight + 1)


def test_all_ranks_of_shared_weights_make_equally_many_passes() -> None:
    def cost(part: int) -> float:
        return part

    parts = [5, 1, 4, 3, 2]
    first, second = Ranks(0, 2, sharded=True), Ranks(1, 2, sharded=True)
    assert first.dealt(parts, cost) + first.idle(parts, cost) == [5, 1, 2]
    assert second.dealt(parts, cost) + second.idle(parts, cost) == [4, 3, 1]
    assert Ranks(2, 3, sharded=True).idle([7, 7], cost) == [7]
    assert Ranks(1, 2).idle(parts, cost) == []
