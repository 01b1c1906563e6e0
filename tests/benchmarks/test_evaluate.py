"""The command: from a suite and an agent to a record, what makes it custom, verification, and what a policy's tokens earn."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from benchmarks import evaluate, evaluation, records, suites
from benchmarks.core import Answer, Key
from benchmarks.records.verify import verify
from benchmarks.solvers.function import Function
from rltf_env import sandbox
from rltf_env.core import Kind, Outcome, Problem
from rltf_env.errors import SandboxError, UsageError


def good(problem: Problem, samples: int, seed: int) -> list[str]:
    return [problem.solutions[0], "def f(x):\n    return 1 / 0\n"][:samples]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parent)


@pytest.mark.usefixtures("here")
def test_command_makes_a_record_that_verifies(suite: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "record")
    assert evaluate.main(["small", "--agent", "test_evaluate:good", "--out", out, "--workers", "1"]) == 0
    assert "pass@1" in capsys.readouterr().out
    record = records.read(Path(out))
    assert (record.header["status"], record.header["departures"]) == ("frozen", [])
    assert (record.report["pass@k"]["1"]["value"], record.report["pass@k"]["2"]["value"]) == (0.5, 1.0)
    assert record.report["kinds"]["all"] == {"ZeroDivisionError": 6}
    assert record.report["gap"]["problems"] == 6
    assert evaluate.main(["--verify", out, "--workers", "1"]) == 0
    assert records.read(Path(out)).verified == json.loads((tmp_path / "record" / "verified.json").read_text())


def test_verification_reports_every_verdict_that_changes(
    suite: Any, tmp_path: Path, make_record: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    def rules(
        source: str, problem: Problem
    ) -> Any:  # a judge that pays everything, the second sample of one problem aside
        return "ZeroDivisionError" if source.endswith("# 1") else True

    make_record(tmp_path, suite, lambda p, n, s: [p.solutions[0], "def f(x): return 1/0 # 1"], rules)
    record = records.read(tmp_path)
    with sandbox.load("scripted", rules=rules) as same:
        assert verify(record, same)["changed"] == []
    with sandbox.load("scripted", rules=lambda source, problem: "/" not in source) as other:
        changed = verify(record, other)["changed"]
    assert [each["sample"] for each in changed] == [1] * 6
    assert changed[0]["was"][1][0] == ["ZeroDivisionError", None]
    assert changed[0]["now"][1][0] == [Kind.WRONG_ANSWER, None]
    assert evaluate.main(["--verify", str(tmp_path), "--workers", "1"]) == 1  # the real judge knows the line
    assert "now" in capsys.readouterr().out


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("options", "departures"),
    [
        (["--limit", "2"], ["2 of 6 problems"]),
        (["--samples", "1"], ["samples 1 instead of 2", "ks (1,) instead of (1, 2)"]),
        (["--temperature", "0.3", "--limit", "9"], ["temperature 0.3 instead of 0.0"]),
        (["--seed", "7"], ["seed 7 instead of 0"]),
    ],
)
def test_other_than_the_suite_has_it_is_custom(
    suite: Any, tmp_path: Path, options: list[str], departures: list[str]
) -> None:
    command = ["small", "--agent", "test_evaluate:good", "--out", str(tmp_path), "--workers", "1", *options]
    assert evaluate.main(command) == 0
    header = records.read(tmp_path).header
    assert (header["status"], header["departures"]) == ("custom", departures)


@pytest.mark.usefixtures("here", "suite")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["smal", "--agent", "test_evaluate:good"], "Did you mean 'small'"),
        (["small", "--agent", "test_evaluate:goood"], "Did you mean 'good'"),
        (["small", "--agent", "test_evaluate:good", "--limit", "0"], "at least 1"),
        (["small", "--agent", "test_evaluate:good", "--answered"], "file of completions"),
        (["small", "--agent", "test_evaluate:good", "--option", "x"], "KEY=VALUE"),
        (["small", "--agent", "test_evaluate:good", "--decoder", "sampling"], "Unknown option"),
    ],
)
def test_mistakes_are_one_message(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(arguments) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_options_are_toml_and_bare_words_are_text() -> None:
    given = evaluate.options(["a=1", "b=[1, 2]", "c=word", 'd="1"', "e=", "f=x=y"])
    assert given == {"a": 1, "b": [1, 2], "c": "word", "d": "1", "e": "", "f": "x=y"}


def test_ctrl_c_stops_with_a_word_and_keeps_what_there_is(
    suite: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "start", interrupted)
    assert evaluate.main(["small", "--agent", "x:y"]) == 130
    assert "same command goes on" in capsys.readouterr().err


def test_judging_begins_before_the_writing_has_ended(suite: Any, tmp_path: Path, make_record: Any) -> None:
    judged = threading.Event()

    def write(problem: Problem, samples: int, seed: int) -> list[str]:
        if problem.id == problems[-1].id:
            assert judged.wait(20), "nothing was judged while the last problem was being written"
        return ["x"] * samples

    def rules(source: str, problem: Problem) -> bool:
        judged.set()
        return True

    problems = suites.problems(suite)[0]
    assert make_record(tmp_path, suite, write, rules).report["passed"] == [2] * 6


def test_failing_judge_is_asked_once_more_and_then_ends_the_run(suite: Any, tmp_path: Path, make_record: Any) -> None:
    failed: list[str] = []

    def flaky(source: str, problem: Problem) -> Any:
        if source not in failed:
            failed.append(source)
            raise SandboxError("down")
        return True

    made = make_record(tmp_path / "flaky", suite, lambda p, n, s: [f"{p.id} {i}" for i in range(n)], flaky)
    assert made.report["passed"] == [2] * 6
    with pytest.raises(SandboxError, match="down"):
        make_record(tmp_path / "down", suite, lambda p, n, s: ["x"] * n, lambda *_: SandboxError("down"))


def test_writer_that_fails_ends_the_run_and_the_next_goes_on(suite: Any, tmp_path: Path, make_record: Any) -> None:
    asked: list[str] = []

    def write(problem: Problem, samples: int, seed: int) -> list[str]:
        asked.append(problem.id)
        if len(asked) == 4:
            raise UsageError("no more")
        return ["x"] * samples

    with pytest.raises(UsageError, match="no more"):
        make_record(tmp_path, suite, write)
    make_record(tmp_path, suite, write)
    assert len(asked) == 7
    assert asked.count(asked[3]) == 2


def test_public_examples_are_judged_apart_from_the_cases(suite: Any, tmp_path: Path, make_record: Any) -> None:
    problems = {problem.id: problem for problem in suites.problems(suite)[0]}

    def only_examples(source: str, problem: Problem) -> bool:  # a program that knows the public examples by heart
        return problem.cases == problems[problem.id].examples

    gap = make_record(tmp_path, suite, lambda p, n, s: ["x"] * n, only_examples).report["gap"]
    assert (gap["visible"], gap["hidden"], gap["gap"]["value"]) == (1.0, 0.0, 1.0)


def test_writers_batches_are_the_same_whatever_was_there(suite: Any, tmp_path: Path) -> None:
    batches: list[list[str]] = []

    class Two(Function):
        batch = 2

        def write(self, problems: Any, samples: int, seed: int) -> list[list[Answer]]:
            batches.append([problem.id for problem in problems])
            return super().write(problems, samples, seed)

    problems = suites.problems(suite)[0]
    journal = records.Journal(tmp_path / "journal.jsonl")
    journal.append([{**Key(problems[2].id, 0)._asdict(), "text": "x"}])
    journal.append([{**Key(problems[i].id, s)._asdict(), "text": "x"} for i in (0, 1) for s in (0, 1)])
    journal.close()
    with sandbox.load("scripted") as judge:
        samples = evaluation.evaluate(suite, Two("a:b", good), problems, tmp_path, judge)
    assert batches == [[p.id for p in problems[2:4]], [p.id for p in problems[4:]]]
    assert samples[4].answer.text == "x"  # what was there is kept
    assert all(sample.verdict.outcome is Outcome.WRONG_ANSWER for sample in samples)
