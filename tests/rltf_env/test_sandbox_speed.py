"""What makes the judge fast, and may not change what it says."""

from __future__ import annotations

import marshal
import os
import sys
from collections.abc import Iterator

import pytest

from rltf_env import sandbox
from rltf_env.core import CallCase, FailureKind, Outcome, Problem, ScriptCase
from rltf_env.sandbox.cage import program
from rltf_env.sandbox.frames import Turns, write_frame
from rltf_env.sandbox.referee import replay, script

if sys.platform != "linux":
    pytest.skip("forks", allow_module_level=True)

import fcntl

from rltf_env.sandbox.cage import files, warmup
from rltf_env.sandbox.referee import precompile

# pytest-xdist's threads, and a fork.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
GOOD = "def add(a, b):\n    return a + b\n"
ADD = Problem("add", "", [CallCase((1, 2), 3)], "add")


# ------------------------------------------------------------------------------------------------- compiled ahead


@pytest.fixture
def compiler() -> Iterator[precompile.Compiler]:
    made = precompile.Compiler()
    yield made
    made.close()


def _constant(compiler: precompile.Compiler, source: str) -> object:
    code = compiler.answer(source)
    assert isinstance(code, bytes)
    return marshal.loads(code)[0].co_consts[0]


def test_code_comes_in_any_order_of_asking(compiler: precompile.Compiler) -> None:
    sources = [f"x = {i}" for i in range(5)]
    for source in sources:
        compiler.ask(source)
    assert _constant(compiler, sources[1]) == 1
    assert compiler.answer(sources[0]) == b"", "it was passed over, and is compiled in the cage"
    assert _constant(compiler, sources[4]) == 4
    assert _constant(compiler, sources[4]) == 4, "a program may be run more than once"


@pytest.mark.parametrize("source", ["-" * 8000 + "1", "x = '\udc80'", "# " + "x" * precompile.LONGEST])
def test_what_cannot_be_compiled_ahead_has_no_code(compiler: precompile.Compiler, source: str) -> None:
    compiler.ask(source)
    assert compiler.answer(source) == b""
    compiler.ask("y = 1")
    assert compiler.answer("y = 1")


def test_what_is_no_python_is_described(compiler: precompile.Compiler) -> None:
    compiler.ask("x = 1\nx = (")
    assert compiler.answer("x = 1\nx = (") == program.compile_program("x = 1\nx = (")


NO_PYTHON = [
    "def add(a, b:\n",
    "x = 1\n  y = 2\n",
    "if 1:\n\tx = 1\n        y = 2\n",
    "x = (\n\n1,\n",
    'x = 1\ny = """abc\n',
    "(" * 300 + ")" * 300,
    "break",
    "return 1",
    "\ufeffx = =",
    "nonlocal x",
    "x = 1\0",
    "x = '\ud800'",
    "x = f'{'",
    "x = 'äé\u4e2d' + (",
    "é = 1\ny = '''ä",
    "def f(a, a): pass",
    "",
]


@pytest.mark.parametrize("trace", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_what_is_no_python_is_called_the_same_wherever_it_is_compiled(trace: bool) -> None:
    two = Problem("add", "", [CallCase((1, 2), 3), CallCase((2, 2), 4)], "add")
    for problem in (ADD, two):
        jobs = [(source, problem) for source in NO_PYTHON]
        with (
            sandbox.load("forkserver", workers=1, trace=trace) as ahead,
            sandbox.load("subprocess", workers=1) as apart,
        ):
            for one, other in zip(ahead.map(jobs), apart.map(jobs), strict=True):
                assert [r.failure for r in one.results] == [r.failure for r in other.results]
                assert one.outcome is other.outcome
                assert one.outcome is Outcome.SYNTAX_ERROR or one.failure.kind == FailureKind.MISSING_ENTRY_POINT


def test_what_was_not_asked_for_has_no_code(compiler: precompile.Compiler) -> None:
    assert compiler.answer("x = 1") == b""


def test_more_is_not_asked_for_than_a_pipe_holds(compiler: precompile.Compiler) -> None:
    sources = [f"x = {i}  # {'x' * 4000}" for i in range(40)]
    for source in sources:
        compiler.ask(source)
    assert compiler.answer(sources[0])
    assert compiler.answer(sources[-1]) == b""


def test_a_program_that_the_compiler_dies_of_has_no_code_and_the_next_one_has(monkeypatch: pytest.MonkeyPatch) -> None:
    def deadly(source: str) -> object:
        return os.kill(os.getpid(), 9) if "deadly" in source else compile(source, "", "exec")

    monkeypatch.setattr(program, "compile_program", deadly)
    compiler = precompile.Compiler()
    for source in ("x = 1", "deadly", "deadly = 2", "x = 2"):
        compiler.ask(source)
    assert [bool(compiler.answer(source)) for source in ("x = 1", "deadly", "deadly = 2", "x = 2")] == [1, 0, 0, 1]
    compiler.close()


def test_code_that_is_not_of_the_program_is_not_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precompile, "_seal", lambda source, code: os.urandom(8))
    compiler = precompile.Compiler()
    compiler.ask("x = 1")
    assert compiler.answer("x = 1") == b""
    compiler.ask("x = 2")
    assert compiler.answer("x = 2") == b"", "nothing that it says can be relied on any more"


def test_without_a_compiler_nothing_changes_but_the_time(compiler: precompile.Compiler) -> None:
    compiler.close()
    compiler.ask("x = 1")
    assert compiler.answer("x = 1") == b""


