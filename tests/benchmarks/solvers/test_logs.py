"""Logs of Inspect AI and lm-eval become records: answers are taken and judged again, sampling that is not the suite's is told."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from benchmarks import solvers, suites
from benchmarks.evaluate import main
from benchmarks.suites import Suite
from rltf_env.errors import DataError, MissingData, UsageError

FENCED = "Sure:\n```python\n{}\n```\nDone."


def inspect_log(path: Path, answers: dict[str, list[str]], **config: Any) -> Path:
    """In the layout of Inspect AI 0.3.285's JSON logs: what is read of it, and some of the rest."""
    samples = [
        {
            "id": id,
            "epoch": epoch,
            "target": id,
            "output": {"choices": [{"message": {"role": "assistant", "content": text}, "stop_reason": "stop"}]},
            "scores": {"unit_tests": {"value": {"passed": 1.0}}},
        }
        for id, texts in answers.items()
        for epoch, text in enumerate(texts, 1)
    ]
    log = {"eval": {"model": "openai/one", "model_generate_config": {}}, "plan": {"config": config}, "samples": samples}
    path.write_text(json.dumps(log))
    return path


def lm_eval_log(folder: Path, answers: dict[str, list[str]], **generation: Any) -> Path:
    """In the layout of lm-eval 0.4.13: a line for each document and filter, and the results beside it."""
    path = folder / "samples_rltf_small_2026-11-28T10-00-00.jsonl"
    rows = [
        {"doc_id": i, "doc": {"id": id, "prompt": "?"}, "target": id, "resps": [texts], "filter": name, "pass@1": 1.0}
        for name in ("judged", "again")
        for i, (id, texts) in enumerate(answers.items())
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    results = {"model_name": "two", "configs": {"rltf_small": {"generation_kwargs": generation}}}
    (folder / "results_2026-11-28T10-00-00.json").write_text(json.dumps(results))
    return path


def answers_of(suite: Suite) -> dict[str, list[str]]:
    """A right answer and a wrong one for each problem."""
    problems = suites.problems(suite)[0]
    return {problem.id: [FENCED.format(problem.solutions[0]), "def f(x): return None"] for problem in problems}


def sampled(suite: Suite) -> dict[str, Any]:
    return {"temperature": suite.temperature, "max_tokens": suite.max_tokens}


def test_an_inspect_log_becomes_a_record_that_can_be_ranked(suite: Suite, tmp_path: Path) -> None:
    path = inspect_log(tmp_path / "log.json", answers_of(suite), **sampled(suite))
    assert main(["small", "--agent", f"log:{path}", "--out", str(tmp_path / "record"), "--workers", "1"]) == 0
    from benchmarks import records
    from benchmarks.records.boards import entry

    record = records.read(tmp_path / "record")
    assert record.report["pass@k"]["1"]["value"] == 0.5  # what the log says of it, 1.0, counts for nothing
    assert record.header["agent"] | {"sha256": ""} == {
        "name": "openai/one",
        "kind": "log",
        "sha256": "",
        "harness": "inspect",
        "model": "openai/one",
        "sampling": sampled(suite),
    }
    assert record.samples is not None
    assert record.samples[0].answer.taken.startswith("block")
    assert entry(record).reasons == []


def test_an_lm_eval_log_is_read_once_whatever_its_filters(suite: Suite, tmp_path: Path) -> None:
    path = lm_eval_log(tmp_path, answers_of(suite), until=[], max_gen_toks=suite.max_tokens, do_sample=False)
    solver = solvers.find(f"log:{path}", suite, {})
    problems = suites.problems(suite)[0]
    assert solver.check(problems, 2) == []  # type: ignore[attr-defined]
    groups = solver.write(problems, 2, 0)
    assert [len(group) for group in groups] == [2] * len(problems)
    assert groups[0][0].text.strip() == problems[0].solutions[0].strip()
    assert solver.name == "two"


def test_other_sampling_than_the_suites_departs_from_it(suite: Suite, tmp_path: Path) -> None:
    warm = replace(suite, temperature=0.6, top_p=0.95)
    path = inspect_log(tmp_path / "log.json", answers_of(suite), temperature=0.8, stop_seqs=["\nclass"])
    departures = solvers.find(f"log:{path}", warm, {}).check(suites.problems(suite)[0], 2)  # type: ignore[attr-defined]
    assert departures == [
        "temperature 0.8 instead of 0.6",
        "top_p 1.0 instead of 0.95",
        "max_tokens not recorded in the log",
        "stop ('\\nclass',) instead of ()",
    ]


def test_a_sample_that_ended_with_an_error_is_no_answer(suite: Suite, tmp_path: Path) -> None:
    path = inspect_log(tmp_path / "log.json", answers_of(suite), **sampled(suite))
    log = json.loads(path.read_text())
    log["samples"][0]["error"] = {"message": "no server"}
    path.write_text(json.dumps(log))
    with pytest.raises(UsageError, match="got 1"):
        solvers.find(f"log:{path}", suite, {}).write(suites.problems(suite)[0], 2, 0)


def test_a_cut_answer_is_a_truncated_program(suite: Suite, tmp_path: Path) -> None:
    path = inspect_log(tmp_path / "log.json", answers_of(suite), **sampled(suite))
    log = json.loads(path.read_text())
    log["samples"][0]["output"]["choices"][0]["stop_reason"] = "max_tokens"
    path.write_text(json.dumps(log))
    ((first, second), *_) = solvers.find(f"log:{path}", suite, {}).write(suites.problems(suite)[0], 2, 0)
    assert (first.truncated, second.truncated) == (True, False)


def test_contents_in_parts_are_their_texts(suite: Suite, tmp_path: Path) -> None:
    parts = [{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "def f(x): return x"}]
    path = inspect_log(tmp_path / "log.json", {"a": [parts]})  # type: ignore[list-item]
    assert solvers.find(f"log:{path}", suite, {}).by_id["a"] == [("answer", "def f(x): return x")]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "content", "error", "words"),
    [
        ("a.eval", b"PK\x03\x04", DataError, "inspect log convert"),
        ("a.json", b'{"rows": []}', DataError, "Inspect AI in JSON"),
        ("a.json", b"[1]", DataError, "Inspect AI in JSON"),
        ("a.jsonl", b'{"doc": {"text": "?"}, "resps": [["x"]]}', DataError, "id or task_id"),
        ("a.jsonl", b"", DataError, "without any"),
    ],
)
def test_what_is_no_log_is_told_so(
    suite: Suite, tmp_path: Path, name: str, content: bytes, error: type[Exception], words: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(error, match=words):
        solvers.find(f"log:{tmp_path / name}", suite, {})


def test_a_log_that_is_not_there_is_missing(suite: Suite) -> None:
    with pytest.raises(MissingData, match="no file"):
        solvers.find("log:nowhere.json", suite, {})
