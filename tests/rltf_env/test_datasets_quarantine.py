"""Broken problems are found by their references, listed, and left out by whoever loads with the list."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from rltf_env import UnitTestEnv, datasets, sandbox
from rltf_env.core import CallCase, Outcome, Problem, Problems, Sandbox, ScriptCase, StdinCase
from rltf_env.datasets import __main__ as command
from rltf_env.datasets import audit
from rltf_env.errors import DataError, SandboxError


def adds(id: str, *solutions: str, **fields) -> Problem:
    return Problem(id, "Add.", (CallCase((1, 2), 3), CallCase((2, 2), 4)), "add", solutions=solutions, **fields)


GOOD = "def add(a, b):\n    return a + b\n"
CRASH = "def add(a, b):\n    return a / 0\n"
SOUND, BROKEN = adds("sound", GOOD), adds("broken", CRASH)
HALF = adds("half", "def add(a, b): return 3", GOOD)
WRONG = adds("wrong example", GOOD, examples=(CallCase((1, 1), 3),))
SILENT = adds("silent")
ALL = (SOUND, BROKEN, HALF, WRONG, SILENT)


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(case_seconds=1) as opened:
        yield opened


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file of all five, in the current folder."""
    monkeypatch.chdir(tmp_path)
    datasets.dump(ALL, "mine.jsonl")
    return "mine.jsonl"


def test_every_reference_is_examined_on_cases_examples_and_held_out_cases(judge: Sandbox) -> None:
    held = replace(SOUND, id="held", held_out=(CallCase((0, 0), 1),))
    found = {each.problem.id: each for each in audit.examine((*ALL, held), judge)}
    assert list(found) == ["sound", "broken", "half", "wrong example", "held"]
    assert {id: (e.solved_by, e.broken) for id, e in found.items()} == {
        "sound": (1, False),
        "broken": (0, True),
        "half": (1, False),
        "wrong example": (0, True),
        "held": (0, True),
    }
    assert found["broken"].entry == (
        "broken", datasets.digest([BROKEN]), "RUNTIME_ERROR ZeroDivisionError, line 2",
    )  # fmt: skip
    assert found["wrong example"].entry.reason == "WRONG_ANSWER WrongAnswer on the examples"
    assert found["held"].entry.reason == "WRONG_ANSWER WrongAnswer on the held-out"


def test_check_reports_and_lists_what_is_broken(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["check", mine, "--seconds", "1"]) == 1
    out, err = capsys.readouterr()
    assert err == ""
    assert out.splitlines() == [
        "problem        outcome        failure            line  references",
        "broken         RUNTIME_ERROR  ZeroDivisionError  2     0 of 1 pass  broken",
        "half           WRONG_ANSWER   WrongAnswer              1 of 2 pass  kept",
        "wrong example  WRONG_ANSWER   WrongAnswer              0 of 1 pass  broken",
        "1 of 4 problems are sound: every reference passes",
        "1 without a reference could not be checked",
        "2 broken problems listed in mine.quarantine.json",
    ]
    content = json.loads(Path("mine.quarantine.json").read_text())
    assert [entry["id"] for entry in content["problems"]] == ["broken", "wrong example"]
    assert content["data_digest"] == datasets.digest(ALL)
    assert content["judge"].startswith(("forkserver/", "subprocess/"))


