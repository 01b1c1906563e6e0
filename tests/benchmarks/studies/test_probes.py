"""Probes: measures by hand, heads against the equations that they solve, and no problem on both sides."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.policies import tiny
from agents.policies.pair_heads import plain_sample
from benchmarks.studies import _probes
from benchmarks.studies._probes import Judged, auc, features, probe, ridge_head, softmax_head
from rltf_env.core import Outcome


def judged(count: int = 240) -> tuple[np.ndarray, Judged]:
    """Programs, six a problem, of which the first number of a state tells whether they pass, and others tell nothing."""
    rng = np.random.default_rng(0)
    states = rng.normal(size=(count, 5))
    outcomes = np.where(states[:, 0] > 0, int(Outcome.PASSED), rng.integers(0, 3, count)).astype(np.int64)
    samples = [plain_sample(np.array([60]), np.array([70]))] * count
    ratios = (outcomes == int(Outcome.PASSED)).astype(float)
    return states, Judged(samples, outcomes, ratios, np.repeat(np.arange(count // 6), 6))


def test_auc_by_hand() -> None:
    """Of six pairs (3 or 2 against 1, 2, 0): five and a half are right."""
    scores, positive = np.array([3.0, 2.0, 1.0, 2.0, 0.0]), np.array([True, True, False, False, False])
    assert auc(scores, positive) == pytest.approx(5.5 / 6)
    assert auc(-scores, positive) == pytest.approx(0.5 / 6)
    assert auc(scores, np.ones(5, bool)) == auc(scores, np.zeros(5, bool)) == 0.5


def test_no_problem_is_learnt_from_and_measured_on() -> None:
    _, each = judged()
    parts = each.parts(0)
    problems = [set(each.problems[part].tolist()) for part in parts]
    assert [len(known) for known in problems] == [24, 8, 8]
    assert not problems[0] & problems[1] and not problems[0] & problems[2] and not problems[1] & problems[2]  # noqa: PT018
    assert sum(part.sum() for part in parts) == 240


def test_a_head_finds_what_is_there_and_nothing_in_noise() -> None:
    states, each = judged()
    measures, within = probe(states, each, 0)
    assert measures["passed"] > 0.95
    assert measures["ratio"] > 0.7
    assert measures["outcome"] < measures["passed"]  # three kinds of failure cannot be told
    assert len(within) == 8
    assert np.mean(within) > 0.9
    noise, _ = probe(states[:, 1:], each, 0)
    assert 0.3 < noise["passed"] < 0.7
    assert abs(noise["ratio"]) < 0.4


def test_what_is_measured_on_is_not_learnt_from() -> None:
    """Outcomes of the measured problems may be what they will: the heads stay, and say the same."""
    states, each = judged()
    test = each.parts(0)[2]
    turned = np.where(test, (each.outcomes + 1) % 4, each.outcomes)
    other = Judged(each.samples, turned, 1 - each.ratios * test - each.ratios * ~test, each.problems)
    first = probe(states, each, 0)[0]["passed"]
    passed_then = each.outcomes[test] == int(Outcome.WRONG_ANSWER)
    assert first > 0.95
    assert probe(states, other, 0)[0]["passed"] < 0.9 or not passed_then.any()


def test_heads_are_where_the_gradient_is_nought() -> None:
    generator = torch.Generator()
    generator.manual_seed(0)
    x = torch.cat(
        [torch.randn(40, 3, generator=generator, dtype=torch.float64), torch.ones(40, 1, dtype=torch.float64)], 1
    )
    labels, targets = torch.arange(40) % 4, x[:, 0] * 2 + 1
    weight = softmax_head(x, labels, 0.1).requires_grad_(True)
    loss = torch.nn.functional.cross_entropy(x @ weight, labels) + 0.05 * weight[:-1].square().sum()
    assert float(torch.autograd.grad(loss, weight)[0].abs().max()) < 1e-5
    free = ridge_head(x, targets, 0.0)
    torch.testing.assert_close(free, torch.tensor([2.0, 0.0, 0.0, 1.0], dtype=torch.float64))
    held = ridge_head(x, targets, 1e6)
    assert float(held[:-1].abs().max()) < 1e-4
    assert float(held[-1]) == pytest.approx(float(targets.mean()), abs=1e-4)


def test_a_state_has_read_the_last_token_whatever_stands_beside_it() -> None:
    policy = tiny.load(width=16, layers=1, heads=2, vocab_size=280, dataset_options={"size": 4})
    short, long = plain_sample(np.array([60]), np.array([70])), plain_sample(np.array([60]), np.array([70, 71, 72]))
    other = plain_sample(np.array([60]), np.array([70, 71, 73]))
    alone, together = features(policy, [short], 4), features(policy, [long, short], 4)
    np.testing.assert_allclose(together[1], alone[0], atol=1e-5)
    assert not np.allclose(features(policy, [other], 1)[0], together[0], atol=1e-3)
    assert len(_probes.PENALTIES) > 1