def test_a_program_is_judged_alike_compiled_ahead_or_in_its_cage() -> None:
    sources = [GOOD, "def add(a, b):\n    return a * b\n", "def add(a, b):\n    raise KeyError(a)\n", "def add(a, b:\n"]
    with sandbox.load("forkserver", workers=1, cache=0) as opened:
        ahead = list(opened.map((source, ADD) for source in sources))
        apart = [opened.run(source + "#" * precompile.LONGEST, ADD) for source in sources]
    assert [v.outcome for v in ahead] == [
        Outcome.PASSED,
        Outcome.WRONG_ANSWER,
        Outcome.RUNTIME_ERROR,
        Outcome.SYNTAX_ERROR,
    ]
    for one, other in zip(ahead, apart, strict=True):
        assert one.outcome is other.outcome
        assert one.failure == other.failure


# --------------------------------------------------------------------------------------------- what tests have said


def test_a_script_says_the_same_again_only_to_the_same_results() -> None:
    text = "import random\nassert f(1) == [1]\nassert f(2) == [random.randint(2, 2)]\n"
    problem = Problem("s", "", [ScriptCase(text)], "f")
    right, wrong = "def f(x):\n    return [x]\n", "def f(x):\n    return [x] if x < 2 else x\n"
    late = "def f(x):\n    if x > 1:\n        raise KeyError(x)\n    return [x]\n"
    with sandbox.load("forkserver", workers=1, cache=0) as opened:
        verdicts = [opened.run(source, problem) for source in (right, wrong, late, right, wrong, late)]
    assert [v.outcome for v in verdicts[:3]] == [Outcome.PASSED, Outcome.WRONG_ANSWER, Outcome.RUNTIME_ERROR]
    for before, after in zip(verdicts[:3], verdicts[3:], strict=True):
        assert before.outcome is after.outcome
        assert before.failure == after.failure


def test_what_a_program_dies_of_is_not_remembered_for_another() -> None:
    problem = Problem("s", "", [ScriptCase("assert f(1) == 1\n")], "f")
    with sandbox.load("forkserver", workers=1, cache=0) as opened:
        assert opened.run("def f(x):\n    return x\n", problem).outcome is Outcome.PASSED
        killed = opened.run("import os\ndef f(x):\n    os.kill(os.getpid(), 9)\n", problem)
    assert killed.failure is not None
    assert killed.failure.kind == FailureKind.KILLED


def test_few_conclusions_of_a_script_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(script, "REMEMBERED", 2)
    made = script.Script("", "assert f(1) == 1\n", "f", "", [])
    passed = replay.Conclusion(replay.End.PASSED, None, 2)
    for data in (b"a", b"b", b"c"):
        made.remember(data, passed)
    assert made.remembered(b"a") is None
    assert made.remembered(b"c") == passed
    made.remember(b"d", replay.Conclusion(replay.End.MISSED, ("...",), 2))
    assert made.remembered(b"d") is None, "what the program was not asked is asked of the next one, too"


def test_a_guess_goes_on_where_an_assertion_does_not_hold() -> None:
    made = script.Script("", "assert not f(1)\nassert f(2), f(3)\n", "f", "", [])
    assert [op.text for op in made.guess([], []) if '"call"' in op.text] == [
        '["call", 0, [[1], {"d": []}], 0]',
        '["call", 0, [[2], {"d": []}], 0]',
    ]


# -------------------------------------------------------------------------------------------------- the warm parent


@pytest.mark.parametrize("sizes", [(0,), (5, 0, 70), (100, 3), (64, 65, 56)])
def test_frames_of_any_length_are_read_one_at_a_time(sizes: tuple[int, ...]) -> None:
    reading, writing = os.pipe()
    turns = Turns(reading, 64)
    for size in sizes:
        payload = os.urandom(size)
        write_frame(writing, payload)
        assert bytes(turns.read()) == payload
    os.close(writing)
    with pytest.raises(EOFError):
        turns.read()
    os.close(reading)


def test_nothing_of_a_frame_is_left_in_the_buffer_once_a_shorter_one_is_there() -> None:
    reading, writing = os.pipe()
    turns = Turns(reading, 64)
    for payload in (b"x" * 200, b"y" * 20):
        write_frame(writing, payload)
        view = turns.read()
        assert view == payload
    assert not any(memoryview(view.obj)[8 + len(view) :])
    os.close(writing)
    os.close(reading)


def test_files_are_emptied_of_what_was_done_to_them() -> None:
    made = files.Files()
    _, stdout, result = made.case
    os.write(stdout, b"said")
    os.write(result, b"returned")
    fcntl.fcntl(stdout, fcntl.F_SETFL, os.O_APPEND | os.O_NONBLOCK)
    for fd in (stdout, made.null):
        fcntl.flock(fd, fcntl.LOCK_EX)
    os.fchmod(result, 0o600)
    os.utime(result, (0, 0))
    assert made.output() == (b"said", b"returned")
    made.empty()
    assert made.output() == (b"", b"")
    assert not fcntl.fcntl(stdout, fcntl.F_GETFL) & (os.O_APPEND | os.O_NONBLOCK)
    assert os.lseek(result, 0, os.SEEK_CUR) == 0
    assert os.stat(result).st_mode & 0o777 == files.MODE
    assert os.stat(result).st_atime > 0
    for path in (f"/proc/self/fd/{stdout}", os.devnull):
        again = os.open(path, os.O_RDWR)
        fcntl.flock(again, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(again)
    for fd in made.in_order():
        os.close(fd)


def test_settling_keeps_little() -> None:
    before = len(warmup._fillers)
    warmup.settle()
    sizes = [sys.getsizeof(thing) for thing in warmup._fillers[before:]]
    assert sum(sizes) < 3 << 20
    del warmup._fillers[before:]
