"""A run: writing and judging side by side, failures of either, and going on with what is there."""

from __future__ import annotations

import queue
import threading
from pathlib import Path
from typing import Any

import pytest

from benchmarks import evaluation, records, suites
from benchmarks.core import Answer, Key
from benchmarks.solvers.function import Function
from rltf_env import sandbox
from rltf_env.core import CallCase, Outcome, Problem
from rltf_env.errors import SandboxError, UsageError


def good(problem: Problem, samples: int, seed: int) -> list[str]:
    return [problem.solutions[0], "def f(x):\n    return 1 / 0\n"][:samples]


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
    journal = records.RecordJournal(tmp_path / "journal.jsonl")
    journal.append([{**Key(problems[2].id, 0)._asdict(), "text": "x"}])
    journal.append([{**Key(problems[i].id, s)._asdict(), "text": "x"} for i in (0, 1) for s in (0, 1)])
    journal.close()
    with sandbox.load("scripted") as judge:
        seen: list[tuple[int, int]] = []
        samples = evaluation.evaluate(
            suite, Two("a:b", good), problems, tmp_path, judge, lambda *counts: seen.append(counts)
        )
    assert (seen[0], seen[-1]) == ((5, 0), (12, 12))  # programs written, and judged; what was there counts
    assert batches == [[p.id for p in problems[2:4]], [p.id for p in problems[4:]]]
    assert samples[4].answer.text == "x"  # what was there is kept
    assert all(sample.verdict.outcome is Outcome.WRONG_ANSWER for sample in samples)


def test_a_judge_that_runs_nothing_makes_no_record() -> None:
    problem = Problem("p", "", [CallCase((), 1)], "f")
    with sandbox.load("static") as judge:
        with pytest.raises(UsageError, match="runs programs for a record"):
            evaluation.JudgeQueue(judge, [problem], queue.SimpleQueue())
        verdict = judge.run("def f(): return 2\n", problem)
    with pytest.raises(UsageError, match="runs none"):
        evaluation.Judged(Key("p", 0), verdict, ()).row()
