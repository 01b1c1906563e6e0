"""What the judge says of lines and texts where it is asked: lines of each case, lines with code, facts."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from rltf_env import facts, plain, sandbox
from rltf_env.core import CallCase, FailureKind, Outcome, Problem, ScriptCase, StdinCase, Verdict
from rltf_env.errors import UsageError
from rltf_env.sandbox.cage import trace
from rltf_env.sandbox.pool.options import Options
from rltf_env.sandbox.pool.pool import PoolSandbox
from rltf_env.sandbox.referee import failures, precompile
from rltf_env.sandbox.values import FILENAME

SIGN = "def f(x):\n    if x < 0:\n        return -x\n    return x\n"
ABS = Problem("abs", "", [CallCase((-3,), 3), CallCase((4,), 4)], "f")
SUITE = """class TestF(unittest.TestCase):
    def test_a(self): self.assertEqual(f(-1), 1)
    def test_b(self): self.assertEqual(f(2), 2)
"""
BACKENDS = ("forkserver", "subprocess")
Lines = list[set[int] | None]


def by_case(verdict: Verdict) -> Lines:
    return [None if r.executed is None else set(r.executed) for r in verdict.results]


@pytest.fixture(scope="module", params=BACKENDS)
def judge(request: pytest.FixtureRequest) -> Iterator[PoolSandbox]:
    with sandbox.load(request.param, workers=1, case_seconds=0.4, trace_cases=True) as opened:
        yield opened


@pytest.mark.parametrize("isolate", [False, True])
@pytest.mark.parametrize("backend", BACKENDS)
def test_each_case_has_the_lines_that_ran_in_it(backend: str, isolate: bool) -> None:
    with sandbox.load(backend, workers=1, trace_cases=True, isolate=isolate) as opened:
        verdict = opened.run(SIGN, ABS)
    assert by_case(verdict) == [{1, 2, 3}, {1, 2, 4}]
    assert verdict.executed == {1, 2, 3, 4}
    assert verdict.outcome is Outcome.PASSED


def test_lines_without_code_are_told_from_lines_that_did_not_run(judge: PoolSandbox) -> None:
    source = "def f(x):\n    # a\n    if x > 9:\n        x = 1\n    else:\n        y = 2\n\n    return abs(x)\n"
    verdict = judge.run(source, ABS)
    assert verdict.code == {1, 3, 4, 6, 8}
    assert verdict.executed == {1, 3, 6, 8}


def test_a_case_that_is_ended_keeps_what_it_had(judge: PoolSandbox) -> None:
    verdict = judge.run("def f(x):\n    while x > 0:\n        pass\n    return -x\n", ABS)
    assert [r.failure and r.failure.kind for r in verdict.results] == [None, FailureKind.TIMEOUT]
    assert by_case(verdict) == [{1, 2, 4}, {1, 2, 3}]


def test_programs_that_read_and_scripts_that_ask_have_lines_for_each_case(judge: PoolSandbox) -> None:
    reading = Problem("read", "", [StdinCase("1\n", "1\n"), StdinCase("\n", "0\n"), StdinCase("2\n", "2\n")])
    verdict = judge.run("x = input()\nif x:\n    print(x)\nelse:\n    print(0)\n", reading)
    assert by_case(verdict) == [{1, 2, 3}, {1, 2, 5}, {1, 2, 3}]
    live = "r = f(-1)\nassert r == 1\nassert f(r + 3) == 4\n"
    asking = Problem("ask", "", [ScriptCase("assert f(-2) == 2"), ScriptCase(live)], "f")
    assert by_case(judge.run(SIGN, asking)) == [{1, 2, 3}, {1, 2, 3, 4}]


def test_tests_of_one_process_have_the_lines_of_that_process(judge: PoolSandbox) -> None:
    verdict = judge.run(SIGN, Problem("suite", "", [ScriptCase(f"import unittest\n{SUITE}")], "f"))
    assert by_case(verdict) == [{1, 2, 3, 4}] * 2
    assert verdict.code == {1, 2, 3, 4}


def test_no_python_has_no_lines_and_what_was_not_run_has_none(judge: PoolSandbox) -> None:
    verdict = judge.run("x = (", ABS)
    assert (by_case(verdict), verdict.code, verdict.executed) == ([set(), set()], frozenset(), frozenset())
    verdict = judge.run("def f(x):\n    while True: pass\n", ABS)
    assert by_case(verdict)[1] == set()


def test_nothing_is_recorded_unless_asked() -> None:
    with sandbox.load("forkserver", workers=1) as opened:
        verdict = opened.run(SIGN, ABS)
    assert (verdict.executed, verdict.code, verdict.facts, by_case(verdict)) == (None, None, None, [None, None])
    with sandbox.load("forkserver", workers=1, trace=True) as opened:
        verdict = opened.run(SIGN, ABS)
    assert (verdict.executed, by_case(verdict)) == ({1, 2, 3, 4}, [None, None])


def test_verdicts_with_lines_and_facts_survive_json_and_differ_without() -> None:
    with sandbox.load("forkserver", workers=1, trace_cases=True, facts=True) as opened:
        verdict = opened.run(SIGN, ABS)
    again = plain.decode_verdict(plain.encode_verdict(verdict), "here")
    assert again == verdict
    assert again.same(verdict)
    with sandbox.load("forkserver", workers=1, trace=True) as opened:
        assert not opened.run(SIGN, ABS).same(verdict)


def test_lines_behind_an_import_that_moved_are_those_of_the_text() -> None:
    problem = Problem("given", "", [CallCase((2,), 2)], "f", prefix="import math\n")
    source = "import math\nfrom __future__ import annotations\ndef f(x):\n    return x if x else z\n"
    with sandbox.load("forkserver", workers=1, trace_cases=True, facts=True) as opened:
        verdict = opened.run(source, problem)
    assert verdict.executed == verdict.code == verdict.results[0].executed == {1, 2, 3, 4}
    assert verdict.facts is not None
    assert verdict.facts.findings == (("UndefinedName", 4),)


def test_lines_beyond_the_room_for_them_are_not_marked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "MOST", 12)
    source = "x = 1\n" * 10
    with tempfile.TemporaryFile() as file:
        file.truncate(trace.size(source, 2))
        trace.Lines(file.fileno(), 2, 1)
        assert trace.read(os.pread(file.fileno(), 100, 0), 2) == trace.Traced([], [[], []])
        assert trace.size(source, 2) == 12


MARKING = """
import os, sys, tempfile
sys.path.insert(0, sys.argv[1])
from rltf_env.sandbox.cage import trace
from rltf_env.sandbox.values import FILENAME
source = "def f(x):\\n    for i in range(x):\\n        x += i\\n    return x\\n"
with tempfile.TemporaryFile() as file:
    file.truncate(trace.size(source, 3))
    lines, code = trace.Lines(file.fileno(), 3), compile(source, FILENAME, "exec")
    lines.trace(code)
    for case, value in enumerate((0, 2, 0)):
        lines.begin(case)
        names = {}
        exec(code, names)
        names["f"](value)
    sys.settrace(None)
    print(*trace.read(os.pread(file.fileno(), 1000, 0), 3).rows)