def test_a_problem_that_cannot_be_judged_is_listed_and_the_others_are_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    alien = replace(SOUND, id="alien", cases=(ScriptCase("import nobody_has_this\nassert add(1, 2) == 3"),))
    datasets.dump((alien, SOUND, BROKEN), "mine.jsonl")
    assert command.main(["check", "mine.jsonl", "--seconds", "1"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == "alien    not judged     InvalidProblem           0 of 1 pass  broken"
    assert lines[3].startswith("'alien' cannot be judged: its test imports 'nobody_has_this' (line 1)")
    assert lines[4] == "1 of 3 problems are sound: every reference passes"
    assert [each.id for each in datasets.load("mine.jsonl", quarantine="mine.quarantine.json")] == ["sound"]


def test_a_problem_that_ends_the_judge_is_listed_and_the_others_are_checked() -> None:
    def rule(source: str, problem: Problem) -> Outcome:
        if problem.id == BROKEN.id:
            raise SandboxError("The judge failed 3 times on 'broken'.")
        return Outcome.PASSED

    examined = list(audit.examine((SOUND, BROKEN, HALF), sandbox.load("scripted", rules=rule)))
    assert [(each.problem.id, each.broken) for each in examined] == [
        ("sound", False),
        ("broken", True),
        ("half", False),
    ]
    assert examined[1].entry.reason == "The judge failed 3 times on 'broken'."


TWICE = "def f(n):\n    return 2 * n\n"
UNDEMANDING = ("print(f(2))", "f(2)", "def test_f():\n    f(2)\n", "assert f(2) in (4, None)")


def test_problems_that_pay_a_program_which_does_nothing_are_named(
    mine: str, capsys: pytest.CaptureFixture[str]
) -> None:
    weak = [Problem(f"weak {n}", "", [ScriptCase(text)], solutions=(TWICE,)) for n, text in enumerate(UNDEMANDING)]
    silent = Problem("weak silence", "", [StdinCase("1", "")], solutions=("input()",))
    strong = Problem("strong", "", [ScriptCase("assert f(2) == 4")], solutions=(TWICE,))
    class_ = Problem(
        "class", "", [ScriptCase("assert A().f() is None")], solutions=("class A:\n    def f(self): ...\n",)
    )
    datasets.dump([*weak, silent, strong, class_, SOUND, BROKEN], mine)
    assert command.main(["check", mine, "--seconds", "1"]) == 1  # BROKEN's reference fails; the others are sound
    out = capsys.readouterr().out
    assert "A program that does nothing passes 6: weak 0, weak 1, weak 2, weak 3, weak silence, class\n" in out
    datasets.dump([SOUND, strong], mine)
    assert command.main(["check", mine]) == 0
    assert "does nothing" not in capsys.readouterr().out


def test_a_stub_has_the_reference_s_names_and_does_nothing() -> None:
    source = "import math\nclass A:\n    size = 3\n    async def g(self, n: int = 2) -> int:\n        return math.pi\n"
    problem = Problem("p", "", [ScriptCase("assert A")], solutions=(source,))
    expected = "import math\n\nclass A:\n    size = 3\n\n    async def g(self, n: int=2) -> int:\n        pass\n"
    assert audit.stub(problem) == expected
    assert audit.stub(replace(problem, solutions=("f = lambda n: n\n",))) is None  # nothing to take away
    assert audit.stub(replace(problem, solutions=("def f(:",))) is None
    assert audit.stub(replace(problem, solutions=())) is None


def test_the_list_is_honoured_and_says_what_it_left_out(mine: str) -> None:
    command.main(["check", mine, "--seconds", "1", "--quarantine", "list.json"])
    problems = datasets.load(mine, quarantine="list.json")
    assert problems == (SOUND, HALF, SILENT)
    assert problems.skipped == (
        ("broken", "in quarantine: RUNTIME_ERROR ZeroDivisionError, line 2"),
        ("wrong example", "in quarantine: WRONG_ANSWER WrongAnswer on the examples"),
    )
    env = UnitTestEnv(mine, dataset_options={"quarantine": "list.json"})
    assert env.data_digest == datasets.digest((SOUND, HALF, SILENT))
    assert command.main(["check", mine, "--option", 'quarantine="list.json"', "--limit", "1"]) == 0


def test_an_entry_about_a_problem_that_has_changed_is_an_error(mine: str) -> None:
    command.main(["check", mine, "--seconds", "1", "--quarantine", "list.json"])
    datasets.dump([SOUND, adds("broken", GOOD)], mine)
    with pytest.raises(DataError, match=r"problem 'broken' as it was when it was found broken.*Write the list anew"):
        datasets.load(mine, quarantine="list.json")
    assert datasets.load([SOUND], quarantine="list.json") == (SOUND,)  # entries about others do nothing


def test_a_list_that_leaves_nothing_is_an_error(mine: str) -> None:
    command.main(["check", mine, "--seconds", "1", "--quarantine", "list.json"])
    with pytest.raises(DataError, match="to leave some of 1 problems, got all of them listed"):
        datasets.load([BROKEN], quarantine="list.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "expected JSON"),
        ("[]", "expected a JSON object"),
        ('{"format": 2, "problems": []}', "of format 1, got 2"),
        ('{"format": 1, "problems": [{"id": "a"}]}', "expected a field 'digest'"),
    ],
)
def test_what_is_no_list_is_refused(content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text(content)
    with pytest.raises(DataError, match=message):
        datasets.load([SOUND], quarantine=tmp_path / "list.json")
    with pytest.raises(DataError, match=r"Write one: python -m rltf_env.datasets check"):
        datasets.load([SOUND], quarantine=tmp_path / "gone.json")


def test_a_list_that_is_gone_does_not_bring_the_embedded_problems_in(data: Path) -> None:
    with pytest.raises(DataError, match="Expected a quarantine list at gone"):
        UnitTestEnv("mbpp", root=str(data), dataset_options={"quarantine": "gone.json"})


def test_sound_problems_end_well_and_an_old_list_is_replaced(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    datasets.dump([SOUND], mine)
    Path("mine.quarantine.json").write_text("old")
    assert command.main(["check", mine]) == 0
    assert "1 of 1 problems are sound" in capsys.readouterr().out
    assert json.loads(Path("mine.quarantine.json").read_text())["problems"] == []


def test_data_that_cannot_be_read_end_with_a_word(mine: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["check", "gone.jsonl"]) == 2
    assert command.main(["check", mine, "--option", "difficulty"]) == 2
    assert "There is nothing" in (err := capsys.readouterr().err)
    assert "Expected an option as KEY=VALUE, got 'difficulty'" in err
    assert not Path("gone.quarantine.json").exists()


def interrupt(source: str, problem: Problem) -> Outcome:
    raise KeyboardInterrupt


def broken_down(source: str, problem: Problem) -> Outcome:
    raise SandboxError("down")


@pytest.mark.parametrize(
    ("rule", "status", "message"),
    [(interrupt, 130, "Interrupted: no list was written.\n"), (broken_down, 2, "SandboxError: down\n")],
)
def test_a_check_that_is_broken_off_leaves_the_old_list_whole(
    rule: Any, status: int, message: str, mine: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    somebody = types.ModuleType("somebody")
    vars(somebody)["judge"] = lambda: sandbox.load("scripted", rules=rule)
    monkeypatch.setitem(sys.modules, "somebody", somebody)
    Path("mine.quarantine.json").write_text("old")
    assert command.main(["check", mine, "--sandbox", "somebody:judge"]) == status
    assert capsys.readouterr().err == message
    assert Path("mine.quarantine.json").read_text() == "old"
    assert sorted(path.name for path in Path().iterdir()) == ["mine.jsonl", "mine.quarantine.json"]


def test_the_command_needs_no_rich_and_no_terminal(mine: str) -> None:
    code = "import sys; sys.modules['rich'] = None; from rltf_env.datasets.__main__ import main; sys.exit(main(sys.argv[1:]))"
    run = [sys.executable, "-W", "error", "-c", code, "check", mine, "--limit", "1"]
    done = subprocess.run(run, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stderr) == (0, "")
    assert "1 of 1 problems are sound" in done.stdout


def test_mbpps_first_references_are_sound(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert command.main(["check", "mbpp", "--root", str(data), "--split", "validation", "--limit", "20"]) == 0
    assert "20 of 20 problems are sound" in capsys.readouterr().out
    assert not Path("mbpp.quarantine.json").exists()  # there is nothing to list


def test_quarantine_keeps_what_the_loader_had_left_out(mine: str) -> None:
    command.main(["check", mine, "--seconds", "1", "--quarantine", "list.json"])
    problems = datasets.load(Problems((SOUND, BROKEN), [("x", "no tests")]), quarantine="list.json")
    assert [id for id, _ in problems.skipped] == ["x", "broken"]


FAULTS = (
    Problem("no module", "", [ScriptCase("import no_such_module\nassert add(1, 2) == 3")], "add", solutions=[GOOD]),
    Problem("no Python", "", [ScriptCase("assert add(1, 2) ===")], "add"),
    Problem("no checker", "", SOUND.cases, "add", meta={"checker": "def right(got): return True"}),
    replace(SOUND, id="no order", meta={"order": "some"}),
)


def test_problems_that_cannot_be_judged_are_listed_with_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    datasets.dump((FAULTS[0], SOUND, *FAULTS[1:], SILENT, BROKEN), "mine.jsonl")
    assert command.main(["check", "mine.jsonl", "--seconds", "1"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[1:6]] == [*(each.id for each in FAULTS), "broken"]
    assert "not judged" in lines[2]
    assert "0 of 0 pass" in lines[2]
    assert [line.split(":")[0] for line in lines[6:10]] == [
        "'no module' cannot be judged",
        "'no Python' cannot be judged",
        "'no checker' cannot be judged",
        "'no order'",
    ]
    assert lines[10:] == [
        "1 of 4 problems are sound: every reference passes",
        "1 without a reference could not be checked",
        "5 broken problems listed in mine.quarantine.json",
    ]
    assert datasets.load("mine.jsonl", quarantine="mine.quarantine.json") == (SOUND, SILENT)
