"""What a matrix of results says about a sequence of tasks. Pure functions; rows and columns count from 1 here.

    A[t][i]      score on task i after tasks 1 ... t were learnt, T x T
    A[0][i]      the same before the first

    average      mean over i of A[T][i]
    learned      mean over i of A[i][i]
    forgetting   mean over i < T of (max over t < T of A[t][i]) - A[T][i]
    backward     mean over i < T of A[T][i] - A[i][i]
    forward      mean over i > 1 of A[i-1][i] - A[0][i]

Average and forgetting are those of arXiv 2307.02435 and many before it; backward and forward transfer
are those of GEM (arXiv 1706.08840, section 2). Where there is only one task, nothing can be forgotten
and nothing transferred: the answer is None and not 0.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from rltf_env.errors import UsageError

Matrix = npt.ArrayLike


def average(final: npt.ArrayLike) -> float:
    """The mean score over tasks, (T,), after the last of them."""
    row = np.asarray(final, np.float64)
    if row.ndim != 1 or not len(row) or not np.isfinite(row).all():
        raise UsageError(f"Expected a finite score for each of at least one task, got {final!r}.")
    return float(row.mean())


def learned(matrix: Matrix) -> float:
    """The mean score on each task right after it was learnt."""
    return float(_square(matrix).diagonal().mean())


def forgetting(matrix: Matrix) -> float | None:
    """How far tasks have fallen from the best that was ever measured on them before the last task was learnt.

    Below 0 where the last task helped the ones before it.
    """
    a = _square(matrix)
    return float((a[:-1, :-1].max(0) - a[-1, :-1]).mean()) if len(a) > 1 else None


def backward(matrix: Matrix) -> float | None:
    """What later tasks did to earlier ones, from right after each was learnt: mostly below 0."""
    a = _square(matrix)
    return float((a[-1, :-1] - a.diagonal()[:-1]).mean()) if len(a) > 1 else None


def forward(matrix: Matrix, before: Sequence[float] | npt.ArrayLike) -> float | None:
    """What earlier tasks did for later ones before those were learnt.

    Args:
        matrix: (T, T).
        before: (T,), the scores before the first task.
    """
    a, start = _square(matrix), np.asarray(before, np.float64)
    if start.shape != (len(a),):
        raise UsageError(f"Expected a score before the first task for each of {len(a)}, got shape {start.shape}.")
    return float((a.diagonal(1) - start[1:]).mean()) if len(a) > 1 else None


def _square(matrix: Matrix) -> npt.NDArray[np.float64]:
    a = np.asarray(matrix, np.float64)
    if a.ndim != 2 or a.shape[0] != a.shape[1] or not a.size or not np.isfinite(a).all():
        raise UsageError(f"Expected a square matrix of finite scores, tasks by tasks, got shape {a.shape}.")
    return a