"""


def test_a_line_reports_in_every_case_of_one_process() -> None:
    """On any version of Python, by monitoring or by tracing."""
    root = str(Path(trace.__file__).parents[3])
    printed = subprocess.run([sys.executable, "-c", MARKING, root], capture_output=True, text=True, check=True).stdout
    assert printed.split("\n")[0] == "[1, 2, 4] [1, 2, 3, 4] [1, 2, 4]"


def test_lines_of_nested_code_are_found() -> None:
    code = compile(
        "def f():\n    g = lambda: [\n        i for i in ()]\n    class A:\n        x = 1\n", FILENAME, "exec"
    )
    assert set(trace.lines_with_code(code)) == {1, 2, 3, 4, 5}


def test_options_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(UsageError, match="Leave trace out"):
        Options.check("forkserver", {"trace": False, "trace_cases": True})
    with pytest.raises(UsageError, match="could lie"):
        Options.check("subprocess", {"facts": True})
    assert Options.check("forkserver", {"trace_cases": True}).trace


# -------------------------------------------------------------------------------------------------------------- facts


@pytest.fixture
def analyser() -> Iterator[precompile.Analyser]:
    made = precompile.Analyser()
    yield made
    made.close()


def test_facts_come_with_the_verdict_and_are_those_of_the_text() -> None:
    with sandbox.load("forkserver", workers=2, facts=True) as opened:
        sources = [f"{SIGN}y = {i}\n" for i in range(40)]  # more than wait in the analyser's pipe
        verdicts = list(opened.map((source, ABS) for source in sources))
        assert [verdict.facts for verdict in verdicts] == [facts.of(source) for source in sources]
        assert opened.run("x = (", ABS).facts is None
        assert opened.run("# " + "x" * precompile.LONGEST + "\n" + SIGN, ABS).facts is None
        assert opened.run("import os\nos._exit(3)\n", ABS).facts == facts.of("import os\nos._exit(3)\n")


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_facts_do_not_depend_on_what_else_was_asked(analyser: precompile.Analyser) -> None:
    sources = [f"x = {i}\n" + "y = 1\n" * 600 for i in range(30)]
    for source in sources:
        analyser.ask(source)
    for source in (sources[20], sources[3], sources[29], "z = 1"):
        answer = analyser.facts(source)
        assert answer is not None
        assert plain.decode_facts(answer) == facts.of(source)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_a_text_that_takes_too_long_has_no_facts_and_the_next_has(analyser: precompile.Analyser) -> None:
    assert analyser.facts("x = [" + "[" * 90 + "]" * 90 + "]\n" + "y = x; " * 1100) is None
    assert analyser.facts("x = 1") is not None


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_an_analyser_that_is_lost_is_no_text_without_facts(analyser: precompile.Analyser) -> None:
    analyser.close()
    with pytest.raises(EOFError, match="lost"):
        analyser.facts("x = 1")


DEATH = b"""{"ok": 1}
Fatal Python error: Aborted

Current thread 0x00007f [python] (most recent call first):
  File "/usr/lib/python3.14/re/__init__.py", line 5 in match
  File "<program>", line 3 in add
  File "/rltf_env/sandbox/cage/program.py", line 200 in _run

Current thread's C stack trace (most recent call first):
  Binary file "/usr/bin/python3.14", at _Py_DumpStack+0x30 [0x4b53b0]
"""


def test_the_line_of_a_process_that_was_killed_is_that_of_its_last_stack_of_python_s() -> None:
    assert failures.stuck_line(DEATH) == 3
    assert failures.stuck_line(DEATH.partition(b"\nCurrent thread's C")[0]) == 3
    assert failures.stuck_line(DEATH.replace(b"line 3", b"line 7") + DEATH) == 3
    assert failures.stuck_line(b"") is None
