"""What a frozen trunk knows of programs: linear heads on its states learn what became of them, and are asked about others.

A trunk is read as it is. Its state after the last token of a program, the end token left out, is all that a head is given. One
head learns the outcome (softmax), one the share of the cases that passed (ridge); both learn on some problems, choose their
penalty on others, and are measured on the rest. So the figures are of the trunk, not of how long a head has learnt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from agents.core import Policy, TrainingSample
from agents.critics.outcome import states_after
from agents.learning.reference import read_each
from agents.line_training import spearman
from rltf_env.core import Outcome

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
SHARES = (0.6, 0.2)  # of the problems: to learn from, and to choose the penalty on; the rest is measured on


@dataclass(frozen=True, eq=False)
class Judged:
    """N judged programs.

    Args:
        samples: (N,), each with the tokens that a trunk reads, at least one.
        outcomes: int64 (N,).
        ratios: float64 (N,), the share of the cases that passed.
        problems: int64 (N,), a number for the problem of each.
    """

    samples: Sequence[TrainingSample]
    outcomes: np.ndarray
    ratios: np.ndarray
    problems: np.ndarray

    def parts(self, seed: int) -> list[np.ndarray]:
        """Three times bool (N,): to learn from, to choose on, to measure on; no problem is in two of them."""
        known = np.random.default_rng(seed).permutation(np.unique(self.problems))
        cuts = np.cumsum([round(share * len(known)) for share in SHARES])
        return [np.isin(self.problems, chosen) for chosen in np.split(known, cuts)]


def features(policy: Policy[Any], samples: Sequence[TrainingSample], rows: int) -> np.ndarray:
    """float64 (N, D): the state of a policy after each program, read `rows` at a time."""
    bare = [replace(s, extra={}) for s in samples]
    states = read_each(policy, bare, rows, lambda data: states_after(policy, data))
    return np.stack([each[-1] for each in states]).astype(np.float64)


def auc(scores: np.ndarray, positive: np.ndarray) -> float:
    """How often one of the positive is above one of the others; a tie counts half. 0.5 where there are none of either."""
    if not 0 < positive.sum() < len(positive):
        return 0.5
    others = np.sort(scores[~positive])
    below = np.searchsorted(others, scores[positive], "left")
    upto = np.searchsorted(others, scores[positive], "right")
    return float((below + upto).mean() / (2 * len(others)))


def probe(states: np.ndarray, judged: Judged, seed: int) -> tuple[dict[str, float], list[float]]:
    """What heads on these states (N, D) say of programs for problems that they have not seen.

    Returns:
        `passed`, the AUC of passing; `outcome`, the mean AUC of the outcomes that occur; `ratio`, the rank correlation with the
        share of the cases that passed; and for each problem that was measured on the AUC of passing among its own programs.
    """
    learn, choose, test = judged.parts(seed)
    x = _whitened(states, learn)
    labels, ratios = torch.from_numpy(judged.outcomes), torch.from_numpy(judged.ratios)

    def surprise(weight: Tensor) -> float:
        return float(F.cross_entropy(x[choose] @ weight, labels[choose]))

    def error(weight: Tensor) -> float:
        return float((x[choose] @ weight - ratios[choose]).square().mean())

    outcomes = _chosen(lambda penalty: softmax_head(x[learn], labels[learn], penalty), surprise)
    shares = _chosen(lambda penalty: ridge_head(x[learn], ratios[learn], penalty), error)
    said = (x[test] @ outcomes).log_softmax(-1).numpy()
    true, groups = judged.outcomes[test], judged.problems[test]
    occurring = [o for o in np.unique(true) if (true != o).any()]
    passed = true == int(Outcome.PASSED)
    measures = {
        "passed": auc(said[:, int(Outcome.PASSED)], passed),
        "outcome": float(np.mean([auc(said[:, o], true == o) for o in occurring] or [0.5])),
        "ratio": spearman((x[test] @ shares).numpy(), judged.ratios[test]) or 0.0,
    }
    within = [auc(said[groups == g, int(Outcome.PASSED)], passed[groups == g]) for g in np.unique(groups)]
    return measures, within


def softmax_head(x: Tensor, labels: Tensor, penalty: float) -> Tensor:
    """(D, outcomes): the least mean cross-entropy plus half the penalty times the squared weights, the last row's left out."""
    weight = torch.zeros(x.shape[1], len(Outcome), dtype=x.dtype, requires_grad=True)
    optimiser = torch.optim.LBFGS([weight], max_iter=200, tolerance_grad=1e-8, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        value = F.cross_entropy(x @ weight, labels) + penalty / 2 * weight[:-1].square().sum()
        value.backward()
        return value

    optimiser.step(loss)  # pyright: ignore[reportArgumentType] - a tensor will do
    return weight.detach()


def ridge_head(x: Tensor, targets: Tensor, penalty: float) -> Tensor:
    """(D,): the least mean squared error plus the penalty times the squared weights, the last one's left out."""
    held = torch.full((x.shape[1],), penalty, dtype=x.dtype)
    held[-1] = 0.0
    return torch.linalg.solve(x.T @ x / len(x) + torch.diag(held), x.T @ targets / len(x))


def _whitened(states: np.ndarray, learn: np.ndarray) -> Tensor:
    """(N, D + 1): of mean 0 and deviation 1 on what is learnt from, and a last column of ones."""
    mean, deviation = states[learn].mean(0), states[learn].std(0)
    scaled = (states - mean) / np.where(deviation > 1e-8, deviation, 1.0)
    return torch.from_numpy(np.concatenate([scaled, np.ones((len(states), 1))], 1))


def _chosen(fit: Callable[[float], Tensor], loss: Callable[[Tensor], float]) -> Tensor:
    return min(map(fit, PENALTIES), key=loss)
