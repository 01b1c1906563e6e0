"""The command: from a suite and an agent to a record, what makes it custom, verification, and what a policy's tokens earn."""

from __future__ import annotations

import json
import queue
from concurrent.futures import Future
from pathlib import Path
from typing import Any, cast

import pytest

from benchmarks import evaluate, evaluation, records, suites
from benchmarks.core import Key
from benchmarks.records import boards
from benchmarks.records.verify import verify
from rltf_env import datasets, sandbox
from rltf_env.core import CallCase, Failure, FailureKind, Problem
from rltf_env.errors import SandboxError
from rltf_env.intervals import rate_interval


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
    # A judge that pays everything, the second sample of one problem aside.
    def rules(source: str, problem: Problem) -> Any:
        return "ZeroDivisionError" if source.endswith("# 1") else True

    make_record(tmp_path, suite, lambda p, n, s: [p.solutions[0], "def f(x): return 1/0 # 1"], rules)
    record = records.read(tmp_path)
    with sandbox.load("scripted", rules=rules) as same:
        assert verify(record, same)["changed"] == []
    with sandbox.load("scripted", rules=lambda source, problem: "/" not in source) as other:
        changed = verify(record, other)["changed"]
    assert [each["sample"] for each in changed] == [1] * 6
    assert changed[0]["was"][1][0] == ["ZeroDivisionError", None]
    assert changed[0]["now"][1][0] == [FailureKind.WRONG_ANSWER, None]
    assert evaluate.main(["--verify", str(tmp_path), "--workers", "1"]) == 1  # the real judge knows the line
    assert "now" in capsys.readouterr().out


def test_an_endless_loop_that_is_stopped_on_another_line_has_not_changed(
    suite: Any, tmp_path: Path, make_record: Any
) -> None:
    def stopped(line: int, kind: str = FailureKind.TIMEOUT) -> Any:
        return lambda source, problem: Failure(kind, f"after {line} s", line, "cpu" if line == 3 else "wall")

    make_record(tmp_path, suite, lambda p, n, s: ["while True:\n    x = 1\n    y = 2\n"] * n, stopped(3))
    record = records.read(tmp_path)
    with sandbox.load("scripted", rules=stopped(2)) as again:
        assert verify(record, again)["changed"] == []
    with sandbox.load("scripted", rules=stopped(3, "KeyError")) as other:
        assert verify(record, other)["changed"]


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


def completions(folder: Path, counts: list[int]) -> str:
    """A file with so many programs, all right, for the suite's problems in turn."""
    problems, _, _ = suites.problems(suites.get("small"))
    rows = [
        {"task_id": problem.id, "solution": problem.solutions[0]}
        for problem, count in zip(problems, counts, strict=False)
        for _ in range(count)
    ]
    (folder / "made.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return str(folder / "made.jsonl")


@pytest.mark.usefixtures("suite")
def test_no_program_of_a_file_is_left_out_in_silence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "record")
    command = ["small", "--agent", completions(tmp_path, [3, 3, 3, 3, 3, 4]), "--out", out, "--workers", "1"]
    assert evaluate.main(command) == 2
    assert "got 3, of which 1 would not be judged" in " ".join(capsys.readouterr().err.split())
    command = ["small", "--agent", completions(tmp_path, [3] * 6), "--out", out, "--workers", "1"]
    assert evaluate.main(command) == 0
    record = records.read(Path(out))
    assert record.samples is not None
    assert len(record.samples) == 18, "as many for each problem: all are judged"
    assert (record.header["status"], record.header["departures"]) == ("custom", ["samples 3 instead of 2"])
    dropped = ["--option", "surplus=drop", "--out", str(tmp_path / "dropped")]
    assert evaluate.main([*command[:-4], "--workers", "1", *dropped]) == 0
    departures = records.read(tmp_path / "dropped").header["departures"]
    assert departures == ["the first 2 of up to 3 programs a problem, 6 of 18 left out"]


@pytest.mark.usefixtures("suite")
def test_answered_works_after_a_call_that_was_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "record")
    command = ["small", "--agent", completions(tmp_path, [2, 2]), "--out", out, "--workers", "1"]
    assert evaluate.main(command) == 2
    assert "--answered" in capsys.readouterr().err
    assert evaluate.main([*command, "--answered"]) == 0
    assert records.read(Path(out)).header["departures"] == ["2 of 6 problems"]


@pytest.mark.usefixtures("suite", "here")
def test_records_that_differ_have_folders_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["small", "--agent", "test_evaluate:good", "--workers", "1"]
    for options in ([], ["--limit", "2"], ["--limit", "3"], ["--seed", "7"], ["--name", "other"], []):
        assert evaluate.main([*command, *options]) == 0
    names = sorted(folder.name for folder in (tmp_path / "runs/evaluations/small").iterdir())
    assert len(names) == 5
    assert names[0] == "other"
    assert names[1] == "test_evaluate-good"
    assert all(name.startswith("test_evaluate-good-") for name in names[2:])


