"""Records survive any kill: torn lines, half-written ends, strangers in the folder; equal samples are equal bytes."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import records
from benchmarks.core import Answer, JudgedAnswer, Key, verdict_row
from rltf_env import plain
from rltf_env.core import CaseResult, Failure, Outcome, Verdict
from rltf_env.errors import DataError, MissingData

PASS = CaseResult(Outcome.PASSED)
ERROR = CaseResult(Outcome.RUNTIME_ERROR, Failure("ZeroDivisionError", "division by zero", 3, "", ("ArithmeticError",)))
WRONG = CaseResult(Outcome.WRONG_ANSWER, Failure("WrongAnswer"))


def test_verdict_comes_back_from_its_line() -> None:
    given = Verdict((PASS, ERROR, WRONG, ERROR))
    row = verdict_row(given, (Outcome.PASSED, Outcome.WRONG_ANSWER))
    assert (row["outcomes"], row["why"], row["visible"], len(row["failures"])) == ("3121", [0, 1, 0], "32", 2)
    assert plain.expand_verdict(json.loads(json.dumps(row)), "here").same(given)


def test_sample_comes_back_from_its_line() -> None:
    answer = Answer("x = 'é\ud800'\n", (2, 2, 5, 0), given=1, tokens=0, truncated=True)
    given = JudgedAnswer(Key("p", 3), answer, Verdict((ERROR,)), (Outcome.PASSED,), "hard")
    assert JudgedAnswer.from_dict(json.loads(json.dumps(given.to_dict()))) == given


def test_program_without_tokens_has_its_lines_for_them() -> None:
    program = Answer("a = 1\nb = 2\n").program()
    assert program.tokens_on(2).tolist() == [False, True, False]


def test_line_without_its_newline_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    journal = records.RecordJournal(path)
    journal.append([{"problem": "p", "sample": 0, "text": "x"}, {"problem": "p", "sample": 0, "outcomes": "3"}])
    journal.close()
    whole = path.read_bytes()
    for torn in (b'{"problem": "p", "sam', b"{", b'{"problem": "q", "sample": 0, "text": "y"}'):
        path.write_bytes(whole + torn)
        journal = records.RecordJournal(path)
        assert [list(journal.answers), list(journal.verdicts)] == [[Key("p", 0)]] * 2
        journal.append([{"problem": "q", "sample": 0, "text": "z"}])
        journal.close()
        assert path.read_bytes().splitlines()[-1] == b'{"problem": "q", "sample": 0, "text": "z"}'
        path.write_bytes(whole)


def test_line_that_is_none_in_the_middle_is_an_error_that_names_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b'{"problem": "p", "sample": 0, "text": "x"}\nnonsense\n')
    with pytest.raises(DataError, match=r"journal\.jsonl:2"):
        records.RecordJournal(path)


def test_two_runs_cannot_write_into_one_record(tmp_path: Path) -> None:
    first = records.RecordJournal(tmp_path / "journal.jsonl")
    with pytest.raises(DataError, match="another process is writing"):
        records.RecordJournal(tmp_path / "journal.jsonl")
    first.close()
    records.RecordJournal(tmp_path / "journal.jsonl").close()


def test_what_a_killed_writer_left_goes_and_what_another_is_writing_stays(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    left, living = (tmp_path / f".{name}.tmp" for name in (f"header.json.{gone.pid}", f"report.json.{os.getpid()}"))
    left.touch()
    living.touch()
    records.begin(tmp_path, {"format": records.FORMAT})
    assert (left.exists(), living.exists()) == (False, True)


def test_record_of_another_evaluation_is_not_continued(tmp_path: Path, suite: Any, make_record: Any) -> None:
    made = make_record(tmp_path, suite, lambda p, n, s: ["x"] * n)
    with pytest.raises(DataError, match=r"there departures \[\]; here departures \['a'\]"):
        records.begin(tmp_path, {**made.header, "departures": ["a"]})
    assert records.begin(tmp_path, made.header) == made.header


def test_record_that_came_to_nothing_gives_way_to_another(tmp_path: Path) -> None:
    first, second = ({"format": records.FORMAT, "departures": departures} for departures in ([], ["a"]))
    assert records.begin(tmp_path, first) == first
    assert records.begin(tmp_path, second) == second
    journal = records.RecordJournal(tmp_path / records.JOURNAL)
    with pytest.raises(DataError, match="got another"):  # somebody is at work on it
        records.begin(tmp_path, first)
    journal.close()
    assert records.begin(tmp_path, first) == first
    (tmp_path / records.JOURNAL).write_text('{"problem": "p", "sample": 0, "text": "x"}\n')
    with pytest.raises(DataError, match="got another"):
        records.begin(tmp_path, second)


def test_unfinished_and_missing_records_say_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"no header\.json"):
        records.read(tmp_path)
    records.begin(tmp_path, {"format": records.FORMAT})
    with pytest.raises(MissingData, match="Run its command again"):
        records.read(tmp_path)


def test_header_names_no_path_host_or_user(tmp_path: Path, suite: Any, make_record: Any) -> None:
    text = json.dumps(make_record(tmp_path, suite, lambda p, n, s: ["x"] * n).header)
    for secret in (str(Path.home()), str(tmp_path), os.uname().nodename):
        assert len(secret) < 3 or secret not in text
    assert {"versions", "commit", "machine", "judge", "data", "samples_sha256", "seconds"} <= json.loads(text).keys()


# ------------------------------------------------------------------------------------------------------------- kills

AGENT = """
import os, signal
def write(problem, samples, seed):
    with open(os.environ["CALLS"], "a") as file:
        file.write(problem.id + "\\n")
    if os.environ.get("KILL") == f"call {sum(1 for _ in open(os.environ['CALLS']))}":
        os.kill(os.getpid(), signal.SIGKILL)
    return [problem.solutions[0], "def f(x):\\n    return 1 / 0\\n", "def f(x:"][:samples]
