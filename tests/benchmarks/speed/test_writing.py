"""Engines measured: each writes as many programs as it is asked for, and the record says what was compared."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from agents.policies import tiny
from benchmarks.speed import writing
from benchmarks.speed.training import JOBS, Job

SMALL = Job("tiny", batch=4, samples=2, tokens=8, rounds=2)


@pytest.mark.parametrize("name", writing.ENGINES)
def test_an_engine_writes_what_it_is_asked_for_and_leaves_the_model_as_it_was(name: str) -> None:
    policy = tiny.load(width=16, layers=1, heads=2, vocab_size=280, dataset_options={"size": 4}, max_positions=128)
    attention = policy.model.config._attn_implementation
    prompts = [np.arange(5, dtype=np.int64) + 3, np.arange(9, dtype=np.int64) + 3]
    tokens = writing.ENGINES[name](policy, prompts, SMALL)
    assert SMALL.batch <= tokens <= SMALL.batch * SMALL.tokens
    assert policy.model.config._attn_implementation == attention


def test_tokens_count_up_to_the_end_token() -> None:
    assert writing._length([5, 7, 0, 0], 0) == 3
    assert writing._length([5, 7], 0) == 2


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_record_holds_each_engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(JOBS, "tiny", SMALL)
    assert writing.main(["tiny", "--rounds", "2", "--json", str(tmp_path / "out.json")]) == 0
    record = json.loads((tmp_path / "out.json").read_text())
    assert set(record["models"]["tiny"]["engines"]) == set(writing.ENGINES)
    assert all(row["tokens_per_second"] > 0 for row in record["models"]["tiny"]["engines"].values())