def test_a_decoder_is_part_of_a_folder_s_name() -> None:
    def name(**agent: Any) -> str:
        return evaluate.folder_name(
            {"agent": {"name": "a/b", **agent}, "departures": [], "status": "frozen", "data": ""}
        )

    plain, best = name(), name(decoder="best_of_n")
    two, three = (name(decoder="best_of_n", decoder_options={"n": n}) for n in (2, 3))
    assert (plain, name(model="x")) == ("a-b", "a-b")
    assert len({plain, best, two, three, name(decoder_options={"n": 2})}) == 5
    assert best.startswith("a-b-best_of_n-")


@pytest.mark.usefixtures("here", "suite")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["smal", "--agent", "test_evaluate:good"], "Did you mean 'small'"),
        (["small", "--agent", "test_evaluate:goood"], "Did you mean 'good'"),
        (["small", "--agent", "test_evaluate:good", "--data-option", "tag=x"], "with problems of your own"),
        (["mine.jsonl", "--agent", "test_evaluate:good", "--data-option", "split=test"], "Pass split=, or --split"),
        (["small", "--agent", "test_evaluate:good", "--answered"], "file of completions"),
        (["small", "--agent", "test_evaluate:good", "--option", "x"], "KEY=VALUE"),
        (["small", "--agent", "test_evaluate:good", "--decoder", "sampling"], "Unknown option"),
    ],
)
def test_mistakes_are_one_message(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main(arguments) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_ctrl_c_stops_with_a_word_and_keeps_what_there_is(
    suite: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*arguments: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(evaluate, "start", interrupted)
    assert evaluate.main(["small", "--agent", "x:y"]) == 130
    assert "same command goes on" in capsys.readouterr().err


def double(problem: Problem, samples: int, seed: int) -> list[str]:
    return ["def f(x):\n    return 2 * x\n"] * samples


def broken(problem: Problem, samples: int, seed: int) -> list[str]:
    return [problem.nothing]  # type: ignore[attr-defined]


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Three problems of somebody's own, two of which ask the same."""
    monkeypatch.chdir(tmp_path)
    tasks = [("a", "Return twice x.", 2), ("b", "Return  twice x.", 2), ("c", "Return x.", 1)]
    problems = [Problem(id, text, [CallCase((3,), 3 * k)], "f") for id, text, k in tasks]
    datasets.dump(problems, "mine.jsonl")
    return "mine.jsonl"


@pytest.mark.usefixtures("here")
def test_problems_of_ones_own_are_measured_and_verified(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = [mine, "--agent", "test_evaluate:double", "--workers", "1", "--out", "record"]
    assert evaluate.main(command) == 0
    assert "problems of your own" in " ".join(capsys.readouterr().out.split())
    record = records.read(Path("record"))
    assert (record.header["status"], record.header["repeats"], record.suite) == ("own", {"b": "a"}, "mine-v1")
    found = record.report["pass@k"]["1"]
    assert found["value"] == pytest.approx(2 / 3)
    assert found == rate_interval([1, 1, 0], [0, 0, 1])._asdict()
    assert evaluate.main(["--verify", "record", "--workers", "1"]) == 0
    (entry,) = boards.load(Path("record"))[0]
    assert entry.reasons == ["problems of one's own, no suite"]


@pytest.mark.usefixtures("here")
def test_several_programs_for_each_of_ones_own_problems_are_drawn(mine: str) -> None:
    command = [mine, "--agent", "test_evaluate:double", "--workers", "1", "--samples", "2", "--split", "all"]
    assert evaluate.main(command) == 0
    (folder,) = records.find(Path("runs"))
    head = records.read(folder).header
    assert (head["suite"]["ks"], head["suite"]["temperature"], folder.parent.name) == ([1, 2], 0.8, "mine")
    assert evaluate.main(command[:-4]) == 0  # one program each: another record, in another folder
    assert len(records.find(Path("runs"))) == 2


@pytest.mark.usefixtures("here")
def test_a_function_that_fails_is_told_with_its_place(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main([mine, "--agent", "test_evaluate:broken", "--workers", "1"]) == 2
    error = capsys.readouterr().err
    assert "got AttributeError: 'Problem' object has no attribute 'nothing'" in error
    assert "test_evaluate.py, line" in error


def test_a_verdict_that_nobody_waits_for_is_not_asked_for_again(suite: Any) -> None:
    """Ctrl-C closes the judge: what it then fails must not start threads that fail too."""
    events: Any = queue.SimpleQueue()
    failing: Future[Any] = Future()
    asked: list[str] = []

    class Judge:
        def submit(self, source: str, problem: Problem) -> Future[Any]:
            asked.append(source)
            return failing

    judging = evaluation.JudgeQueue(cast(Any, Judge()), suites.problems(suite)[0], events)
    problem = next(iter(judging.problems))
    judging.submit(Key(problem, 0), "x")
    judging.stop()
    before = list(asked)
    failing.set_exception(SandboxError("closed"))
    assert asked == before
    assert events.empty()
