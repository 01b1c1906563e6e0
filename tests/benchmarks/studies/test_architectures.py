"""The study of architectures: its rows say what holds, what is refused and what could not be tried; its page is the record's."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import documents
from benchmarks.studies import architectures

FAMILIES = {
    "qwen3_next", "qwen3_5", "qwen3_5_moe", "lfm2", "lfm2_moe", "granitemoehybrid", "jamba", "bamba", "falcon_h1", "nemotron_h",
    "mamba", "mamba2", "gemma3", "gemma4", "llama4", "olmo_hybrid", "zamba2", "deepseek_v3", "gpt2", "llama", "qwen3", "phi3",
}  # fmt: skip


def test_a_row_says_what_became_of_a_type(tmp_path: Path) -> None:
    out = tmp_path / "record.json"
    assert architectures.main(["--kinds", "bart", "xlnet", "dbrx", "--out", str(out)]) == 0
    record = json.loads(out.read_text())
    rows = {(row["family"], row["kind"]): row for row in record["rows"]}
    held, refused, other = (rows["causal", kind] for kind in ("bart", "xlnet", "dbrx"))
    assert (held["result"], held["way"]) == ("holds", "rows of one length at a time")
    assert held["gap"] < 1e-4
    assert refused["result"] == "refused"
    assert "XLNetLMHeadModel to predict each token from those before it" in refused["why"]
    assert other["result"] == "not tried"
    assert rows["seq2seq", "bart"]["result"] == "holds"


def test_a_type_that_is_none_is_named_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert architectures.main(["--kinds", "lama"]) == 2
    assert "Did you mean 'llama'" in " ".join(capsys.readouterr().err.split())


def test_what_people_use_holds_in_the_published_record() -> None:
    rows = documents.record("architectures")["rows"]
    held = {row["kind"] for row in rows if row["result"] == "holds" and row["family"] == "causal"}
    assert held >= FAMILIES
    assert all(row["gap"] < 1e-3 for row in rows if row["result"] == "holds")
    assert {row["way"] for row in rows if row["result"] == "holds"} <= set(documents._WAYS)
