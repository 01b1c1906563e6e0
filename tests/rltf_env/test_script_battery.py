"""The public battery of scripts: what a test says in plain Python is what the judge says, and nothing that cheats is paid."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

import pytest

from rltf_env import sandbox
from rltf_env.core import ScriptCase
from rltf_env.sandbox.battery import scripts

LONG = pytest.mark.timeout(1800)  # hundreds of programs, each of them run several times
LIMITS = {"workers": 2, "case_seconds": 4.0, "wall_seconds": 20.0}
QUICK = 181  # scripts; those behind them are run by the slow tests alone


def attempts() -> list[scripts.Attempt]:
    """The attempts whose packages are installed here."""
    return [a for a in scripts.attempts() if all(importlib.util.find_spec(name) for name in a.packages)]


def complaints(backend: str, chosen: list[scripts.Attempt]) -> list[str]:
    with sandbox.load(backend, **LIMITS) as judge:
        verdicts = [judge.submit(attempt.source, attempt.problem) for attempt in chosen]
        return [c for a, v in zip(chosen, verdicts, strict=True) if (c := a.complaint(v.result()))]


# ------------------------------------------------------------------------------------------------- the battery itself


def test_the_battery_of_scripts_is_large_and_has_right_and_wrong_programs_of_every_kind() -> None:
    found = scripts.attempts()
    assert len(found) >= 500
    assert len({attempt.name for attempt in found}) == len(found)
    assert all((attempt.share == 1) == attempt.right for attempt in found)
    by_script = Counter((attempt.script, attempt.right) for attempt in found)
    assert all(by_script[a.script, True] and by_script[a.script, False] for a in found)
    assert {attempt.runner for attempt in found} == set(scripts.RUNNERS)


def test_a_complaint_says_whether_a_program_was_paid_or_refused() -> None:
    right, wrong = scripts.attempts(
        "=== x | kind | python | f | reference\nassert f(1) == 1\n"
        "--- right 1/1\ndef f(x): return x\n--- wrong 0/1\ndef f(x): pass\n"
    )
    with sandbox.load("scripted", default=True) as yes, sandbox.load("scripted", default=False) as no:
        assert not right.complaint(yes.run(right.source, right.problem))
        assert "was refused" in right.complaint(no.run(right.source, right.problem))
        assert "was paid" in wrong.complaint(yes.run(wrong.source, wrong.problem))


# ---------------------------------------------------------------------------------------------------- the judges


@LONG
def test_forkserver_agrees_with_plain_python_on_a_wrong_program_of_every_fifth_script_and_some_right_ones() -> None:
    right = {a.script: a for a in reversed(attempts()) if a.right}  # the first
    wrong = {a.script: a for a in attempts() if not a.right}  # the last
    assert right.keys() == wrong.keys()
    chosen = [*list(wrong.values())[:QUICK:5], *list(right.values())[1:QUICK:10]]
    assert complaints("forkserver", chosen) == []


@LONG
@pytest.mark.slow
def test_forkserver_agrees_with_plain_python_on_every_script() -> None:
    assert complaints("forkserver", attempts()) == []


@LONG
@pytest.mark.slow
def test_subprocess_agrees_with_plain_python_on_every_script() -> None:
    assert complaints("subprocess", attempts()) == []


# -------------------------------------------------------------------------------------------------- plain Python


@LONG
@pytest.mark.slow
def test_plain_python_says_what_the_battery_says_of_it(tmp_path: Path) -> None:
    wrong = []
    for number, attempt in enumerate(attempts()):
        folder = tmp_path / str(number)
        folder.mkdir()
        got = plainly(attempt, folder)
        if got[0] * attempt.total != attempt.passed * max(got[1], 1):
            wrong.append((attempt.name, got, (attempt.passed, attempt.total)))
    assert wrong == []


def plainly(attempt: scripts.Attempt, folder: Path) -> tuple[int, int]:
    """Tests that a plain run passes, and how many count."""
    (case,) = attempt.problem.cases
    assert isinstance(case, ScriptCase)
    package = "from ." in case.script  # a relative import wants a package
    place = folder / "package" if package else folder
    place.mkdir(exist_ok=True)
    (place / "solution.py").write_text(attempt.source)
    takes = re.search(r"^\s*(from \.?solution import|import solution)|[\"']solution\b", case.script, re.MULTILINE)
    if attempt.runner == "python" and not takes:  # one file after the other
        (folder / "both.py").write_text(f"{attempt.source}\n{case.script}")
        return _ends_well(folder, "both.py"), 1
    head = "" if takes else "from solution import *\n"
    (place / "test_script.py").write_text(head + case.script)
    if attempt.runner == "python":
        (place / "__init__.py").touch()
        return _ends_well(folder, *(["-m", "package.test_script"] if package else ["test_script.py"])), 1
    return _by_pytest(folder) if attempt.runner == "pytest" else _by_unittest(folder)


def _python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
    environment.pop("PYTHONPATH", None)
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False, input=""
    )


def _ends_well(folder: Path, *arguments: str) -> int:
    return int(_python(folder, *arguments).returncode == 0)


def _by_pytest(folder: Path) -> tuple[int, int]:
    _python(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--junitxml=out.xml", "--rootdir=.", "-c", os.devnull,
            "test_script.py")  # fmt: skip
    (suite,) = ElementTree.parse(folder / "out.xml").getroot()
    cases = [case for case in suite if case.tag == "testcase" and case.find("skipped") is None]
    bad = {
        (c.get("classname"), c.get("name"))
        for c in cases
        if c.find("failure") is not None or c.find("error") is not None
    }
    every = {(c.get("classname"), c.get("name")) for c in cases}
    return len(every - bad), len(every)


def _by_unittest(folder: Path) -> tuple[int, int]:
    text = _python(folder, "-m", "unittest", "-v", "test_script").stderr
    tail = text[text.rindex("\nRan ") :]
    ran = int(re.findall(r"Ran (\d+) test", tail)[0])
    skipped = sum(map(int, re.findall(r"skipped=(\d+)", tail)))
    bad = set(re.findall(r"^(?:FAIL|ERROR|UNEXPECTED SUCCESS): (\S+ \([\w.]+\))", text, re.MULTILINE))
    if "setUpClass" in text or "unittest.loader._FailedTest" in text:
        return 0, 1
    return ran - skipped - len(bad), ran - skipped
