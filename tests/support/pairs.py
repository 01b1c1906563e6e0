"""Pairs of parameters of which the quick tests take every other one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest


def chessboard(rows: Sequence[Any], columns: Sequence[Any]) -> list[Any]:
    """Each pair of a row and a column, those on black squares as slow tests. No row and no column is slow as a whole."""
    return [
        pytest.param(row, column, marks=[pytest.mark.slow] * ((i + j) % 2))
        for i, row in enumerate(rows)
        for j, column in enumerate(columns)
    ]
