"""Two ranks learn as one: every agent, every reduction; shares by hand; what no rank has stays nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import second_rank
import torch
import torch.distributed as dist
from second_rank import CASES, SLOW_CASES, policy_of, run, together

from agents import parallel, ranks
from agents.parallel import RankError, Ranks

SCRIPT = Path(second_rank.__file__)
Runs = dict[str, tuple[list[dict[str, float]], list[torch.Tensor]]]


@pytest.fixture(scope="module")
def by_two() -> Runs:
    return runs_by_two(list(CASES))


@pytest.fixture(scope="module")
def more_by_two() -> Runs:
    return runs_by_two(list(SLOW_CASES))


def runs_by_two(cases: list[str]) -> Runs:
    """The runs of the cases by this process and another."""
    store = dist.TCPStore(ranks.HOST, 0, 2, is_master=True, wait_for_workers=False)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    other = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(store.port), *cases], env=environment, stderr=subprocess.PIPE
    )
    before = torch.get_num_threads()
    policies = {case: policy_of(case) for case in cases}
    try:
        with together(store, 0):
            runs = {case: run(case, policy) for case, policy in policies.items()}
        _, errors = other.communicate(timeout=60)
        assert other.returncode == 0, errors.decode()
    finally:
        torch.set_num_threads(before)
        other.kill()
        other.communicate()
    return runs


@pytest.mark.timeout(180)
@pytest.mark.parametrize("case", CASES)
def test_two_ranks_equal_one(by_two: Runs, case: str) -> None:
    assert_equal(by_two, case)


@pytest.mark.slow
@pytest.mark.timeout(180)
@pytest.mark.parametrize("case", SLOW_CASES)
def test_two_ranks_that_share_the_weights_equal_one(more_by_two: Runs, case: str) -> None:
    assert_equal(more_by_two, case)


def assert_equal(by_two: Runs, case: str) -> None:
    alone = run(case, policy_of(case))
    kind, _, how = case.partition(" ")
    coarse = 100 if how.endswith("bfloat16") else 1  # whose gradients have eight bits, before they are summed
    for line, expected in zip(by_two[case][0], alone[0], strict=True):
        if kind == "actor_critic":  # whose first ratios are 1, as is the bound: rounding decides which of them it cuts
            line["clip_fraction"] = expected["clip_fraction"]
        assert line == pytest.approx(expected, rel=1e-5 * coarse, abs=1e-5 * coarse)
    assert any("grad_norm" in line and line["grad_norm"] > 1e-3 for line in alone[0])
    for weights, expected in zip(by_two[case][1], alone[1], strict=True):
        torch.testing.assert_close(weights, expected, atol=1e-5 * coarse, rtol=0)


def test_the_costliest_go_to_whoever_has_least() -> None:
    def cost(part: int) -> float:
        return part

    parts = [5, 1, 4, 3, 2]  # 5 | 4; 3 to the second, 7; 2 to the first, 7; 1 to the first
    assert Ranks(0, 2).dealt(parts, cost) == [5, 1, 2]
    assert Ranks(1, 2).dealt(parts, cost) == [4, 3]
    assert Ranks(2, 3).dealt([7, 7], cost) == []
    assert Ranks().dealt(parts, cost) == parts


def test_one_rank_is_the_identity() -> None:
    one = parallel.current()
    assert (one.rank, one.world, one.leads) == (0, 1, True)
    assert one.summed({"loss": 2.0}) == {"loss": 2.0}
    assert one.merged({3: "x"}) == {3: "x"}
    assert one.from_first(lambda: 4) == 4
    one.check_equal([torch.ones(1)], "weights")
    parameter = torch.nn.Parameter(torch.ones(1))
    one.sum_gradients([parameter])
    assert parameter.grad is None


def test_whoever_is_alone_has_nobody_beside() -> None:
    with parallel.within(Ranks(1, 4)):
        assert parallel.current().world == 4
        with parallel.alone():
            assert parallel.current().world == 1
        assert parallel.current().rank == 1
    assert parallel.current().world == 1


class Answered(Ranks):
    """Ranks of which the others' answers are known."""

    def __init__(self, *others: Any) -> None:
        super().__init__(0, 1 + len(others))
        object.__setattr__(self, "others", others)

    def _gathered(self, own: Any) -> list[Any]:
        return [own, *self.others]  # type: ignore[attr-defined]


def test_numbers_that_some_ranks_lack_are_summed_over_the_others() -> None:
    assert Answered({"loss": 1.0, "kl": 2.0}, {}).summed({"loss": 3.0}) == {"loss": 4.0, "kl": 2.0}
    assert Answered({1: "b"}).merged({0: "a"}) == {0: "a", 1: "b"}


def test_weights_that_differ_are_refused() -> None:
    Answered([2.0]).check_equal([torch.ones(2)], "weights")
    with pytest.raises(RankError, match="Expected the same weights on all 2 ranks"):
        Answered([2.5]).check_equal([torch.ones(2)], "weights")