"""
RUNNER = """
import os, signal, sys
from benchmarks import evaluate, records, suites
from rltf_env import datasets

options = {"size": 5, "depths": [2]}
digest = datasets.digest(datasets.load("procedural", split="test", **options))
suites.SUITES = {"five": suites.Suite("five", "procedural", "test", "", digest, options=options, samples=3)}
kind, _, number = os.environ.get("KILL", "").partition(" ")
die = lambda: os.kill(os.getpid(), signal.SIGKILL)
append, replace, seen = records.RecordJournal.append, os.replace, {"append": 0, "file": 0}

def torn(self, rows):
    seen["append"] += 1
    if (kind, number) == ("append", str(seen["append"])):
        os.write(self._file.fileno(), b'{"problem": "procedural/te')
        die()
    append(self, rows)

def moved(source, target):
    seen["file"] += 1
    if (kind, number) == ("before", str(seen["file"])):
        die()
    replace(source, target)
    if (kind, number) == ("after", str(seen["file"])):
        die()

records.RecordJournal.append, os.replace = torn, moved
sys.exit(evaluate.main(sys.argv[1:]))
"""
# A kill in each stage: writing, torn answers and verdicts, and the steps of the end (each of three files; the journal).
KILLS = ["call 2", "append 3", "append 9", "before 1", "before 2", "after 3"]


@pytest.mark.timeout(600)  # eight processes, one after the other
def test_killed_at_any_point_it_goes_on_and_judges_nothing_twice(tmp_path: Path) -> None:
    (tmp_path / "killed_agent.py").write_text(AGENT)
    (tmp_path / "runner.py").write_text(RUNNER)
    root = str(Path(records.__file__).parents[2])

    def run(out: str, kill: str = "") -> int:
        arguments = ["five", "--agent", "killed_agent:write", "--workers", "1"]
        environment = {
            **os.environ,
            "PYTHONPATH": f"{root}{os.pathsep}{tmp_path}",
            "KILL": kill,
            "CALLS": str(tmp_path / "calls"),
        }
        command = [sys.executable, str(tmp_path / "runner.py"), *arguments, "--out", str(tmp_path / out)]
        return subprocess.run(command, env=environment, capture_output=True, timeout=300).returncode

    assert run("whole") == 0
    (tmp_path / "calls").unlink()
    for kill in KILLS:
        before = journal(tmp_path / "killed")
        asked = calls(tmp_path)
        assert run("killed", kill) == -signal.SIGKILL, kill
        assert not set(calls(tmp_path)[len(asked) :]) & answered(before), f"{kill}: asked for what it had"
        verdicts = [(row["problem"], row["sample"]) for row in journal(tmp_path / "killed") if "outcomes" in row]
        assert len(verdicts) == len(set(verdicts)), f"{kill}: judged twice"
    assert run("killed") == 0
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == [
        "header.json",
        "report.json",
        "samples.jsonl.gz",
    ]
    for name in ("samples.jsonl.gz", "report.json"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert run("killed") == 0  # finished: says so, and asks for nothing


def journal(folder: Path) -> list[dict[str, Any]]:
    """The whole lines of a journal."""
    path = folder / "journal.jsonl"
    lines = path.read_bytes().split(b"\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in lines]


def answered(rows: list[dict[str, Any]]) -> set[str]:
    """Problems of which all three answers are there."""
    ids = [row["problem"] for row in rows if "text" in row]
    return {id for id in ids if ids.count(id) == 3}


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines() if (folder / "calls").exists() else []


@pytest.mark.parametrize("words", [["a b", "--limit", "3"], ["a b", "--json", "x.json", "--limit", "3"]])
def test_the_origin_of_a_figure_names_its_command_without_the_place_of_the_record(words: list[str]) -> None:
    origin = records.origin("benchmarks.studies.audit", [*words, "--json=y.json"])
    assert origin["command"] == "python -m benchmarks.studies.audit 'a b' --limit 3"
    assert re.fullmatch(r"20\d\d-\d\d-\d\d", origin["date"])
    assert {"commit", "machine", "versions"} <= origin.keys()


def test_results_go_into_a_folder_that_was_not_there(tmp_path: Path) -> None:
    records.write_json(tmp_path / "new" / "result.json", {"a": 1})
    assert records.read_json(tmp_path / "new" / "result.json") == {"a": 1}
