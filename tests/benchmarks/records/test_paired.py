"""Two records are compared problem by problem, and on the same problems only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.records import paired
from rltf_env.errors import UsageError


def test_comparison_is_paired_by_problem_and_turns_round(suite: Any, tmp_path: Path, make_record: Any) -> None:
    def first(problem: Any, samples: int, seed: int) -> list[str]:
        return ["good", "bad"]

    def second(problem: Any, samples: int, seed: int) -> list[str]:
        return ["good", "good"]

    a = make_record(tmp_path / "a", suite, first, {"good": True})
    b = make_record(tmp_path / "b", suite, second, {"good": True})
    there, back = paired.compared(a, b), paired.compared(b, a)
    assert there["pass@1"].difference == -0.5
    assert there["pass@1"].low < -0.6  # six problems that agree are no certainty
    assert -0.4 < there["pass@1"].high < 0
    assert there["pass@1"].p_value == pytest.approx(2 / 2**6)
    assert back["pass@1"].difference == 0.5
    assert there["pass@2"].difference == 0
    assert there["pass@2"].p_value == 1
    assert paired.alone(a, b, paired.common(a, b)) == (0, 0)


def test_records_of_other_problems_are_compared_on_request_alone(suite: Any, tmp_path: Path, make_record: Any) -> None:
    a = make_record(tmp_path / "a", suite, lambda p, n, s: ["x"] * n)
    b = make_record(tmp_path / "b", suite, lambda p, n, s: ["x"] * n, data="0" * 64)
    with pytest.raises(UsageError, match="on the same data"):
        paired.compared(a, b)
    b.header["data"] = a.header["data"]
    b.report["problems"], b.report["passed"] = b.report["problems"][:2], b.report["passed"][:2]
    with pytest.raises(UsageError, match=r"of which 2 are shared\. Pass --shared"):
        paired.compared(a, b)
    assert paired.compared(a, b, shared=True)["pass@1"].difference == 0
